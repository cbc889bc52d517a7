"""Reads a data set from wherever it lies into rows with a column of samples and one of labels.

Media stay encoded: whoever wants a sample decodes it, so opening costs no memory for pixels.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from gptfl.data.check import BUILTIN, SUFFIXES, layout
from gptfl.errors import DataError
from gptfl.freshness import local_path
from gptfl.spec.data import DataFormat, DatasetSpec

SAMPLE_NAMES = ("image", "img", "audio", "text", "sentence", "file_name", "file", "path")
"""Columns taken for the samples, in this order, when none holds images or audio as such."""

LABEL_NAMES = ("label", "labels", "class", "target", "category", "fine_label")
"""Columns taken for the labels, in this order, when none has names for its classes."""


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
    if spec.uri in BUILTIN:
        rows, root = _part(_digits(), spec, field), folder
    elif path is not None:
        rows, root = _local(spec, path, field), path if path.is_dir() else path.parent
    else:
        rows, root = _hub(spec, field), folder
    if not len(rows):
        raise DataError(f"{field}.split: {spec.split} of {spec.uri} is empty; name another part")
    sample, label = _sample_column(rows, spec, field), _label_column(rows, spec, field)
    return Source(_undecoded(rows), sample, label, root, spec.uri)


def _digits() -> datasets.Dataset:
    """scikit-learn's 1,797 handwritten digits as 8 x 8 PNG images (UCI optdigits' test part).

    A pixel counts the ink of a 4 x 4 block of a 32 x 32 bitmap: 0..16, here brought to 0..255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    )
    columns = {
        "image": [{"bytes": _png(image), "path": None} for image in pixels],
        "label": bunch.target.tolist(),
    }
    return datasets.Dataset.from_dict(columns, features=features)


def _png(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _part(rows: datasets.Dataset, spec: DatasetSpec, field: str) -> datasets.Dataset:
    """The part of a data set with the single split `train` that `spec.split` names."""
    try:
        parts = datasets.ReadInstruction.from_spec(spec.split).to_absolute({"train": len(rows)})
    except (ValueError, AssertionError) as error:
        raise DataError(f"{field}.split: {_line(error)}") from error
    except KeyError as error:
        raise DataError(
            f"{field}.split: {spec.uri} has no part {error.args[0]!r}; it has 'train', of which "
            "a range can be named: train[:80%]"
        ) from error
    indices = [np.arange(len(rows))[part.from_ : part.to] for part in parts]
    return rows.select(np.concatenate(indices))


def _local(spec: DatasetSpec, path: Path, field: str) -> datasets.Dataset:
    form = layout(spec, path, field)
    if form is DataFormat.TEXT_FOLDER:
        return _text_folder(spec, path, field)
    builder = _BUILDERS[form]
    if path.is_dir():
        return _load(spec, field, builder, data_dir=str(path))
    return _load(spec, field, builder, data_files={"train": str(path)})


_BUILDERS = {
    DataFormat.IMAGE_FOLDER: "imagefolder",
    DataFormat.AUDIO_FOLDER: "audiofolder",
    DataFormat.PARQUET: "parquet",
    DataFormat.CSV: "csv",
}


def _text_folder(spec: DatasetSpec, path: Path, field: str) -> datasets.Dataset:
    """A folder for each class with a text in each file; `datasets` has no builder for it."""
    suffixes = SUFFIXES[DataFormat.TEXT_FOLDER]
    files = sorted(p for p in path.glob("*/*") if p.suffix.lower() in suffixes)
    if not files:
        raise DataError(
            f"{field}.uri: {path} has .txt files, but not in a folder for each class; "
            "move them to LABEL/NAME.txt"
        )
    try:
        texts = [file.read_text(encoding="utf-8") for file in files]
    except UnicodeDecodeError as error:
        bad = next(file for file in files if not _is_utf8(file))
        raise DataError(f"{field}.uri: {bad} is not UTF-8 text; convert it") from error
    labels = [file.parent.name for file in files]
    names = sorted(set(labels))
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    columns = {"text": texts, "label": [names.index(label) for label in labels]}
    return _part(datasets.Dataset.from_dict(columns, features=features), spec, field)


def _is_utf8(file: Path) -> bool:
    try:
        file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _hub(spec: DatasetSpec, field: str) -> datasets.Dataset:
    return _load(spec, field, spec.uri.removeprefix("hf://"), revision=spec.revision)


def _load(spec: DatasetSpec, field: str, builder: str, **arguments: object) -> datasets.Dataset:
    """`datasets.load_dataset`, quietly, with its errors as one line each."""
    try:
        with _Quiet():
            return datasets.load_dataset(builder, split=spec.split, **arguments)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(f"{field}.uri: {spec.uri}: {_line(error)}") from error
    except (ConnectionError, datasets.exceptions.DatasetsError, OSError) as error:
        raise DataError(
            f"{field}.uri: {spec.uri} cannot be read ({_line(error)}); check the name, the "
            "network and, offline, that it was downloaded before"
        ) from error
    except ValueError as error:
        where = "split" if "split" in str(error).lower() else "uri"
        raise DataError(f"{field}.{where}: {spec.uri}: {_line(error)}") from error


class _Quiet:
    """Progress bars of `datasets` off for a while; gptfl shows its own."""

    def __enter__(self) -> None:
        self._were_on = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        if self._were_on:
            datasets.enable_progress_bars()


def _line(error: Exception) -> str:
    """An error of another library as one line, with what lies behind it where that says more."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if len(text) <= 300 else f"{text[:297]}…"


def _sample_column(rows: datasets.Dataset, spec: DatasetSpec, field: str) -> str:
    media = [
        name
        for name, feature in rows.features.items()
        if isinstance(feature, (datasets.Image, datasets.Audio))
    ]
    named = [name for name in SAMPLE_NAMES if name in rows.column_names]
    return _column(rows, spec.sample_column, media + named, f"{field}.sampleColumn")


def _label_column(rows: datasets.Dataset, spec: DatasetSpec, field: str) -> str:
    classes = [
        name for name, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)
    ]
    named = [name for name in LABEL_NAMES if name in rows.column_names]
    # A column called `label` is meant, even where another one has names for its classes too.
    return _column(rows, spec.label_column, named[:1] + classes, f"{field}.labelColumn")


def _column(rows: datasets.Dataset, wanted: str | None, found: list[str], field: str) -> str:
    names = ", ".join(rows.column_names)
    if wanted is not None and wanted not in rows.column_names:
        raise DataError(f"{field}: there is no column {wanted!r}; the columns are {names}")
    if wanted is None and not found:
        raise DataError(f"{field}: is not set and could not be guessed; the columns are {names}")
    return wanted if wanted is not None else found[0]


def _undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """The same rows, media left as bytes or paths."""
    kinds: dict[type, Callable[[], object]] = {
        datasets.Image: lambda: datasets.Image(decode=False),
        datasets.Audio: lambda: datasets.Audio(decode=False),
    }
    for name, feature in rows.features.items():
        if type(feature) in kinds:
            rows = rows.cast_column(name, kinds[type(feature)]())
    return rows
