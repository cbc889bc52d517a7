"""Drawn images as Parquet, in the layout that Hugging Face `datasets` opens as images."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gptfl.generation.items import Item

ROW_GROUP = 64
"""Rows that a reader of a few samples has to read together."""


class UnreadableSamplesError(Exception):
    """The bytes are no file of samples, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn image."""

    item: Item
    png: bytes

    def image(self) -> Image.Image:
        """The decoded image."""
        image = Image.open(io.BytesIO(self.png))
        image.load()
        return image


@dataclass(frozen=True, slots=True)
class Effort:
    """What drawing a shard took; stands in raw shards alone."""

    seconds: float = 0.0
    """For which a worker was busy with it."""
    batch: int = 0
    """Images that the worker drew at once."""
    worker: str = ""
    """Who drew it."""


def encode_png(image: Image.Image) -> bytes:
    """A lossless file; colour stays colour and grey stays grey."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def to_parquet(
    samples: Sequence[Sample], labels: Sequence[str], effort: Effort | None = None
) -> bytes:
    """One file; without an effort its bytes follow from the samples alone."""
    items = [sample.item for sample in samples]
    schema = _schema(labels)
    if effort is not None:
        said = json.dumps(asdict(effort)).encode()
        schema = schema.with_metadata({**schema.metadata, _EFFORT: said})
    columns = {
        "image": [{"bytes": sample.png, "path": None} for sample in samples],
        "label": [item.label for item in items],
        "prompt": [item.prompt for item in items],
        "guidance": [item.guidance for item in items],
        "seed": [item.seed for item in items],
        "item": [item.n for item in items],
    }
    buffer = io.BytesIO()
    # PNG does not get smaller a second time.
    pq.write_table(
        pa.table(columns, schema=schema), buffer, compression="none", row_group_size=ROW_GROUP
    )
    return buffer.getvalue()


def from_parquet(data: bytes) -> tuple[list[Sample], Effort]:
    """The samples of a file, and what drawing them took (nothing when that is not recorded).

    Raises UnreadableSamplesError.
    """
    try:
        return _from_parquet(data)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise UnreadableSamplesError(" ".join(str(error).split())) from error


def _from_parquet(data: bytes) -> tuple[list[Sample], Effort]:
    table = pq.read_table(io.BytesIO(data))
    effort = Effort(**json.loads((table.schema.metadata or {}).get(_EFFORT, b"{}")))
    samples = [
        Sample(
            Item(row["label"], row["item"], row["prompt"], row["seed"], row["guidance"]),
            row["image"]["bytes"],
        )
        for row in table.to_pylist()
    ]
    return samples, effort


_EFFORT = b"gptfl.effort"


def _schema(labels: Sequence[str]) -> pa.Schema:
    """Written out by hand, since importing `datasets` for it would take seconds."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
        "prompt": {"dtype": "string", "_type": "Value"},
        "guidance": {"dtype": "float64", "_type": "Value"},
        "seed": {"dtype": "int64", "_type": "Value"},
        "item": {"dtype": "int64", "_type": "Value"},
    }
    return pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("prompt", pa.string()),
            ("guidance", pa.float64()),
            ("seed", pa.int64()),
            ("item", pa.int64()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
