"""A cluster on paper: does what a decision asks for, and lets Jobs go on as Kubernetes would."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from gptfl.spec.load import parse_run
from gptfl.spec.run import run_uid
from gptfl.stages import plan
from gptfl.store.runs import RunStatus, StepState, StepStatus
from gptfl_operator.manifests.certificates import AUTHORITY_KEYS, CLIENT_KEYS, SERVER_KEYS
from gptfl_operator.model import (
    RUN_UID_LABEL,
    TOKEN_DIGEST,
    CertificateUse,
    Desired,
    Observed,
    Ref,
)
from gptfl_operator.reconcile import reads, reconcile
from gptfl_operator.settings import OperatorSettings

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
SETTINGS = OperatorSettings(
    image="example/gptfl:1",
    store="s3://models/gptfl",
    store_endpoint="http://minio.store:9000",
    store_secret="store-keys",
    broker="redis://redis:6379/0",
)
KEYS = {"AWS_ACCESS_KEY_ID": "digest", "AWS_SECRET_ACCESS_KEY": "digest"}
PLACES = {
    "Job": "jobs",
    "Pod": "pods",
    "Service": "services",
    "ConfigMap": "config_maps",
    "Secret": "secrets",
    "NetworkPolicy": "network_policies",
    "InferenceService": "inference_services",
}
STAGES = {
    "prompts": "prompts",
    "generation": "generation",
    "pretraining": "pretraining",
    "aggregator": "federation",
    "evaluation": "evaluation",
    "export": "serving",
}
"""The component of a stage's main Job, and the stage."""


def a_run(name: str = "pets", uid: str = UID, **spec: Any) -> dict[str, Any]:
    """A small run as an API server holds it."""
    return {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "uid": uid,
            "generation": 1,
            "creationTimestamp": stamp(NOON),
        },
        "spec": {
            "task": {"labels": ["cat", "dog"]},
            "federation": {
                "rounds": 4,
                "simulation": {"dataset": {"uri": "sklearn://digits"}, "clients": 2},
            },
            "evaluation": {"dataset": {"uri": "sklearn://digits", "split": "train[80%:]"}},
            **spec,
        },
    }


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """One run in a cluster, at one moment after the other."""

    def __init__(
        self, run: dict[str, Any] | None = None, settings: OperatorSettings = SETTINGS
    ) -> None:
        self.run = run or a_run()
        self.settings = settings
        self.now = NOON
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.named: dict[Ref, dict[str, Any] | None] = {
            self.at("Secret", "store-keys"): {"metadata": {"name": "store-keys"}, "data": KEYS}
        }
        self.kinds = frozenset({"InferenceService"})
        self.progress: RunStatus | None = None
        self.warnings: list[dict[str, Any]] = []
        self.probes: dict[str, str] = {}
        self.store_problem: str | None = None
        self.refused: tuple[str, ...] = ()
        self.writes: list[tuple[str, str, str]] = []
        self.is_deleted = False
        self._made = 0

    def at(self, kind: str, name: str) -> Ref:
        return Ref("v1", kind, "lab", name)

    def observed(self) -> Observed:
        found: dict[str, Any] = {place: [] for place in PLACES.values()}
        for (kind, _), thing in self.things.items():
            found[PLACES[kind]].append(thing)
        asked = reads(self.settings)(self.run)
        named = {ref: self.named.get(ref) for ref in asked}
        for ref in asked:
            named[ref] = named[ref] or self.things.get((ref.kind, ref.name))
        return Observed(
            **{place: tuple(things) for place, things in found.items()},
            warnings=tuple(self.warnings),
            named=named,
            kinds=self.kinds,
            progress=self.progress,
            store_problem=self.store_problem,
            refused=self.refused,
            probes=self.probes,
        )

    def decide(self) -> Desired:
        return reconcile(self.run, self.observed(), self.settings, self.now)

    def visit(self) -> Desired:
        """One decision, and all that it asks for done."""
        desired = self.decide()
        self.do(desired)
        return desired

    def do(self, desired: Desired) -> None:
        for wanted in desired.apply:
            self._apply(wanted)
        for ref in desired.delete:
            self._delete(ref)
        for request in desired.certificates:
            self._issue(request)
        for probe in desired.probes:
            self.probes.setdefault(probe.revision, "")
        if desired.status is not None and desired.status != self.run.get("status"):
            self.writes.append(("status", "GPTFLRun", self.run["metadata"]["name"]))
            self.run["status"] = copy.deepcopy(dict(desired.status))
        self.is_deleted = self.is_deleted or desired.delete_run

    def settle(self, most: int = 10) -> Desired:
        """Visits until nothing is written any more."""
        for _ in range(most):
            before = len(self.writes)
            desired = self.visit()
            if len(self.writes) == before:
                return desired
        raise AssertionError(f"still writing after {most} visits: {self.writes[-5:]}")

    def change(self, **spec: Any) -> None:
        self.run["spec"] |= spec
        self.run["metadata"]["generation"] += 1

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def names(self, kind: str) -> list[str]:
        return [name for (one, name) in self.things if one == kind]

    def components(self, kind: str = "Job") -> list[str]:
        return [component(thing) for (one, _), thing in self.things.items() if one == kind]

    def job(self, wanted: str) -> dict[str, Any]:
        """The Job of a component; the newest where there are several."""
        return [
            thing
            for (kind, _), thing in self.things.items()
            if kind == "Job" and component(thing) == wanted
        ][-1]

    def condition(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            one for one in self.run["status"]["conditions"] if one["type"] == kind
        )
        return found

    def said(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        return self.condition(kind)["status"], self.condition(kind)["reason"]

    def complete(self, wanted: str) -> None:
        """The Job of a component ends well, and the process has said so in the store."""
        job = self.job(wanted)
        job["status"] = {
            "succeeded": 1,
            "startTime": stamp(self.now),
            "completionTime": stamp(self.now),
            "conditions": [{"type": "Complete", "status": "True"}],
        }
        if wanted in STAGES:
            self.says(STAGES[wanted], state=StepState.DONE, key="c0ffee" * 10, digest="beef" * 16)

    def fail(self, wanted: str, reason: str = "BackoffLimitExceeded") -> None:
        job = self.job(wanted)
        failed = {"type": "Failed", "status": "True", "reason": reason}
        job["status"] = {
            "failed": 1,
            "startTime": stamp(self.now),
            "conditions": [failed | {"lastTransitionTime": stamp(self.now)}],
        }

    def pod_of(self, owner: dict[str, Any], name: str = "", **status: Any) -> dict[str, Any]:
        """A pod of a Job, or of an InferenceService."""
        is_job = owner["kind"] == "Job"
        name = name or f"{owner['metadata']['name']}-x{len(self.things)}"
        labels = dict(owner["metadata"]["labels"])
        if not is_job:
            labels["serving.kserve.io/inferenceservice"] = owner["metadata"]["name"]
        spec = owner["spec"]["template"]["spec"] if is_job else {}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": labels,
                "creationTimestamp": stamp(self.now),
                "ownerReferences": [{"kind": owner["kind"], "name": owner["metadata"]["name"]}],
            },
            "spec": spec,
            "status": status,
        }
        self.things["Pod", name] = pod
        return pod

    def says(self, step: str, **fields: Any) -> None:
        """What the processes write into the store about a step."""
        spec = parse_run({k: v for k, v in self.run.items() if k != "status"})
        if self.progress is None or self.progress.uid != run_uid(spec):
            self.progress = RunStatus(
                namespace="lab",
                name=spec.metadata.name,
                uid=run_uid(spec),
                started=NOON,
                steps=tuple(StepStatus(name=s.name, stage=s.stage) for s in plan(spec)),
            )
        steps = tuple(
            one.model_copy(update=fields)
            if step in (one.name, one.stage) and (step == one.name or "state" in fields)
            else one
            for one in self.progress.steps
        )
        self.progress = self.progress.model_copy(update={"steps": steps})

    def ready(self, revision: str) -> None:
        """KServe has loaded a revision."""
        service = self.things["InferenceService", revision]
        service["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.pod_of(service, conditions=[{"type": "Ready", "status": "True"}])

    def up_to(self, last: str) -> "World":
        """All stages before a component's are done, and its Jobs are there."""
        self.settle()
        for wanted in STAGES:
            if wanted == last:
                return self
            self.complete(wanted)
            self.settle()
        return self

    def _apply(self, wanted: dict[str, Any]) -> None:
        """As server-side apply by one manager does: what is meant is set, the rest stays."""
        wanted = copy.deepcopy(dict(wanted))
        kind, metadata = wanted["kind"], wanted["metadata"]
        own = {"kind": "GPTFLRun", "uid": self.run["metadata"]["uid"]}
        metadata["ownerReferences"] = [own]
        metadata.setdefault("labels", {})[RUN_UID_LABEL] = self.run["metadata"]["uid"]
        there = self.things.get((kind, metadata["name"]))
        if there is None:
            self._made += 1
            wanted["metadata"] |= {
                "namespace": "lab",
                "uid": f"uid-{self._made}",
                "creationTimestamp": stamp(self.now),
            }
            self.things[kind, metadata["name"]] = wanted
            self.writes.append(("create", kind, metadata["name"]))
            return
        if kind == "Job":
            wanted["spec"]["template"] = there["spec"]["template"]
        merged = copy.deepcopy(there)
        _merge(merged, wanted)
        if merged != there:
            self.things[kind, metadata["name"]] = merged
            self.writes.append(("change", kind, metadata["name"]))

    def _delete(self, ref: Ref) -> None:
        assert (ref.kind, ref.name) in self.things, f"{ref} is not there"
        del self.things[ref.kind, ref.name]
        self.writes.append(("delete", ref.kind, ref.name))
        for key, pod in list(self.things.items()):
            owners = pod["metadata"].get("ownerReferences", ())
            if any((o["kind"], o.get("name")) == (ref.kind, ref.name) for o in owners):
                del self.things[key]

    def _issue(self, request: Any) -> None:
        keys = {
            CertificateUse.AUTHORITY: AUTHORITY_KEYS,
            CertificateUse.SERVER: SERVER_KEYS,
            CertificateUse.CLIENT: CLIENT_KEYS,
        }[request.use]
        secret = copy.deepcopy(dict(request.secret))
        if request.use is CertificateUse.CLIENT:
            digest = f"sha256-of-{request.common_name}"
            secret["metadata"]["annotations"] = {TOKEN_DIGEST: digest}
        self._apply(secret | {"data": dict.fromkeys(keys, "digest")})


def component(thing: dict[str, Any]) -> str:
    found: str = thing["metadata"]["labels"]["app.kubernetes.io/component"]
    return found


def _merge(there: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(there.get(name), dict):
            _merge(there[name], value)
        else:
            there[name] = value
