"""Finds a run in the store by the name that its file gives it."""

from gptfl.errors import StoreError
from gptfl.store import RunFolder, RunStatus, Store


def find_run(store: Store, name: str) -> tuple[RunFolder, RunStatus]:
    """The run `NAME` or `NAMESPACE/NAME` that was started last. Raises StoreError for no such."""
    namespace, _, short = name.rpartition("/")
    found = [
        (folder, status)
        for folder in store.run_folders(namespace or None, short)
        if (status := folder.read_status()) is not None
    ]
    if not found:
        known = sorted({folder.name for folder in store.run_folders()})
        hint = f"there are {', '.join(known[:8])}" if known else "nothing was run here yet"
        raise StoreError(f"{store.uri}: has no run {name!r}; {hint}")
    return max(found, key=lambda pair: pair[1].started)


def latest_runs(store: Store) -> list[tuple[RunFolder, RunStatus]]:
    """The last run of each name, the newest first."""
    latest: dict[tuple[str, str], tuple[RunFolder, RunStatus]] = {}
    for folder in store.run_folders():
        status = folder.read_status()
        name = (folder.namespace, folder.name)
        if status and (name not in latest or latest[name][1].started < status.started):
            latest[name] = (folder, status)
    return sorted(latest.values(), key=lambda pair: pair[1].started, reverse=True)
