"""Opens a data set wherever it lies, as rows of which one column holds the samples, one the labels.

Media stay encoded: whoever wants a sample decodes it, so opening costs no memory for pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from gptfl.data.check import BUILTIN, layout
from gptfl.data.readers import Parts, Quiet, digits, hub, media_folder, one_line, tables
from gptfl.errors import DataError
from gptfl.freshness import local_path
from gptfl.spec.data import DataFormat, DatasetSpec

SAMPLE_NAMES = ("image", "img", "audio", "text", "sentence", "file_name", "file", "path")
"""Columns taken for the samples, in this order, when none holds images or audio as such."""

LABEL_NAMES = ("label", "labels", "class", "target", "category")
"""Columns taken for the labels, in this order; after them, one with names for its classes."""


@dataclass(frozen=True, eq=False)
class Source:
    """An opened data set."""

    rows: datasets.Dataset
    sample_column: str
    label_column: str
    root: Path
    """Where relative paths in the sample column start."""
    uri: str
    """What to call it in an error line."""


def open_source(spec: DatasetSpec, folder: Path, field: str) -> Source:
    """The rows of the part that `spec.split` names, and which columns are what.

    Raises DataError for what is missing, empty, of an unknown kind, or out of reach.
    """
    path = local_path(spec.uri, folder)
    with Quiet():
        rows = _rows(spec, path, field)
    if not len(rows):
        raise DataError(f"{field}.split: {spec.split} of {spec.uri} is empty; name another part")
    root = folder if path is None else path if path.is_dir() else path.parent
    sample, label = _sample_column(rows, spec, field), _label_column(rows, spec, field)
    return Source(rows, sample, label, root, spec.uri)


def _rows(spec: DatasetSpec, path: Path | None, field: str) -> datasets.Dataset:
    if path is not None:
        return _undecoded(_part(_local(spec, path, field), spec, field))
    if spec.uri in BUILTIN:
        return _undecoded(_part(digits(), spec, field))
    return _undecoded(hub(spec, field))


def _local(spec: DatasetSpec, path: Path, field: str) -> Parts:
    form = layout(spec, path, field)
    if form in (DataFormat.PARQUET, DataFormat.CSV):
        return tables(path, form, field)
    return media_folder(path, form, field)


def _part(parts: Parts, spec: DatasetSpec, field: str) -> datasets.Dataset:
    """What `spec.split` names, in the notation of `datasets`: ``train[:80%]+test``."""
    sizes = {name: len(rows) for name, rows in parts.items()}
    try:
        ranges = datasets.ReadInstruction.from_spec(spec.split).to_absolute(sizes)
    except (ValueError, AssertionError) as error:
        raise DataError(
            f"{field}.split: {spec.split} of {spec.uri}: {one_line(error)}; a part may have a "
            "range, such as train[:80%]"
        ) from error
    chosen = [
        parts[one.splitname].select(np.arange(sizes[one.splitname])[one.from_ : one.to])
        for one in ranges
    ]
    return chosen[0] if len(chosen) == 1 else datasets.concatenate_datasets(chosen)


def _sample_column(rows: datasets.Dataset, spec: DatasetSpec, field: str) -> str:
    media = _columns_of(rows, datasets.Image, datasets.Audio)
    named = [name for name in SAMPLE_NAMES if name in rows.column_names]
    return _column(rows, spec.sample_column, media + named, f"{field}.sampleColumn")


def _label_column(rows: datasets.Dataset, spec: DatasetSpec, field: str) -> str:
    named = [name for name in LABEL_NAMES if name in rows.column_names]
    classes = _columns_of(rows, datasets.ClassLabel)
    return _column(rows, spec.label_column, named + classes, f"{field}.labelColumn")


def _columns_of(rows: datasets.Dataset, *kinds: type) -> list[str]:
    return [name for name, feature in rows.features.items() if isinstance(feature, kinds)]


def _column(rows: datasets.Dataset, wanted: str | None, found: list[str], field: str) -> str:
    names = ", ".join(rows.column_names)
    if wanted is not None and wanted not in rows.column_names:
        raise DataError(f"{field}: there is no column {wanted!r}; the columns are {names}")
    if wanted is None and not found:
        raise DataError(f"{field}: is not set and could not be guessed; the columns are {names}")
    return wanted if wanted is not None else found[0]


def _undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """The same rows, media left as bytes or paths."""
    for name in _columns_of(rows, datasets.Image):
        rows = rows.cast_column(name, datasets.Image(decode=False))
    for name in _columns_of(rows, datasets.Audio):
        rows = rows.cast_column(name, datasets.Audio(decode=False))
    return rows
