"""An artifact is whole or absent, checked whenever it is read, and made once."""

import json
import multiprocessing
import os
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gptfl.errors import DamagedArtifactError, SpecError, StoreError
from gptfl.store import Artifact, Store, Workspace, open_store, stage_key

KEY = stage_key("prompts", 1, {"n": 1}, {}, {})
WHEN = datetime(2026, 11, 24, 6, 20, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def workspace_of(store: Store, key: str = KEY) -> Workspace:
    return Workspace(store.blobs, "prompts", key, seed=0, folder=Path())


def make(store: Store, text: str = "a cat", key: str = KEY) -> Artifact:
    workspace = workspace_of(store, key)
    workspace.write("prompts.json", text.encode())
    workspace.write("more/extra.txt", b"x")
    return commit(store, workspace, key)


def commit(store: Store, workspace: Workspace, key: str = KEY) -> Artifact:
    return store.commit(
        workspace,
        stage="prompts",
        version=1,
        key=key,
        section={"n": 1},
        inputs={},
        metrics={"count": 1.0},
        seconds=0.5,
        software={"gptfl": "0.1.0"},
        now=WHEN,
    )


def folder_of(store: Store, key: str = KEY) -> Path:
    return Path(store.uri.removeprefix("file://")) / "artifacts" / "prompts" / key


def test_an_artifact_is_found_with_all_that_was_written(store: Store) -> None:
    made = make(store)
    found = store.find("prompts", KEY)

    assert found is not None
    assert found.digest == made.digest
    assert found.names() == ("more/extra.txt", "prompts.json")
    assert found.read("prompts.json") == b"a cat"
    assert found.folder() == folder_of(store)
    assert found.record.cost.bytes_written == 6
    assert found.record.created == WHEN


def test_the_digest_is_of_the_content_alone(store: Store) -> None:
    other = stage_key("prompts", 1, {"n": 2}, {}, {})

    assert make(store).digest == make(store, key=other).digest
    assert make(store, "a dog", "0" * 64).digest != make(store).digest


def test_until_the_record_is_there_nothing_is(store: Store) -> None:
    workspace = workspace_of(store)
    workspace.write("prompts.json", b"a cat")
    workspace.save_checkpoint("half", b"1")

    assert store.find("prompts", KEY) is None
    assert list(store.artifacts()) == []
    assert list(store.all_keys()) == [("prompts", KEY)]


def test_checkpoints_live_until_the_commit(store: Store) -> None:
    workspace_of(store).save_checkpoint("round/3", b"weights")
    later = workspace_of(store)

    assert later.checkpoints() == ("round/3",)
    assert later.load_checkpoint("round/3") == b"weights"
    assert later.load_checkpoint("round/4") is None
    commit(store, later)
    assert later.checkpoints() == ()
    assert not (folder_of(store) / "partial").exists()


def test_what_a_killed_attempt_left_is_not_the_artifacts(store: Store) -> None:
    workspace_of(store).write("samples-00007.parquet", b"of the first attempt")
    again = workspace_of(store)
    again.write("samples-00000.parquet", b"of the second")
    artifact = commit(store, again)

    assert artifact.names() == ("samples-00000.parquet",)
    assert sorted(path.name for path in folder_of(store).iterdir()) == [
        "record.json",
        "samples-00000.parquet",
    ]


def test_a_file_whose_writing_failed_is_not_there(store: Store) -> None:
    workspace = workspace_of(store)

    def fail() -> None:
        with workspace.create("model.safetensors") as path:
            path.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert workspace.files == {}
    assert not (folder_of(store) / "model.safetensors").exists()
    assert list((folder_of(store).parents[2] / "tmp").glob("*")) == []


@pytest.mark.parametrize("damage", [b"a cot", b"", b"a cat and more"])
def test_a_damaged_file_is_never_read(store: Store, damage: bytes) -> None:
    make(store)
    (folder_of(store) / "prompts.json").write_bytes(damage)
    found = store.find("prompts", KEY)

    assert found is not None
    with pytest.raises(DamagedArtifactError, match=rf"gptfl artifacts remove {KEY[:12]}"):
        found.read("prompts.json")
    with pytest.raises(DamagedArtifactError, match="is damaged"):
        found.folder()


def test_a_missing_file_is_named(store: Store) -> None:
    make(store)
    (folder_of(store) / "prompts.json").unlink()
    found = store.find("prompts", KEY)

    assert found is not None
    with pytest.raises(DamagedArtifactError, match=r"prompts\.json: is missing"):
        found.path("prompts.json")
    with pytest.raises(DamagedArtifactError, match=r"has no file other\.json"):
        found.path("other.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stage": "prompts"}', "\x00\x01"])
def test_a_damaged_record_is_one_line_with_the_way_out(store: Store, text: str) -> None:
    make(store)
    (folder_of(store) / "record.json").write_text(text)

    with pytest.raises(DamagedArtifactError) as raised:
        store.find("prompts", KEY)

    assert f"gptfl artifacts remove {KEY[:12]}" in str(raised.value)
    assert "\n" not in str(raised.value)
    store.remove("prompts", KEY)
    assert store.find("prompts", KEY) is None


def test_who_comes_second_finds_the_first_ones_artifact(store: Store) -> None:
    first = make(store, "a cat")
    second = make(store, "a cat")

    assert second.record.created == first.record.created
    assert second.digest == first.digest


def race(root: str, barrier: "multiprocessing.synchronize.Barrier", made: str) -> None:
    store = open_store(root)
    barrier.wait(timeout=30)
    with store.claim("prompts", KEY):
        if store.find("prompts", KEY) is None:
            with Path(made).open("a") as log:
                log.write("made\n")
            make(store)
    found = store.find("prompts", KEY)
    assert found is not None
    found.folder()


def test_processes_that_race_for_a_key_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, log = context.Barrier(2), tmp_path / "made"
    racers = [
        context.Process(target=race, args=(str(tmp_path / "store"), barrier, str(log)))
        for _ in range(2)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(timeout=60)

    assert [racer.exitcode for racer in racers] == [0, 0]
    assert log.read_text() == "made\n"


def hold(root: str, started: "multiprocessing.synchronize.Event") -> None:
    store = open_store(root)
    with store.claim("prompts", KEY), store.blobs.scratch() as scratch:
        (scratch / "half").write_bytes(b"x" * 1000)
        with store.run_folder("default", "pets", "1").hold():
            started.set()
            signal.pause()


def test_a_killed_process_holds_nothing_and_its_scratch_can_be_swept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=hold, args=(str(tmp_path / "store"), started))
    process.start()
    assert started.wait(timeout=30)
    run = store.run_folder("default", "pets", "1")

    assert run.is_held()
    with pytest.raises(StoreError, match="is being made; stop that run first"):
        store.remove("prompts", KEY)
    store.blobs.sweep()
    assert len(list((tmp_path / "store" / "tmp").iterdir())) == 1

    process.kill()
    process.join()
    assert not run.is_held()
    store.remove("prompts", KEY)
    store.blobs.sweep()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/passwd", "a/.."])
def test_a_name_cannot_leave_the_store(store: Store, name: str) -> None:
    for act in (store.blobs.read, store.blobs.remove, lambda name: store.blobs.write(name, b"")):
        with pytest.raises(StoreError, match="leaves the store"):
            act(name)


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for uri in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="a file stands where the store's folder should be"):
            open_store(str(uri))


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(StoreError, match=r"^/proc/gptfl: .*; choose another store with --store"):
        open_store("/proc/gptfl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="choose a writable store with --store"):
        open_store(str(tmp_path))
    tmp_path.chmod(0o700)


def test_a_full_disk_is_one_line(store: Store) -> None:
    workspace = workspace_of(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match="choose another store with --store"):
            workspace.write("model.safetensors", b"x" * 2000)
        with pytest.raises(StoreError, match="choose another store with --store"):
            store.blobs.write("status.json", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert store.blobs.read("status.json") is None


def test_a_store_that_is_only_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        open_store(str(tmp_path / "none"), must_exist=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("here", "here"),
        ("file:here", "here"),
        ("file://here/below", "here/below"),
        ("file:///{root}/over%20there", "over there"),
    ],
)
def test_a_store_is_a_path_or_a_file_uri(tmp_path: Path, uri: str, path: str) -> None:
    store = open_store(uri.replace("/{root}", str(tmp_path)), folder=tmp_path)

    assert store.uri == (tmp_path / path).as_uri()


def test_an_unknown_scheme_is_a_wrong_spec() -> None:
    with pytest.raises(SpecError, match=r"^spec.artifacts.uri: 'ftp://x' has the unknown scheme"):
        open_store("ftp://x")


def test_a_written_blob_replaces_and_a_created_one_does_not(store: Store) -> None:
    store.blobs.write("a/b", b"1")
    store.blobs.write("a/b", b"2")

    assert store.blobs.create("a/b", b"3") is False
    assert store.blobs.create("a/c", b"3") is True
    assert store.blobs.read("a/b") == b"2"
    assert list(store.blobs.names("a")) == ["a/b", "a/c"]
    assert list(store.blobs.names("nothing")) == []
    assert list(store.blobs.folders("nothing")) == []
    assert store.blobs.read("a/b/c") is None


def test_a_key_is_of_everything_that_a_result_depends_on() -> None:
    base = ("prompts", 1, {"n": 1}, {"in": "d"}, {"file": "f"})
    changes = [("p", *base[1:]), (base[0], 2, *base[2:]), (*base[:2], {"n": 2}, *base[3:]),
               (*base[:3], {"in": "e"}, base[4]), (*base[:4], {"file": "g"})]  # fmt: skip

    keys = {stage_key(*base), *(stage_key(*change) for change in changes)}
    assert len(keys) == 6
    assert stage_key(*base) == stage_key(*json.loads(json.dumps(base)))


def test_a_status_that_cannot_be_read_is_none(store: Store) -> None:
    run = store.run_folder("default", "pets", "1")
    store.blobs.write("runs/default/pets/1/status.json", b"{")

    assert run.read_status() is None
    assert run.read_spec() is None
    assert run.report() is None
