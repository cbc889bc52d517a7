"""The stage: real digits among made-up clients, killed anywhere, the same artifact each time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from gptfl.errors import DataError, StageError
from gptfl.federation.client import make_client_app
from gptfl.federation.cohort import make_clients
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.remote import RemoteClients
from gptfl.federation.results import HISTORY, MODEL, FederationHistory
from gptfl.federation.stage import pooled_local, run
from gptfl.models.build import build_model
from gptfl.models.weights import weights_from_bytes, weights_to_bytes
from gptfl.spec.federation import FederationSpec
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.sections import FederationSection
from gptfl.spec.task import ImageShape
from gptfl.store import Artifact, Store, Workspace, open_store

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SHAPE = {"channels": 1, "height": 8, "width": 8}
DATA = {"uri": "sklearn://digits", "split": "train[:300]"}


def section(**changes: Any) -> FederationSection:
    federation: dict[str, Any] = {
        "rounds": 4,
        "clientsPerRound": 2,
        "simulation": {
            "dataset": DATA,
            "clients": 5,
            "partitioner": {"alpha": 0.5, "minimumSize": 2},
        },
        "local": {"batchSize": 16, "optimizer": {"name": "Sgd", "learningRate": 0.2}},
    } | changes.pop("federation", {})
    return FederationSection.model_validate(
        {
            "seed": 3,
            "computeThreads": 1,
            "task": {"labels": LABELS, "image": SHAPE},
            "model": {"source": "builtin://linear"},
            "federation": federation,
            "test": {"uri": "sklearn://digits", "split": "train[1500:1700]"},
            "start": "Random",
            "pooling": "Federated",
        }
        | changes
    )


class Killed(BaseException):
    """As KeyboardInterrupt: nothing may catch it."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def workspace(store: Store, tmp_path: Path, key: str = "key", **options: Any) -> Workspace:
    return Workspace(store.blobs, "federation", key, seed=3, folder=tmp_path, **options)


def history(store: Store, key: str = "key") -> FederationHistory:
    data = store.blobs.read(f"artifacts/federation/{key}/{HISTORY}")
    assert data is not None
    return FederationHistory.model_validate_json(data)


def test_it_learns_and_says_how(store: Store, tmp_path: Path) -> None:
    told: list[tuple[int, int, str, dict[str, float]]] = []
    space = workspace(store, tmp_path, report_progress=lambda *what: told.append(what))
    metrics = run(section(), {}, space)
    assert metrics["accuracy"] > metrics["initial_accuracy"] + 0.2
    assert metrics["rounds"] == 4
    assert metrics["clients"] == 5
    assert metrics["seconds_per_round"] > 0
    assert set(space.files) == {MODEL, HISTORY}
    left = history(store)
    assert [record.round for record in left.rounds] == [0, 1, 2, 3, 4]
    assert left.rounds[-1].accuracy == metrics["accuracy"]
    assert space.bytes_sent == sum(record.bytes_sent for record in left.rounds) > 0
    assert space.bytes_received == sum(record.bytes_received for record in left.rounds) > 0
    assert [(done, total, unit) for done, total, unit, _ in told] == [
        (done, 4, "rounds") for done in range(5)
    ]
    assert told[-1][3]["accuracy"] == metrics["accuracy"]
    assert "gradient_diversity" in told[-1][3]


def test_every_sample_is_some_clients(store: Store, tmp_path: Path) -> None:
    run(section(), {}, workspace(store, tmp_path))
    clients = history(store).clients
    assert [client.name for client in clients] == [f"client-{index}" for index in range(5)]
    assert sum(client.samples for client in clients) == 300
    assert all(sum(client.label_counts) == client.samples >= 2 for client in clients)
    assert all(len(client.label_counts) == 10 for client in clients)


def test_two_runs_leave_the_same_files(store: Store, tmp_path: Path) -> None:
    one, other = (workspace(store, tmp_path, key) for key in "ab")
    run(section(), {}, one)
    run(section(), {}, other)
    assert one.files == other.files


@pytest.mark.parametrize("moment", range(11))
def test_killed_at_any_moment_and_resumed_it_leaves_the_same_files(
    moment: int, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = section(federation={"strategy": {"name": "FedAdam", "serverLearningRate": 0.05}})
    whole = workspace(store, tmp_path, "whole")
    run(spec, {}, whole)
    left = moment

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def report(*what: Any) -> None:
        count_down()

    killed = workspace(store, tmp_path, report_progress=report)
    save = killed.save_checkpoint

    def save_checkpoint(name: str, data: bytes) -> None:
        save(name, data)
        count_down()

    monkeypatch.setattr(killed, "save_checkpoint", save_checkpoint)
    # The roll call saves once, four rounds report five times and save four times; the eleventh
    # moment is after the end.
    if moment < 10:
        with pytest.raises(Killed):
            run(spec, {}, killed)
    else:
        run(spec, {}, killed)
    resumed = workspace(store, tmp_path)
    metrics = run(spec, {}, resumed)
    assert resumed.files == whole.files
    assert metrics["rounds"] == 4


def pretrained(store: Store, tmp_path: Path, **options: Any) -> Artifact:
    module = build_model(
        ModelSpec(**options),
        ImageShape.model_validate(SHAPE),
        len(LABELS),
        seed=99,
        folder=tmp_path,
    )
    space = Workspace(store.blobs, "pretraining", "key", seed=0, folder=tmp_path)
    space.write("model.safetensors", weights_to_bytes(module.state_dict()))
    return store.commit(
        space,
        stage="pretraining",
        version=1,
        key="key",
        section={},
        inputs={},
        metrics={},
        seconds=0,
        software={},
    )


def test_it_starts_from_the_pretrained_weights(store: Store, tmp_path: Path) -> None:
    artifact = pretrained(store, tmp_path, source="builtin://linear")
    space = workspace(store, tmp_path)
    spec = section(
        start="Pretrained",
        federation={
            "rounds": 1,
            "local": {"maximumSteps": 1, "optimizer": {"name": "Sgd", "learningRate": 1e-9}},
        },
    )
    run(spec, {"pretraining": artifact}, space)
    data = store.blobs.read(f"artifacts/federation/key/{MODEL}")
    assert data is not None
    made, first = (weights_from_bytes(it) for it in (data, artifact.read("model.safetensors")))
    assert made.keys() == first.keys()
    assert all(torch.allclose(made[name], first[name], atol=1e-7) for name in first)


def test_centralised_is_one_client_with_all_data(store: Store, tmp_path: Path) -> None:
    spec = section(
        pooling="Centralised",
        federation={"strategy": {"name": "Krum"}, "minimumReplies": 2},
    )
    metrics = run(spec, {}, workspace(store, tmp_path))
    left = history(store)
    assert [(client.name, client.samples) for client in left.clients] == [("pooled", 300)]
    assert all(record.selected == ("pooled",) for record in left.rounds[1:])
    assert metrics["accuracy"] > 0.5


def test_clients_with_data_of_their_own(store: Store, tmp_path: Path) -> None:
    clients = [
        {"name": name, "data": {"uri": "sklearn://digits", "split": split}}
        for name, split in {"east": "train[:120]", "west": "train[120:150]"}.items()
    ]
    federation = {"simulation": None, "clients": clients, "rounds": 2}
    run(section(federation=federation), {}, workspace(store, tmp_path))
    left = history(store)
    assert [(it.name, it.samples) for it in left.clients] == [("east", 120), ("west", 30)]
    assert left.rounds[1].examples == 150
    run(
        section(federation=federation, pooling="Centralised"),
        {},
        workspace(store, tmp_path, "pooled"),
    )
    assert history(store, "pooled").clients[0].samples == 150
    both = np.add(left.clients[0].label_counts, left.clients[1].label_counts)
    assert history(store, "pooled").clients[0].label_counts == both.tolist()


def test_a_client_whose_data_are_missing_is_named_by_its_field(
    store: Store, tmp_path: Path
) -> None:
    clients = [
        {"name": "here", "data": DATA},
        {"name": "gone", "data": {"uri": "no-such-folder"}},
    ]
    spec = section(federation={"simulation": None, "clients": clients})
    with pytest.raises(DataError, match=r"spec\.federation\.clients\[1\]\.data"):
        run(spec, {}, workspace(store, tmp_path))


def test_training_that_diverges_at_every_client_is_one_clear_line(
    store: Store, tmp_path: Path
) -> None:
    wild = {
        "local": {
            "epochs": 60,
            "optimizer": {"name": "Sgd", "learningRate": 10, "momentum": 0.99, "weightDecay": 10},
        }
    }
    spec = section(federation=wild | {"rounds": 2})
    with pytest.raises(StageError, match=r"none of 2 rounds had 1 good replies.*NotFinite"):
        run(spec, {}, workspace(store, tmp_path))


def test_a_federation_that_came_to_nothing_can_be_done_again(store: Store, tmp_path: Path) -> None:
    """All clients were cut off in all rounds, say; what they hold is known, and they are back."""
    spec = section(federation={"rounds": 2})
    shares = make_clients(spec, tmp_path)
    away = [True]

    def cut_off(message: Message, context: Context, call: ClientAppCallable) -> Message:
        if away[0] and message.metadata.message_type == "train":
            raise OSError("no route to host")
        return call(message, context)

    module = build_model(
        ModelSpec(source="builtin://linear"),
        ImageShape.model_validate(SHAPE),
        len(LABELS),
        seed=1,
        folder=tmp_path,
    )
    app = make_client_app(module, lambda context: shares[context.node_id - 1], mods=[cut_off])
    names = tuple(share.name for share in shares)
    clients = RemoteClients(InProcessGrid(app, range(1, len(names) + 1)), names)
    with pytest.raises(StageError, match="no route to host"):
        run(spec, {}, workspace(store, tmp_path), remote=clients)
    away[0] = False
    run(spec, {}, workspace(store, tmp_path), remote=clients)
    assert [record.aggregated for record in history(store).rounds] == [False, True, True]


def test_the_results_are_read_without_torch_or_flower() -> None:
    import subprocess
    import sys

    code = (
        "import sys, gptfl.federation.results; "
        "assert not {'torch', 'flwr', 'datasets'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_federation_of_defaults_is_a_valid_spec() -> None:
    assert FederationSpec().strategy.name == "FedAvg"


@pytest.mark.parametrize(
    ("per_round", "maximum", "steps"),
    [(3, None, 2 * 5), (None, None, 2 * 16), (3, 2, 6)],
    ids=["three-of-ten", "all", "bounded"],
)
def test_centralised_makes_the_steps_that_the_selected_make_together(
    per_round: int | None, maximum: int | None, steps: int
) -> None:
    federation = FederationSpec.model_validate(
        {
            "clientsPerRound": per_round,
            "local": {"epochs": 2, "batchSize": 32, "maximumSteps": maximum},
            "simulation": {"dataset": {"uri": "sklearn://digits"}, "clients": 10},
        }
    )
    assert pooled_local(federation, samples=500).maximum_steps == steps


def test_a_federation_may_start_from_a_public_checkpoint(store: Store, tmp_path: Path) -> None:
    spec = ModelSpec(source="builtin://linear", public_weights="file://public.safetensors")
    shape = ImageShape.model_validate(SHAPE)
    bare = ModelSpec(source="builtin://linear")
    public = build_model(bare, shape, len(LABELS), seed=99, folder=tmp_path).state_dict()
    (tmp_path / "public.safetensors").write_bytes(weights_to_bytes(public))
    started = section(
        start="PublicCheckpoint",
        model=spec.model_dump(by_alias=True),
        federation={
            "rounds": 1,
            "local": {"optimizer": {"name": "Sgd", "learningRate": 1e-12, "weightDecay": 0}},
        },
    )
    run(started, {}, workspace(store, tmp_path))
    data = store.blobs.read(f"artifacts/federation/key/{MODEL}")
    assert data is not None
    made = weights_from_bytes(data)
    assert all(torch.allclose(made[name], public[name], atol=1e-6) for name in public)
