"""The whole report: self-contained, well-formed, safe, small, and the same each time."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_run import MadeUpRun

from gptfl.errors import DamagedArtifactError
from gptfl.report.build import render
from gptfl.store import open_store

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Balance(HTMLParser):
    """Notes every element, attribute and text, and each end tag that closes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def read(html: str) -> Balance:
    parser = Balance()
    parser.feed(html)
    parser.close()
    return parser


def words(html: str) -> str:
    text = " ".join(" ".join(read(html).text).split())
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(*MadeUpRun().make(tmp_path_factory.mktemp("store")))


def test_it_is_well_formed(html: str) -> None:
    page = read(html)
    assert page.faults == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_it_refers_to_nothing_outside(html: str) -> None:
    page = read(html)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "xlink:href", "poster"):
            assert value.startswith(("#", "data:image/")), (tag, name, value)
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"url\(|@import", html)


def test_links_within_it_lead_somewhere(html: str) -> None:
    page = read(html)
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert targets <= set(page.ids)


def test_the_numbers_of_the_run_stand_in_it(html: str) -> None:
    text = words(html)
    for fact in (
        "10 clients reached 96.4 % in 30 rounds: 14.2 points above the synthetic start",
        "Gate passed: accuracy 96.4 %, at least 90.0 %",
        "2,000 images of 32 × 32 pixels",
        "3 of them took part in each round",
        "93,322 parameters",
        "gptfl serve digits",
        "gptfl run digits.yaml",
        "clientsPerRound: 3",
        "torch 2.14.0",
        "90 of 90 replies",
    ):
        assert fact in text


def test_every_label_has_its_images_with_their_prompts(html: str) -> None:
    page = read(html)
    prompts = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(prompts) == 80
    assert prompts.count("a thin slanted handwritten digit nine") == 8


def test_every_chart_says_in_words_what_it_shows(html: str) -> None:
    labels = [
        value for tag, name, value in read(html).attributes if (tag, name) == ("svg", "aria-label")
    ]
    assert any(
        label.startswith("Line chart of accuracy by round. GPT-FL ends at 96.4") for label in labels
    )
    assert all(labels)


def test_equal_artifacts_give_an_equal_file(tmp_path: Path) -> None:
    run, artifacts = MadeUpRun().make(tmp_path)
    assert render(run, artifacts) == render(run, dict(reversed(artifacts.items())))


NASTY = (
    """<script>alert(1)</script>""",
    """" onmouseover="alert(1)""",
    """' autofocus onfocus='alert(1)""",
    "</title></svg><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
    "sept 7\ufe0f\u20e3 👩‍🔬",
    "سبعة",
    "a\nb\tc",
)


def test_names_and_prompts_are_text_whatever_they_hold(tmp_path: Path) -> None:
    made_up = MadeUpRun(labels=NASTY, prompt="</p><script>alert('{label}')</script>")
    html = render(*made_up.make(tmp_path))
    page = read(html)
    assert page.faults == []
    assert page.tags.count("script") == 1
    assert not [a for a in page.attributes if a[1].startswith("on") or a[1] == "autofocus"]
    assert "{{ 7 * 7 }}" in html
    for name in NASTY[:5]:
        assert name in " ".join(page.text)
    for name in NASTY[5:7]:
        assert name in html


@pytest.mark.parametrize(
    "until", ["prompts", "generation", "pretraining", "federation", "evaluation", "serving"]
)
def test_an_unfinished_run_has_a_report_that_says_so(tmp_path: Path, until: str) -> None:
    html = render(*MadeUpRun().make(tmp_path, until=until))
    page = read(html)
    assert (page.faults, page.open) == ([], [])
    assert "This run is not whole." in words(html)
    assert f"{until} : not done yet" in words(html)


def test_a_run_without_controls_has_a_report(tmp_path: Path) -> None:
    text = words(render(*MadeUpRun(baselines=()).make(tmp_path)))
    assert "14.2 points above the synthetic start." in text
    assert "From scratch" not in text


def test_ten_labels_stay_small(html: str) -> None:
    assert len(html.encode()) < 1_500_000


def test_a_thousand_clients_and_seventy_seven_labels_stay_under_three_megabytes(
    tmp_path: Path,
) -> None:
    labels = [f"the {n}th of many labels with a long name" for n in range(77)]
    made_up = MadeUpRun(labels=labels, clients=1000, rounds=200, per_round=50, side=64)
    html = render(*made_up.make(tmp_path))
    assert len(html.encode()) < 3_000_000
    assert read(html).faults == []
    assert "The first 40 of 1,000 clients." in words(html)


def test_large_images_stay_small(tmp_path: Path) -> None:
    assert len(render(*MadeUpRun(side=512).make(tmp_path))) < 1_500_000


def test_a_damaged_artifact_is_said_to_be_and_not_shown(tmp_path: Path) -> None:
    run, artifacts = MadeUpRun().make(tmp_path)
    artifacts["evaluation"].path("evaluation.json").write_text("{}")
    found = open_store(None, folder=tmp_path).find("evaluation", artifacts["evaluation"].key)
    assert found is not None
    with pytest.raises(DamagedArtifactError, match=r"evaluation\.json: is damaged"):
        render(run, {**artifacts, "evaluation": found})


def test_a_report_needs_no_torch() -> None:
    code = (
        "import sys, gptfl.report.build\n"
        "print({'torch', 'flwr', 'diffusers', 'datasets'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
