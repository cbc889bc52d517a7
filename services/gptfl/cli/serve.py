"""`gptfl serve`: the model of a run behind an address."""

from gptfl.cli.quiet import quieten
from gptfl.cli.runs import find_run
from gptfl.errors import StoreError
from gptfl.spec.load import parse_run
from gptfl.store import Artifact, RunFolder, RunStatus, Store, open_store


def serve_run(name: str, store_uri: str | None, *, port: int, host: str) -> None:
    """Answers until it is stopped; every file of the model is checked first."""
    quieten()
    store = open_store(store_uri, must_exist=True)
    folder, status = find_run(store, name)
    model = exported_model(store, status).folder()
    from gptfl.serving.server import serve

    serve(model, name=served_name(folder), port=port, host=host)


def exported_model(store: Store, status: RunStatus) -> Artifact:
    """The artifact of the run's `serving` step. Raises StoreError when it is not there."""
    artifact = store.artifact_of(status.step("serving"))
    if artifact is None:
        raise StoreError(
            f"run {status.name!r} has no model yet ({status.phase.value}); finish it with gptfl run"
        )
    return artifact


def served_name(folder: RunFolder) -> str:
    """What the model is called in URLs: as the spec says, or like the run."""
    spec = folder.read_spec()
    name = parse_run(spec).spec.serving.name if spec else None
    return name or folder.name
