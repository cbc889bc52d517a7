"""What a queue costs: two worker processes against two threads and against a bare batched loop.

    python benchmarks/generation_queue.py

The three take turns, and each ratio is of two numbers of the same turn; medians are printed. Needs
`redis-server`. The workers are warm: they have loaded the built-in generator before. The last line
is what a shard costs that is drawn already, by one worker: Redis, Celery and the look at the store.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from generation import LABELS, by_a_bare_loop, catalogue

from gptfl.generation.items import Shard
from gptfl.generation.pipeline import find_source, load_pipeline
from gptfl.generation.queue.broker import Broker, BrokerAwayError
from gptfl.generation.queue.coordinator import Coordinator
from gptfl.generation.queue.messages import task_id, task_of
from gptfl.generation.rawshards import Hands, ShardFiles
from gptfl.generation.workers import open_studio
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.sections import GenerationSection
from gptfl.store import Workspace, open_store
from gptfl.store.folder import FolderBlobs

QUEUE = "benchmark"
PORT = 17_379


class Bench:
    """A store, and one set of shards that is drawn into a new place in it each time."""

    def __init__(self, folder: Path, spec: GenerationSpec) -> None:
        self.folder, self._places = folder, 0
        self.section = GenerationSection(
            seed=0,
            compute_threads=1,
            modality="ImageClassification",
            labels=LABELS,
            generation=spec,
        )
        items = catalogue(spec, even=True)
        self.prompts = PromptSet(
            prompts=[
                LabelPrompts(label=one.label, prompts=list(one.prompts))
                for one in items.prompts.prompts
            ]
        )
        wanted = {label: range(spec.samples_per_label) for label in range(len(LABELS))}
        self.shards = items.shards(0, wanted, spec.shard_size)
        self.blobs = FolderBlobs(folder / "store")

    def files(self) -> ShardFiles:
        """An empty place."""
        self._places += 1
        key = f"{self._places:064x}"
        workspace = Workspace(self.blobs, "generation", key, seed=0, folder=self.folder)
        return ShardFiles(workspace, LABELS)

    def coordinator(self, broker: Broker, files: ShardFiles) -> Coordinator:
        """The workers' coordinator for a place."""
        return Coordinator(
            broker, self.section, self.prompts, files.workspace, how_to_help="(they are started)"
        )

    def draw(self, hands: Hands, files: ShardFiles) -> None:
        """All shards."""
        hands.draw(self.shards, files, lambda images: None)


@contextmanager
def workers(folder: Path, number: int) -> Iterator[Broker]:
    """A Redis and so many workers on it."""
    url = f"redis://127.0.0.1:{PORT}/0"
    redis = ["redis-server", "--port", str(PORT), "--save", "", "--dir", str(folder)]
    command = [str(Path(sys.executable).with_name("gptfl")), "worker", "--queue", QUEUE]
    command += ["--broker", url, "--store", str(folder / "store"), "--concurrency", "1"]
    processes = [subprocess.Popen(redis, stdout=subprocess.DEVNULL)]
    processes += [
        subprocess.Popen([*command, "--log-level", "warning"], cwd=folder) for _ in range(number)
    ]
    try:
        yield _reachable(Broker(url, QUEUE))
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _reachable(broker: Broker) -> Broker:
    for _ in range(100):
        try:
            broker.size()
        except BrokerAwayError:
            time.sleep(0.1)
        else:
            return broker
    raise SystemExit("redis-server does not answer")


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cost_of_a_task(bench: Bench, broker: Broker, tasks: int) -> float:
    """Seconds a task whose shard is there already, with two workers at work."""
    files = bench.files()
    hands = bench.coordinator(broker, files)
    bench.draw(hands, files)
    key = files.workspace.key
    drawn: list[Shard] = [bench.shards[index % len(bench.shards)] for index in range(tasks)]
    for shard in drawn:
        broker.put(task_of(shard, key), task_id(key, shard))

    def empty() -> None:
        while broker.size():
            time.sleep(0.001)

    return 2 * seconds(empty) / tasks


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=512, help="drawn by each way, each time")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    spec = GenerationSpec.model_validate(
        {
            "samplesPerLabel": given.images // len(LABELS),
            "steps": given.steps,
            "batchSize": given.batch,
            "shardSize": given.batch,
            "workers": 2,
        }
    )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_store(str(folder / "store"))
        bench = Bench(folder, spec)
        studio = open_studio(spec, folder, 1)
        source = find_source(spec.generator, folder)
        bare = load_pipeline(spec.generator, source, torch.device("cpu"))
        with workers(folder, 2) as broker:

            def by_workers() -> None:
                files = bench.files()
                bench.draw(bench.coordinator(broker, files), files)

            by_workers()  # warms up
            turns = []
            for turn in range(given.repeats):
                turns.append(
                    {
                        "two workers on a queue": seconds(by_workers),
                        "two threads": seconds(lambda: bench.draw(studio, bench.files())),
                        "a bare loop of batches": seconds(lambda: by_a_bare_loop(bare, spec)),
                    }
                )
                print(f"turn {turn + 1} of {given.repeats}", file=sys.stderr)
            task = cost_of_a_task(bench, broker, 200)
    report(turns, given)
    print(f"a task whose shard is there: {1000 * task:.1f} ms of a worker")


def report(turns: list[dict[str, float]], given: argparse.Namespace) -> None:
    """Milliseconds an image, and each way's part of the time of two threads."""
    print(
        f"{given.steps} steps, batches and shards of {given.batch}; medians of {len(turns)} turns"
    )
    print(f"{'':28}{'ms/image':>10}{'ratio to two threads':>24}")
    for name in turns[0]:
        wall = statistics.median(1000 * turn[name] / given.images for turn in turns)
        ratio = statistics.median(turn[name] / turn["two threads"] for turn in turns)
        print(f"{name:28}{wall:10.2f}{ratio:24.2f}")


if __name__ == "__main__":
    main()
