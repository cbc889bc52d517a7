"""`gptfl`: the command line; every error is one line, with an exit code that says whose it is."""

import sys
import traceback
from collections.abc import Sequence

import click

from gptfl.cli.app import app
from gptfl.errors import GPTFLError

INTERRUPTED = 130
"""The exit code that a shell gives a process that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong spec or usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    sys.exit(_exit_code([one for one in given if one != "--debug"], debug=debug))


def _exit_code(arguments: list[str], *, debug: bool) -> int:
    try:
        return app(arguments, prog_name="gptfl", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "gptfl"
        return _say(f"{error.format_message().rstrip('.')}; see '{command} --help'", 2)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted; run the same command to go on", INTERRUPTED)
    except GPTFLError as error:
        if debug:
            traceback.print_exc()
        return _say(str(error), error.exit_code)
    except Exception as error:
        if debug:
            traceback.print_exc()
        said = " ".join(str(error).split()) or "no message"
        hint = "" if debug else "; add --debug to see where"
        return _say(f"{type(error).__name__}: {said}{hint}", 1)


def _say(message: str, code: int) -> int:
    for line in message.splitlines() or [""]:
        click.echo(f"gptfl: {line}", err=True)
    return code
