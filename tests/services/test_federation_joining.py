"""Parties with data of their own join a run: what they give away, and what they are told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from federation_sites import NAMES, Sites, digests, document, rounds_in, sites
from PIL import Image
from sklearn.datasets import load_digits

import gptfl
from gptfl.errors import SpecError

PARTIES = ("north", "south")


def hospital(folder: Path, first: int, count: int) -> Path:
    """A folder of images for each label, as a data owner may have it."""
    digits = load_digits()
    for number in range(first, first + count):
        place = folder / NAMES[digits.target[number]]
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 15).astype("uint8")
        Image.fromarray(pixels).save(place / f"{number:04}.png")
    return folder


def parties(**options: Any) -> dict[str, Any]:
    """A run of two parties; `options` say where the data of each are, if the run knows."""
    made = document(rounds=3, clientsPerRound=2)
    del made["spec"]["federation"]["simulation"]
    made["spec"]["federation"]["clients"] = [
        {"name": name, **({"data": {"uri": str(options[name])}} if name in options else {})}
        for name in PARTIES
    ]
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {
        "north": hospital(root / "north", 0, 60),
        "south": hospital(root / "south", 100, 40),
    }


@pytest.fixture(scope="module")
def laptop(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Path]
) -> tuple[Path, dict[str, str]]:
    """The same with all data in one place."""
    store = tmp_path_factory.mktemp("laptop") / "store"
    run = gptfl.parse_run(parties(**data))
    return store, digests(gptfl.run(run, store=str(store)).status)


@pytest.fixture
def world(tmp_path: Path, laptop: tuple[Path, dict[str, str]]) -> Iterator[Sites]:
    with sites(tmp_path, laptop[0], parties(), names=PARTIES) as made:
        yield made


def test_the_model_is_that_of_all_data_in_one_place(
    world: Sites, laptop: tuple[Path, dict[str, str]], data: dict[str, Path]
) -> None:
    aggregator = world.aggregate()
    joined = [world.join(name, data[name], "--label-counts") for name in PARTIES]
    assert aggregator.wait() == 0, aggregator.output
    assert [client.wait() for client in joined] == [0, 0]
    made = digests(world.status())
    assert made["federation"] == laptop[1]["federation"]
    assert made["serving"] == laptop[1]["serving"]


def test_label_counts_stay_with_a_client_that_does_not_tell_them(
    world: Sites, data: dict[str, Path]
) -> None:
    described = world.folder / "south.yaml"
    described.write_text(yaml.safe_dump({"uri": str(data["south"]), "format": "ImageFolder"}))
    aggregator = world.aggregate()
    north = world.join("north", data["north"], "--label-counts")
    south = world.join("south", described)
    assert aggregator.wait() == 0, aggregator.output
    assert (north.wait(), south.wait()) == (0, 0)
    clients = world.history().clients
    assert clients[0].label_counts is not None
    assert sum(clients[0].label_counts) == 60
    assert (clients[1].samples, clients[1].label_counts) == (40, None)
    assert set(rounds_in(south.output)) == {1, 2, 3}
    report = Path(world.status().report or "").read_text()
    assert "empty: their labels are not known here." in report


def test_a_client_may_take_its_data_from_the_runs_own_file(
    world: Sites, data: dict[str, Path]
) -> None:
    world.file.write_text(yaml.safe_dump(parties(**data)))
    aggregator = world.aggregate("--only", "federation")
    for name in PARTIES:
        world.join(name, world.file, "--label-counts")
    assert aggregator.wait() == 0, aggregator.output
    assert [client.samples for client in world.history().clients] == [60, 40]


def test_without_their_data_a_run_in_one_process_says_what_to_use(world: Sites) -> None:
    with pytest.raises(SpecError) as error:
        gptfl.run(world.run, store=str(world.store))
    assert str(error.value) == (
        "spec.federation.clients[0].data: is not set, so north joins over the network with data "
        "of its own; use 'gptfl aggregate' in place of 'gptfl run'"
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("nowhere", "gptfl: --data.uri: {folder}/nowhere does not exist; relative paths start at"),
        ("wrong.yaml", "gptfl: uri: is missing"),
        ("ftp://host/x", "gptfl: --data.uri: 'ftp://host/x' is none of sklearn://digits, hf://"),
    ],
)
def test_data_that_cannot_be_are_one_line_before_anything_is_dialled(
    world: Sites, monkeypatch: pytest.MonkeyPatch, given: str, line: str
) -> None:
    monkeypatch.chdir(world.folder)
    (world.folder / "wrong.yaml").write_text("format: ImageFolder\n")
    client = world.join("north", given)
    assert client.wait() in (1, 2)
    assert client.output.splitlines()[-1].startswith(line.format(folder=world.folder))
    assert "not connected" not in client.output


def test_data_with_labels_that_are_not_the_tasks_are_one_line(
    world: Sites, data: dict[str, Path]
) -> None:
    world.aggregate()
    strange = world.folder / "strange"
    hospital(strange, 0, 20)
    (strange / "three").rename(strange / "drei")
    client = world.join("north", strange)
    assert client.wait() == 1
    (line,) = [line for line in client.output.splitlines() if line.startswith("gptfl: ")]
    assert line.startswith("gptfl: --data")
    assert "drei" in line


def test_a_client_calls_no_function_that_it_has_not_chosen(
    world: Sites, data: dict[str, Path]
) -> None:
    run = parties()
    run["spec"]["pretraining"]["model"] = {"source": "python://gadget:make"}
    world.file.write_text(yaml.safe_dump(run))
    trace = world.folder / "called"
    (world.folder / "gadget.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        "def make(shape, classes):\n"
        f"    Path({str(trace)!r}).touch()\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    world.aggregate()
    refusing = world.join("north", data["north"])
    assert refusing.wait() == 1
    assert (
        "gptfl: the run's model is gadget:make; a client runs no code that it has not chosen: if "
        "you have read it, join with --model gadget:make"
    ) in refusing.output


def test_a_client_whose_identity_is_another_ones_is_not_let_in(
    world: Sites, data: dict[str, Path]
) -> None:
    aggregator = world.aggregate()
    client = world.join("north", data["north"], "--name", "south")
    client.says("the server does not let this client in")
    assert client.is_alive, "it goes on trying: its owner may get the right files"
    aggregator.says("is turned away: Unauthenticated")


def test_a_client_that_is_revoked_in_the_middle_does_no_more_rounds(
    world: Sites, data: dict[str, Path]
) -> None:
    run = parties()
    run["spec"]["federation"] |= {"roundTimeoutSeconds": 1, "rounds": 6}
    world.file.write_text(yaml.safe_dump(run))
    aggregator = world.aggregate("--only", "federation")
    world.join("north", data["north"])
    south = world.join("south", data["south"])
    south.says("round 2: trained")
    (world.pki / "revoked").write_text("south\n")
    assert aggregator.wait() == 0, aggregator.output
    done = max(rounds_in(south.output))
    rounds = world.history().rounds
    assert done < 6
    assert all(record.refused.get("Disconnected") == 1 for record in rounds[done + 1 :])
