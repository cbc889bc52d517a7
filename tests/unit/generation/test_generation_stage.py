"""The stage draws as many good images of each label as asked for, the same ones every time."""

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from gptfl.errors import StageError
from gptfl.generation.results import GenerationReport
from gptfl.store import Artifact


def rows(artifact: Artifact) -> list[dict[str, Any]]:
    names = [name for name in artifact.names() if name.endswith(".parquet")]
    return [row for name in names for row in pq.read_table(artifact.path(name)).to_pylist()]


def test_draws_what_was_asked_for(stage, section) -> None:
    artifact, metrics = stage.run(section())
    report = artifact.read_model("generation.json", GenerationReport)
    assert report.labels == ["cat", "dog"]
    assert report.kept == report.drawn == [6, 6]
    assert (report.width, report.height, report.mode) == (16, 16, "L")
    assert report.pipeline == "StableDiffusionPipeline"
    assert artifact.names() == (
        "generation.json",
        *(f"samples-{index:05d}.parquet" for index in range(3)),
    )
    assert metrics["drawn"] == metrics["kept"] == 12
    assert metrics["effective_batch_size"] == 4
    assert metrics["images_per_second"] > 0
