"""What every builder is given: the run, the names of its objects, and the operator's settings."""

from dataclasses import dataclass
from functools import cached_property

from gptfl.spec.run import GPTFLRun
from gptfl_operator.names import LONGEST_MODEL, digest8, object_name
from gptfl_operator.settings import OperatorSettings


@dataclass(frozen=True)
class Scope:
    """One run under one operator."""

    run: GPTFLRun
    uid: str
    """Names the run's folder in the store."""
    namespace: str
    settings: OperatorSettings

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.metadata.name

    @cached_property
    def run_file(self) -> str:
        """The ConfigMap with the file that the pods read."""
        return object_name(self.name, "run", digest8(self.name, self.uid))

    @property
    def store(self) -> str:
        """The URI of the store; empty when nobody has named one."""
        return (self.run.spec.artifacts.uri or self.settings.store or "").rstrip("/")

    @property
    def store_secret(self) -> str | None:
        """The Secret with the store's keys. A store of the run's own has a Secret of its own."""
        own = self.run.spec.artifacts
        return own.secret_name if own.uri or own.secret_name else self.settings.store_secret

    @property
    def store_environment(self) -> dict[str, str]:
        """Where the store is, for those who speak S3."""
        own, ours = self.run.spec.artifacts, self.settings
        endpoint = own.endpoint if own.uri else ours.store_endpoint
        region = own.region if own.uri else ours.store_region
        found = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": region}
        return {name: value for name, value in found.items() if value}

    @property
    def model_name(self) -> str:
        """What the model is called in URLs, and its Service in the cluster."""
        return self.run.spec.serving.name or self.name[:LONGEST_MODEL].rstrip("-")

    @property
    def workers(self) -> int:
        """Pods that draw; none when one pod does it all."""
        return max(1, self.run.spec.generation.workers) if self.settings.has_broker else 0
