"""`gptfl report`: where the report of a run is."""

import webbrowser
from pathlib import Path

from gptfl.cli.output import local, say
from gptfl.cli.runs import find_run
from gptfl.errors import StoreError
from gptfl.spec.load import parse_run
from gptfl.store import Phase, RunFolder, RunStatus, Store, open_store


def show_report(name: str, store_uri: str | None, *, open_it: bool) -> None:
    """Prints the report's path; of a run that has not ended well, writes one of what is done."""
    store = open_store(store_uri, must_exist=True)
    folder, status = find_run(store, name)
    kept = folder.report() if status.phase is Phase.SUCCEEDED else None
    path = kept or write_report(store, folder, status)
    say(local(str(path)))
    if open_it:
        webbrowser.open(path.as_uri())


def write_report(store: Store, folder: RunFolder, status: RunStatus) -> Path:
    """A report of the steps that are done so far."""
    from gptfl.report.build import render

    spec = folder.read_spec()
    if spec is None:
        raise StoreError(f"{store.uri}: the file of run {folder.name!r} is gone; run it again")
    found = {step.name: store.artifact_of(step) for step in status.steps}
    artifacts = {name: artifact for name, artifact in found.items() if artifact is not None}
    return folder.write_report(render(parse_run(spec), artifacts, status))
