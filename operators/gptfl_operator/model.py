"""What the decision and the shell around it say to each other, so that either can be read alone.

Objects of Kubernetes are raw JSON here, as the API server sends them: what is read is compared
field by field and what is written is applied whole, and model classes would help with neither.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gptfl.spec.run import GROUP, VERSION
from gptfl.store.runs import RunStatus

Object = Mapping[str, Any]
"""An object of Kubernetes as JSON; never changed in place, for the cache hands out its own."""

PLURAL = "gptflruns"
API_VERSION = f"{GROUP}/{VERSION}"

MANAGER = "gptfl-operator"
"""The field manager of every write."""

RUN_UID_LABEL = f"{GROUP}/run-uid"
"""On every object of a run and on its pods: the run's uid. The shell sets it, and in pod templates
too; a run of the same name that comes later has another."""

KEEPS_VALUES_LABEL = f"{GROUP}/read-by-operator"
"""A Secret of a run with this label ("true") is handed to the decision with its values; of any
other it gets, for each key, a digest."""


@dataclass(frozen=True)
class Ref:
    """Names an object. Where `uid` is given, that very object and no later one of its name."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, given: Object) -> "Ref":
        """The reference to an object, its uid included when it has one."""
        metadata = given["metadata"]
        return cls(
            given["apiVersion"],
            given["kind"],
            metadata.get("namespace", ""),
            metadata["name"],
            metadata.get("uid", ""),
        )


@dataclass(frozen=True)
class Observed:
    """What there is of one run, at one moment: never older than the operator's own last write."""

    jobs: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    services: tuple[Object, ...] = ()
    config_maps: tuple[Object, ...] = ()
    secrets: tuple[Object, ...] = ()
    """Those of the run, each value of `data` a digest (see `KEEPS_VALUES_LABEL`)."""
    network_policies: tuple[Object, ...] = ()
    inference_services: tuple[Object, ...] = ()
    """Those of the run; empty as well where the cluster has no KServe."""
    warnings: tuple[Object, ...] = ()
    """Kubernetes events of type Warning about the pods and Jobs above, oldest first:
    metadata, involvedObject, reason, message, count, lastTimestamp."""
    named: Mapping[Ref, Object | None] = field(default_factory=dict)
    """What the run names but does not own (see `Reads`); None for what does not exist. Secrets hold
    digests for values. At most half a minute old."""
    kinds: frozenset[str] = frozenset()
    """Kinds that may or may not be installed, and are: `InferenceService`, say."""
    progress: RunStatus | None = None
    """How far the processes are, as they wrote into the store; None when nothing is there."""
    store_problem: str | None = None
    """Why the store could not be asked, in one line."""
    refused: tuple[str, ...] = ()
    """What the API server would not take when this run's objects were last applied (a quota, a
    policy, a right that is missing): one line each. It is tried again with growing pauses."""
    probes: Mapping[str, str] = field(default_factory=dict)
    """By the name of an InferenceService: what came of the probe of it that was asked for, in one
    line; empty when it answered well."""


class EventType(StrEnum):
    """Kubernetes knows two."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class EventNote:
    """A Kubernetes event about the run, for a transition from the status it has to the one it gets.

    Told once for each status that it is a transition from, however often the decision repeats it.
    """

    reason: str
    """One CamelCase word."""
    message: str
    type: EventType = EventType.NORMAL


class CertificateUse(StrEnum):
    """Whom a certificate speaks for."""

    AUTHORITY = "Authority"
    SERVER = "Server"
    CLIENT = "Client"


@dataclass(frozen=True)
class CertificateRequest:
    """A Secret with a key that somebody has to make, since a decision has no dice.

    The keys of its data are the files that `gptfl pki` writes. `AUTHORITY`: `ca.crt`, `ca.key`.
    `SERVER`: `ca.crt`, `server.crt`, `server.key`. `CLIENT`: `ca.crt`, `client.crt`, `client.key`
    and `token`, whose SHA-256 in hex becomes the Secret's annotation `TOKEN_DIGEST`. The last two
    are signed by `authority`, and made after it."""

    use: CertificateUse
    secret: Object
    """The Secret as it is to be, without its `data`."""
    authority: str = ""
    """The name of the Secret with the authority's key."""
    common_name: str = ""
    hosts: tuple[str, ...] = ()
    """DNS names and addresses of a server."""


TOKEN_DIGEST = f"{GROUP}/token-sha256"


@dataclass(frozen=True)
class ProbeRequest:
    """A request that a revision has to answer before it is let at users."""

    revision: str
    """The InferenceService; the answer goes to `Observed.probes` under this name."""
    url: str
    body: Mapping[str, Any]
    """JSON for POST. An answer is good when its status is 200 and it has `answers` predictions."""
    answers: int = 1


@dataclass(frozen=True)
class Desired:
    """What ought to be."""

    apply: tuple[Object, ...] = ()
    """Objects in the order in which they are applied, each with only the fields that are meant.

    The shell adds namespace, owner reference and `RUN_UID_LABEL`, writes only what differs, and
    keeps what cannot be changed in an object that exists (a Job's pod template) as it was made."""
    delete: tuple[Ref, ...] = ()
    """Objects of the run that go, with what they own; after everything has been applied."""
    status: Mapping[str, Any] | None = None
    """The whole status; written when it differs from what the run has. None leaves it alone."""
    events: tuple[EventNote, ...] = ()
    requeue_after: float | None = None
    """Seconds after which the run is looked at again even if nothing happens to it."""
    certificates: tuple[CertificateRequest, ...] = ()
    """Secrets that are missing; made once and then left alone."""
    probes: tuple[ProbeRequest, ...] = ()
    """Requests to make now, of which the next decision wants to hear."""
    delete_run: bool = False
    """The run itself goes: its time to live is over."""


Decide = Callable[[Object, Observed, datetime], Desired]
"""`reconcile` with its settings bound: a pure function of the run, what there is and the time."""

Reads = Callable[[Object], tuple[Ref, ...]]
"""What a run names but does not own, and the decision wants to see: Secrets, volume claims."""
