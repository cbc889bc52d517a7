"""`gptfl`: the command line; every error is one line, with an exit code that says whose it is."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack

import click

from gptfl.cli.app import app
from gptfl.errors import GPTFLError

INTERRUPTED = 130
"""The exit code that a shell gives a process that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong spec or usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # What a command leaves open until its last word is said: it is logged, and counted, too.
    with ExitStack() as until_the_end:
        without = [one for one in given if one != "--debug"]
        sys.exit(_exit_code(without, until_the_end, debug=debug))


def _exit_code(arguments: list[str], until_the_end: ExitStack, *, debug: bool) -> int:
    try:
        return app(arguments, prog_name="gptfl", standalone_mode=False, obj=until_the_end) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "gptfl"
        return _say(f"{error.format_message().rstrip('.')}; see '{command} --help'", 2)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted; run the same command to go on", INTERRUPTED)
    except GPTFLError as error:
        return _say(str(error), error.exit_code, debug=debug)
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        hint = "" if debug else "; add --debug to see where"
        return _say(f"{type(error).__name__}: {said}{hint}", 1, debug=debug)


def _say(message: str, code: int, *, debug: bool = False) -> int:
    """The last word, with the traceback of what is being handled if `debug`."""
    import logging

    from gptfl.telemetry.logs import are_json, without_passwords

    if are_json():
        logging.getLogger("gptfl").error("%s", message, exc_info=debug)
        return code
    if debug:
        traceback.print_exc()
    for line in without_passwords(message).splitlines() or [""]:
        click.echo(f"gptfl: {line}", err=True)
    return code
