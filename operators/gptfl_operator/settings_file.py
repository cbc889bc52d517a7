"""Reads the operator's settings: a YAML file, as the chart's ConfigMap holds it."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from gptfl.errors import Problem, SpecError
from gptfl_operator.settings import OperatorSettings

_SETTINGS = TypeAdapter(OperatorSettings)


def load_settings(path: Path) -> OperatorSettings:
    """Raises SpecError, one line for each setting that cannot be."""
    try:
        text = path.read_text()
        said = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise SpecError.of("--settings", f"{path}: {' '.join(str(error).split())}") from error
    try:
        return _SETTINGS.validate_python(said or {})
    except ValidationError as error:
        raise SpecError(list(_problems(path, error))) from error


def _problems(path: Path, error: ValidationError) -> Iterator[Problem]:
    for one in error.errors():
        field = ".".join(map(str, one["loc"]))
        yield Problem(f"{path}: {field}" if field else str(path), one["msg"])
