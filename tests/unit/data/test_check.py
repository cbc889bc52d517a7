"""What can be seen of a data set or function before a run starts is said before it starts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gptfl.data.check import check_dataset, check_run
from gptfl.data.functions import check_function, load_function
from gptfl.errors import DataError, GPTFLError, ModelError, SpecError
from gptfl.spec.data import DatasetSpec
from gptfl.spec.run import GPTFLRun

FIELD = "spec.evaluation.dataset"
LABELS = ["cat", "dog"]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "spec",
    [
        {"uri": "sklearn://digits", "split": "train[:80%]"},
        {"uri": "hf://owner/name-1.0"},
        {"uri": "hf://mnist", "split": "test+train[100:200]"},
        {"uri": "pets"},
        {"uri": "pets", "format": "ImageFolder", "labelMap": {"hound": "dog"}},
        {"uri": "table.csv"},
    ],
)
def test_what_may_be_well_passes(tmp_path: Path, spec: dict[str, Any]) -> None:
    touch(tmp_path / "pets" / "cat" / "a.PNG")
    touch(tmp_path / "table.csv")
    check_dataset(DatasetSpec.model_validate(spec), LABELS, tmp_path, FIELD)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"uri": "gone"}, r"\.uri: .*/gone does not exist; relative paths start at"),
        ({"uri": "empty"}, r"\.uri: .*/empty has no files"),
        ({"uri": "odd"}, r"\.uri: .*/odd has only \.xyz files, of which no format is known"),
        ({"uri": "s3://bucket"}, r"\.uri: 's3://bucket' is none of sklearn://digits, hf://"),
        ({"uri": "sklearn://faces"}, r"\.uri: 'sklearn://faces' is none of"),
        ({"uri": "hf://a/b/c"}, r"\.uri: 'hf://a/b/c' is not a hub id; write hf://OWNER/NAME"),
        ({"uri": "pets", "format": "Csv"}, r"\.format: Csv wants \.csv files, and .* only \.png"),
        ({"uri": "table.csv", "format": "ImageFolder"}, r"\.format: ImageFolder wants a folder"),
        ({"uri": "pets", "split": "train[80]"}, r"\.split: 'train\[80\]' is not a split"),
        ({"uri": "pets", "labelMap": {"x": "cats"}}, r"\.labelMap\.x: .* did you mean 'cat'\?"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_field(
    tmp_path: Path, spec: dict[str, Any], line: str
) -> None:
    touch(tmp_path / "pets" / "cat" / "a.png")
    touch(tmp_path / "odd" / "a.xyz")
    touch(tmp_path / "table.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises((DataError, SpecError), match=rf"^spec\.evaluation\.dataset{line}") as error:
        check_dataset(DatasetSpec.model_validate(spec), LABELS, tmp_path, FIELD)
    assert "\n" not in str(error.value)


def a_run(**federation: Any) -> GPTFLRun:
    digits = {"uri": "sklearn://digits"}
    return GPTFLRun.model_validate(
        {
            "metadata": {"name": "run"},
            "spec": {
                "task": {"labels": LABELS},
                "federation": {"simulation": {"dataset": digits}} | federation,
                "evaluation": {"dataset": digits},
            },
        }
    )


def test_every_data_set_and_function_of_a_run_is_looked_at(tmp_path: Path) -> None:
    check_run(a_run(), tmp_path)
    nobody = {"simulation": None, "clients": [{"name": "al", "data": {"uri": "al"}}]}
    strategy = {"strategy": {"name": "Custom", "function": "nowhere_at_all:make"}}
    with pytest.raises(GPTFLError, match=r"^spec\.federation\.clients\[0\]\.data\.uri: "):
        check_run(a_run(**nobody), tmp_path)
    with pytest.raises(GPTFLError, match=r"^spec\.federation\.strategy\.function: "):
        check_run(a_run(**strategy), tmp_path)


def test_looking_loads_neither_torch_nor_datasets() -> None:
    code = "import sys, gptfl.data.check, gptfl.models.check as c; " + (
        "print({'torch', 'datasets', 'transformers', 'sklearn'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "set()"


class TestFunctions:
    def test_one_beside_the_runs_file_is_found_and_loaded(self, tmp_path: Path) -> None:
        (tmp_path / "mine_a.py").write_text("def double(x):\n    return 2 * x\n")
        check_function("mine_a:double", tmp_path, "spec.x")
        assert load_function("mine_a:double", tmp_path, "spec.x")(3) == 6

    def test_a_wrong_name_is_answered_with_the_nearest(self, tmp_path: Path) -> None:
        (tmp_path / "mine_b.py").write_text("def double(x):\n    return 2 * x\n")
        with pytest.raises(SpecError, match=r"^spec\.x: .*'doubel'; did you mean 'double'\?"):
            check_function("mine_b:doubel", tmp_path, "spec.x")

    def test_a_module_is_looked_at_and_not_run(self, tmp_path: Path) -> None:
        (tmp_path / "mine_c.py").write_text("raise SystemExit\ndef f(): ...\n")
        check_function("mine_c:f", tmp_path, "spec.x")

    def test_a_module_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"^spec\.x: there is no module 'mine_d'; put mine_d"):
            check_function("mine_d:f", tmp_path, "spec.x")

    def test_a_module_that_fails_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "mine_e.py").write_text("def f(): ...\nprint(1 / 0)\n")
        with pytest.raises(ModelError, match=r"^spec\.x: module 'mine_e' fails: ZeroDivision"):
            load_function("mine_e:f", tmp_path, "spec.x")

    def test_what_is_no_function_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine_f.py").write_text("f = 3\n")
        with pytest.raises(SpecError, match=r"^spec\.x: 'mine_f:f' is not a function"):
            load_function("mine_f:f", tmp_path, "spec.x")
