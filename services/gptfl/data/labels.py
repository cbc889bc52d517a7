"""Brings what a data set calls its classes to the labels of the task, or says which one is new."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from gptfl.data.sources import Source
from gptfl.errors import DataError
from gptfl.spec.data import DatasetSpec


def label_positions(
    source: Source, spec: DatasetSpec, labels: Sequence[str], field: str
) -> NDArray[np.int64]:
    """The position in `labels` of each row's label: int64 [N].

    A class is known by its name, through `labelMap` where that has it. Whole numbers without
    names are names when the task has such labels, and otherwise positions. Raises DataError for
    a class that the task does not have, and for rows without a label.
    """
    values, names = _values(source, field)
    unique, inverse = np.unique(values, return_inverse=True)
    known = {name: position for position, name in enumerate(labels)}
    renamed = spec.label_map or {}
    positions = [
        _position(names[int(value)] if names else value.item(), renamed, known, field)
        for value in unique
    ]
    return np.asarray(positions, dtype=np.int64)[inverse]


def _values(source: Source, field: str) -> tuple[NDArray[Any], list[str] | None]:
    """The label column as it stands, and the names of its classes where the data set has them."""
    values = np.asarray(source.rows[source.label_column][:])
    feature = source.rows.features[source.label_column]
    names = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    missing = _missing(values, names)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(
            f"{field}: row {row} of {source.uri} has no label in column "
            f"{source.label_column!r}; fill it in or leave the row out"
        )
    if values.ndim != 1 or values.dtype.kind not in "iuUb":
        raise DataError(
            f"{field}.labelColumn: column {source.label_column!r} of {source.uri} holds neither "
            f"names nor whole numbers; the columns are {', '.join(source.rows.column_names)}"
        )
    return values, names


def _missing(values: NDArray[Any], names: list[str] | None) -> NDArray[np.bool_]:
    """Where a label is absent: null, NaN, or -1 for classes with names (unlabelled, by custom)."""
    if values.dtype == object:
        return np.asarray([value is None for value in values])
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    return np.asarray(values < 0) if names else np.zeros(len(values), dtype=bool)


def _position(
    value: str | int | bool, renamed: Mapping[str, str], known: Mapping[str, int], field: str
) -> int:
    name = str(value)
    label = renamed.get(name, name)
    if label in known:
        return known[label]
    if not isinstance(value, str) and name not in renamed and 0 <= value < len(known):
        return int(value)
    near = difflib.get_close_matches(label, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"{field}: the data have the label {label!r}, which is not one of spec.task.labels; {hint}"
        f"add it there, or say which label it is in {field}.labelMap"
    )
