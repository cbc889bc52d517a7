"""Where real data are: the private ones of a client, those of a simulation, and the test set."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from gptfl.spec.base import SpecModel, cel


class DataFormat(StrEnum):
    """How a data set is laid out; `Auto` looks at the files."""

    AUTO = "Auto"
    IMAGE_FOLDER = "ImageFolder"
    AUDIO_FOLDER = "AudioFolder"
    TEXT_FOLDER = "TextFolder"
    PARQUET = "Parquet"
    CSV = "Csv"


class DatasetSpec(SpecModel):
    """A labelled data set."""

    uri: Annotated[str, StringConstraints(min_length=1)]
    """`sklearn://digits`, `hf://OWNER/NAME`, or a file or folder (`file://PATH` or a path, from the
    folder of the run's file)."""
    format: DataFormat = DataFormat.AUTO
    """How a file or folder is laid out. In folders, each class has a folder of its name."""
    split: Annotated[str, StringConstraints(min_length=1)] = "train"
    """Which part, in the notation of Hugging Face datasets: `test`, `train[:80%]`."""
    revision: str | None = None
    """The hub's branch, tag or commit."""
    sample_column: str | None = None
    """The column of the samples (an image, or a path to one); found when unset."""
    label_column: str | None = None
    """The column of the labels; found when unset."""
    label_map: dict[str, str] | None = None
    """From what the data call a class to the task's label, where the two differ."""


class PartitionerKind(StrEnum):
    """How a public data set is dealt out to made-up clients."""

    IID = "Iid"
    DIRICHLET = "Dirichlet"
    PATHOLOGICAL = "Pathological"
    SHARDS = "Shards"
    NATURAL = "Natural"


class PartitionerSpec(SpecModel):
    """A partitioner of flwr-datasets."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.kind != 'Natural' || has(self.column)", "Natural needs column"),
        )
    )

    kind: PartitionerKind = PartitionerKind.DIRICHLET
    """`Iid`: evenly. `Dirichlet`: label shares drawn with `alpha`. `Pathological`: each client sees
    `classesPerClient` labels. `Shards`: label-sorted slices, `shardsPerClient` each. `Natural`: by
    the values of `column`."""
    alpha: Annotated[float, Field(gt=0, le=1000)] = 0.5
    """Dirichlet's concentration: the smaller, the more unlike are the clients."""
    minimum_size: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Dirichlet is drawn again until each client has this many samples."""
    classes_per_client: Annotated[int, Field(ge=1, le=1000)] = 2
    """Labels a client sees under `Pathological`."""
    shards_per_client: Annotated[int, Field(ge=1, le=1000)] = 2
    """Slices a client gets under `Shards`."""
    column: str | None = None
    """The column whose values are the clients under `Natural`."""
