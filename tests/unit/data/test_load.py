"""Data sets of every layout open as rows with the labels of the task, or one line says why not."""

import io
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from gptfl.data.load import open_dataset
from gptfl.data.partition import partition
from gptfl.errors import DataError
from gptfl.spec.data import DatasetSpec, PartitionerSpec
from gptfl.spec.federation import SimulationSpec
from gptfl.spec.task import ImageShape

FIELD = "spec.evaluation.dataset"
SHAPE = ImageShape(channels=1, height=4, width=4)
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` keeps what it reads here."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub is out of reach, as it may be for a user."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return


def draw(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), grey).save(path)


def encoded(grey: int) -> dict[str, object]:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), grey).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def pets(folder: Path) -> Path:
    """Three images in a folder each for two classes."""
    draw(folder / "cat" / "a.png", 10)
    draw(folder / "cat" / "b.jpg", 20)
    draw(folder / "dog" / "c.png", 30)
    return folder


class TestDigits:
    def test_they_are_all_there_in_their_grey_levels(self) -> None:
        digits = open_dataset(DatasetSpec(uri="sklearn://digits"), DIGITS, Path(), field=FIELD)
        images = digits.images(ImageShape(channels=1, height=8, width=8), np.arange(2))
        assert len(digits) == 1797
        assert digits.labels[:3].tolist() == [0, 1, 2]
        assert images.images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 5 13 9 1 of 16

    def test_its_parts_meet_and_do_not_overlap(self) -> None:
        parts = [
            open_dataset(
                DatasetSpec(uri="sklearn://digits", split=split), DIGITS, Path(), field=FIELD
            )
            for split in ("train[:80%]", "train[80%:]")
        ]
        assert [len(part) for part in parts] == [1438, 359]

    def test_labels_come_in_the_order_of_the_task(self) -> None:
        backwards = open_dataset(
            DatasetSpec(uri="sklearn://digits"), DIGITS[::-1], Path(), field=FIELD
        )
        assert backwards.labels[:3].tolist() == [9, 8, 7]
        assert backwards.label_counts[9] == 178

    def test_there_is_no_test_part(self) -> None:
        with pytest.raises(DataError, match=r"\.split: test of sklearn://digits: Unknown split"):
            open_dataset(
                DatasetSpec(uri="sklearn://digits", split="test"), DIGITS, Path(), field=FIELD
            )


class TestImageFolder:
    def test_each_class_has_a_folder(self, tmp_path: Path) -> None:
        pets(tmp_path / "pets")
        found = open_dataset(DatasetSpec(uri="pets"), ["dog", "cat"], tmp_path, field=FIELD)
        assert found.labels.tolist() == [1, 1, 0]
        assert found.images(SHAPE).images[:, 0, 0, 0].tolist() == [10, 20, 30]

    def test_folders_of_splits_are_parts(self, tmp_path: Path) -> None:
        pets(tmp_path / "train")
        draw(tmp_path / "test" / "dog" / "d.png", 40)
        draw(tmp_path / "test" / "cat" / "e.png", 50)
        spec = DatasetSpec(uri=f"file://{tmp_path}", split="test")
        found = open_dataset(spec, ["cat", "dog"], Path(), field=FIELD)
        assert found.images(SHAPE).images[:, 0, 0, 0].tolist() == [50, 40]

    def test_an_image_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        broken = pets(tmp_path) / "cat" / "b.jpg"
        broken.write_bytes(b"no image")
        found = open_dataset(DatasetSpec(uri="."), ["cat", "dog"], tmp_path, field=FIELD)
        with pytest.raises(DataError) as caught:
            found.images(SHAPE)
        assert str(caught.value) == (
            f"{FIELD}: {broken}: cannot be read as an image (unknown format)"
        )

    def test_an_image_that_has_gone_is_named(self, tmp_path: Path) -> None:
        pets(tmp_path)
        found = open_dataset(DatasetSpec(uri="."), ["cat", "dog"], tmp_path, field=FIELD)
        (tmp_path / "dog" / "c.png").unlink()
        with pytest.raises(DataError, match=r"c\.png: cannot be read \(No such file"):
            found.images(SHAPE)


class TestLabels:
    def test_an_unknown_one_is_named_with_the_nearest(self, tmp_path: Path) -> None:
        pets(tmp_path)
        with pytest.raises(DataError) as caught:
            open_dataset(DatasetSpec(uri="."), ["cat", "dogs"], tmp_path, field=FIELD)
        assert str(caught.value) == (
            f"{FIELD}: the data have the label 'dog', which is not one of spec.task.labels; did "
            f"you mean 'dogs'? add it there, or say which label it is in {FIELD}.labelMap"
        )

    def test_the_map_says_which_label_a_class_is(self, tmp_path: Path) -> None:
        pets(tmp_path)
        spec = DatasetSpec(uri=".", label_map={"dog": "hound"})
        found = open_dataset(spec, ["hound", "cat"], tmp_path, field=FIELD)
        assert found.labels.tolist() == [1, 1, 0]

    def test_a_label_without_samples_is_counted_as_none(self, tmp_path: Path) -> None:
        pets(tmp_path)
        found = open_dataset(DatasetSpec(uri="."), ["cow", "cat", "dog"], tmp_path, field=FIELD)
        assert found.label_counts.tolist() == [0, 2, 1]

    @pytest.mark.parametrize(
        ("values", "labels", "positions"),
        [
            (["b", "a"], ["a", "b"], [1, 0]),
            ([1, 0], ["a", "b"], [1, 0]),  # numbers without names are positions
            ([1, 2], ["2", "1"], [1, 0]),  # unless the labels are such numbers
            ([True, False], ["False", "True"], [1, 0]),
        ],
    )
    def test_columns_hold_names_or_numbers(
        self, tmp_path: Path, values: list[object], labels: list[str], positions: list[int]
    ) -> None:
        rows = {"text": ["x"] * len(values), "label": values}
        datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "rows.parquet")
        found = open_dataset(DatasetSpec(uri="rows.parquet"), labels, tmp_path, field=FIELD)
        assert found.labels.tolist() == positions

    @pytest.mark.parametrize(
        ("values", "line"),
        [
            ([0, 7], "the data have the label '7'"),
            ([0, None], "row 1 of .* has no label in column 'label'"),
            ([0.5, 1.5], "holds neither names nor whole numbers"),
            ([[0], [1]], "holds neither names nor whole numbers"),
        ],
    )
    def test_others_are_refused(self, tmp_path: Path, values: list[object], line: str) -> None:
        rows = {"text": ["x"] * len(values), "label": values}
        datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "rows.parquet")
        with pytest.raises(DataError, match=line):
            open_dataset(DatasetSpec(uri="rows.parquet"), ["a", "b"], tmp_path, field=FIELD)


class TestTables:
    def test_parquet_with_images_inside(self, tmp_path: Path) -> None:
        features = datasets.Features(
            {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
        )
        rows = {"picture": [encoded(5), encoded(6)], "kind": [1, 0]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "rows.parquet")
        found = open_dataset(DatasetSpec(uri="rows.parquet"), ["cat", "dog"], tmp_path, field=FIELD)
        assert found.labels.tolist() == [1, 0]
        assert found.images(SHAPE).images[:, 0, 0, 0].tolist() == [5, 6]

    def test_pixels_may_be_numbers_from_nothing_to_255(self, tmp_path: Path) -> None:
        for name, value in (("good", 7), ("bad", 0.5), ("worse", 256)):
            rows = {"image": [[[value] * 8] * 8], "label": ["cat"]}
            datasets.Dataset.from_dict(rows).to_parquet(tmp_path / f"{name}.parquet")
        good, bad, worse = (
            open_dataset(DatasetSpec(uri=f"{n}.parquet"), ["cat", "dog"], tmp_path, field=FIELD)
            for n in ("good", "bad", "worse")
        )
        assert good.images(SHAPE).images.unique().tolist() == [7]
        for wrong in (bad, worse):
            with pytest.raises(DataError, match="row 0: column 'image' holds no image"):
                wrong.images(SHAPE)

    def test_an_image_inside_that_cannot_be_read_is_named_by_its_row(self, tmp_path: Path) -> None:
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
        rows = {"image": [encoded(5), {"bytes": b"x", "path": None}], "label": ["cat", "cat"]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "rows.parquet")
        found = open_dataset(DatasetSpec(uri="rows.parquet"), ["cat", "dog"], tmp_path, field=FIELD)
        with pytest.raises(DataError, match=rf"^{FIELD}: row 1: cannot be read as an image"):
            found.images(SHAPE)

    def test_csv_with_paths_that_start_beside_it(self, tmp_path: Path) -> None:
        pets(tmp_path / "table" / "images")
        lines = "file,kind\nimages/dog/c.png,dog\nimages/cat/a.png,cat\n"
        (tmp_path / "table" / "index.csv").write_text(lines)
        spec = DatasetSpec(uri="table/index.csv", label_column="kind")
        found = open_dataset(spec, ["cat", "dog"], tmp_path, field=FIELD)
        assert found.images(SHAPE).images[:, 0, 0, 0].tolist() == [30, 10]

    def test_the_names_of_files_say_which_part_they_are(self, tmp_path: Path) -> None:
        for name, kind in (("train-0.csv", "cat"), ("train-1.csv", "dog"), ("test.csv", "dog")):
            (tmp_path / name).write_text(f"text,label\nx,{kind}\n")
        parts = [
            open_dataset(DatasetSpec(uri=".", split=split), ["cat", "dog"], tmp_path, field=FIELD)
            for split in ("train", "test", "test+train[:1]")
        ]
        assert [part.labels.tolist() for part in parts] == [[0, 1], [1], [1, 0]]

    @pytest.mark.parametrize(
        ("columns", "line"),
        [
            ({}, r"\.labelColumn: is not set and could not be guessed; the columns are text, kind"),
            ({"label_column": "sort"}, r"\.labelColumn: there is no column 'sort'"),
            ({"label_column": "kind", "sample_column": "x"}, r"\.sampleColumn: there is no column"),
        ],
    )
    def test_columns_that_are_not_there(
        self, tmp_path: Path, columns: dict[str, str], line: str
    ) -> None:
        (tmp_path / "rows.csv").write_text("text,kind\nx,cat\n")
        with pytest.raises(DataError, match=line):
            open_dataset(
                DatasetSpec(uri="rows.csv", **columns), ["cat", "dog"], tmp_path, field=FIELD
            )

    def test_a_table_without_rows_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("text,label\nx,cat\n")
        spec = DatasetSpec(uri="rows.csv", split="train[1:]")
        with pytest.raises(DataError, match=r"\.split: train\[1:\] of rows\.csv"):
            open_dataset(spec, ["cat", "dog"], tmp_path, field=FIELD)

    def test_text_is_no_image(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("text,label\nx,cat\n")
        found = open_dataset(DatasetSpec(uri="rows.csv"), ["cat", "dog"], tmp_path, field=FIELD)
        with pytest.raises(DataError, match="cannot be read"):
            found.images(SHAPE)

    def test_a_damaged_table_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(DataError, match=r"\.uri: .*rows\.parquet cannot be read"):
            open_dataset(DatasetSpec(uri="rows.parquet"), ["a", "b"], tmp_path, field=FIELD)


class TestOtherModalities:
    def test_texts_have_a_folder_for_each_class(self, tmp_path: Path) -> None:
        for label, name in (("good", "1"), ("good", "2"), ("bad", "1")):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{name}.txt").write_text(f"{label} {name}")
        found = open_dataset(DatasetSpec(uri="."), ["good", "bad"], tmp_path, field=FIELD)
        assert found.labels.tolist() == [1, 0, 0]
        assert found.hf["text"][:] == ["bad 1", "good 1", "good 2"]

    def test_a_text_in_another_encoding_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "good").mkdir()
        (tmp_path / "good" / "1.txt").write_bytes("schön".encode("latin-1"))
        with pytest.raises(DataError, match=r"1\.txt is not UTF-8 text"):
            open_dataset(DatasetSpec(uri="."), ["good", "bad"], tmp_path, field=FIELD)

    def test_clips_have_a_folder_for_each_class_and_can_be_dealt_out(self, tmp_path: Path) -> None:
        for label, name in (("yes", "1"), ("yes", "2"), ("no", "1"), ("no", "2")):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{name}.wav").write_bytes(b"RIFF")
        found = open_dataset(DatasetSpec(uri="."), ["yes", "no"], tmp_path, field=FIELD)
        simulation = SimulationSpec(
            dataset=DatasetSpec(uri="."), clients=2, partitioner=PartitionerSpec(kind="Iid")
        )
        assert found.label_counts.tolist() == [2, 2]
        assert [len(part) for part in partition(found, simulation, seed=0)] == [2, 2]


def test_a_hub_id_out_of_reach_is_one_line() -> None:
    spec = DatasetSpec(uri="hf://someone/something")
    with pytest.raises(DataError) as caught:
        open_dataset(spec, ["a", "b"], Path(), field=FIELD)
    assert str(caught.value).startswith(f"{FIELD}.uri: hf://someone/something")
    assert "\n" not in str(caught.value)
