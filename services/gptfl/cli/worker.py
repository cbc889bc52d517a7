"""`gptfl worker`: a process that draws the shards of a run's queue; and that queue for `run`."""

import os
import shlex
from pathlib import Path

import click

from gptfl.cli.quiet import quieten
from gptfl.errors import StageError
from gptfl.generation.queue.stage import QueuedGeneration, queue_name
from gptfl.spec.load import load_run
from gptfl.spec.run import GPTFLRun
from gptfl.store import open_store
from gptfl.telemetry.context import about
from gptfl.telemetry.process import Telemetry


def work(
    file: Path | None,
    *,
    queue: str | None,
    broker: str,
    store: str | None,
    concurrency: int,
    leave_after: float,
    grace: float,
    telemetry: Telemetry,
) -> None:
    """Draws until nothing is left to draw."""
    quieten()
    if (file is None) == (queue is None):
        raise click.UsageError("give either the run's FILE or its --queue")
    from gptfl import api
    from gptfl.generation.queue.broker import check_address

    check_address(broker)
    folder = file.absolute().parent if file else Path.cwd()
    if file is None:
        opened = open_store(store)
    else:
        run = load_run(file)
        queue = queue_name(run)
        opened = api.store_of(run, store, folder)
    telemetry.watch(opened)
    from gptfl.generation.queue.process import WorkerProcess
    from gptfl.generation.queue.worker import ShardWorker
    from gptfl.telemetry.metrics.worker import WorkerMetrics

    assert queue is not None
    watch = WorkerMetrics(telemetry.registry, queue)
    worker = ShardWorker(opened, folder, concurrency=concurrency, watch=watch)
    process = WorkerProcess(worker, broker, queue, leave_after=leave_after, grace=grace)
    with about(stage="generation", queue=queue):
        process.run()


def queued_generation(
    run: GPTFLRun, file: Path, broker: str, store: str | None
) -> QueuedGeneration:
    """The stage `generation` by workers on a queue. Raises SpecError for an address that cannot be
    a broker's, and StageError when there is none now."""
    from gptfl.generation.queue.broker import Broker, BrokerAwayError, check_address

    check_address(broker)
    queue = Broker(broker, queue_name(run))
    try:
        queue.size()
    except BrokerAwayError as error:
        raise StageError(
            f"--broker: {queue.address} does not answer ({error}); start Redis there"
        ) from error
    command = ["gptfl", "worker", str(file)]
    if os.environ.get("GPTFL_BROKER") != broker:
        command += ["--broker", queue.address]
    if store:
        command += ["--store", store]
    return QueuedGeneration(broker, queue.queue, shlex.join(command))
