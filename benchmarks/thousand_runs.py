"""A thousand runs applied at once to a real API server, and the operator that looks after them.

Prints the seconds from each run to its first Job, what the operator takes of processor and memory,
its writes a run, what it asks of the API server when nothing happens, and what a restart writes.
API server, etcd, controllers and operator share the machine. `--decision toy` measures the shell
alone: a ConfigMap, a Job and a status a run.
"""

import argparse
import base64
import json
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("cluster", "services", "shared")]

from cluster_lab import RUNS, Cluster, OperatorProcess, run_file, start  # noqa: E402
from s3_buckets import new_place  # noqa: E402
from servers import ACCESS_KEY, SECRET_KEY, Minio  # noqa: E402

from gptfl_operator.api import ApiError, connect  # noqa: E402

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
SENDERS = 8
IDLE_SECONDS = 30
PATIENCE = 600
RunsOf = Callable[[Any], list[str]]
WATCHED = (
    "gptflruns",
    "jobs",
    "pods",
    "statefulsets",
    "services",
    "configmaps",
    "secrets",
    "events",
)


class Seen:
    """When something was first seen of each run, by a watch of its own: lists of a thousand runs
    would keep the API server from what is measured."""

    def __init__(self, cluster: Cluster, path: str, runs_of: RunsOf) -> None:
        """`runs_of` gives the names of the runs of which an object says so."""
        self._api = connect(cluster.server.kubeconfig, {})
        self._path, self._runs_of = path, runs_of
        self.at: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                for line in self._api.stream(self._path, {"watch": "1"}, PATIENCE):
                    for name in self._runs_of(json.loads(line)["object"]):
                        self.at.setdefault(name, time.monotonic())
            except ApiError:
                time.sleep(0.1)


def owners(job: Any) -> list[str]:
    """The run that a Job is for."""
    return [owner["name"] for owner in job["metadata"].get("ownerReferences", ())]


def with_phase(run: Any) -> list[str]:
    """The run, if something was said of it."""
    return [run["metadata"]["name"]] if "phase" in run.get("status", {}) else []


def main() -> None:
    """Applies, waits, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--decision", choices=("real", "toy"), default="real")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as until_the_end:
        cluster = until_the_end.enter_context(contextmanager(start)(Path(folder)))
        namespace = cluster.namespace("bench")
        arguments = ["--namespace", namespace, "--lease", f"{namespace}/operator"]
        if given.decision == "real":
            minio = until_the_end.enter_context(Minio(Path(folder) / "minio"))
            settings = with_store(cluster, namespace, minio, Path(folder))
            arguments += ["--settings", str(settings)]
        operator = cluster.operator(f"{given.decision}-decision", *arguments)
        if given.decision == "real":
            operator.command[1:2] = ["-m", "gptfl_operator"]
        jobs = Seen(cluster, JOBS.format(namespace), owners)
        told = Seen(cluster, RUNS.format(namespace), with_phase)
        with operator:
            begun = burst(cluster, namespace, given.runs)
            report(operator, begun, jobs, told)
            idle(cluster, operator)
        with operator:
            restart(operator, given.runs)


def with_store(cluster: Cluster, namespace: str, minio: Minio, folder: Path) -> Path:
    """The operator's settings, with a store for all runs and its keys in their namespace."""
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    secret = {"metadata": {"name": "store-keys"}, "data": data}
    cluster.server.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    settings = folder / "settings.yaml"
    said = {
        "image": "example/gptfl:1",
        "store": new_place(minio),
        "storeEndpoint": minio.endpoint,
        "storeSecret": "store-keys",
    }
    settings.write_text(yaml.safe_dump(said))
    return settings


def burst(cluster: Cluster, namespace: str, runs: int) -> dict[str, float]:
    """Applies all runs at once; returns when each had been taken."""
    begun: dict[str, float] = {}

    def send(name: str) -> None:
        cluster.server.request("POST", RUNS.format(namespace), run_file(name))
        begun[name] = time.monotonic()

    started = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, [f"run-{number:04}" for number in range(runs)]))
    print(f"{runs} runs applied in {time.monotonic() - started:.1f} s by {SENDERS} senders")
    return begun


def report(operator: OperatorProcess, begun: dict[str, float], jobs: Seen, told: Seen) -> None:
    """Waits until each run has its Job and its status, and prints how long that took."""
    runs = len(begun)
    for seen, what in ((jobs, "first Job"), (told, "first status")):
        wait(lambda seen=seen: len(seen.at) >= runs, f"the {what} of each run")  # type: ignore[misc]
        waits = sorted(max(seen.at[name] - at, 0.0) for name, at in begun.items())
        p50, p99 = statistics.median(waits), waits[int(0.99 * (runs - 1))]
        print(f"seconds from a run to its {what}: p50 {p50:.1f}, p99 {p99:.1f}")
    print(f"writes a run: {value(operator, 'gptfl_operator_api_writes_total') / runs:.2f}")
    print(usage(operator))


def idle(cluster: Cluster, operator: OperatorProcess) -> None:
    """What is asked while nothing happens; the controllers are halted, so nobody else asks."""
    time.sleep(5)
    cluster.controllers.signal(signal.SIGSTOP)
    try:
        before, cpu = requests(cluster), value(operator, "process_cpu_seconds_total")
        time.sleep(IDLE_SECONDS)
        after, more = requests(cluster), value(operator, "process_cpu_seconds_total")
    finally:
        cluster.controllers.signal(signal.SIGCONT)
    asked = {name: after[name] - before[name] for name in before}
    print(
        f"idle for {IDLE_SECONDS} s: {asked['others']:.0f} requests, "
        f"{asked['leases']:.0f} to renew the lease, {more - cpu:.2f} CPU seconds"
    )


def restart(operator: OperatorProcess, runs: int) -> None:
    """A new process over all runs."""
    began = time.monotonic()
    wait(
        lambda: value(operator, "gptfl_operator_reconciles_total") >= runs,
        "a look at each run",
    )
    writes = value(operator, "gptfl_operator_api_writes_total")
    print(f"restart: {time.monotonic() - began:.1f} s to see all, {writes:.0f} writes")
    print(usage(operator))


def usage(operator: OperatorProcess) -> str:
    """What the process has taken so far."""
    cpu = value(operator, "process_cpu_seconds_total")
    memory = value(operator, "process_resident_memory_bytes") / 1e6
    return f"operator: {cpu:.1f} CPU seconds since its start, {memory:.0f} MB"


def value(operator: OperatorProcess, name: str) -> float:
    """The sum of all series of a metric."""
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return sum(number for _, number in series(answer.read().decode(), name))


def requests(cluster: Cluster) -> dict[str, float]:
    """Requests that the API server has answered, apart from watches."""
    text = cluster.server.text("/metrics")
    found = {"leases": 0.0, "others": 0.0}
    for labels, number in series(text, "apiserver_request_total"):
        resource = re.search(r'resource="(\w*)"', labels)
        if resource is None or 'verb="WATCH"' in labels:
            continue
        if resource[1] == "leases" and 'verb="PUT"' in labels:
            found["leases"] += number
        elif resource[1] in WATCHED:
            found["others"] += number
    return found


def series(text: str, name: str) -> Iterator[tuple[str, float]]:
    """Labels and value of each series of a metric."""
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")):
            labels, _, number = line.rpartition(" ")
            yield labels, float(number)


def wait(holds: Callable[[], bool], what: str) -> None:
    """Until it is so; ends the benchmark when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {PATIENCE} s")
        time.sleep(0.25)


if __name__ == "__main__":
    main()
