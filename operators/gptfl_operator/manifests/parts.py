"""Which pods each stage has: one that answers for the stage, and those that help it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gptfl.spec.base import SpecModel
from gptfl.spec.pods import PodTemplate
from gptfl_operator.manifests.clients import client_parts
from gptfl_operator.manifests.federation import aggregator_part
from gptfl_operator.manifests.jobs import job
from gptfl_operator.manifests.pods import RUN_FILE, Part
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.names import digest8, object_name
from gptfl_operator.plan import Stage


@dataclass(frozen=True)
class Work:
    """One Job of a stage."""

    part: Part
    name: str
    pods: int = 1
    tries: int | None = None
    """How often it is tried; as the run says when None."""

    def manifest(self, scope: Scope, run_file: str) -> dict[str, Any]:
        """The Job, whose pods read that ConfigMap."""
        return job(scope, self.part, self.name, run_file, pods=self.pods, tries=self.tries)


@dataclass(frozen=True)
class StageWork:
    """All Jobs of a stage."""

    main: Work
    """The stage is done when it is."""
    helpers: tuple[Work, ...] = ()
    """Not needed any more when the stage is done."""
    can_lose_helpers: bool = False
    """Whether the stage goes on when a helper has failed for good: a federation does."""


def stage_work(scope: Scope, stage: Stage) -> StageWork:
    """The Jobs of a stage, whatever has come of them."""
    return _BUILDERS[stage.name](scope, stage)


def _plain(
    field: str,
    component: str,
    template: Callable[[Scope], PodTemplate | None],
    tries: int | None = None,
) -> "_Build":
    """A stage that one pod does."""

    def build(scope: Scope, stage: Stage) -> StageWork:
        found = template(scope) or PodTemplate()
        part = Part(component, stage.name, _alone(stage.name), found, f"spec.{field}")
        return StageWork(replace(_work(scope, stage, part), tries=tries))

    return build


def _generation(scope: Scope, stage: Stage) -> StageWork:
    """A coordinator and its workers; where there is no broker, the coordinator draws itself."""
    spec = scope.run.spec.generation
    workers, field = spec.worker_template or PodTemplate(), "spec.generation.workerTemplate"
    if not scope.workers:
        part = Part("generation", "generation", _alone("generation"), workers, field)
        return StageWork(_work(scope, stage, part))
    coordinator = Part(
        "generation",
        "generation",
        [*_alone("generation"), *_broker(scope)],
        spec.template or PodTemplate(),
        "spec.generation.template",
        has_broker=True,
    )
    # They go when the operator takes them away: more may have to be drawn after filtering.
    arguments = ["worker", RUN_FILE, *_broker(scope), "--leave-after", "86400"]
    worker = Part("worker", "generation", arguments, workers, field, has_broker=True)
    return StageWork(
        _work(scope, stage, coordinator),
        (_work(scope, stage, worker, pods=scope.workers),),
    )


def _federation(scope: Scope, stage: Stage) -> StageWork:
    aggregator = _work(scope, stage, aggregator_part(scope))
    clients = tuple(_work(scope, stage, part) for part in client_parts(scope))
    return StageWork(aggregator, clients, can_lose_helpers=True)


def _work(scope: Scope, stage: Stage, part: Part, *, pods: int = 1) -> Work:
    """The name is new when what the user says of the pod is: a Job's pod cannot be changed."""
    given = [_dumped(part.template), part.volumes, part.environment_of, pods]
    digest = digest8(scope.name, stage.digest, part.component, part.client, *given)
    called = f"{part.component}-{part.client}" if part.client else part.component
    return Work(part, object_name(scope.name, called, digest), pods)


def _dumped(template: SpecModel) -> Any:
    return template.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _alone(stage: str) -> Sequence[str]:
    return ("run", RUN_FILE, "--only", stage)


def _broker(scope: Scope) -> list[str]:
    """The address with the password comes by the environment, not where `ps` shows it."""
    secret = scope.settings.broker_secret
    return [] if secret or not scope.settings.broker else ["--broker", scope.settings.broker]


_Build = Callable[[Scope, Stage], StageWork]
_BUILDERS: dict[str, _Build] = {
    "prompts": _plain("prompts.template", "prompts", lambda s: s.run.spec.prompts.template),
    "generation": _generation,
    "pretraining": _plain(
        "pretraining.template", "pretraining", lambda s: s.run.spec.pretraining.template
    ),
    "federation": _federation,
    "evaluation": _plain(
        "evaluation.template", "evaluation", lambda s: s.run.spec.evaluation.template
    ),
    # What the gate says is not going to be otherwise by asking again.
    "serving": _plain("serving.template", "export", lambda s: s.run.spec.serving.template, tries=1),
}
