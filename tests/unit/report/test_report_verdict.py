"""The sentence at the top is made from the numbers alone, whichever of them are there."""

from pathlib import Path

import pytest
from made_up_run import MadeUpRun

from gptfl.report.facts import Facts
from gptfl.report.verdict import key_figures, rounds_to_pass, verdict


def facts(folder: Path, made_up: MadeUpRun, until: str | None = None) -> Facts:
    run, artifacts = made_up.make(folder, until=until)
    return Facts(run, artifacts, None)


def sentence(folder: Path, made_up: MadeUpRun, until: str | None = None) -> str:
    return plain(verdict(facts(folder, made_up, until)))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def test_it_compares_with_every_control(tmp_path: Path) -> None:
    assert sentence(tmp_path, MadeUpRun()) == (
        "Started from 2,000 synthetic images, 10 clients reached 96.4 % in 30 rounds: "
        "14.2 points above the synthetic start, 59.8 above federation from scratch "
        "and 1.2 below centralised training."
    )


def test_a_public_checkpoint_is_a_control_too(tmp_path: Path) -> None:
    made_up = MadeUpRun(baselines=("PublicCheckpoint",))
    assert sentence(tmp_path, made_up).endswith(
        "14.2 points above the synthetic start and 5.4 above federation from a public checkpoint."
    )


def test_the_start_is_a_control_that_every_run_has(tmp_path: Path) -> None:
    made_up = MadeUpRun(baselines=())
    assert sentence(tmp_path, made_up).endswith("rounds: 14.2 points above the synthetic start.")


def test_it_does_not_flatter_a_run_that_lost(tmp_path: Path) -> None:
    made_up = MadeUpRun(baselines=("FromScratch", "SyntheticOnly"))
    made_up.final |= {"gpt-fl": 0.70, "from-scratch": 0.7498}
    assert sentence(tmp_path, made_up).endswith(
        "reached 70.0 % in 30 rounds: 12.2 points below the synthetic start "
        "and 5.0 below federation from scratch."
    )


def test_the_unit_stands_at_the_first_difference_there_is(tmp_path: Path) -> None:
    made_up = MadeUpRun(baselines=("FromScratch", "SyntheticOnly"))
    made_up.final |= {"gpt-fl": 0.8224, "synthetic-only": 0.8222}
    assert sentence(tmp_path, made_up).endswith(
        "level with the synthetic start and 45.6 points above federation from scratch."
    )


def test_one_of_everything_is_singular(tmp_path: Path) -> None:
    made_up = MadeUpRun(clients=1, rounds=1, per_round=1)
    assert "images, 1 client reached 96.4 % in 1 round: " in sentence(tmp_path, made_up)


def test_without_an_evaluation_the_last_round_speaks(tmp_path: Path) -> None:
    known = facts(tmp_path, MadeUpRun(), until="evaluation")
    assert "reached 96.4 % in 30 rounds: 14.2 points above" in plain(verdict(known))
    assert key_figures(known)[0].aside == "in the last round"


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("prompts", "This run has not drawn its synthetic images yet"),
        ("pretraining", "has drawn 2,000 synthetic images; no model has been trained on them yet"),
        ("federation", "2,000 synthetic images and pre-trained a model on them"),
    ],
)
def test_an_unfinished_run_says_how_far_it_came(tmp_path: Path, until: str, words: str) -> None:
    assert words in sentence(tmp_path, MadeUpRun(), until=until)


def test_key_figures_are_the_numbers_of_the_run(tmp_path: Path) -> None:
    figures = {
        figure.name: plain(figure.value) for figure in key_figures(facts(tmp_path, MadeUpRun()))
    }
    assert figures == {
        "Accuracy": "96.4 %",
        "Against synthetic only": "+14.2",
        "Against from scratch": "+59.8",
        "Passes scratch’s best": "round 0",
        "Synthetic images": "2,000",
        "Time to the model": "1 min 17 s",
    }


def test_a_control_that_is_never_passed_is_said_to_be(tmp_path: Path) -> None:
    made_up = MadeUpRun()
    made_up.final |= {"gpt-fl": 0.83, "from-scratch": 0.95}
    known = facts(tmp_path, made_up)
    assert rounds_to_pass(known, 0.99) is None
    assert "never" in {figure.value for figure in key_figures(known)}
