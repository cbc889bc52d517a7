"""What every kind of `Blobs` promises. A class of tests that each kind's own tests inherit."""

import hashlib
import multiprocessing
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptfl.errors import StoreError
from gptfl.store import open_store
from gptfl.store.blobs import Blobs

ODD_BUT_FINE = ["a b", "ünï", "100%", "a+b&c=d", 'it\'s "so"', "<x>", "a,b;c", "~", ".hidden", "名"]
REFUSED = {
    "../out": "leaves the store",
    "a/../../out": "leaves the store",
    "a/..": "leaves the store",
    "/etc/passwd": "leaves the store",
    "": "empty part",
    "a//b": "empty part",
    "a/": "empty part",
    "a/./b": "empty part or '.'",
    "a\\b": "backslash",
    "a\nb": "control character",
    "a\x00b": "control character",
    "a\x7fb": "control character",
    "a\ud800b": "control character",
    "x" * 300: "too long",
    "/".join(["x" * 200] * 5): "too long",
}


def put(blobs: Blobs, name: str, data: bytes) -> str:
    """Adopts a file with these bytes; its digest."""
    digest = hashlib.sha256(data).hexdigest()
    with blobs.scratch() as scratch:
        path = scratch / "file"
        path.write_bytes(data)
        blobs.adopt(name, path, digest)
        assert not path.exists()
    return digest


class BlobsContract:
    """Needs a fixture `uri`: an empty store that other processes can open too."""

    @pytest.fixture
    def blobs(self, uri: str) -> Blobs:
        return open_store(uri).blobs

    def test_a_written_blob_replaces_and_a_created_one_does_not(self, blobs: Blobs) -> None:
        blobs.write("a/b", b"1")
        blobs.write("a/b", b"2")

        assert blobs.create("a/b", b"3") is False
        assert blobs.create("a/b", b"2") is False
        assert blobs.create("a/c", b"") is True
        assert blobs.read("a/b") == b"2"
        assert blobs.read("a/c") == b""

    def test_what_is_not_there_is_nothing(self, blobs: Blobs) -> None:
        blobs.write("a/b", b"1")

        assert blobs.read("a") is None
        assert blobs.read("a/b/c") is None
        assert blobs.local("a/none") is None
        assert blobs.local("a/none", "0" * 64) is None
        assert list(blobs.names("none")) == list(blobs.folders("none")) == []
        blobs.remove("none")

    def test_names_and_folders_are_of_one_folder_and_sorted(self, blobs: Blobs) -> None:
        for name in ("a/b/2", "a/b-1", "a/b/1/x", "a/b.c/1", "ab/1"):
            blobs.write(name, b"x")

        assert list(blobs.names("a")) == ["a/b-1", "a/b.c/1", "a/b/1/x", "a/b/2"]
        assert list(blobs.names("a/b")) == ["a/b/1/x", "a/b/2"]
        assert list(blobs.folders("a")) == ["b", "b.c"]

    def test_what_is_removed_is_gone_and_nothing_else(self, blobs: Blobs) -> None:
        for name in ("a/k/1", "a/k/deep/er/2", "a/k2/1", "a/k.txt"):
            blobs.write(name, b"x")
        blobs.remove("a/k")
        blobs.remove("a/k.txt")

        assert list(blobs.names("a")) == ["a/k2/1"]
        assert list(blobs.folders("a")) == ["k2"]

    @pytest.mark.parametrize("part", ODD_BUT_FINE)
    def test_odd_names_come_back_as_they_went(self, blobs: Blobs, part: str) -> None:
        name = f"odd/{part}/{part}"
        blobs.write(name, part.encode())

        assert blobs.read(name) == part.encode()
        assert list(blobs.names("odd")) == [name]
        assert list(blobs.folders("odd")) == [part]
        blobs.remove(f"odd/{part}")
        assert list(blobs.names("odd")) == []

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_name_that_could_lead_astray_is_refused(self, blobs: Blobs, name: str) -> None:
        with blobs.scratch() as scratch:
            path = scratch / "file"
            path.write_bytes(b"x")
            for act in (
                blobs.read,
                blobs.remove,
                blobs.local,
                lambda name: blobs.write(name, b"x"),
                lambda name: blobs.create(name, b"x"),
                lambda name: blobs.adopt(name, path, "0" * 64),
                lambda name: list(blobs.names(name)),
                lambda name: list(blobs.folders(name)),
                blobs.is_locked,
                lambda name: blobs.lock(name).__enter__(),
            ):
                with pytest.raises(StoreError, match=REFUSED[name]):
                    act(name)

    def test_an_adopted_file_is_local_with_its_digest(self, blobs: Blobs) -> None:
        digest = put(blobs, "a/model.safetensors", b"weights")
        plain, known = (
            blobs.local("a/model.safetensors"),
            blobs.local("a/model.safetensors", digest),
        )

        assert plain is not None
        assert known is not None
        assert plain.sha256 == known.sha256 == digest
        assert plain.path.read_bytes() == known.path.read_bytes() == b"weights"
        assert known.path.suffix == ".safetensors"

    def test_a_file_that_is_not_what_was_expected_says_so(self, blobs: Blobs) -> None:
        digest = put(blobs, "a/x.json", b"what is there")
        found = blobs.local("a/x.json", hashlib.sha256(b"what should be").hexdigest())

        assert found is not None
        assert found.sha256 == digest

    def test_files_are_gathered_under_their_names(self, blobs: Blobs) -> None:
        for name in ("config.json", "deep/model.safetensors", "same.json"):
            put(blobs, f"a/{name}", b"same" if "same" in name else name.encode())
        put(blobs, "a/other.json", b"same")
        files = {
            name: file
            for name in ("config.json", "deep/model.safetensors", "same.json", "other.json")
            if (file := blobs.local(f"a/{name}"))
        }
        folder = blobs.gather("a", files)

        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
            *files
        }
        assert (folder / "deep/model.safetensors").read_bytes() == b"deep/model.safetensors"
        assert (folder / "other.json").read_bytes() == b"same"

    def test_of_many_who_create_at_once_one_does(self, blobs: Blobs) -> None:
        barrier = threading.Barrier(8)

        def create(number: int) -> bool:
            barrier.wait()
            return blobs.create("race", b"%d" % number)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))

        assert won.count(True) == 1
        assert blobs.read("race") == b"%d" % won.index(True)

    def test_a_lock_is_held_by_one_and_freed_at_the_end(self, blobs: Blobs, uri: str) -> None:
        other = open_store(uri).blobs
        assert not blobs.is_locked("a/b")
        with blobs.lock("a/b"):
            assert other.is_locked("a/b")
            with other.try_lock("a/b") as taken:
                assert not taken
            with other.try_lock("a/c") as taken:
                assert taken
        assert not other.is_locked("a/b")
        with pytest.raises(ZeroDivisionError), blobs.try_lock("a/b") as taken:
            assert 1 / 0, taken
        with other.lock("a/b"):
            pass

    def test_who_waits_for_a_lock_gets_it(self, blobs: Blobs, uri: str) -> None:
        inside = []

        def work(number: int) -> None:
            with open_store(uri).blobs.lock("turns"):
                inside.append(number)
                time.sleep(0.05)
                assert inside[-1] == number

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))

        assert sorted(inside) == [0, 1, 2, 3]

    def test_a_killed_process_holds_nothing_and_its_scratch_is_swept(
        self, blobs: Blobs, uri: str
    ) -> None:
        context = multiprocessing.get_context("spawn")
        told, tell = context.Pipe(duplex=False)
        process = context.Process(target=_hold, args=(uri, tell))
        process.start()
        assert told.poll(60)
        scratch = Path(told.recv())
        blobs.sweep()

        assert scratch.is_dir()
        assert blobs.is_locked("held")
        process.kill()
        process.join()
        assert not blobs.is_locked("held")
        with blobs.try_lock("held") as taken:
            assert taken
        blobs.sweep()
        assert not scratch.exists()


def _hold(uri: str, tell: "multiprocessing.connection.Connection") -> None:
    blobs = open_store(uri).blobs
    with blobs.lock("held"), blobs.scratch() as scratch:
        (scratch / "half").write_bytes(b"x")
        tell.send(str(scratch))
        signal.pause()
