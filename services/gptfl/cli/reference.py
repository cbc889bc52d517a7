"""The reference page of the command line: what `--help` says of each command."""

from collections.abc import Iterator

import click

from gptfl.cli.app import HELP, app

INTRODUCTION = """\
# The command line

<!-- Derived from services/gptfl/cli/app.py by `make generate`. -->

An error is one line that names the field or the file, on standard error; `--debug`, anywhere, adds
the traceback. Exit codes: 0 done, 1 failed, 2 a wrong file or wrong use, 130 stopped by Ctrl-C.
Results go to standard output and progress to standard error, so that both can be redirected.
"""


def command_page() -> str:
    """`docs/reference/command-line.md`."""
    return "\n".join([INTRODUCTION, *_commands(app, None, "gptfl")])


def _commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=80,
        help_option_names=HELP,
    )
    yield f"## {context.command_path}\n"
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _commands(command.commands[below], context, below)
