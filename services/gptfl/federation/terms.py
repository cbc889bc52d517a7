"""What a server tells a client when it lets it in: all that it needs beside its own data.

Plain values of the resource's types, and no code: a model of the user's own is named, and is the
client's to have.
"""

from pydantic import ValidationError

from gptfl.errors import NetworkError
from gptfl.spec.base import SpecModel
from gptfl.spec.federation import SimulationSpec
from gptfl.spec.generation import Device
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.run import GPTFLRun
from gptfl.spec.task import TaskSpec


class Terms(SpecModel):
    """Of one run; the same for all its clients."""

    run: str
    """Its name, for the log."""
    task: TaskSpec
    """Labels and the shape of an image."""
    model: ModelSpec
    """What is trained; weights come with each task."""
    seed: int
    """The run's, from which data are dealt out in a simulation."""
    compute_threads: int
    """Another number sums in another order."""
    device: Device
    """Where to train."""
    simulation: SimulationSpec | None = None
    """What is dealt out to made-up clients."""

    @classmethod
    def of(cls, run: GPTFLRun) -> "Terms":
        """Those of a run."""
        spec = run.spec
        return cls(
            run=run.metadata.name,
            task=spec.task,
            # A file of the server's, whose weights come with the tasks.
            model=spec.pretraining.model.model_copy(update={"public_weights": None}),
            seed=spec.seed,
            compute_threads=spec.compute_threads,
            device=spec.federation.local.device,
            simulation=spec.federation.simulation,
        )

    def to_bytes(self) -> bytes:
        """As a server gives them."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Terms":
        """What `to_bytes` made. Raises NetworkError for anything else."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            what = ".".join(map(str, error.errors()[0]["loc"])) or "all of it"
            raise NetworkError(
                f"the server's terms cannot be understood ({what}); give client and aggregator "
                "the same version of gptfl"
            ) from None
