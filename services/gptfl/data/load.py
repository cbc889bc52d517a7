"""Opens the data sets of a run and brings their labels to the task's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray

from gptfl.data.images import ImageSet, decode_image
from gptfl.data.labels import label_positions
from gptfl.data.sources import open_source
from gptfl.errors import DataError
from gptfl.spec.data import DatasetSpec
from gptfl.spec.task import ImageShape

ROWS_AT_ONCE = 256
"""Encoded samples held at a time while they are decoded."""


@dataclass(frozen=True, eq=False)
class LabelledDataset:
    """A data set whose every sample has one of the task's labels; samples are read when asked."""

    hf: datasets.Dataset
    """The rows, media undecoded."""
    sample_column: str
    """The column of the samples."""
    labels: NDArray[np.int64]
    """[N], positions in the task's labels"""
    label_names: tuple[str, ...]
    """The task's labels."""
    root: Path
    """Where relative paths in the sample column start."""
    field: str
    """The path in the spec of what this was opened from, for error lines."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """[classes], samples of each label"""
        return np.bincount(self.labels, minlength=len(self.label_names))

    def images(self, shape: ImageShape, indices: NDArray[np.int64] | None = None) -> ImageSet:
        """The samples at `indices`, or all, as images of `shape`.

        Raises DataError that names the file or row of an image that cannot be read.
        """
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        out = torch.empty(
            (len(chosen), shape.channels, shape.height, shape.width), dtype=torch.uint8
        )
        for start in range(0, len(chosen), ROWS_AT_ONCE):
            rows = chosen[start : start + ROWS_AT_ONCE]
            cells = self.hf[rows][self.sample_column]
            for place, (row, cell) in enumerate(zip(rows.tolist(), cells, strict=True), start):
                out[place] = self._image(cell, row, shape)
        return ImageSet(out, torch.from_numpy(self.labels[chosen]))

    def _image(self, value: Any, row: int, shape: ImageShape) -> torch.Tensor:
        try:
            return decode_image(self._source(value), shape)
        except DataError as error:
            raise DataError(f"{self.field}: {self._where(value, row)}: {error}") from error

    def _source(self, value: Any) -> bytes | NDArray[np.uint8]:
        """The bytes or pixels of one cell."""
        if isinstance(value, dict) and value.get("bytes") is not None:
            return bytes(value["bytes"])
        path = value.get("path") if isinstance(value, dict) else value
        if isinstance(path, str):
            return self._read(self.root / path)
        pixels = np.asarray(value)
        if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
            raise DataError(f"column {self.sample_column!r} holds no image; name one that does")
        return pixels.astype(np.uint8)

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})") from error

    def _where(self, value: Any, row: int) -> str:
        path = value.get("path") if isinstance(value, dict) else value
        return f"{self.root / path}" if isinstance(path, str) else f"row {row}"


def open_dataset(
    spec: DatasetSpec, labels: Sequence[str], folder: Path, *, field: str
) -> LabelledDataset:
    """The data set that `spec` names, its labels as positions in `labels`.

    `folder` is where relative paths start; `field` is the path of `spec` in the run's file, for
    error lines. Raises DataError for what is missing, empty, unreadable or labelled otherwise.
    """
    source = open_source(spec, folder, field)
    positions = label_positions(source, spec, labels, field)
    return LabelledDataset(
        source.rows, source.sample_column, positions, tuple(labels), source.root, field
    )
