"""`gptfl run` and `gptfl validate`."""

import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import FrameType

from gptfl.cli.output import console, say
from gptfl.cli.quiet import quieten
from gptfl.spec.load import load_run
from gptfl.spec.run import GPTFLRun
from gptfl.stages import StageFunction
from gptfl.store import RunStatus, Store
from gptfl.telemetry.events import Listener
from gptfl.telemetry.process import Telemetry

Functions = Mapping[str, StageFunction]


def validate_file(file: Path) -> None:
    """Says so when the file is right; raises GPTFLError where it is not."""
    quieten()
    from gptfl.preflight import check_references

    run = load_run(file)
    are_here = all(client.data is not None for client in run.spec.federation.clients or ())
    check_references(run, file.absolute().parent, clients_are_here=are_here)
    command = "run" if are_here else "aggregate"
    say(f"{file}: valid; run it with 'gptfl {command} {shlex.quote(str(file))}'")


def run_file(
    file: Path,
    *,
    store: str | None,
    workers: int | None,
    only: str | None,
    broker: str | None,
    quiet: bool,
    as_json: bool,
    telemetry: Telemetry,
    functions: Functions | None = None,
) -> None:
    """Does the run or one stage of it; `functions` are those of `gptfl.engine.execute`.

    Shows how it goes on standard error, and what came of it on standard output.
    """
    quieten()
    signal.signal(signal.SIGTERM, _terminate)
    run = load_run(file)
    if workers is not None:
        run = with_workers(run, workers)
    folder = file.absolute().parent
    opened = _open_store(run, store, folder, telemetry)
    if only in (None, "generation") and broker is not None:
        functions = {**_on_a_queue(run, file, broker, store), **(functions or {})}
    other_hands = functions or {}
    if only is not None:
        work = partial(_one_stage, run, only, opened, folder, functions=other_hands)
    else:
        work = partial(_whole, run, opened, folder, functions=other_hands)
    status = _do(run, work, telemetry, quiet=quiet)
    if as_json:
        say(status.model_dump_json(indent=2, by_alias=True))
    else:
        _show(status, store)


def with_workers(run: GPTFLRun, workers: int) -> GPTFLRun:
    """The run with that many generation workers: the same artifacts, sooner or later."""
    generation = run.spec.generation.model_copy(update={"workers": workers})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"generation": generation})})


def _open_store(run: GPTFLRun, uri: str | None, folder: Path, telemetry: Telemetry) -> Store:
    from gptfl import api

    store = api.store_of(run, uri, folder)
    telemetry.watch(store)
    return store


def _on_a_queue(run: GPTFLRun, file: Path, broker: str, store: str | None) -> Functions:
    """The stages that workers draw for."""
    from gptfl.cli.worker import queued_generation

    return {"generation": queued_generation(run, file, broker, store)}


def _whole(
    run: GPTFLRun,
    store: Store,
    folder: Path,
    listeners: Sequence[Listener],
    *,
    functions: Functions,
) -> RunStatus:
    from gptfl import api

    result = api.run(run, store=store, folder=folder, listeners=listeners, functions=functions)
    return result.status


def _one_stage(
    run: GPTFLRun,
    stage: str,
    store: Store,
    folder: Path,
    listeners: Sequence[Listener],
    *,
    functions: Functions,
) -> RunStatus:
    from gptfl import api

    return api.run_stage(
        run, stage, store=store, folder=folder, listeners=listeners, functions=functions
    )


def _do(
    run: GPTFLRun,
    work: Callable[[Sequence[Listener]], RunStatus],
    telemetry: Telemetry,
    *,
    quiet: bool,
) -> RunStatus:
    """Does the work with everyone told who wants to watch."""
    from gptfl import api
    from gptfl.telemetry.terminal import open_screen

    listeners = telemetry.listeners()
    is_shown = not quiet and not telemetry.logs_json
    screen = open_screen(console(err=True), api.first_status(run)) if is_shown else None
    with screen or nullcontext():
        if screen is not None:
            listeners.append(screen)
        return work(listeners)


def _show(status: RunStatus, store: str | None) -> None:
    from gptfl.cli.summary import summary

    out = console()
    option = f" --store {shlex.quote(store)}" if store else ""
    out.print()
    for line in summary(status, store_option=option, width=out.width):
        out.print(line, soft_wrap=True)


def _terminate(number: int, frame: FrameType | None) -> None:
    """A polite end, as a pod gets it, is like Ctrl-C: what is done is kept."""
    raise KeyboardInterrupt
