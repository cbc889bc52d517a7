"""The command line of the operator: which API server, which runs, and how it is seen."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from gptfl.errors import GPTFLError
from gptfl.telemetry.logs import LogFormat
from gptfl.telemetry.process import TelemetrySettings, open_telemetry
from gptfl_operator.api import KubernetesApi, connect
from gptfl_operator.controller import Brain
from gptfl_operator.operator import WORKERS, Operator, OperatorOptions
from gptfl_operator.probes import probed

_LOG = logging.getLogger("gptfl.operator")

PORT = click.IntRange(0, 65_535)
MakeBrain = Callable[[KubernetesApi, Path], Brain]
"""What decides: by its settings, and with the API server where the keys of stores are."""

_OPTIONS = (
    click.option(
        "--settings",
        required=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="YAML: images, store, broker; the chart writes it.",
    ),
    click.option(
        "--namespace",
        "namespaces",
        multiple=True,
        metavar="NAME",
        help="Look after the runs of this namespace; may be repeated. Else after all runs.",
    ),
    click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="The API server; else that of the pod, or of $KUBECONFIG.",
    ),
    click.option(
        "--identity",
        default=socket.gethostname,
        metavar="NAME",
        help="What tells this replica from the others; else the host's name, which is the pod's.",
    ),
    click.option(
        "--lease",
        default="default/gptfl-operator",
        show_default=True,
        metavar="NAMESPACE/NAME",
        help="The lease whose holder works.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=WORKERS,
        show_default=True,
        metavar="N",
        help="Runs that are looked at at the same time.",
    ),
    click.option("--metrics-port", type=PORT, metavar="PORT", help="Serve Prometheus metrics."),
    click.option(
        "--probe-port", type=PORT, metavar="PORT", help="Answer /healthz and /readyz there."
    ),
    click.option("--host", default="127.0.0.1", show_default=True, help="Where both are served."),
    click.option(
        "--log-format", type=click.Choice(("text", "json")), default="text", show_default=True
    ),
    click.option(
        "--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info"
    ),
)


def main(make_brain: MakeBrain, arguments: Sequence[str] | None = None) -> None:
    """Runs one replica until SIGTERM or Ctrl-C, then exits: 0 when it ended as asked."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]})
    def command(**given: Any) -> None:
        """Makes of each GPTFLRun of a cluster what it asks for."""
        _run(make_brain, **given)

    for option in _OPTIONS:
        option(command)
    try:
        command(
            None if arguments is None else list(arguments),
            prog_name="gptfl-operator",
            standalone_mode=False,
        )
    except click.UsageError as error:
        sys.exit(_say(f"{error.format_message().rstrip('.')}; see --help", 2))
    except GPTFLError as error:
        sys.exit(_say(str(error), error.exit_code))


def _run(
    make_brain: MakeBrain,
    *,
    settings: Path,
    namespaces: tuple[str, ...],
    kubeconfig: Path | None,
    identity: str,
    lease: str,
    workers: int,
    metrics_port: int | None,
    probe_port: int | None,
    host: str,
    log_format: str,
    log_level: str,
) -> None:
    seen = TelemetrySettings(
        metrics_port=metrics_port,
        metrics_host=host,
        metrics_linger=0,  # its last values tell nobody anything: the next replica has its own
        log_format=LogFormat(log_format),
        log_level=log_level,
    )
    lease_namespace, _, lease_name = lease.rpartition("/")
    with open_telemetry(seen, "gptfl-operator") as telemetry:
        api = connect(kubeconfig, os.environ)
        options = OperatorOptions(
            identity=identity,
            namespaces=namespaces,
            lease_namespace=lease_namespace or "default",
            lease_name=lease_name,
            workers=workers,
        )
        operator = Operator(api, make_brain(api, settings), options, telemetry.registry)
        if probe_port is None:
            operator.run(_stop_on_signals())
            return
        checks = {"healthz": operator.why_unhealthy, "readyz": operator.why_unready}
        with probed(probe_port, host, checks):
            operator.run(_stop_on_signals())


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say(message: str, code: int) -> int:
    for line in message.splitlines():
        click.echo(f"gptfl-operator: {line}", err=True)
    return code
