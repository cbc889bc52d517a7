"""Stage 4: clients fine-tune the first weights in rounds; for the run and for each control."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from flwr.serverapp.strategy import Strategy
from torch import nn

from gptfl.data.images import ImageSet
from gptfl.data.load import open_dataset
from gptfl.federation.arrays import Weights
from gptfl.federation.client import make_client_app
from gptfl.federation.cohort import Share, make_clients
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.loop import Judge, Judgement, Plan, begin, run_rounds
from gptfl.federation.remote import RemoteClients
from gptfl.federation.results import HISTORY, MODEL, FederationHistory, RoundRecord
from gptfl.federation.rollcall import RollCall, Roster, roster_from_bytes, roster_to_bytes
from gptfl.federation.state import FederationState
from gptfl.federation.strategies import make_strategy
from gptfl.federation.warm import WarmModel
from gptfl.models.build import build_model, load_public_weights
from gptfl.models.device import torch_device
from gptfl.models.scores import evaluate
from gptfl.models.weights import load_weights, weights_from_bytes, weights_to_bytes
from gptfl.spec.federation import FederationSpec, LocalSpec, StrategySpec
from gptfl.spec.sections import FederationSection, Pooling, Start
from gptfl.store import Artifact, Workspace

CHECKPOINT = "state"
ROSTER = "clients"


def run(
    section: FederationSection,
    inputs: Mapping[str, Artifact],
    workspace: Workspace,
    *,
    remote: RemoteClients | None = None,
) -> dict[str, float]:
    """Leaves `model.safetensors` and `history.json`; resumes from the last finished round.

    The clients are in this process unless there are `remote` ones; what is pooled is here always.
    """
    torch.set_num_threads(section.compute_threads)
    strategy = make_strategy(_strategy_spec(section))
    test = open_dataset(
        section.test, section.task.labels, workspace.folder, field="spec.evaluation.dataset"
    ).images(section.task.image)
    if section.pooling is Pooling.CENTRALISED:
        remote = None
    shares = [] if remote else make_clients(section, workspace.folder)
    module = _first_model(section, inputs, workspace)
    clients = remote or _in_process(module, shares)
    roster = _roster(section, clients, workspace, timeout=_join_timeout(section, remote))
    model = WarmModel(module)
    judge = _judge(model, test, len(section.task.labels))
    plan = _plan(section, roster, model, workspace)
    state = _first_state(model, strategy, judge, workspace, plan.rounds)
    _report(workspace, plan, state)

    def commit(reached: FederationState) -> None:
        workspace.save_checkpoint(CHECKPOINT, reached.to_bytes())
        _report(workspace, plan, reached)

    late = clients.late_replies
    state = run_rounds(
        plan, clients.grid, strategy, state, judge=judge, commit=commit, late_replies=late
    )
    return _leave(workspace, state, roster, section.pooling)


def _in_process(module: nn.Module, shares: Sequence[Share]) -> RemoteClients:
    """Clients that are called in turn, all with one warm model."""
    app = make_client_app(module, lambda context: shares[context.node_id - 1])
    grid = InProcessGrid(app, range(1, len(shares) + 1))
    return RemoteClients(grid, tuple(share.name for share in shares))


def _join_timeout(section: FederationSection, remote: RemoteClients | None) -> float | None:
    """Clients in this process answer when they are asked."""
    return section.federation.join_timeout_seconds if remote else 0


def _roster(
    section: FederationSection,
    clients: RemoteClients,
    workspace: Workspace,
    *,
    timeout: float | None,
) -> Roster:
    """The clients and what they hold; asked for once, so that a process that comes back after a
    kill needs not have all of them there again."""
    saved = workspace.load_checkpoint(ROSTER)
    if saved is not None:
        clients.roster = roster_from_bytes(saved)
        return clients.roster
    if clients.roster is None:
        roll_call = RollCall(
            key=workspace.key,
            names=clients.names,
            classes=len(section.task.labels),
            minimum=_minimum_replies(section),
            timeout=timeout,
        )
        clients.roster = roll_call.call(clients.grid)
    workspace.save_checkpoint(ROSTER, roster_to_bytes(clients.roster))
    return clients.roster


def _first_state(
    model: WarmModel, strategy: Strategy, judge: Judge, workspace: Workspace, rounds: int
) -> FederationState:
    """Where an interrupted attempt has got to, or the state before the first round.

    That of an attempt whose every round came to nothing is not gone on from: it would fail again
    at once, whatever has been mended.
    """
    saved = workspace.load_checkpoint(CHECKPOINT)
    if saved is not None:
        state = FederationState.from_bytes(saved)
        if state.round < rounds or any(record.aggregated for record in state.records):
            return state
    weights = {name: np.array(values) for name, values in model.weights().items()}
    return begin(weights, strategy, judge)


def _strategy_spec(section: FederationSection) -> StrategySpec:
    """The mean of one client is its own work: centralised training, whatever the run's strategy."""
    return StrategySpec() if section.pooling is Pooling.CENTRALISED else section.federation.strategy


def _first_model(
    section: FederationSection, inputs: Mapping[str, Artifact], workspace: Workspace
) -> nn.Module:
    """The model that the first round begins with, on the clients' device.

    Controls that differ in their start alone share a seed, so a head that is drawn is the same.
    """
    device = torch_device(section.federation.local.device, "spec.federation.local.device")
    module = build_model(
        section.model,
        section.task.image,
        len(section.task.labels),
        seed=workspace.derive_seed("federation", "model"),
        folder=workspace.folder,
    )
    if section.start is Start.PRETRAINED:
        artifact = inputs["pretraining"]
        load_weights(module, weights_from_bytes(artifact.read("model.safetensors")), artifact.uri)
    elif section.start is Start.PUBLIC_CHECKPOINT:
        load_public_weights(module, section.model, workspace.folder)
    return module.to(device)


def _plan(
    section: FederationSection, roster: Roster, model: WarmModel, workspace: Workspace
) -> Plan:
    federation = section.federation
    pooled = section.pooling is Pooling.CENTRALISED
    return Plan(
        clients=tuple(client.name for client in roster),
        samples=tuple(client.samples for client in roster),
        per_round=len(roster) if pooled else federation.clients_per_round or len(roster),
        rounds=federation.rounds,
        minimum_replies=_minimum_replies(section),
        local=pooled_local(federation, roster[0].samples) if pooled else federation.local,
        trained=model.trained,
        seed=workspace.derive_seed("federation"),
        key=workspace.key,
        timeout=federation.round_timeout_seconds,
    )


def _minimum_replies(section: FederationSection) -> int:
    pooled = section.pooling is Pooling.CENTRALISED
    return 1 if pooled else section.federation.minimum_replies


def pooled_local(federation: FederationSpec, samples: int) -> LocalSpec:
    """Local training of the one client that holds all `samples`.

    It sees in a round as many as the selected clients see together on average, so that the control
    differs from the run in where the data lie and not in how long it trains.
    """
    local = federation.local
    clients = (
        federation.simulation.clients if federation.simulation else len(federation.clients or ())
    )
    selected = federation.clients_per_round or clients
    steps = local.epochs * math.ceil(samples * selected / clients / local.batch_size)
    if local.maximum_steps is not None:
        steps = min(steps, local.maximum_steps * selected)
    return local.model_copy(update={"maximum_steps": steps})


def _judge(model: WarmModel, test: ImageSet, classes: int) -> Judge:
    data = test.to(model.device)

    def judge(weights: Weights) -> Judgement:
        model.load(weights)
        scores = evaluate(model.module, data, classes)
        return Judgement(scores.accuracy, scores.loss)

    return judge


def _report(workspace: Workspace, plan: Plan, state: FederationState) -> None:
    last = state.records[-1]
    workspace.progress(state.round, plan.rounds, "rounds", **round_metrics(last))


def round_metrics(record: RoundRecord) -> dict[str, float]:
    """A round as numbers by name, for whoever watches; those that have no value are left out."""
    values: dict[str, float | None] = {
        "accuracy": record.accuracy,
        "loss": record.loss,
        "train_loss": record.train_loss,
        "train_accuracy": record.train_accuracy,
        "gradient_diversity": record.gradient_diversity,
        "selected": len(record.selected),
        "replied": record.replied,
        "refused": sum(record.refused.values()),
        "late": record.late,
        "bytes_sent": record.bytes_sent,
        "bytes_received": record.bytes_received,
    }
    refused = {f"refused/{reason}": count for reason, count in record.refused.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return {name: float(value) for name, value in (known | refused).items()}


def _leave(
    workspace: Workspace,
    state: FederationState,
    roster: Roster,
    pooling: Pooling,
) -> dict[str, float]:
    """Writes the artifact's files and sums up."""
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state.weights.items()}
    workspace.write(MODEL, weights_to_bytes(tensors))
    workspace.write_model(
        HISTORY, FederationHistory(clients=list(roster), rounds=list(state.records))
    )
    if pooling is Pooling.FEDERATED:  # what is in one place goes nowhere
        workspace.bytes_sent = sum(record.bytes_sent for record in state.records)
        workspace.bytes_received = sum(record.bytes_received for record in state.records)
    workspace.device_seconds = state.seconds
    first, last = state.records[0], state.records[-1]
    metrics = {
        "accuracy": last.accuracy,
        "initial_accuracy": first.accuracy,
        "rounds": float(state.round),
        "seconds_per_round": state.seconds / state.round,
        "clients": float(len(roster)),
        "refused": float(sum(sum(record.refused.values()) for record in state.records)),
    }
    return metrics if last.loss is None else metrics | {"loss": last.loss}
