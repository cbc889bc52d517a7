"""Reads data sets of each kind into rows: scikit-learn's digits, folders, tables, the hub.

Folders are read here and not by the builders of `datasets`: those keep a copy in a cache that can
be out of date, leave the order to the file system, and want a codec only to list audio files.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import csv

from gptfl.data.check import SUFFIXES
from gptfl.errors import DataError
from gptfl.spec.data import DataFormat, DatasetSpec

DIGIT_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

SPLITS = frozenset(("train", "test", "validation", "valid", "val", "dev", "eval"))
"""Names of folders or files that hold a part of a data set and not a class of it."""

Parts = Mapping[str, datasets.Dataset]
"""The parts of a data set by name; `train` is all of it where it has none."""


def digits() -> Parts:
    """scikit-learn's 1,797 handwritten digits as 8 x 8 PNG images (UCI optdigits' test part).

    A pixel counts the ink of a 4 x 4 block of a 32 x 32 bitmap: 0..16, here brought to 0..255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=DIGIT_NAMES)}
    )
    columns = {
        "image": [{"bytes": _png(image), "path": None} for image in pixels],
        "label": bunch.target.tolist(),
    }
    return {"train": datasets.Dataset.from_dict(columns, features=features)}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def media_folder(path: Path, form: DataFormat, field: str) -> Parts:
    """A folder of samples for each class, in the order of their names.

    Where the folders at the top are called like parts (`train`, `test`), the classes lie in those.
    """
    tops = sorted(folder for folder in path.iterdir() if folder.is_dir())
    parts = {top.name: top for top in tops} if _are_splits(tops) else {"train": path}
    return {name: _classes(folder, path, form, field) for name, folder in parts.items()}


def _are_splits(folders: list[Path]) -> bool:
    return bool(folders) and all(folder.name.lower() in SPLITS for folder in folders)


def _classes(folder: Path, root: Path, form: DataFormat, field: str) -> datasets.Dataset:
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES[form] and not file.name.startswith(".")
    ]
    loose = [file for file in files if file.parent == folder]
    if loose:
        raise DataError(
            f"{field}.uri: {loose[0]} lies in no class's folder; move it to LABEL/{loose[0].name}"
        )
    labels = [file.relative_to(folder).parts[0] for file in files]
    names = sorted(set(labels))
    column, feature = _SAMPLES[form]
    texts = form is DataFormat.TEXT_FOLDER
    cells = [_text(file, field) if texts else str(file.relative_to(root)) for file in files]
    places = {name: place for place, name in enumerate(names)}
    columns = {column: cells, "label": [places[label] for label in labels]}
    rows = datasets.Dataset.from_dict(columns)
    # A cast takes paths as they are; building with the feature would encode each file.
    return rows.cast_column(column, feature).cast_column("label", datasets.ClassLabel(names=names))


_SAMPLES = {
    DataFormat.IMAGE_FOLDER: ("image", datasets.Image()),
    DataFormat.AUDIO_FOLDER: ("audio", datasets.Audio(decode=False)),
    DataFormat.TEXT_FOLDER: ("text", datasets.Value("string")),
}
"""The column of the samples and what it holds."""


def _text(file: Path, field: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{field}.uri: {file} is not UTF-8 text; convert it") from error


def tables(path: Path, form: DataFormat, field: str) -> Parts:
    """A Parquet or CSV file, or a folder of them whose names say which part each belongs to."""
    suffixes = SUFFIXES[form]
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    parts: dict[str, list[Path]] = {}
    for file in files:
        if file.suffix.lower() in suffixes:
            parts.setdefault(_split_of(file) if path.is_dir() else "train", []).append(file)
    read = _parquet if form is DataFormat.PARQUET else _csv
    try:
        return {name: read(files) for name, files in parts.items()}
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{field}.uri: {path} cannot be read ({one_line(error)})") from error


def _split_of(file: Path) -> str:
    words = re.split(r"[^a-z]+", file.stem.lower())
    return next((word for word in words if word in SPLITS), "train")


def _parquet(files: list[Path]) -> datasets.Dataset:
    """Rows that stay on disk, however many."""
    return datasets.Dataset.from_parquet([str(file) for file in files])


def _csv(files: list[Path]) -> datasets.Dataset:
    options = csv.ConvertOptions(strings_can_be_null=True)
    tables = [csv.read_csv(file, convert_options=options) for file in files]
    return datasets.Dataset.from_dict(pa.concat_tables(tables).to_pydict())


def hub(spec: DatasetSpec, field: str) -> datasets.Dataset:
    """The part `spec.split` of a data set of the hub, or of its copy in the cache."""
    name = spec.uri.removeprefix("hf://")
    try:
        return datasets.load_dataset(name, split=spec.split, revision=spec.revision)
    except ValueError as error:
        where = "split" if "split" in str(error).lower() else "uri"
        raise DataError(f"{field}.{where}: {spec.uri}: {one_line(error)}") from error
    except (ConnectionError, datasets.exceptions.DatasetsError, OSError) as error:
        raise DataError(
            f"{field}.uri: {spec.uri} cannot be read ({one_line(error)}); check the name, and "
            "without a network that it was downloaded before"
        ) from error


class Quiet:
    """Turns the progress bars of `datasets` off for a while; gptfl shows its own."""

    def __enter__(self) -> None:
        self._were_on = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        if self._were_on:
            datasets.enable_progress_bars()


def one_line(error: BaseException) -> str:
    """An error of another library as one line: what lies behind it, where that says more."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"
