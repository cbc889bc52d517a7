"""The `gptfl` that people type: quick, one line for an error, the right exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_world import RUN, Gptfl

from gptfl.cli.output import local
from gptfl.cli.run import with_workers
from gptfl.spec.base import canonical_json
from gptfl.spec.load import parse_run
from gptfl.stages import plan

GPTFL = Path(sys.executable).with_name("gptfl")


def typed(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "GPTFL_STORE"}
    return subprocess.run(
        [GPTFL, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_help_loads_nothing_that_it_does_not_need() -> None:
    script = (
        "import sys, gptfl.cli\n"
        "try: gptfl.cli.main(['run', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'torch', 'numpy', 'pydantic', 'rich', 'yaml', 'diffusers', 'datasets', 'flwr'}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert said.stdout.startswith("Usage: gptfl run [OPTIONS] FILE")
    assert said.stdout.splitlines()[-1] == "[]"


def test_a_wrong_file_is_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN.replace("[cat, dog]", "[cat]"))
    said = typed("run", "run.yaml", cwd=tmp_path)

    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr == (
        'gptfl: spec.task.labels: ["cat"] has 1 entry; use a list of 2 to 1000 entries, '
        "each a text of 1 to 200 characters\n"
    )
    assert not (tmp_path / ".gptfl").exists()


def test_a_store_that_cannot_be_written_is_one_line_and_code_1(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    said = typed("run", "run.yaml", "--store", "/proc/gptfl", cwd=tmp_path)

    assert said.returncode == 1
    assert said.stderr.startswith("gptfl: /proc/gptfl: ")
    assert len(said.stderr.splitlines()) == 1


def test_debug_adds_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    for arguments in (("--debug", "validate", "x"), ("validate", "x", "--debug")):
        said = typed(*arguments, cwd=tmp_path)
        assert said.stderr.startswith("Traceback")
        assert said.stderr.splitlines()[-1].startswith("gptfl: x: No such file or directory; ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("run",), "gptfl: Missing argument 'FILE'; see 'gptfl run --help'"),
        (("fly",), "gptfl: No such command 'fly'; see 'gptfl --help'"),
        (("run", "x", "--worker", "2"), "see 'gptfl run --help'"),
        (("run", "x", "--workers", "0"), "see 'gptfl run --help'"),
        (("run", "none.yaml"), "gptfl: none.yaml: No such file or directory; give the path"),
        (("explain", "spec.rounds"), "did you mean spec.federation.rounds?"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    gptfl: Gptfl, arguments: tuple[str, ...], line: str
) -> None:
    said = gptfl(*arguments)

    assert said.code == 2
    assert line in said.err
    assert len(said.err.splitlines()) == 1


def test_without_a_command_it_shows_what_there_is(gptfl: Gptfl) -> None:
    said = gptfl()

    assert said.code == 2
    assert "Commands:" in said.out


def test_validate_says_that_a_file_is_valid(
    gptfl: Gptfl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(RUN)

    assert gptfl("validate", "run.yaml").out == (
        "run.yaml: valid; run it with 'gptfl run run.yaml'\n"
    )


def test_validate_names_each_fault_on_a_line_of_its_own(gptfl: Gptfl, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(RUN.replace("[cat, dog]", "[cat, Cat]") + "  seed: x\n")
    assert len(gptfl("validate", str(path)).err.splitlines()) == 1
    path.write_text(RUN + "  seed: x\n  rounds: 3\n")
    lines = gptfl("validate", str(path)).err.splitlines()

    assert [line.split(":")[1].strip() for line in lines] == ["spec.seed", "spec.rounds"]


def test_crd_and_explain_need_no_file(gptfl: Gptfl) -> None:
    assert "kind: CustomResourceDefinition" in gptfl("crd").out
    assert gptfl("explain").out.startswith("GPTFLRun")
    explained = gptfl("explain", "federation.clients[2].data.uri").out
    assert explained.startswith("spec.federation.clients[].data.uri\n")


def test_explain_says_type_default_and_meaning(gptfl: Gptfl) -> None:
    said = gptfl("explain", "spec.federation.strategy.name").out

    assert "is        FedAvg, FedProx," in said
    assert "default   FedAvg" in said
    assert "The rule." in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "x", "--broker", "amqp://me:hunter2@broker"),
        ("artifacts", "list", "--store", "s3://me:hunter2@bucket"),
    ],
)
def test_a_password_in_a_wrong_address_is_not_said_again(
    gptfl: Gptfl, arguments: tuple[str, ...]
) -> None:
    said = gptfl(*arguments)

    assert said.code == 2
    assert "://…@" in said.err
    assert "hunter2" not in said.err


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(
    gptfl: Gptfl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(path: Path) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("gptfl.cli.run.validate_file", explode)
    said = gptfl("validate", "x")

    assert said.code == 1
    assert said.err == "gptfl: ZeroDivisionError: division by zero; add --debug to see where\n"


def test_interrupted_is_130(gptfl: Gptfl, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gptfl.cli.run.validate_file", interrupt)
    said = gptfl("validate", "x")

    assert said.code == 130
    assert said.err.splitlines()[-1] == "gptfl: interrupted; run the same command to go on"


def test_the_number_of_workers_changes_no_key() -> None:
    run = parse_run(RUN)

    for one, many in zip(plan(run), plan(with_workers(run, 7)), strict=True):
        assert canonical_json(one.section) == canonical_json(many.section)
    assert with_workers(run, 7).spec.generation.workers == 7


def test_an_address_in_a_bucket_is_shown_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert local("s3://bucket/run/artifacts") == "s3://bucket/run/artifacts"
    assert local((tmp_path / "store" / "a b").as_uri()) == "store/a b"
    assert local("/elsewhere") == "/elsewhere"
