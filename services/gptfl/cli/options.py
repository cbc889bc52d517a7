"""The options that commands share."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

PORT = click.IntRange(1, 65_535)
STAGES = ("prompts", "generation", "pretraining", "federation", "evaluation", "serving")
file_argument = click.argument("file", type=click.Path(path_type=Path), help="A GPTFLRun in YAML.")
store_option = click.option(
    "--store",
    metavar="URI",
    help="The artifact store; else $GPTFL_STORE, or .gptfl in this folder.",
)
broker_option = partial(
    click.option,
    "--broker",
    metavar="URL",
    envvar="GPTFL_BROKER",
)
only_option = click.option(
    "--only",
    type=click.Choice(STAGES),
    metavar="STAGE",
    help="Just this stage; what it reads from must have been made.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")
json_option = click.option("--json", "as_json", is_flag=True, help="The result as JSON.")

_OPTIONS = (
    click.option(
        "--metrics-port",
        type=PORT,
        metavar="PORT",
        envvar="GPTFL_METRICS_PORT",
        help="Serve Prometheus metrics; else $GPTFL_METRICS_PORT.",
    ),
    click.option(
        "--metrics-host",
        metavar="HOST",
        default="127.0.0.1",
        show_default=True,
        envvar="GPTFL_METRICS_HOST",
        help="The address to serve them on; else $GPTFL_METRICS_HOST.",
    ),
    click.option(
        "--metrics-linger",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        envvar="GPTFL_METRICS_LINGER",
        help="At the end, wait at most so long for the last scrape; else $GPTFL_METRICS_LINGER, "
        "or 75 if there were scrapes before.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        envvar="GPTFL_LOG_FORMAT",
        help="How standard error reads; else $GPTFL_LOG_FORMAT.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(("debug", "info", "warning", "error")),
        envvar="GPTFL_LOG_LEVEL",
        help="The least of gptfl's own records; else $GPTFL_LOG_LEVEL.",
    ),
)


def telemetry_options(
    *, text_level: str = "info"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the options by which its process is seen.

    The command gets them as `telemetry`, a `gptfl.telemetry.process.Telemetry` that is open until
    the command line has said its last word. `text_level` is what is logged as text by default.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def seen(
            *,
            metrics_port: int | None,
            metrics_host: str,
            metrics_linger: float | None,
            log_format: str,
            log_level: str | None,
            **given: Any,
        ) -> Any:
            from gptfl.telemetry.logs import LogFormat
            from gptfl.telemetry.process import TelemetrySettings, open_telemetry

            form = LogFormat(log_format)
            settings = TelemetrySettings(
                metrics_port=metrics_port,
                metrics_host=metrics_host,
                metrics_linger=metrics_linger,
                log_format=form,
                log_level=log_level or (text_level if form is LogFormat.TEXT else "info"),
            )
            context = click.get_current_context()
            until_the_end = context.find_object(ExitStack)
            assert until_the_end is not None, "gptfl.cli.main gives one"
            telemetry = until_the_end.enter_context(open_telemetry(settings, context.command_path))
            return command(telemetry=telemetry, **given)

        for option in reversed(_OPTIONS):
            option(seen)
        return seen

    return decorate
