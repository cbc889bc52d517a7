"""What a federation leaves behind: who took part, and what each round came to."""

from enum import StrEnum

from pydantic import Field

from gptfl.spec.base import SpecModel

MODEL = "model.safetensors"
HISTORY = "history.json"


class Refusal(StrEnum):
    """Why a client's reply was not used."""

    NO_REPLY = "NoReply"
    """None came."""
    STRAGGLER = "Straggler"
    """The client was still at work when the round's time was up."""
    DISCONNECTED = "Disconnected"
    """The client was not there when the round's time was up."""
    ERROR = "Error"
    """The client could not do what it was asked."""
    TOO_LARGE = "TooLarge"
    """Larger than a reply may be; it was not fetched."""
    MALFORMED = "Malformed"
    """A part is missing, twice there, or not what it says it is."""
    NAMES = "Names"
    """Not the model's weights by name."""
    SHAPE = "Shape"
    """A weight has another shape."""
    DTYPE = "Dtype"
    """A weight has another type of number."""
    NOT_FINITE = "NotFinite"
    """A weight or a metric is infinite or not a number."""
    EXAMPLES = "Examples"
    """Trained on no sample, or on more than the client has."""


class ClientSummary(SpecModel):
    """One client and what it says that it holds."""

    name: str
    samples: int
    """0 for one that had not come when the federation began without it."""
    label_counts: list[int] | None
    """Samples of each label, in the order of the task's labels; None when it keeps them to
    itself."""
    joined: bool = True
    """Whether it was there when the federation began."""


class RoundRecord(SpecModel):
    """One round; round 0 is the model before any client has seen it."""

    round: int
    selected: tuple[str, ...] = ()
    """Clients that were asked, in client order."""
    replied: int = 0
    """Replies that were used."""
    refused: dict[Refusal, int] = Field(default_factory=dict)
    """Replies that were not, by reason."""
    aggregated: bool = False
    """False when too few replies were good and the model stayed as it was."""
    examples: int = 0
    """Samples behind the replies that were used."""
    train_loss: float | None = None
    """Mean loss of those clients in their training, weighted by samples."""
    train_accuracy: float | None = None
    """Mean accuracy of those clients in their training, weighted by samples; 0 to 1."""
    accuracy: float
    """Of the global model after the round, on the test data; 0 to 1."""
    loss: float | None
    """Mean cross-entropy on the test data in nats; None when it is not finite."""
    gradient_diversity: float | None = None
    """See `gptfl.federation.diversity`; None when no client moved the model."""
    bytes_sent: int = 0
    """Payload to the clients."""
    bytes_received: int = 0
    """Payload from the clients, refused replies included."""
    late: int = 0
    """Replies to earlier rounds that came in this one; not used."""


class FederationHistory(SpecModel):
    """A federation from its start to its end; holds no times, so equal runs leave equal files."""

    clients: list[ClientSummary]
    rounds: list[RoundRecord]
    """From round 0 on."""
