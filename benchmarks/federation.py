"""What the in-process grid costs: a federation against a bare PyTorch loop of the same steps."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gptfl.data.load import open_dataset
from gptfl.data.partition import partition
from gptfl.federation.client import make_client_app
from gptfl.federation.cohort import Share
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.loop import Judgement, Plan, begin, run_rounds
from gptfl.federation.selection import select
from gptfl.federation.state import FederationState
from gptfl.federation.strategies import make_strategy
from gptfl.federation.warm import WarmModel
from gptfl.models.build import build_model
from gptfl.seeds import derive_seed
from gptfl.spec.data import DatasetSpec
from gptfl.spec.federation import LocalSpec, SimulationSpec, StrategySpec
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape
from gptfl.store import Workspace
from gptfl.store.blobs import FolderBlobs

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SHAPE = ImageShape(channels=1, height=16, width=16)
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """What both loops are given."""

    clients: list[Share]
    plan: Plan
    model: WarmModel
    first: Weights


def make_setting(rounds: int, clients: int, per_round: int) -> Setting:
    """scikit-learn's digits, dealt out by Dirichlet 0.5, and the built-in small CNN."""
    here = Path.cwd()
    dataset = DatasetSpec(uri="sklearn://digits", split="train[:80%]")
    simulation = SimulationSpec(dataset=dataset, clients=clients)
    opened = open_dataset(dataset, LABELS, here, field="dataset")
    pool = opened.images(SHAPE)
    shares = [
        Share(f"client-{index}", pool, part)
        for index, part in enumerate(partition(opened, simulation, 0))
    ]
    module = build_model(ModelSpec(), SHAPE, len(LABELS), seed=0, folder=here)
    model = WarmModel(module)
    plan = Plan(
        clients=tuple(share.name for share in shares),
        samples=tuple(map(len, shares)),
        per_round=per_round,
        rounds=rounds,
        minimum_replies=1,
        local=LocalSpec(),
        trained=model.trained,
        seed=0,
        key="benchmark",
    )
    first = {name: values.copy() for name, values in model.weights().items()}
    return Setting(shares, plan, model, first)


def on_the_grid(setting: Setting, commit: Callable[[FederationState], None]) -> Weights:
    """The federation as a run does it, apart from the test after each round."""
    app = make_client_app(
        setting.model.module, lambda context: setting.clients[context.node_id - 1]
    )
    grid = InProcessGrid(app, range(1, len(setting.clients) + 1))
    strategy = make_strategy(StrategySpec())
    state = begin(setting.first, strategy, untested)
    return dict(
        run_rounds(setting.plan, grid, strategy, state, judge=untested, commit=commit).weights
    )


def untested(weights: object) -> Judgement:
    """Neither loop spends time on tests."""
    del weights
    return Judgement(0.0, 0.0)


def bare(setting: Setting) -> Weights:
    """The same clients, batches, steps and means, with nothing but PyTorch."""
    plan, module = setting.plan, setting.model.module
    state = module.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(setting.first[name]))
    world = {name: tensor.clone() for name, tensor in state.items()}
    for number in range(1, plan.rounds + 1):
        sums: dict[str, torch.Tensor] = {}
        weight = 0
        for index in select(range(len(plan.clients)), plan.per_round, plan.seed, number):
            module.load_state_dict(world)
            seed = derive_seed(plan.seed, "client", plan.clients[index], number)
            samples = train_bare(module, setting.clients[index], plan.local, seed)
            for name, tensor in state.items():
                term = tensor.to(torch.float64) * samples
                sums[name] = sums[name] + term if name in sums else term
            weight += samples
        world = {name: (sums[name] / weight).to(state[name].dtype) for name in state}
    return {name: tensor.numpy() for name, tensor in world.items()}


def train_bare(module: nn.Module, share: Share, local: LocalSpec, seed: int) -> int:
    """One client's turn: plain SGD over shuffled batches; returns its number of samples."""
    data = share.samples()
    optimizer = torch.optim.SGD(module.parameters(), lr=local.optimizer.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    torch.default_generator.manual_seed(seed)  # for dropout
    module.train()
    for _ in range(local.epochs):
        order = torch.randperm(len(data), generator=generator)
        for batch in order.split(local.batch_size):
            images = data.images[batch].to(torch.float32).div_(255)
            loss = functional.cross_entropy(module(images), data.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return len(data)


def timed(work: Callable[[], Weights]) -> tuple[float, float, Weights]:
    """Wall-clock and CPU seconds, and what came of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    weights = work()
    return time.perf_counter() - wall, time.process_time() - cpu, weights


def main() -> int:
    """Prints the table; the exit code is 1 when the loops end with different weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of one measurement")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each loop")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--per-round", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = make_setting(options.rounds, options.clients, options.per_round)
    size = sum(values.size for values in setting.first.values())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(
            FolderBlobs(Path(folder)), "federation", "key", seed=0, folder=Path(folder)
        )
        loops: dict[str, Callable[[], Weights]] = {
            "bare PyTorch": lambda: bare(setting),
            "grid": lambda: on_the_grid(setting, lambda state: None),
            "grid, checkpoints": lambda: on_the_grid(
                setting, lambda state: workspace.save_checkpoint("state", state.to_bytes())
            ),
        }
        for work in loops.values():
            work()
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
        ends: dict[str, Weights] = {}
        for _ in range(options.repeats):
            for name, work in loops.items():
                wall, cpu, ends[name] = timed(work)
                taken[name].append((wall, cpu))
    print(
        f"{options.clients} clients, {options.per_round} a round, {size:,} weights, "
        f"medians of {options.repeats} alternating runs of {options.rounds} rounds, one thread"
    )
    print(f"{'':20}{'ms a round':>12}{'ratio':>8}{'CPU ms':>10}{'ratio':>8}  same bits")
    reference = ends["bare PyTorch"]
    for name, times in taken.items():
        columns = []
        for kind in (0, 1):
            # Ratios of neighbours, since what else runs on the machine changes meanwhile.
            pairs = zip(times, taken["bare PyTorch"], strict=True)
            ratio = statistics.median(mine[kind] / base[kind] for mine, base in pairs)
            each = statistics.median(time[kind] for time in times) / options.rounds * 1000
            columns.append(f"{each:{12 if kind == 0 else 10}.1f}{ratio:8.3f}")
        same = all(np.array_equal(ends[name][key], reference[key]) for key in reference)
        print(f"{name:20}{''.join(columns)}  {'yes' if same else 'NO'}")
    return (
        0
        if all(
            np.array_equal(end[key], reference[key]) for end in ends.values() for key in reference
        )
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
