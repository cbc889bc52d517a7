"""Who trains together, on what, for how long, and how their work is put together."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from gptfl.spec.base import NOT_IN_KEY, SpecModel, cel
from gptfl.spec.data import DatasetSpec, PartitionerSpec
from gptfl.spec.generation import Device
from gptfl.spec.pods import PodTemplate, SubdomainName
from gptfl.spec.pretraining import AugmentationSpec, OptimizerName, OptimizerSpec


class StrategyName(StrEnum):
    """A rule that puts the clients' work together; all are Flower's."""

    FED_AVG = "FedAvg"
    FED_PROX = "FedProx"
    FED_ADAM = "FedAdam"
    FED_YOGI = "FedYogi"
    FED_AVG_M = "FedAvgM"
    FED_MEDIAN = "FedMedian"
    FED_TRIMMED_AVG = "FedTrimmedAvg"
    KRUM = "Krum"
    CUSTOM = "Custom"


class Weighting(StrEnum):
    """What a client's work counts in a mean."""

    EXAMPLES = "Examples"
    UNIFORM = "Uniform"


class StrategySpec(SpecModel):
    """How replies become the next global model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.name != 'Custom' || has(self.function)", "Custom needs function"),
        )
    )

    name: StrategyName = StrategyName.FED_AVG
    """The rule."""
    weighting: Weighting = Weighting.EXAMPLES
    """`Examples`: by the number of samples. `Uniform`: each client the same."""
    proximal_mu: Annotated[float, Field(ge=0, le=100)] = 0.01
    """FedProx: the pull towards the global model."""
    server_learning_rate: Annotated[float, Field(gt=0, le=100)] | None = None
    """FedAvgM, FedAdam and FedYogi: the server's step; Flower's own when unset."""
    server_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """FedAvgM: the server's momentum."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """FedAdam and FedYogi: decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """FedAdam and FedYogi: decay of the second moment."""
    tau: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """FedAdam and FedYogi: how far steps adapt."""
    trim_fraction: Annotated[float, Field(ge=0, lt=0.5)] = 0.2
    """FedTrimmedAvg: the part cut off at each end."""
    malicious_clients: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Krum: how many clients may lie."""
    function: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] | None = None
    """Custom: `module:function` that takes this section and returns a Flower strategy."""


class LocalOptimizerSpec(OptimizerSpec):
    """How a client's weights move: other defaults than at the server, so that a file which sets
    one of them keeps the rest."""

    # An OptimizerSpec written in Python is taken for what it says.
    model_config = ConfigDict(from_attributes=True)

    name: OptimizerName = OptimizerName.SGD
    """The rule."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.05
    """The step's size."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Decay of the weights."""


class LocalSpec(SpecModel):
    """What a client does with the model in its turn."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Times that each of the client's samples is seen in a round."""
    maximum_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Stop after this many steps, however many epochs."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Samples a step."""
    optimizer: LocalOptimizerSpec = LocalOptimizerSpec()
    """How weights move; begun anew each round."""
    gradient_clip: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """The largest norm of a gradient."""
    augmentation: AugmentationSpec = AugmentationSpec()
    """Random changes to what is seen."""
    device: Device = Device.AUTO
    """Where it runs."""


ClientName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)
]


class ClientLocation(StrEnum):
    """Where a client runs when the run is on a cluster."""

    CLUSTER = "Cluster"
    OUTSIDE = "Outside"


class ClientSpec(SpecModel):
    """A party with data of its own."""

    name: ClientName
    """A DNS label, unique in the run."""
    data: DatasetSpec | None = None
    """Its private data, where it runs. Unset, the client joins with data of its own choice."""
    location: Annotated[ClientLocation, NOT_IN_KEY] = ClientLocation.CLUSTER
    """`Cluster`: a pod of the operator's. `Outside`: its owner starts `gptfl client join`."""
    volume_claim_name: Annotated[SubdomainName | None, NOT_IN_KEY] = None
    """The PersistentVolumeClaim with its data, seen read-only under `/data` by its pod alone."""
    secret_name: Annotated[SubdomainName | None, NOT_IN_KEY] = None
    """A Secret whose entries are environment variables of its pod alone: keys of an object
    store, a token of a hub."""


class SimulationSpec(SpecModel):
    """A public data set dealt out to made-up clients, to try a run before real ones exist."""

    dataset: DatasetSpec
    """What is dealt out."""
    clients: Annotated[int, Field(ge=1, le=100_000)] = 10
    """How many clients."""
    partitioner: PartitionerSpec = PartitionerSpec()
    """How it is dealt out."""


class Transport(StrEnum):
    """How messages get to clients in processes of their own."""

    STREAM = "Stream"
    FLOWER = "Flower"


Patience = Annotated[int, Field(ge=1, le=604_800)]
"""Seconds, up to a week."""

_NO_CLIENTS = "has(self.clients) == has(self.simulation)"
_CLIENT_COUNT = "(has(self.clients) ? size(self.clients) : self.simulation.clients)"


class FederationSpec(SpecModel):
    """Federated fine-tuning of the pre-trained model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.clients) != has(self.simulation)",
                "set exactly one of clients (real ones) and simulation (made-up ones)",
            ),
            (
                f"!has(self.clientsPerRound) || {_NO_CLIENTS} || "
                f"self.clientsPerRound <= {_CLIENT_COUNT}",
                "clientsPerRound is more than the clients there are",
            ),
            (
                f"{_NO_CLIENTS} || self.minimumReplies <= "
                f"(has(self.clientsPerRound) ? self.clientsPerRound : {_CLIENT_COUNT})",
                "minimumReplies is more than the clients of a round",
            ),
        )
    )

    rounds: Annotated[int, Field(ge=1, le=100_000)] = 30
    """Rounds of the federation."""
    clients_per_round: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Clients drawn for each round; all of them when unset."""
    strategy: StrategySpec = StrategySpec()
    """How replies become the next global model."""
    local: LocalSpec = LocalSpec()
    """What a client does in its turn."""
    clients: Annotated[list[ClientSpec], Field(min_length=1, max_length=10_000)] | None = None
    """Parties with data of their own. Exactly one of `clients` and `simulation` is set."""
    simulation: SimulationSpec | None = None
    """Made-up clients. Exactly one of `clients` and `simulation` is set."""
    minimum_replies: Annotated[int, Field(ge=1, le=100_000)] = 1
    """A round with fewer good replies leaves the model as it was."""
    round_timeout_seconds: Annotated[Patience | None, NOT_IN_KEY] = None
    """Over the network: a round goes on without the replies that have not come by then; unset, it
    waits for all of them."""
    join_timeout_seconds: Annotated[Patience | None, NOT_IN_KEY] = None
    """Over the network: the federation begins without the clients that have not come by then;
    unset, it waits for all of them."""
    transport: Annotated[Transport, NOT_IN_KEY] = Transport.STREAM
    """Over the network: `Stream` is gptfl's own, `gptfl aggregate` and `gptfl client join`;
    `Flower` a SuperLink and SuperNodes."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The aggregator's pod."""
    client_template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The pods of clients in the cluster."""
