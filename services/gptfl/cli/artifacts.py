"""`gptfl artifacts`: list, show, lineage, verify, remove, prune."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gptfl.cli.output import columns, console, local, say, table
from gptfl.errors import DamagedArtifactError, SpecError, StoreError
from gptfl.store import Artifact, RunStatus, Store, open_store
from gptfl.store.prune import Candidate, choose, parse_age, reachable
from gptfl.telemetry import words

SHORT = 12
"""Characters of a key that are shown; a few are enough to name one."""


def list_all(store_uri: str | None) -> None:
    """A line for each artifact, the newest first; unfinished and damaged ones too."""
    store = open_store(store_uri, must_exist=True)
    users = _users(store)
    rows = []
    for stage, key in store.all_keys():
        artifact, state = _look(store, stage, key)
        used_by = ", ".join(sorted({run for run, _ in users.get(key, ())})) or "-"
        step = min((step for _, step in users.get(key, ())), default=stage)
        if artifact is None:
            rows.append(("", (step, key[:SHORT], "-", "-", "-", used_by, state)))
            continue
        record = artifact.record
        cells = (
            step,
            key[:SHORT],
            words.size(record.cost.bytes_written),
            words.moment(record.created),
            words.duration(record.cost.seconds),
            used_by,
            state,
        )
        rows.append((record.created.isoformat(), cells))
    if not rows:
        say(f"{local(store.uri)}: no artifacts yet")
        return
    newest_first = sorted(rows, key=lambda row: row[0], reverse=True)
    headers = ("STEP", "KEY", "SIZE", "MADE", "TOOK", "USED BY", "STATE")
    say(table(headers, [cells for _, cells in newest_first]))


def show_one(prefix: str, store_uri: str | None) -> None:
    """All that the record of an artifact says."""
    store = open_store(store_uri, must_exist=True)
    artifact = _finished(store, prefix)
    record = artifact.record
    say(f"{record.stage}  {record.key}")
    facts = [
        ("made", words.moment(record.created)),
        ("took", words.duration(record.cost.seconds)),
        ("size", words.size(record.cost.bytes_written)),
        ("digest", record.digest),
        ("folder", local(artifact.uri)),
        ("software", ", ".join(f"{name} {version}" for name, version in record.software.items())),
    ]
    _part("", facts)
    _part("made from", [(name, entry.key[:SHORT]) for name, entry in record.inputs.items()])
    _part("numbers", [(name, words.number(value)) for name, value in record.metrics.items()])
    files = record.files.items()
    _part("files", [(name, words.size(file.bytes), file.sha256[:SHORT]) for name, file in files])
    say("\nasked for")
    say(json.dumps(record.section, indent=2, ensure_ascii=False))


def _part(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    if title:
        say(f"\n{title}")
    say(columns([(f"  {first}", *rest) for first, *rest in rows]))


def show_lineage(prefix: str, store_uri: str | None) -> None:
    """A tree: the artifact, and under each one what it was made from."""
    from rich.tree import Tree

    store = open_store(store_uri, must_exist=True)

    def grow(tree: Tree, artifact: Artifact) -> None:
        for name, entry in artifact.record.inputs.items():
            made_from = store.find(name.partition("/")[0], entry.key)
            if made_from is None:
                tree.add(f"{name}  {entry.key[:SHORT]}  [yellow]removed[/]")
            else:
                grow(tree.add(_label(name, made_from)), made_from)

    root = _finished(store, prefix)
    tree = Tree(_label(root.stage, root))
    grow(tree, root)
    console().print(tree)


def verify(prefix: str | None, store_uri: str | None) -> None:
    """Reads every file; raises DamagedArtifactError with a line for each that is not whole."""
    store = open_store(store_uri, must_exist=True)
    keys = [_resolve(store, prefix)] if prefix else list(store.all_keys())
    whole, faults = 0, []
    for stage, key in keys:
        try:
            artifact = store.find(stage, key)
            if artifact is not None:
                artifact.folder()
                whole += 1
        except DamagedArtifactError as error:
            faults.append(str(error))
    say(f"{_artifacts(whole)} whole, {len(faults)} damaged")
    if faults:
        raise DamagedArtifactError("\n".join(faults))


def remove_one(prefix: str, store_uri: str | None) -> None:
    """Removes one artifact, whatever state it is in."""
    store = open_store(store_uri, must_exist=True)
    stage, key = _resolve(store, prefix)
    store.remove(stage, key)
    say(f"removed {stage} {key[:SHORT]}")


def prune(
    store_uri: str | None, *, older_than: str | None, unreachable: bool, dry_run: bool
) -> None:
    """Removes what meets the conditions, and what killed processes left behind."""
    if older_than is None and not unreachable:
        raise SpecError.of(
            "gptfl artifacts prune", "says not what; add --unreachable or --older-than 30d"
        )
    age = parse_age(older_than) if older_than else None
    store = open_store(store_uri, must_exist=True)
    candidates = list(_candidates(store))
    kept = reachable(_statuses(store), candidates)
    going = choose(candidates, kept, older_than=age, unreachable=unreachable, now=datetime.now(UTC))
    for candidate in going:
        if not dry_run:
            store.remove(candidate.stage, candidate.key)
        verb = "would remove" if dry_run else "removed"
        say(f"{verb} {candidate.stage} {candidate.key[:SHORT]}  {words.size(candidate.size)}")
    if not dry_run:
        store.blobs.sweep()
    freed = words.size(sum(candidate.size for candidate in going))
    say(f"{_artifacts(len(going))}, {freed}; {len(candidates) - len(going)} stay")


def _artifacts(count: int) -> str:
    return "1 artifact" if count == 1 else f"{count} artifacts"


def _label(name: str, artifact: Artifact) -> str:
    record = artifact.record
    accuracy = record.metrics.get("accuracy")
    said = "" if accuracy is None else f"  accuracy {accuracy:.3f}"
    return f"{name}  {record.key[:SHORT]}  [dim]{words.moment(record.created)}{said}[/]"


def _look(store: Store, stage: str, key: str) -> tuple[Artifact | None, str]:
    try:
        artifact = store.find(stage, key)
    except DamagedArtifactError:
        return None, "damaged"
    return artifact, "whole" if artifact else "unfinished"


def _resolve(store: Store, prefix: str) -> tuple[str, str]:
    """Stage and key of the one artifact whose key begins so. Raises StoreError for none or more."""
    stage, _, start = prefix.rpartition("/")
    found = [
        (one, key)
        for one, key in store.all_keys()
        if key.startswith(start) and (not stage or one == stage)
    ]
    if len(found) == 1 and start:
        return found[0]
    if not found:
        raise StoreError(f"no key begins with {prefix!r}; 'gptfl artifacts list' names them")
    some = ", ".join(f"{one}/{key[:SHORT]}" for one, key in found[:4])
    raise StoreError(f"{len(found)} keys begin with {prefix!r} ({some}); give more of it")


def _finished(store: Store, prefix: str) -> Artifact:
    stage, key = _resolve(store, prefix)
    artifact = store.find(stage, key)
    if artifact is None:
        raise StoreError(f"{stage} {key[:SHORT]} was not finished; run again, or remove it")
    return artifact


def _statuses(store: Store) -> Iterator[RunStatus]:
    for folder in store.run_folders():
        status = folder.read_status()
        if status is not None:
            yield status


def _users(store: Store) -> dict[str, set[tuple[str, str]]]:
    """By key, the runs that use it, each with the step that it is there."""
    users: dict[str, set[tuple[str, str]]] = {}
    for status in _statuses(store):
        for step in status.steps:
            if step.key:
                users.setdefault(step.key, set()).add((status.name, step.name))
    return users


def _candidates(store: Store) -> Iterator[Candidate]:
    for stage, key in store.all_keys():
        artifact, _ = _look(store, stage, key)
        if artifact is None:
            yield Candidate(stage, key, created=None)
        else:
            record = artifact.record
            yield Candidate(
                stage,
                key,
                record.created,
                tuple(entry.key for entry in record.inputs.values()),
                record.cost.bytes_written,
            )
