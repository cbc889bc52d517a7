"""A few synthetic images of each label, as data URIs that keep the report small."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from gptfl.report.scales import thin
from gptfl.store import Artifact

MOST_SAMPLES = 240
"""Images in a report, over all labels."""
MOST_PER_LABEL = 8
MOST_LABELS = 100
"""Labels whose images are shown."""
TINY = 64
"""Up to this many pixels a side an image is shown as it is, enlarged without smoothing."""
THUMBNAIL = 160
"""Pixels on the longer side of what a larger image is shrunk to."""


@dataclass(frozen=True)
class Sample:
    """One synthetic image."""

    uri: str
    """`data:image/…`"""
    prompt: str
    guidance: float
    tiny: bool
    """Whether it is enlarged without smoothing."""


@dataclass(frozen=True)
class _Place:
    """Where a sample stands: row `row` of file `file`."""

    file: int
    row: int


def samples_by_label(generation: Artifact, labels: int) -> Mapping[int, Sequence[Sample]]:
    """Some samples of each of the first labels, from the lowest guidance to the highest.

    Only the row groups with chosen images are read: a data set may be larger than memory.
    """
    paths = [generation.path(name) for name in generation.names() if name.endswith(".parquet")]
    per_label = max(1, min(MOST_PER_LABEL, MOST_SAMPLES // max(labels, 1)))
    chosen = _choose(paths, min(labels, MOST_LABELS), per_label)
    wanted = {place for places in chosen.values() for place in places}
    samples = {
        _Place(file, row): sample
        for file, path in enumerate(paths)
        for row, sample in _read(path, sorted(place.row for place in wanted if place.file == file))
    }
    return {label: [samples[place] for place in places] for label, places in chosen.items()}


def _choose(paths: Sequence[Path], labels: int, per_label: int) -> dict[int, tuple[_Place, ...]]:
    """Places evenly spaced over each label's guidance; a label without a sample has none."""
    tables = [pq.read_table(path, columns=["label", "guidance", "seed"]) for path in paths]
    places = [_Place(file, row) for file, t in enumerate(tables) for row in range(t.num_rows)]
    if not places:
        return {}
    label, guidance, seed = (
        np.concatenate([table.column(name).to_numpy() for table in tables])
        for name in ("label", "guidance", "seed")
    )
    order = np.lexsort((seed, guidance))
    return {
        wanted: tuple(places[index] for index in thin(order[label[order] == wanted], per_label))
        for wanted in range(labels)
    }


def _read(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, Sample]]:
    """The samples in those rows of a file, from the row groups that hold them."""
    with pq.ParquetFile(path) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            here = [row for row in rows if first <= row < first + size]
            if here:
                table = parquet.read_row_group(group, columns=["image.bytes", "prompt", "guidance"])
                chosen = table.take([row - first for row in here]).to_pylist()
                yield from zip(here, map(_sample, chosen), strict=True)
            first += size


def _sample(row: Mapping[str, Any]) -> Sample:
    data = row["image"]["bytes"]
    with Image.open(io.BytesIO(data)) as image:
        tiny = max(image.size) <= TINY
        kind, shown = ("png", data) if tiny else ("jpeg", _thumbnail(image))
    uri = f"data:image/{kind};base64,{base64.b64encode(shown).decode()}"
    return Sample(uri, row["prompt"], row["guidance"], tiny)


def _thumbnail(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
