"""What the store in a bucket costs: its transfers against the bare `minio` client's, in one run.

Starts an S3 server of its own (SeaweedFS, or MinIO where it is built), moves one large file and
many small ones both ways, in turn, and prints medians and the ratio of the rates. The store hashes
each file that it fetches, which `fget_object` does not; so its rate is also set beside that of
`fget_object` and a hash after it. Server and client share this machine's cores.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "services"))

from s3_buckets import BUCKET, client_of, new_place
from servers import Minio, S3Server, SeaweedFS

from gptfl.store.digests import hash_file
from gptfl.store.s3 import S3Blobs, s3_settings

MB = 1 << 20
T = TypeVar("T")
SIDE_BY_SIDE = 4
"""Small files at once, with both: a stage that writes many does so in threads or not at all."""


class Transfers:
    """The same files, both ways, by both."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        os.environ.update(server.environment)
        os.environ["GPTFL_CACHE"] = str(folder / "cache")
        self.folder = folder
        self.blobs = S3Blobs(s3_settings(new_place(server)))
        self.bare = client_of(server)

    def files(self, name: str, size: int, count: int) -> list[Path]:
        """Files of random bytes."""
        paths = [self.folder / f"{name}-{number}" for number in range(count)]
        for path in paths:
            path.write_bytes(os.urandom(size))
        return paths

    def store_up(self, paths: list[Path]) -> float:
        """Seconds; what adopting takes beside the transfer, a digest, is known by then."""
        staged = [path.with_suffix(".staged") for path in paths]
        digests = [hash_file(path) for path in paths]
        for path, copy in zip(paths, staged, strict=True):
            shutil.copyfile(path, copy)
        return timed(
            lambda job: self.blobs.adopt(f"a/{job[0].name}", job[1], job[2]),
            list(zip(paths, staged, digests, strict=True)),
        )

    def bare_up(self, paths: list[Path]) -> float:
        """Seconds."""
        return timed(lambda path: self.bare.fput_object(BUCKET, f"b/{path.name}", str(path)), paths)

    def store_down(self, paths: list[Path]) -> float:
        """Seconds, with nothing in the cache."""
        jobs = [(f"a/{path.name}", hash_file(path)) for path in paths]
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        return timed(lambda job: self.blobs.local(*job), jobs)

    def hashed_down(self, paths: list[Path]) -> float:
        """Seconds of the bare client when it does what the store has to."""
        target = self.folder / "bare"
        fetched = self.bare_down(paths)
        return fetched + timed(lambda path: hash_file(target / path.name), paths)

    def bare_down(self, paths: list[Path]) -> float:
        """Seconds."""
        target = self.folder / "bare"
        shutil.rmtree(target, ignore_errors=True)
        return timed(
            lambda path: self.bare.fget_object(BUCKET, f"b/{path.name}", str(target / path.name)),
            paths,
        )


def timed(act: Callable[[T], object], jobs: list[T]) -> float:
    """Seconds for all jobs, a few at once where there are many."""
    began = time.perf_counter()
    with ThreadPoolExecutor(SIDE_BY_SIDE if len(jobs) > 1 else 1) as pool:
        list(pool.map(act, jobs))
    return time.perf_counter() - began


def main() -> None:
    """Times all four transfers of each kind of file, in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=["seaweedfs", "minio"], default="seaweedfs")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    kind = {"seaweedfs": SeaweedFS, "minio": Minio}[chosen.server]
    with tempfile.TemporaryDirectory() as name, kind(Path(name) / "server") as server:
        work = Transfers(server, Path(name))
        print(f"{chosen.server}, medians of {chosen.repeats}, MB a second")
        print(f"{'':24} {'store':>8} {'minio':>8} {'ratio':>6} {'minio+hash':>11} {'ratio':>6}")
        for title, size, count in (("256 MB file", 256 * MB, 1), ("200 of 100 kB", 100_000, 200)):
            paths = work.files(title.replace(" ", "-"), size, count)
            times: dict[str, list[float]] = {}
            for _ in range(chosen.repeats):
                for transfer in ("store_up", "bare_up", "store_down", "bare_down", "hashed_down"):
                    times.setdefault(transfer, []).append(getattr(work, transfer)(paths))
            rates = {
                transfer: size * count / MB / statistics.median(seconds)
                for transfer, seconds in times.items()
            }
            for way in ("up", "down"):
                store, bare = rates[f"store_{way}"], rates[f"bare_{way}"]
                hashed = rates.get(f"hashed_{way}")
                label = f"{title}, {way}"
                beside = f" {hashed:11.0f} {store / hashed:6.2f}" if hashed else ""
                print(f"{label:24} {store:8.0f} {bare:8.0f} {store / bare:6.2f}{beside}")


if __name__ == "__main__":
    main()
