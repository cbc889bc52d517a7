"""Which revision of a model answers, and what is kept to go back to.

Runs of a namespace may share a model's name, and then its Service, which belongs to the run whose
revision it selects. Whose revision is newest takes it over; the Service says on itself when its
revision was made, so that each run can decide alone and all decide the same. A revision that is
pinned stays, whatever is newer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gptfl_operator.manifests import serving
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import (
    Object,
    Observed,
    ProbeRequest,
    Ref,
)
from gptfl_operator.names import KSERVE_REVISION, MODEL, PINNED
from gptfl_operator.objects import (
    annotations_of,
    by_name,
    condition,
    created,
    labels_of,
    moment,
    name_of,
    spec_of,
    status_of,
)
from gptfl_operator.reasons import Reason
from gptfl_operator.troubles import pod_trouble

RESTARTS = 3
"""A revision whose containers have ended so often is given up."""

_EPOCH = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Export:
    """The model that the run has exported."""

    key: str
    digest: str


@dataclass(frozen=True)
class Publication:
    """What is to be done so that a model answers, and how far it is."""

    reason: Reason
    message: str
    is_published: bool = False
    is_over: bool = False
    """Whether there is nothing left to do."""
    has_failed: bool = False
    """Whether it was tried often enough; one that comes up later is published all the same."""
    apply: tuple[Object, ...] = ()
    keep: frozenset[str] = frozenset()
    """Names of InferenceServices that stay."""
    keeps_service: bool = False
    probes: tuple[ProbeRequest, ...] = ()
    endpoint: str | None = None
    waits_for_others: bool = False
    """Whether another run's Service may go, of which nothing tells this run."""


@dataclass(frozen=True)
class _Scene:
    """One run's share in a model's name."""

    scope: Scope
    observed: Observed

    @property
    def own_service(self) -> Object | None:
        """The Service of the model, if it is this run's: that is known to the moment."""
        return by_name(self.observed.services).get(self.scope.model_name)

    @property
    def service(self) -> Object | None:
        """The Service of the model, whoever's it is: of others it may be known a little late."""
        at = Ref("v1", "Service", self.scope.namespace, self.scope.model_name)
        return self.own_service or self.observed.named.get(at)

    @property
    def revisions(self) -> Mapping[str, Object]:
        """The run's own revisions of the model, the newest first."""
        name = self.scope.model_name
        own = [x for x in self.observed.inference_services if labels_of(x).get(MODEL) == name]
        return by_name(sorted(own, key=lambda x: (_made(x), name_of(x)), reverse=True))

    @property
    def selected(self) -> str | None:
        """The revision that answers."""
        found = (spec_of(self.service).get("selector") or {}) if self.service is not None else {}
        return found.get(KSERVE_REVISION)

    @property
    def pinned(self) -> str | None:
        """The revision that is to answer, come what may."""
        return annotations_of(self.service).get(PINNED) if self.service is not None else None

    @property
    def is_ours(self) -> bool:
        """Whether this run's revision answers."""
        return self.own_service is not None


def publish(scope: Scope, export: Export | None, observed: Observed) -> Publication:
    """What is to be done for a run's model; without an export, what answers goes on answering."""
    scene = _Scene(scope, observed)
    if "InferenceService" not in observed.kinds:
        return _without_kserve(export)
    if export is None:
        return _finished(scene, Reason.PENDING, "waits for a model", candidate=None)
    name = serving.revision_name(scope, export.digest)
    manifest = serving.inference_service(scope, export.key, export.digest)
    revision = scene.revisions.get(name)
    if revision is None and observed.refused:
        words = f"the API server does not take {observed.refused[0]}"
        made = _finished(scene, Reason.REFUSED, words, candidate=name)
        return replace(made, apply=(manifest, *made.apply))
    if revision is None:
        made = _finished(scene, Reason.LOADING, "the model is being loaded", candidate=name)
        return replace(made, apply=(manifest, *made.apply))
    found = _judged(scene, revision)
    return replace(found, apply=(manifest, *found.apply))


def _judged(scene: _Scene, revision: Object) -> Publication:
    """A revision that is there: loading, probed, let at users, or held back."""
    name = name_of(revision)
    if scene.pinned is not None and scene.pinned != name:
        words = "the endpoint is pinned to another revision; take the annotation off to go on"
        over = _finished(scene, Reason.PINNED, words, candidate=name, is_over=True)
        return replace(over, waits_for_others=not scene.is_ours)
    if scene.is_ours and scene.selected == name:
        words = "the model answers"
        return _finished(scene, Reason.PUBLISHED, words, candidate=name, is_over=True)
    may_take = scene.service is None or scene.pinned == name or _is_newer(scene, revision)
    if not (scene.is_ours or may_take):
        words = "a newer model of another run answers under this name"
        over = _finished(scene, Reason.SUPERSEDED, words, candidate=name, is_over=True)
        return replace(over, waits_for_others=True)
    held = _held_back(scene, revision)
    if held is not None:
        reason, words = held
        probes = (
            (_probe(scene, revision),) if reason in (Reason.PROBING, Reason.PROBE_FAILED) else ()
        )
        found = _finished(scene, reason, words, candidate=name)
        return replace(found, probes=probes, has_failed=_restarts(scene, name) >= RESTARTS)
    return _finished(
        scene, Reason.PUBLISHED, "the model answers", candidate=name, select=revision, is_over=True
    )


def _held_back(scene: _Scene, revision: Object) -> tuple[Reason, str] | None:
    """Why a revision is not let at users yet; None when it is good.

    KServe's `Ready` is believed of a revision that was never changed, together with a pod that is
    ready itself.
    """
    name = name_of(revision)
    pods = _pods(scene, name)
    if not (condition(revision, "Ready") and any(condition(pod, "Ready") for pod in pods)):
        field = "spec.serving.predictorTemplate"
        warnings = scene.observed.warnings
        troubles = (pod_trouble(pod, warnings, field) for pod in pods)
        trouble = next((one for one in troubles if one is not None), None)
        if trouble is not None:
            return trouble.reason, f"the model cannot be loaded: {trouble.message}"
        return Reason.LOADING, "the model is being loaded"
    answer = scene.observed.probes.get(name)
    if answer is None:
        return Reason.PROBING, "the model is loaded and asked for a first answer"
    if answer:
        return (
            Reason.PROBE_FAILED,
            f"the model is loaded and does not answer as it should: {answer}",
        )
    return None


def _pods(scene: _Scene, revision: str) -> list[Object]:
    return [pod for pod in scene.observed.pods if labels_of(pod).get(KSERVE_REVISION) == revision]


def _restarts(scene: _Scene, revision: str) -> int:
    kinds = ("initContainerStatuses", "containerStatuses")
    statuses = [status_of(pod) for pod in _pods(scene, revision)]
    counts = (
        one.get("restartCount") for s in statuses for kind in kinds for one in s.get(kind) or ()
    )
    return max((count for count in counts if isinstance(count, int)), default=0)


def _finished(
    scene: _Scene,
    reason: Reason,
    message: str,
    *,
    candidate: str | None,
    select: Object | None = None,
    is_over: bool = False,
) -> Publication:
    """The Service as it is to be, and which revisions stay."""
    wanted = select if select is not None else _kept_selection(scene)
    keep = frozenset(_kept(scene, candidate, name_of(wanted) if wanted is not None else None))
    answers = wanted is not None or scene.is_ours
    return Publication(
        reason,
        message,
        is_published=reason is Reason.PUBLISHED,
        is_over=is_over,
        apply=(_service(scene, wanted),) if wanted is not None else (),
        keep=keep,
        keeps_service=answers,
        endpoint=serving.endpoint(scene.scope) if answers else None,
    )


def _kept_selection(scene: _Scene) -> Object | None:
    """Which of this run's revisions goes on answering: the pinned one, or the one that does."""
    if scene.pinned is not None:
        return scene.revisions.get(scene.pinned)
    return scene.revisions.get(scene.selected or "") if scene.is_ours else None


def _kept(scene: _Scene, candidate: str | None, selected: str | None) -> Iterator[str]:
    """The newest ones, as many as the run keeps, and those that are needed."""
    count = 1 + scene.scope.run.spec.serving.revision_history_limit
    yield from list(scene.revisions)[:count]
    yield from (name for name in (candidate, selected, scene.pinned) if name is not None)


def _service(scene: _Scene, revision: Object) -> dict[str, Any]:
    made = revision["metadata"].get("creationTimestamp") or ""
    return serving.service(scene.scope, name_of(revision), made)


def _probe(scene: _Scene, revision: Object) -> ProbeRequest:
    url = serving.probe_url(scene.scope, revision)
    return ProbeRequest(name_of(revision), url, serving.PROBE_BODY)


def _is_newer(scene: _Scene, revision: Object) -> bool:
    published = annotations_of(scene.service).get(serving.PUBLISHED) if scene.service else None
    at = moment(published)
    return at is None or _made(revision) > at


def _made(revision: Object) -> datetime:
    return created(revision) or _EPOCH


def _without_kserve(export: Export | None) -> Publication:
    if export is None:
        return Publication(Reason.PENDING, "waits for a model")
    words = "the cluster has no KServe; the model is where status.model says"
    return Publication(Reason.NO_KSERVE, words, is_over=True)
