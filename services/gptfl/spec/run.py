"""The resource itself: one GPTFLRun, from label names to a served model."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from gptfl.spec.base import NOT_IN_KEY, SpecModel, canonical_json, cel, sha256
from gptfl.spec.evaluation import EvaluationSpec
from gptfl.spec.federation import ClientName, FederationSpec
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.pods import LabelName, PodTemplate
from gptfl.spec.pretraining import PretrainingSpec
from gptfl.spec.prompts import PromptsSpec
from gptfl.spec.task import TaskSpec

GROUP = "gptfl.io"
VERSION = "v1alpha1"
KIND = "GPTFLRun"

RunName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=52)
]

Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Metadata(SpecModel):
    """The name of a run; whatever else Kubernetes writes there is let through."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    name: RunName
    """A DNS label of at most 52 characters, so that the names made from it stay legal."""
    namespace: LabelName = "default"
    """The namespace."""


class ServingSpec(SpecModel):
    """The endpoint of the final model."""

    name: ClientName | None = None
    """The model's name in the endpoint's URL; the run's own when unset. Runs of a namespace that
    share it publish one after the other at the same address."""
    replicas: Annotated[int, Field(ge=1, le=1000), NOT_IN_KEY] = 1
    """Predictors of each revision of the model."""
    revision_history_limit: Annotated[int, Field(ge=0, le=100), NOT_IN_KEY] = 2
    """Revisions before the last that are kept running, to go back to."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The pod that exports the model."""
    predictor_template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The pods that answer; their image is that of the cluster's ServingRuntime."""


class ArtifactsSpec(SpecModel):
    """Where artifacts are kept."""

    uri: Annotated[str, StringConstraints(min_length=1)] | None = None
    """A folder (`file://PATH`) or a place in a bucket (`s3://BUCKET/PREFIX`); when unset, the
    platform's own: `.gptfl` on a laptop."""
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+/?$")] | None = None
    """The S3 server's address; when unset, `$AWS_ENDPOINT_URL`, or else AWS itself."""
    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """The bucket's region; when unset, `$AWS_REGION`, or else us-east-1."""
    secret_name: (
        Annotated[
            str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)
        ]
        | None
    ) = None
    """On a cluster: the Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and
    `ca.crt` where the server's certificate needs one. Elsewhere `$GPTFL_S3_SECRET` names a folder
    of such files."""


class RunSpec(SpecModel):
    """What is wanted."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!self.evaluation.baselines.exists(one, one == 'Centralised')"
                " || has(self.federation.simulation)",
                "the baseline Centralised needs federation.simulation",
            ),
            (
                "!self.evaluation.baselines.exists(one, one == 'PublicCheckpoint')"
                " || has(self.pretraining.model.publicWeights)",
                "the baseline PublicCheckpoint needs pretraining.model.publicWeights",
            ),
        )
    )

    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0
    """All randomness comes from this number: same spec, same seed, same model."""
    compute_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads of one operation. Part of the spec and not of the machine, because another number
    adds up in another order and gives other bits."""
    task: TaskSpec
    """What is to be learned."""
    prompts: PromptsSpec = PromptsSpec()
    """How label names become sentences."""
    generation: GenerationSpec = GenerationSpec()
    """How the synthetic data set is drawn."""
    pretraining: PretrainingSpec = PretrainingSpec()
    """How the model is trained on it."""
    federation: FederationSpec
    """How clients fine-tune it."""
    evaluation: EvaluationSpec
    """How it is judged."""
    serving: ServingSpec = ServingSpec()
    """How it is served."""
    artifacts: Annotated[ArtifactsSpec, NOT_IN_KEY] = ArtifactsSpec()
    """Where everything is kept."""
    suspend: Annotated[bool, NOT_IN_KEY] = False
    """On a cluster: no pod works on the run while this is true; an endpoint stays. What was done
    is kept."""
    queue_name: Annotated[LabelName | None, NOT_IN_KEY] = None
    """On a cluster: the LocalQueue of Kueue in which the run's Jobs wait for their turn."""
    active_deadline_seconds: Annotated[Seconds | None, NOT_IN_KEY] = None
    """On a cluster: the longest that a stage may be at work. It counts anew after `suspend`."""
    backoff_limit: Annotated[int, Field(ge=0, le=1000), NOT_IN_KEY] = 6
    """On a cluster: how often a stage whose pod failed is tried again. Pods that a node took with
    it do not count."""
    ttl_seconds_after_finished: Annotated[Seconds | None, NOT_IN_KEY] = None
    """On a cluster: the run is deleted so long after its end, its endpoint with it; artifacts
    stay."""


class GPTFLRun(SpecModel):
    """A run of GPT-FL (arXiv 2306.02210): synthetic data from label names, a model pre-trained on
    them, federated fine-tuning on private data, an endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    api_version: Literal["gptfl.io/v1alpha1"] = "gptfl.io/v1alpha1"
    """The API's group and version."""
    kind: Literal["GPTFLRun"] = "GPTFLRun"
    """The kind of the resource."""
    metadata: Metadata
    """The run's name."""
    spec: RunSpec
    """What is wanted."""


def run_uid(run: GPTFLRun) -> str:
    """Names a run's folder in the store: the same for every file with the same results."""
    return sha256(canonical_json(run.spec))[:12]
