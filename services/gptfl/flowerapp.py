"""A run as a Flower App: its federation under `flwr run`, on a SuperLink and stock SuperNodes."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from gptfl import api
from gptfl.errors import MissingDependencyError, StageError
from gptfl.federation import stage
from gptfl.federation.remote import RemoteClients, client_names
from gptfl.federation.supernodes import NamedGrid, supernode_app
from gptfl.spec.load import dump_run, load_run
from gptfl.spec.run import GPTFLRun

RUN = "run.yaml"
_MODULE = f'''"""Written by gptfl aggregate: the run beside it as a Flower App."""

from pathlib import Path

from gptfl.flowerapp import client_app, server_app

HERE = Path(__file__).parent
server = server_app(HERE / "{RUN}")
client = client_app(HERE / "{RUN}")
'''
_PROJECT = """[project]
name = "{name}"
version = "1.0.0"
license = "Apache-2.0"
dependencies = ["gptfl"]

[tool.flwr.app]
publisher = "gptfl"

[tool.flwr.app.components]
serverapp = "gptfl_app:server"
clientapp = "gptfl_app:client"

[tool.flwr.app.config]
folder = '{folder}'
store = '{store}'
"""
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def server_app(file: Path) -> ServerApp:
    """The federation of the run in `file`, over Flower's grid; its artifacts go to the store."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        run = load_run(file)
        names = client_names(run.spec.federation)
        named = NamedGrid(grid, names, len(run.spec.task.labels))
        api.run_stage(
            run,
            "federation",
            store=str(context.run_config["store"]),
            folder=Path(str(context.run_config["folder"])),
            functions={"federation": partial(stage.run, remote=RemoteClients(named, names))},
        )

    return app


def client_app(file: Path) -> ClientApp:
    """What each SuperNode does for the run in `file`."""
    return supernode_app(load_run(file), file.parent)


def write_app(run: GPTFLRun, app: Path, *, folder: Path, store: str) -> None:
    """Writes the app; `folder` is where the run's relative paths start at the SuperLink."""
    app.mkdir(parents=True, exist_ok=True)
    (app / RUN).write_text(dump_run(run))
    (app / "gptfl_app.py").write_text(_MODULE)
    (app / "pyproject.toml").write_text(
        _PROJECT.format(name=f"gptfl-{run.metadata.name}", folder=folder, store=store)
    )


def submit(run: GPTFLRun, superlink: str, *, folder: Path, store: str) -> None:
    """Has the SuperLink of that name in Flower's configuration do the run's federation.

    Raises StageError when Flower does not end well; what came of it is in the store.
    """
    flwr = shutil.which(
        "flwr", path=os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
    )
    if flwr is None:
        raise MissingDependencyError("there is no command flwr; install the package flwr")
    with TemporaryDirectory() as scratch:
        app = Path(scratch) / "app"
        write_app(run, app, folder=folder, store=store)
        ended = subprocess.run(
            [flwr, "run", str(app), superlink, "--stream"],
            env={**os.environ, **_QUIET},
            stdout=sys.stderr,
            check=False,
        )
    if ended.returncode:
        raise StageError(f"'flwr run' has ended with code {ended.returncode}; its words are above")
