"""Pretraining learns from the shards, says how far it is, and resumes to the bit."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gptfl.errors import DamagedArtifactError, GPTFLError, SpecError, StageError
from gptfl.pretraining.results import PretrainingHistory
from gptfl.pretraining.samples import load_samples
from gptfl.pretraining.stage import learning_rate, run
from gptfl.spec.pretraining import PretrainingSpec, Schedule
from gptfl.spec.sections import PretrainingSection
from gptfl.spec.task import ImageShape, TaskSpec
from gptfl.store import Artifact, Store, Workspace, open_store

LABELS = ["dark", "light", "striped"]
SHAPE = ImageShape(channels=1, height=8, width=8)


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def drawn(label: int, random: np.random.Generator) -> bytes:
    """A 16 x 16 image that shows its label."""
    pixels = random.integers(0, 80, (16, 16)) + (0, 170, 0)[label]
    if label == 2:
        pixels[:, ::4] += 170
    return png(pixels.astype(np.uint8))


def commit(store: Store, stage: str, workspace: Workspace, key: str) -> Artifact:
    return store.commit(
        workspace, stage=stage, version=1, key=key, section={}, inputs={}, metrics={},
        seconds=0.0, software={},
    )  # fmt: skip


def generation(store: Store, shards: list[list[tuple[bytes, int]]]) -> Artifact:
    """A synthetic data set as the stage before leaves it."""
    workspace = Workspace(store.blobs, "generation", "g" * 64, seed=0, folder=Path())
    for number, rows in enumerate(shards):
        columns = {
            "image": pa.array(
                [{"bytes": data, "path": None} for data, _ in rows],
                pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            ),
            "label": pa.array([label for _, label in rows], pa.int64()),
            "prompt": pa.array(["a picture"] * len(rows)),
        }
        with workspace.create(f"samples-{number:05d}.parquet") as path:
            pq.write_table(pa.table(columns), path)
    workspace.write("generation.json", b"{}")
    return commit(store, "generation", workspace, "g" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def samples(store: Store) -> Artifact:
    random = np.random.default_rng(0)
    rows = [(drawn(number % 3, random), number % 3) for number in range(60)]
    return generation(store, [rows[:40], rows[40:]])


def section(**pretraining: Any) -> PretrainingSection:
    spec = {
        "epochs": 5,
        "batchSize": 8,
        "optimizer": {"learningRate": 0.003},
        "augmentation": {"shift": 0.1, "noise": 0.05},
    }
    return PretrainingSection(
        seed=3,
        compute_threads=1,
        task=TaskSpec(labels=LABELS, image=SHAPE),
        pretraining=PretrainingSpec.model_validate(spec | pretraining),
    )


class KilledError(Exception):
    """What kills a stage in the middle."""


class Listener:
    """Hears the progress, and kills the stage after so many reports."""

    def __init__(self, kill_after: int | None = None) -> None:
        self.kill_after = kill_after
        self.reports: list[tuple[int, int, str, dict[str, float]]] = []

    def __call__(self, done: int, total: int, unit: str, metrics: dict[str, float]) -> None:
        self.reports.append((done, total, unit, metrics))
        if self.kill_after is not None and len(self.reports) > self.kill_after:
            raise KilledError


def workspace(store: Store, key: str, listener: Listener | None = None) -> Workspace:
    return Workspace(
        store.blobs, "pretraining", key * 64, seed=3, folder=Path(),
        report_progress=listener or Listener(),
    )  # fmt: skip


def digests(workspace: Workspace) -> dict[str, str]:
    return {name: entry.sha256 for name, entry in workspace.files.items()}


def test_it_learns_what_the_images_show(store: Store, samples: Artifact) -> None:
    made = workspace(store, "a")
    metrics = run(section(epochs=12), {"generation": samples}, made)
    artifact = commit(store, "pretraining", made, "a" * 64)
    history = artifact.read_model("history.json", PretrainingHistory)
    assert metrics["accuracy"] == history.epochs[-1].accuracy > 0.9
    assert metrics["loss"] < history.epochs[0].loss
    assert metrics["samples"] == history.samples == 60
    assert metrics["images_per_second"] > 0
    assert [epoch.epoch for epoch in history.epochs] == list(range(1, 13))
    assert artifact.names() == ("history.json", "model.safetensors")


def test_progress_counts_images_up_to_all_epochs(store: Store, samples: Artifact) -> None:
    listener = Listener()
    run(section(), {"generation": samples}, workspace(store, "a", listener))
    counts = [done for done, _, _, _ in listener.reports]
    assert counts == sorted(counts)
    assert listener.reports[-1][:3] == (300, 300, "images")
    assert set(listener.reports[-1][3]) == {"loss", "accuracy"}


@pytest.mark.parametrize("optimizer", ["AdamW", "Sgd"])
@pytest.mark.parametrize("checkpoint_epochs", [1, 2])
def test_killed_anywhere_it_ends_with_the_same_bits(
    store: Store, samples: Artifact, optimizer: str, checkpoint_epochs: int
) -> None:
    spec = section(
        optimizer={"name": optimizer, "learningRate": 0.003, "momentum": 0.9},
        checkpointEpochs=checkpoint_epochs,
    )
    undisturbed = workspace(store, "a")
    run(spec, {"generation": samples}, undisturbed)
    for reports in (1, 1):
        with pytest.raises(KilledError):
            run(spec, {"generation": samples}, workspace(store, "b", Listener(reports)))
    listener = Listener()
    resumed = workspace(store, "b", listener)
    run(spec, {"generation": samples}, resumed)
    assert digests(resumed) == digests(undisturbed)
    assert listener.reports[0][0] > 60  # it did not begin again


def test_the_seed_decides(store: Store, samples: Artifact) -> None:
    first, again, other = (workspace(store, key) for key in "abc")
    other.seed = 4
    for made in (first, again, other):
        run(section(epochs=2), {"generation": samples}, made)
    assert digests(first) == digests(again)
    assert digests(first)["model.safetensors"] != digests(other)["model.safetensors"]


def test_torchs_own_random_state_is_left_alone(store: Store, samples: Artifact) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run(section(epochs=1), {"generation": samples}, workspace(store, "a"))
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_ends_with_advice(store: Store, samples: Artifact) -> None:
    wild = section(optimizer={"name": "Sgd", "learningRate": 10})
    optimizer = wild.pretraining.optimizer.model_copy(update={"learning_rate": 1e38})
    wild = wild.model_copy(
        update={"pretraining": wild.pretraining.model_copy(update={"optimizer": optimizer})}
    )
    with pytest.raises(StageError, match=r"learningRate: training diverged in epoch 1 .* smaller"):
        run(wild, {"generation": samples}, workspace(store, "a"))


def test_float16_is_refused_before_anything_is_read(store: Store) -> None:
    with pytest.raises(SpecError, match=r"^spec\.pretraining\.precision: is Float16"):
        run(section(precision="Float16"), {}, workspace(store, "a"))


def test_no_samples_are_no_training(store: Store) -> None:
    nothing = generation(store, [[]])
    with pytest.raises(StageError, match=r"has no samples.*loosen spec\.generation\.filters"):
        run(section(), {"generation": nothing}, workspace(store, "a"))


def test_a_damaged_shard_is_named(store: Store, samples: Artifact) -> None:
    path = samples.path("samples-00001.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    found = store.find("generation", samples.key)
    assert found is not None
    with pytest.raises(DamagedArtifactError, match=r"samples-00001\.parquet: is damaged"):
        run(section(), {"generation": found}, workspace(store, "a"))


def test_samples_come_in_the_order_of_the_shards_and_in_the_shape_of_the_task(
    store: Store,
) -> None:
    grey = [(png(np.full((16, 16), level, np.uint8)), level % 3) for level in range(5)]
    found = load_samples(generation(store, [grey[:2], grey[2:]]), SHAPE)
    assert found.images.shape == (5, 1, 8, 8)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert found.labels.tolist() == [0, 1, 2, 0, 1]


def test_an_image_that_cannot_be_read_is_damage(store: Store) -> None:
    with pytest.raises(GPTFLError, match="image 0 cannot be read as an image"):
        load_samples(generation(store, [[(b"x", 0)]]), SHAPE)


def test_the_cosine_falls_from_the_rate_to_nothing() -> None:
    assert learning_rate(Schedule.COSINE, 2.0, 0.0) == 2.0
    assert learning_rate(Schedule.COSINE, 2.0, 1 / 3) == pytest.approx(1.5)
    assert learning_rate(Schedule.COSINE, 2.0, 1.0) == pytest.approx(0.0)
    assert math.isclose(learning_rate(Schedule.CONSTANT, 2.0, 0.7), 2.0)
