"""What the types cannot say of a federation: clients, replies, and options of another choice."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from gptfl.errors import Problem
from gptfl.spec.base import SpecModel
from gptfl.spec.data import PartitionerKind, PartitionerSpec
from gptfl.spec.federation import SimulationSpec, StrategyName, StrategySpec
from gptfl.spec.run import RunSpec


def clients_are_given_once(spec: RunSpec) -> Iterator[Problem]:
    """Real clients or a simulation, not both and not neither."""
    federation = spec.federation
    if federation.clients is not None and federation.simulation is not None:
        yield Problem(
            "spec.federation.simulation",
            "stands beside spec.federation.clients; keep one of the two",
        )
    if federation.clients is None and federation.simulation is None:
        yield Problem(
            "spec.federation",
            "has no clients; set simulation (made-up clients) or clients (real ones)",
        )


def clients_have_names_of_their_own(spec: RunSpec) -> Iterator[Problem]:
    """A client is known by its name."""
    first: dict[str, int] = {}
    for index, client in enumerate(spec.federation.clients or ()):
        same = first.setdefault(client.name, index)
        if same != index:
            yield Problem(
                f"spec.federation.clients[{index}].name",
                f"{client.name!r} is also the name of clients[{same}]; give each its own",
            )


def rounds_have_enough_clients(spec: RunSpec) -> Iterator[Problem]:
    """No round draws more clients than there are, or waits for more replies than it draws."""
    federation = spec.federation
    count, source = _client_count(spec)
    if count is None:
        return
    drawn = federation.clients_per_round
    if drawn is not None and drawn > count:
        yield Problem(
            "spec.federation.clientsPerRound",
            f"{drawn} is more than the {_clients(count)} of {source}; {_use_up_to(count)}",
        )
        return
    asked, where = (count, source) if drawn is None else (drawn, "spec.federation.clientsPerRound")
    if federation.minimum_replies > asked:
        yield Problem(
            "spec.federation.minimumReplies",
            f"{federation.minimum_replies} is more than the {_clients(asked)} of a round "
            f"({where}); {_use_up_to(asked)}",
        )


STRATEGY_OPTIONS = {
    "proximal_mu": (StrategyName.FED_PROX,),
    "server_learning_rate": (
        StrategyName.FED_AVG_M,
        StrategyName.FED_ADAM,
        StrategyName.FED_YOGI,
    ),
    "server_momentum": (StrategyName.FED_AVG_M,),
    "beta1": (StrategyName.FED_ADAM, StrategyName.FED_YOGI),
    "beta2": (StrategyName.FED_ADAM, StrategyName.FED_YOGI),
    "tau": (StrategyName.FED_ADAM, StrategyName.FED_YOGI),
    "trim_fraction": (StrategyName.FED_TRIMMED_AVG,),
    "malicious_clients": (StrategyName.KRUM,),
    "function": (StrategyName.CUSTOM,),
}
PARTITIONER_OPTIONS = {
    "alpha": (PartitionerKind.DIRICHLET,),
    "minimum_size": (PartitionerKind.DIRICHLET,),
    "classes_per_client": (PartitionerKind.PATHOLOGICAL,),
    "shards_per_client": (PartitionerKind.SHARDS,),
    "column": (PartitionerKind.NATURAL,),
}


def strategy_has_what_it_needs(spec: RunSpec) -> Iterator[Problem]:
    """`Custom` has a function, `Krum` enough clients, and no strategy the options of another."""
    strategy = spec.federation.strategy
    yield from _options("spec.federation.strategy", strategy, "name", STRATEGY_OPTIONS)
    if strategy.name is StrategyName.CUSTOM and strategy.function is None:
        yield Problem("spec.federation.strategy.function", "is missing; Custom needs it")
    yield from _krum_can_outvote(spec, strategy)


def partitioner_has_what_it_needs(spec: RunSpec) -> Iterator[Problem]:
    """`Natural` has a column, label counts fit, and no partitioner has the options of another."""
    simulation = spec.federation.simulation
    if simulation is None:
        return
    path, partitioner = "spec.federation.simulation.partitioner", simulation.partitioner
    yield from _options(path, partitioner, "kind", PARTITIONER_OPTIONS)
    if partitioner.kind is PartitionerKind.NATURAL and partitioner.column is None:
        yield Problem(
            f"{path}.column", "is missing; Natural needs the column whose values are the clients"
        )
    yield from _labels_can_be_dealt(path, simulation, partitioner, len(spec.task.labels))


def _options(
    path: str, section: SpecModel, chooser: str, owners: Mapping[str, tuple[StrEnum, ...]]
) -> Iterator[Problem]:
    """An option of something that was not chosen would be ignored in silence. Its default may
    stand there, as it does in a file with all defaults filled in."""
    chosen = getattr(section, chooser)
    for name, users in owners.items():
        info = type(section).model_fields[name]
        value = getattr(section, name)
        # A function of the user's own may read whatever it likes.
        if value != info.default and chosen not in users and chosen is not StrategyName.CUSTOM:
            others = " or ".join(user.value for user in users)
            yield Problem(
                f"{path}.{info.alias}",
                f"is an option of {others} and does nothing for {chosen.value}; "
                f"drop it or set {chooser}: {users[0].value}",
            )


def _krum_can_outvote(spec: RunSpec, strategy: StrategySpec) -> Iterator[Problem]:
    """Krum's promise holds for n ≥ 2f + 3 replies (Blanchard et al. 2017, arXiv 1703.02757)."""
    count, _ = _client_count(spec)
    if strategy.name is not StrategyName.KRUM or count is None:
        return
    drawn = spec.federation.clients_per_round or count
    liars = strategy.malicious_clients
    if drawn < 2 * liars + 3:
        most = (drawn - 3) // 2
        remedy = f"use at most {most}" if most >= 0 else "draw at least 3 clients a round"
        yield Problem(
            "spec.federation.strategy.maliciousClients",
            f"{liars} of {_clients(drawn)} a round is too many for Krum, which needs twice as many "
            f"and three more; {remedy}",
        )


def _labels_can_be_dealt(
    path: str, simulation: SimulationSpec, partitioner: PartitionerSpec, labels: int
) -> Iterator[Problem]:
    wanted = partitioner.classes_per_client
    if partitioner.kind is PartitionerKind.PATHOLOGICAL and wanted > labels:
        yield Problem(
            f"{path}.classesPerClient",
            f"{wanted} is more than the {labels} labels of spec.task.labels; {_use_up_to(labels)}",
        )
    if partitioner.kind is PartitionerKind.PATHOLOGICAL and wanted * simulation.clients < labels:
        yield Problem(
            f"{path}.classesPerClient",
            f"{wanted} for each of {_clients(simulation.clients)} leaves some of the {labels} "
            "labels to nobody; use more of either",
        )


def _client_count(spec: RunSpec) -> tuple[int | None, str]:
    """How many clients there are, and which field says so."""
    federation = spec.federation
    if federation.clients is not None:
        return len(federation.clients), "spec.federation.clients"
    if federation.simulation is not None:
        return federation.simulation.clients, "spec.federation.simulation"
    return None, ""


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _use_up_to(most: int) -> str:
    return "use 1" if most == 1 else f"use 1 to {most}"
