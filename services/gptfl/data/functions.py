"""Finds the functions that a user names as `module:function`; loads no torch by itself."""

import ast
import difflib
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gptfl.errors import ModelError, SpecError
from gptfl.freshness import allow_modules_of


def check_function(value: str, folder: Path, field: str) -> None:
    """Raises SpecError when `module:function` cannot be found; the module is not run."""
    allow_modules_of(folder)
    module, _, name = value.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise SpecError.of(
            field, f"there is no module {module!r}; put {module}.py beside the run's file"
        )
    names = _names(Path(spec.origin)) if spec.origin and spec.origin.endswith(".py") else None
    if names is not None and name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"define it in {spec.origin}"
        raise SpecError.of(field, f"module {module!r} has no {name!r}; {hint}")


def load_function(value: str, folder: Path, field: str) -> Callable[..., Any]:
    """The function that `module:function` names; the module may lie in `folder`.

    Raises SpecError when there is none, and ModelError when the module fails while it is read.
    """
    check_function(value, folder, field)
    module, _, name = value.partition(":")
    try:
        function: object = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # whatever the user's module raises
        raise ModelError(
            f"{field}: module {module!r} fails: {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise SpecError.of(field, f"{value!r} is not a function; name one")
    return function


def _names(path: Path) -> set[str] | None:
    """What a module defines or imports at its top level; None when that cannot be told."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None
    names: set[str] = set()
    for node in body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name for alias in aliases)
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.Expr() | ast.AnnAssign():
                pass
            case _:
                return None  # names may be made in an if or a try
    return None if "*" in names else names
