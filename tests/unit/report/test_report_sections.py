"""What each section of the report takes from the artifacts."""

import base64
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_up_run import MadeUpRun
from PIL import Image

from gptfl.federation.results import FederationHistory, Refusal
from gptfl.report.clients import MOST_CLIENTS, clients, effective_labels, quantile
from gptfl.report.confusion import confusion, recalls
from gptfl.report.costs import costs, lineage, software
from gptfl.report.curves import accuracy_figure, diversity_figure
from gptfl.report.drawing import drawing
from gptfl.report.facts import Facts
from gptfl.report.samples import samples_by_label
from gptfl.report.standing import standing
from gptfl.store import Phase, RunStatus, StepState, StepStatus


def facts(
    folder: Path,
    made_up: MadeUpRun | None = None,
    *,
    until: str | None = None,
    status: RunStatus | None = None,
) -> Facts:
    run, artifacts = (made_up or MadeUpRun()).make(folder, until=until)
    return Facts(run, artifacts, status)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts(tmp_path_factory.mktemp("store"))


def a_status(*steps: StepStatus, phase: Phase = Phase.SUCCEEDED, message: str = "") -> RunStatus:
    return RunStatus(
        namespace="default", name="digits", uid="1", phase=phase, message=message,
        started=datetime(2026, 11, 24, tzinfo=UTC), steps=steps,
    )  # fmt: skip


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def test_accuracy_has_a_line_for_each_federation_and_a_level_for_the_start(whole: Facts) -> None:
    figure = accuracy_figure(whole)
    assert figure is not None
    assert [key.name for key in figure.legend] == [
        "GPT-FL", "From scratch", "Centralised", "Synthetic only",
    ]  # fmt: skip
    assert figure.table is not None
    assert figure.table.rows[-1][:2] == ("30", "96.4\u202f%")
    assert len(figure.table.rows) == 31


def test_diversity_leaves_out_rounds_without_one_and_centralised_training(whole: Facts) -> None:
    figure = diversity_figure(whole)
    assert figure is not None
    assert [key.name for key in figure.legend] == ["GPT-FL", "From scratch"]
    assert figure.table is not None
    assert [row[0] for row in figure.table.rows[:2]] == ["1", "2"]


def test_samples_go_from_the_lowest_guidance_to_the_highest(whole: Facts) -> None:
    samples = samples_by_label(whole.artifacts["generation"], 10)
    assert sorted(samples) == list(range(10))
    for label in samples.values():
        assert len(label) == 8
        guidance = [sample.guidance for sample in label]
        assert guidance == sorted(guidance)
    assert samples[7][0].prompt == "a thin slanted handwritten digit seven"


def test_tiny_images_are_kept_to_the_bit_and_large_ones_shrunk(tmp_path: Path) -> None:
    tiny = samples_by_label(facts(tmp_path / "a").artifacts["generation"], 10)[0][0]
    large = samples_by_label(facts(tmp_path / "b", MadeUpRun(side=300)).artifacts["generation"], 10)
    assert tiny.tiny
    assert size_of(tiny.uri, "image/png") == (32, 32)
    assert not large[0][0].tiny
    assert size_of(large[0][0].uri, "image/jpeg") == (160, 160)


def size_of(uri: str, kind: str) -> tuple[int, int]:
    head, data = uri.split(",")
    assert head == f"data:{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return image.size


def test_a_label_of_which_nothing_is_left_is_an_empty_row(tmp_path: Path) -> None:
    made_up = MadeUpRun(labels=("cat", "dog"), samples=5)
    known = facts(tmp_path, made_up)
    assert samples_by_label(known.artifacts["generation"], 3)[2] == []


def test_drops_are_counted_by_filter(tmp_path: Path) -> None:
    dropped = {"blank": [0, 2], "duplicate": [3, 1], "disagreement": [0, 0]}
    section = drawing(
        facts(tmp_path, MadeUpRun(labels=("cat", "dog"), samples=10, dropped=dropped))
    )
    assert section is not None
    assert section.labels[0].counts == ("10 kept of 13", "3 duplicate")
    assert section.labels[1].counts == ("10 kept of 13", "2 blank", "1 duplicate")
    assert section.filters is not None
    assert [key.name for key in section.filters.legend] == ["Blank", "Duplicate"]
    assert section.table.rows[1] == ("dog", "13", "10", "0", "2", "1", "0")


def test_nothing_dropped_needs_no_chart(tmp_path: Path) -> None:
    section = drawing(facts(tmp_path, MadeUpRun(dropped={"blank": [0] * 10})))
    assert section is not None
    assert section.filters is None
    assert section.labels[0].counts == ("200 kept",)


def test_effective_labels_count_variety() -> None:
    assert effective_labels([5, 5, 5, 5]) == pytest.approx(4)
    assert effective_labels([9, 0, 0]) == pytest.approx(1)
    assert effective_labels([0, 0]) == 0


def test_quantiles_are_interpolated() -> None:
    assert [quantile([4, 1, 3, 2], share) for share in (0, 0.5, 1)] == [1, 2.5, 4]


def test_of_a_thousand_clients_some_are_drawn_and_all_are_summed_up(tmp_path: Path) -> None:
    section = clients(facts(tmp_path, MadeUpRun(clients=1000)))
    assert section is not None
    assert section.distribution.caption == f"The first {MOST_CLIENTS} of 1,000 clients."
    assert section.words.startswith("1,000\u00a0simulated clients hold ")
    assert section.quantiles.rows[0][0] == "Samples"


def test_refused_replies_are_explained(tmp_path: Path) -> None:
    refused = {4: {Refusal.NO_REPLY: 1}, 9: {Refusal.NOT_FINITE: 2}, 11: {Refusal.NO_REPLY: 2}}
    section = clients(facts(tmp_path, MadeUpRun(refused=refused)))
    assert section is not None
    assert plain(section.refusal_words) == "85 of 90 replies asked for were used (94.4 %)."
    assert section.refusals is not None
    assert section.refusals.rows == (
        ("No reply came", "3", "4, 11"),
        ("A weight or a metric is infinite or not a number", "2", "9"),
    )


def test_when_all_replies_are_used_there_is_nothing_to_explain(whole: Facts) -> None:
    section = clients(whole)
    assert section is not None
    assert plain(section.refusal_words) == "90 of 90 replies asked for were used."
    assert section.refusals is None


class Reticent(MadeUpRun):
    """One client keeps its label counts, another has not come, two replies were late."""

    def history(self, step: str) -> FederationHistory:
        made = super().history(step)
        if step != "federation":
            return made
        silent = made.clients[0].model_copy(update={"label_counts": None})
        away = made.clients[1].model_copy(
            update={"samples": 0, "label_counts": None, "joined": False}
        )
        late = made.rounds[3].model_copy(update={"late": 2})
        return made.model_copy(
            update={
                "clients": [silent, away, *made.clients[2:]],
                "rounds": [*made.rounds[:3], late, *made.rounds[4:]],
            }
        )


def test_what_clients_keep_to_themselves_and_who_was_away_is_said(tmp_path: Path) -> None:
    section = clients(facts(tmp_path, Reticent()))
    assert section is not None
    assert plain(section.words).endswith("1 client had not come when it began.")
    assert plain(section.distribution.caption) == "2 rows empty: their labels are not known here."
    assert section.distribution.table is not None
    assert set(section.distribution.table.rows[0][1:]) == {"–"}
    assert "2 replies came when the round was over." in plain(section.refusal_words)


def test_recall_is_the_share_of_a_row_on_the_diagonal() -> None:
    assert recalls([[3, 1], [0, 0]]) == [0.75, None]


def test_confusion_shows_the_final_model_beside_what_it_began_as(whole: Facts) -> None:
    section = confusion(whole)
    assert section is not None
    assert [matrix.title for matrix in section.matrices] == ["GPT-FL", "Synthetic only"]
    assert section.scores.rows[0] == (
        "GPT-FL", "96.4\u202f%", "96.3\u202f%", "96.2\u202f%", "0.180",
    )  # fmt: skip
    assert section.recall.table is not None
    assert section.recall.table.rows[0] == ("zero", "36", "97.2\u202f%", "86.1\u202f%")


def test_with_many_labels_the_pairs_stand_for_the_table(tmp_path: Path) -> None:
    labels = [f"label {n}" for n in range(77)]
    section = confusion(facts(tmp_path, MadeUpRun(labels=labels)))
    assert section is not None
    assert section.dense
    assert section.matrices[0].table is None
    assert section.pairs is not None
    assert section.recall.caption == "The 40 labels of 77 that are found least."


def test_costs_are_those_of_the_records(whole: Facts) -> None:
    section = costs(whole)
    assert section is not None
    rows = {row.name: row for row in (*section.own, *section.controls)}
    assert plain(rows["generation"].seconds) == "1 min 2 s"
    assert plain(rows["generation"].work) == "2,030 images, 32.5 a second"
    assert plain(rows["federation"].network) == "67.0 MB"
    assert rows["generation"].share == 1
    assert [row.name for row in section.controls] == [
        "federation/from-scratch", "federation/centralised",
    ]  # fmt: skip
    assert plain(section.total.seconds) == "1 min 27 s"


def test_cached_steps_are_marked(tmp_path: Path) -> None:
    done = StepStatus(name="generation", stage="generation", state=StepState.DONE, cached=True)
    section = costs(facts(tmp_path, status=a_status(done)))
    assert section is not None
    assert [row.name for row in section.own if row.cached] == ["generation"]
    assert "cached" in section.words


def test_lineage_names_keys_digests_and_inputs(whole: Facts) -> None:
    rows = {origin.name: origin for origin in lineage(whole)}
    assert list(rows) == [step.name for step in whole.steps]
    assert rows["serving"].inputs == "federation, evaluation"
    assert rows["federation"].digest == whole.artifacts["federation"].digest
    assert software(whole) == [("gptfl", "0.1.0"), ("torch", "2.14.0")]


def test_the_gate_is_shown_where_there_is_one(tmp_path: Path) -> None:
    def chips(folder: str, made_up: MadeUpRun) -> list[tuple[str, str]]:
        return [(plain(c.text), c.style) for c in standing(facts(tmp_path / folder, made_up)).chips]

    assert chips("a", MadeUpRun()) == [("Gate passed: accuracy 96.4 %, at least 90.0 %", "good")]
    assert chips("b", MadeUpRun(gate=0.0)) == [("Complete", "good")]


def test_what_is_missing_is_named_with_its_reason(tmp_path: Path) -> None:
    status = a_status(
        StepStatus(name="federation", stage="federation", state=StepState.RUNNING,
                   done=7, total=30, unit="rounds"),
        StepStatus(name="evaluation", stage="evaluation", state=StepState.FAILED,
                   message="no data"),
        phase=Phase.FAILED,
        message="evaluation: no data",
    )  # fmt: skip
    made = standing(facts(tmp_path, until="federation", status=status))
    assert [chip.text for chip in made.chips] == ["Failed"]
    assert made.message == "evaluation: no data"
    assert {step.name: step.why for step in made.missing} == {
        "federation": "stopped at 7 of 30 rounds",
        "federation/from-scratch": "not done yet",
        "federation/centralised": "not done yet",
        "evaluation": "failed: no data",
        "serving": "not done yet",
    }


@pytest.mark.parametrize(
    "section", [accuracy_figure, diversity_figure, drawing, clients, confusion, costs]
)
def test_a_section_without_its_artifacts_is_none(tmp_path: Path, section: object) -> None:
    assert section(facts(tmp_path, until="prompts")) is None  # type: ignore[operator]
