"""Whether a run can be begun: what only someone in the cluster can see, as a list of small checks.

What is wrong with the file itself is found before, by the checks of `gptfl run`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from gptfl.errors import Problem
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import Object, Observed, Ref
from gptfl_operator.names import LONGEST_MODEL, MODEL
from gptfl_operator.objects import labels_of
from gptfl_operator.reasons import Reason


@dataclass(frozen=True)
class Visit:
    """A run, and what there is of it."""

    scope: Scope
    observed: Observed

    def named(self, kind: str, name: str) -> Object | None:
        """An object that the run names but does not own."""
        return self.observed.named.get(ref(self.scope, kind, name))


def ref(scope: Scope, kind: str, name: str) -> Ref:
    """An object of the run's namespace."""
    return Ref("v1", kind, scope.namespace, name)


@dataclass(frozen=True)
class Named:
    """Something that a run names: by which field, and what it must hold."""

    kind: str
    name: str
    field: str
    keys: tuple[str, ...] = ()


STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def named(scope: Scope) -> Iterator[Named]:
    """All that a run names and does not own, apart from the Service of its model."""
    if scope.store_secret:
        yield Named("Secret", scope.store_secret, "spec.artifacts.secretName", STORE_KEYS)
    if scope.settings.broker_secret:
        secret = scope.settings.broker_secret
        yield Named("Secret", secret, "spec.generation.workers", ("GPTFL_BROKER",))
    for index, client in enumerate(scope.run.spec.federation.clients or ()):
        path = f"spec.federation.clients[{index}]"
        if client.secret_name is not None:
            yield Named("Secret", client.secret_name, f"{path}.secretName")
        if client.volume_claim_name is not None:
            kind = "PersistentVolumeClaim"
            yield Named(kind, client.volume_claim_name, f"{path}.volumeClaimName")


Obstacle = tuple[Reason, Problem]
Check = Callable[[Visit], Obstacle | None]


def obstacle(visit: Visit) -> Obstacle | None:
    """The first thing that keeps a run from being begun; None when nothing does."""
    return next((found for check in CHECKS if (found := check(visit)) is not None), None)


def store_is_shared(visit: Visit) -> Obstacle | None:
    """A folder of one pod is not that of another."""
    store = visit.scope.store
    if not store:
        return Reason.NO_STORE, Problem(
            "spec.artifacts.uri",
            "is unset, and the operator has no store of its own; write uri: s3://BUCKET/PREFIX",
        )
    if urlsplit(store).scheme != "s3":
        return Reason.NO_STORE, Problem(
            "spec.artifacts.uri",
            f"{store!r} is a folder, which pods do not share; use s3://BUCKET/PREFIX",
        )
    return None


def named_objects_are_there(visit: Visit) -> Obstacle | None:
    """Pods would wait for ever for a Secret or a volume claim that is not there."""
    for one in named(visit.scope):
        found = visit.named(one.kind, one.name)
        if found is None:
            missing = {
                "Secret": (Reason.MISSING_SECRET, "Secret"),
                "PersistentVolumeClaim": (Reason.MISSING_VOLUME_CLAIM, "volume claim"),
            }
            reason, words = missing[one.kind]
            return reason, Problem(
                one.field,
                f"the {words} {one.name!r} is not in the namespace {visit.scope.namespace!r}; "
                "make it there or name another",
            )
        lacking = [key for key in one.keys if key not in (found.get("data") or {})]
        if lacking:
            return Reason.MISSING_SECRET_KEY, Problem(
                one.field, f"the Secret {one.name!r} has no {' and no '.join(lacking)}; add it"
            )
    return None


def store_answers(visit: Visit) -> Obstacle | None:
    """Nothing new is begun while nobody can say what is done."""
    problem = visit.observed.store_problem
    if problem is None:
        return None
    return Reason.STORE_UNREACHABLE, Problem("spec.artifacts.uri", " ".join(problem.split()))


def model_has_a_name(visit: Visit) -> Obstacle | None:
    """One of its own among Services; the run's name may be longer than that of a model."""
    scope = visit.scope
    if scope.model_name.endswith("-aggregator"):
        return Reason.NAME_TAKEN, Problem(
            "spec.serving.name", "ends as the Services of aggregators do; use another name"
        )
    if scope.run.spec.serving.name is None and len(scope.name) > LONGEST_MODEL:
        return Reason.NAME_TOO_LONG, Problem(
            "spec.serving.name",
            f"is unset, and the run's name has more than {LONGEST_MODEL} characters; "
            f"give a name of at most {LONGEST_MODEL}",
        )
    return None


def endpoint_is_free(visit: Visit) -> Obstacle | None:
    """A Service that somebody else made is not taken over."""
    scope = visit.scope
    service = visit.named("Service", scope.model_name)
    if service is None or labels_of(service).get(MODEL) == scope.model_name:
        return None
    return Reason.NAME_TAKEN, Problem(
        "spec.serving.name",
        f"a Service {scope.model_name!r} that is not gptfl's is in the namespace "
        f"{scope.namespace!r}; use another name",
    )


def simulation_has_room(visit: Visit) -> Obstacle | None:
    """Each made-up client is a pod."""
    simulation = visit.scope.run.spec.federation.simulation
    most = visit.scope.settings.simulated_clients
    if simulation is None or simulation.clients <= most:
        return None
    return Reason.TOO_MANY_CLIENTS, Problem(
        "spec.federation.simulation.clients",
        f"{simulation.clients} is more than the {most} pods that the operator starts for made-up "
        f"clients; use up to {most}, or have the operator's settings changed",
    )


CHECKS: tuple[Check, ...] = (
    store_is_shared,
    model_has_a_name,
    simulation_has_room,
    endpoint_is_free,
    named_objects_are_there,
    store_answers,
)
