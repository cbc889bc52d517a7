"""What the operator writes, and the few things that it reads live: each one request, counted."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gptfl.telemetry.metrics.operator import OperatorMetrics
from gptfl_operator.api import APPLY_PATCH, JSON, JSON_PATCH, Api, ApiError, Body
from gptfl_operator.cache import kept, sealed
from gptfl_operator.model import API_VERSION, MANAGER, EventNote, Object, Ref
from gptfl_operator.resources import RUNS, resource_of

_LOG = logging.getLogger("gptfl.operator")


class Cluster:
    """The reads and writes of one operator."""

    def __init__(
        self,
        api: Api,
        identity: str,
        metrics: OperatorMetrics,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """`identity` tells this replica from others; `may_write` says whether it is its turn."""
        self._api, self._identity, self._metrics = api, identity, metrics
        self._may_write = may_write

    def read(self, ref: Ref) -> dict[str, Any] | None:
        """The object as it is now, or None; of Secrets, digests."""
        path = resource_of(ref.kind).path(ref.namespace, ref.name)
        try:
            found = self._api.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return sealed(found) if ref.kind == "Secret" else found

    def apply(self, given: Object, *, force: bool) -> dict[str, Any]:
        """The object as it is now that our fields are as given; others' fields are left alone.

        Where one of ours has another value from somebody else: `force` sets it, else ApiError.
        """
        metadata = given["metadata"]
        path = resource_of(given["kind"]).path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": MANAGER, "force": str(force).lower()}
        return kept(
            self._write(
                *("apply", given["kind"], "PATCH", path),
                query=query,
                body=given,
                content_type=APPLY_PATCH,
            )
        )

    def delete(self, ref: Ref) -> dict[str, Any] | None:
        """Deletes that very object; returns it while it is going, None when it is gone."""
        path = resource_of(ref.kind).path(ref.namespace, ref.name)
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": ref.uid},
        }
        try:
            answer = self._write("delete", ref.kind, "DELETE", path, body=options)
        except ApiError as error:
            if error.status in (404, 409):  # gone, or another one of the same name
                return None
            raise
        return kept(answer) if answer["kind"] == ref.kind else None

    def write_status(self, run: Object, status: Mapping[str, Any]) -> dict[str, Any]:
        """The run with the status that it is to have. Another run of its name does not get it."""
        path = RUNS.path(run["metadata"]["namespace"], run["metadata"]["name"], "status")
        # A merge patch could name the uid, and the API server would not mind another one.
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": run["metadata"]["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        return kept(
            self._write(
                *("status", RUNS.kind, "PATCH", path),
                query={"fieldManager": MANAGER},
                body=patch,
                content_type=JSON_PATCH,
            )
        )

    def tell(self, run: Object, note: EventNote, now: datetime) -> None:
        """A Kubernetes event about the run; nothing when it was told already."""
        namespace = run["metadata"]["namespace"]
        event = event_of(run, note, now, self._identity)
        try:
            self._write("event", "Event", "POST", _EVENTS.format(namespace), body=event)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return
            if not error.is_refusal:
                raise
            _LOG.warning("event %s could not be told: %s", note.reason, error)

    def _write(
        self,
        verb: str,
        kind: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        if not self._may_write():
            raise ApiError(0, "NotLeading", "another replica may be at work; nothing is written")
        try:
            answer = self._api.request(method, path, query, body, content_type)
        except ApiError:
            self._metrics.write_failed(verb, kind)
            raise
        self._metrics.wrote(verb, kind)
        return answer


_EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"
_LONGEST_NOTE = 1024


def event_of(run: Object, note: EventNote, now: datetime, identity: str) -> dict[str, Any]:
    """The event, named after the transition it tells of: told twice, it is the same event."""
    metadata = run["metadata"]
    told = [metadata["uid"], note.type, note.reason, note.message, run.get("status", {})]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:230]}.{digest[:16]}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": str(note.type),
        "reason": note.reason,
        "note": note.message[:_LONGEST_NOTE],
        "action": note.reason,
        "reportingController": MANAGER,
        "reportingInstance": identity,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": RUNS.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }


def is_same_status(one: Any, other: Any) -> bool:
    """Equal, where lists and maps that are empty may as well not be there: some are defaults."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(
            is_same_status(one.get(key), other.get(key)) for key in one.keys() | other.keys()
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(is_same_status, one, other))
    return bool(one == other) or (one in _NOTHING and other in _NOTHING)


_NOTHING: tuple[Any, ...] = (None, [], {})
