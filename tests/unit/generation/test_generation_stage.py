"""The stage draws as many good images of each label as asked for, the same ones every time."""

import io
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gptfl.errors import ModelError, SpecError, StageError
from gptfl.generation.results import GenerationReport
from gptfl.generation.workers import Studio
from gptfl.store import Artifact


def rows(artifact: Artifact) -> list[dict[str, Any]]:
    names = [name for name in artifact.names() if name.endswith(".parquet")]
    return [row for name in names for row in pq.read_table(artifact.path(name)).to_pylist()]


def report(artifact: Artifact) -> GenerationReport:
    return artifact.read_model("generation.json", GenerationReport)


def test_draws_what_was_asked_for(stage, section) -> None:
    artifact, metrics = stage.run(section())
    made = report(artifact)
    assert made.labels == ["cat", "dog"]
    assert made.kept == made.drawn == [6, 6]
    assert (made.width, made.height, made.mode) == (16, 16, "L")
    assert made.pipeline == "StableDiffusionPipeline"
    assert artifact.names() == (
        "generation.json",
        *(f"samples-{index:05d}.parquet" for index in range(3)),
    )
    assert metrics["drawn"] == metrics["kept"] == 12
    assert metrics["effective_batch_size"] == 4
    assert metrics["images_per_second"] > 0
    assert artifact.record.cost.device_seconds > 0


def test_every_image_is_a_png_with_its_prompt_seed_and_guidance(stage, section) -> None:
    artifact, _ = stage.run(section(guidance={"minimum": 2, "maximum": 3}))
    found = rows(artifact)
    assert [(row["label"], row["item"]) for row in found] == [
        (label, n) for label in (0, 1) for n in range(6)
    ]
    assert [row["prompt"] for row in found[:4]] == ["a cat", "one cat", "the cat", "a cat"]
    assert (
        len({row["seed"] for row in found}) == len({row["image"]["bytes"] for row in found}) == 12
    )
    assert all(2 <= row["guidance"] <= 3 for row in found)
    for row in found:
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (16, 16))


def test_hugging_face_datasets_opens_the_files(stage, section, tmp_path: Path) -> None:
    artifact, _ = stage.run(section())
    files = [str(artifact.path(name)) for name in artifact.names() if name != "generation.json"]
    opened = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert opened.features["label"].names == ["cat", "dog"]
    assert opened[0]["image"].size == (16, 16)


def test_one_worker_and_four_give_the_same_bits(stage, section) -> None:
    one, _ = stage.run(section(workers=1), key="1" * 64)
    four, metrics = stage.run(section(workers=4), key="4" * 64)
    assert 1 <= metrics["workers"] <= 3, "there are three shards"
    assert one.digest == four.digest


def test_the_order_in_which_shards_are_drawn_changes_nothing(
    stage, section, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards, _ = stage.run(section(), key="1" * 64)
    draw = Studio.draw
    monkeypatch.setattr(
        Studio, "draw", lambda self, shards, *given: draw(self, shards[::-1], *given)
    )
    backwards, _ = stage.run(section(), key="2" * 64)
    assert forwards.digest == backwards.digest


def test_another_seed_gives_other_images(stage, section) -> None:
    one, _ = stage.run(section(), key="1" * 64)
    other, _ = stage.run(section(seed=8), key="2" * 64)
    assert not {row["image"]["bytes"] for row in rows(one)} & {
        row["image"]["bytes"] for row in rows(other)
    }


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("images", [4, 8])
def test_a_killed_run_goes_on_where_it_was(stage, section, workers: int, images: int) -> None:
    undisturbed, _ = stage.run(section(), key="1" * 64)

    def interrupt(done: int, total: int, unit: str, metrics: dict[str, float]) -> None:
        assert (total, unit) == (12, "images")
        if done > images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(section(workers=workers), key="2" * 64, report_progress=interrupt)
    heard: list[int] = []
    resumed, _ = stage.run(
        section(), key="2" * 64, report_progress=lambda done, *_: heard.append(done)
    )
    assert resumed.digest == undisturbed.digest
    assert heard[0] >= images - 4 * (workers - 1)  # nothing of a finished shard is drawn again
    assert heard[-1] == 12


def test_a_refill_makes_up_for_what_was_dropped(stage, section, tmp_path: Path) -> None:
    (tmp_path / "odd_scorer.py").write_text(
        "def score(images, indices, labels):\n"
        "    assert labels == ['cat', 'dog']\n"
        "    return [0.0 if image.getpixel((0, 0)) % 2 and label else 1.0\n"
        "            for image, label in zip(images, indices, strict=True)]\n"
    )
    filters = {"agreement": {"scorer": "Custom", "function": "odd_scorer:score"}}
    artifact, metrics = stage.run(section(filters=filters, samplesPerLabel=8))
    made = report(artifact)
    assert made.kept == [8, 8]
    assert made.drawn[0] == 8 + made.dropped["blank"][0] + made.dropped["duplicate"][0]
    assert made.dropped["disagreement"][0] == 0 < made.dropped["disagreement"][1]
    for label in (0, 1):
        dropped = sum(made.dropped[name][label] for name in made.dropped)
        assert made.drawn[label] == made.kept[label] + made.surplus[label] + dropped
    assert made.rounds >= 2
    assert metrics["dropped/disagreement"] == sum(made.dropped["disagreement"])
    found = rows(artifact)
    assert len(found) == 16
    assert len({row["seed"] for row in found}) == 16
    dogs = [row["image"]["bytes"] for row in found if row["label"] == 1]
    assert all(Image.open(io.BytesIO(png)).getpixel((0, 0)) % 2 == 0 for png in dogs)


def test_a_label_that_cannot_be_filled_ends_the_stage(stage, section) -> None:
    filters = {"blank": {"minimumContrast": 1.0}, "maximumDraws": 2}
    with pytest.raises(StageError, match=r"'cat' has 0 good images of the 6 .* after 12 draws"):
        stage.run(section(filters=filters))


def test_scorers_by_cross_fit_are_deterministic(stage, section) -> None:
    filters = {"agreement": {"scorer": "CrossFit", "minimumScore": 0.2}, "maximumDraws": 20}
    one, _ = stage.run(section(filters=filters), key="1" * 64)
    two, _ = stage.run(section(filters=filters, workers=3), key="2" * 64)
    assert one.digest == two.digest
    assert report(one).kept == [6, 6]


def test_a_scorer_that_fails_is_named(stage, section, tmp_path: Path) -> None:
    (tmp_path / "bad_scorer.py").write_text(
        "def score(images, indices, labels):\n    return [2.0]\n"
    )
    filters = {"agreement": {"scorer": "Custom", "function": "bad_scorer:score"}}
    with pytest.raises(ModelError, match=r"agreement\.function: bad_scorer:score returned"):
        stage.run(section(filters=filters))


def test_a_scorer_that_is_not_there_is_told_before_anything_is_drawn(stage, section) -> None:
    filters = {"agreement": {"scorer": "Custom", "function": "no_such_module:score"}}

    def heard(*_: Any) -> None:
        raise AssertionError("something was drawn")

    with pytest.raises(SpecError, match="no_such_module"):
        stage.run(section(filters=filters), report_progress=heard)


def test_a_size_that_the_pipeline_cannot_draw_is_one_line(stage, section) -> None:
    with pytest.raises(ModelError, match=r"^spec\.generation: .* divisible by 8") as caught:
        stage.run(section(height=12, width=12))
    assert "\n" not in str(caught.value)


def test_a_size_of_ones_own_is_drawn(stage, section) -> None:
    artifact, _ = stage.run(section(height=8, width=24, samplesPerLabel=1))
    assert (report(artifact).width, report(artifact).height) == (24, 8)
