"""What a client makes of a server's terms, and what it does not do for a server."""

from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict

from gptfl.errors import GPTFLError, ModelError, NetworkError
from gptfl.federation.cohort import make_clients
from gptfl.federation.flower import RUN_ID, become_server
from gptfl.federation.member import Member, Simulated
from gptfl.federation.presence import Question, presence_in
from gptfl.federation.remote import client_names
from gptfl.federation.terms import Terms
from gptfl.spec.data import DatasetSpec
from gptfl.spec.load import parse_run
from gptfl.spec.run import GPTFLRun
from gptfl.stages import plan

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DATA = {"uri": "sklearn://digits", "split": "train[:100]"}


def run(*, clients: int = 3, **model: Any) -> GPTFLRun:
    return parse_run(
        {
            "apiVersion": "gptfl.io/v1alpha1",
            "kind": "GPTFLRun",
            "metadata": {"name": "made-up"},
            "spec": {
                "seed": 3,
                "task": {"labels": LABELS, "image": {"channels": 1, "height": 8, "width": 8}},
                "pretraining": {"model": {"source": "builtin://linear"} | model},
                "federation": {"simulation": {"dataset": DATA, "clients": clients}},
                "evaluation": {"dataset": DATA | {"split": "train[100:200]"}},
            },
        }
    )


def answer(app: Any, node: int) -> Any:
    """What a client says of itself."""
    become_server()
    message = Message(Question(len(LABELS)).to_content(), node, "query")
    message.metadata.__dict__["_message_id"] = "1"
    reply = app(message, Context(RUN_ID, node, {}, RecordDict(), {}))
    return presence_in(reply, len(LABELS))


def test_terms_are_read_as_they_were_given() -> None:
    terms = Terms.of(run())
    assert Terms.from_bytes(terms.to_bytes()) == terms
    assert terms.run == "made-up"


def test_a_file_of_the_servers_is_not_in_the_terms(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").touch()
    named = run(publicWeights="file://w.safetensors")
    assert Terms.of(named).model.public_weights is None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "all of it"),
        (b'{"run": "x"}', "task"),
        (Terms.of(run()).to_bytes()[:-1] + b',"later":1}', "later"),
    ],
)
def test_terms_of_another_version_are_one_line(data: bytes, what: str) -> None:
    with pytest.raises(NetworkError) as error:
        Terms.from_bytes(data)
    assert str(error.value) == (
        f"the server's terms cannot be understood ({what}); give client and aggregator the same "
        "version of gptfl"
    )


def test_made_up_clients_hold_in_any_process_what_they_hold_in_one(tmp_path: Path) -> None:
    spec = run().spec
    (section,) = [step.section for step in plan(run()) if step.name == "federation"]
    here = make_clients(section, tmp_path)  # type: ignore[arg-type]
    assert spec.federation.simulation is not None
    elsewhere = Simulated(spec.federation.simulation, client_names(spec.federation), tmp_path)
    app = elsewhere.make_app(Terms.of(run()).to_bytes(), 1)
    for node, share in enumerate(here, 1):
        said = answer(app, node)
        assert (said.name, said.samples) == (share.name, len(share))
        assert list(said.label_counts) == share.label_counts(len(LABELS))


def test_made_up_clients_open_what_their_own_file_names_and_nothing_else(tmp_path: Path) -> None:
    mine, other = run(clients=3).spec.federation, run(clients=4)
    assert mine.simulation is not None
    simulated = Simulated(mine.simulation, client_names(mine), tmp_path)
    with pytest.raises(NetworkError, match="run made-up deals out other data than this file"):
        simulated.make_app(Terms.of(other).to_bytes(), 1)


def member(folder: Path, **options: Any) -> Member:
    return Member("north", DatasetSpec.model_validate(DATA), folder, **options)


def test_a_client_tells_its_labels_only_if_its_owner_says_so(tmp_path: Path) -> None:
    terms = Terms.of(run()).to_bytes()
    silent = answer(member(tmp_path).make_app(terms, 1), 1)
    assert (silent.name, silent.samples, silent.label_counts) == ("north", 100, None)
    told = answer(member(tmp_path, tells_labels=True).make_app(terms, 1), 1)
    assert sum(told.label_counts) == 100


@pytest.mark.parametrize("own", [None, "mine:model"])
def test_a_server_can_have_no_function_called_that_the_client_has_not_named(
    tmp_path: Path, own: str | None
) -> None:
    terms = Terms.of(run()).model_copy(
        update={"model": run().spec.pretraining.model.model_copy(
            update={"source": "python://shutil:rmtree"})}
    )  # fmt: skip
    with pytest.raises(ModelError, match="runs no code that it has not chosen"):
        member(tmp_path, model=own).make_app(terms.to_bytes(), 1)


def test_a_model_that_the_client_has_named_and_has_not_is_one_clear_line(tmp_path: Path) -> None:
    terms = Terms.of(run()).model_copy(
        update={"model": run().spec.pretraining.model.model_copy(
            update={"source": "python://nowhere_here:model"})}
    )  # fmt: skip
    with pytest.raises(GPTFLError, match=r"there is no module 'nowhere_here'"):
        member(tmp_path, model="nowhere_here:model").make_app(terms.to_bytes(), 1)
