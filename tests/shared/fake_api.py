"""An API server in memory, at the boundary where the operator speaks HTTP.

It keeps what the operator relies on: versions that grow, uids, server-side apply with its record of
who set what, merge patches, preconditions, watches that can be cut and lists that can be too old.
What the real one does with it is seen in tests/cluster.
"""

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gptfl_operator.api import ApiError, Body
from gptfl_operator.model import RUN_UID_LABEL
from gptfl_operator.resources import WATCHED, Resource

_PATH = re.compile(
    r"(?P<root>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(/(?P<name>[^/]+))?(/(?P<part>status))?$"
)
_OTHERS = (
    Resource("coordination.k8s.io/v1", "Lease", "leases"),
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
)
_KINDS = {one.plural: one for one in (*WATCHED, *_OTHERS)}

Refuse = Callable[[str, str], ApiError | None]
"""Method and path to the error that the server answers with."""


class FakeApi:
    """Takes and answers what `gptfl_operator.api.Api` says."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        """By plural, namespace and name."""
        self.requests: list[tuple[str, str]] = []
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        """Version, type and object of all that happened."""
        self.refuse: Refuse = lambda method, path: None
        self.before: Callable[[str, str], None] = lambda method, path: None
        """Called before each request: what others do at that moment."""
        self.forgotten = 0
        """Watches from before this version are told 410."""
        self._versions = itertools.count(1)
        self.version = 0

    @property
    def writes(self) -> list[tuple[str, str]]:
        """What was asked for that changes something."""
        reads = ("GET", "WATCH")
        return [(method, path) for method, path in self.requests if method not in reads]

    # What the operator calls

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        self._arrive(method, path)
        found = _PATH.match(path)
        assert found, f"{path} is not a path"
        key = (found["plural"], found["namespace"] or "", found["name"] or "")
        given: Any = copy.deepcopy(body or {})
        if method == "GET":
            return copy.deepcopy(self._get(key) if key[2] else self._list(key, query or {}))
        if method == "DELETE":
            return self._delete(key, given)
        if method == "POST":
            key = (*key[:2], given["metadata"]["name"])
            if key in self.objects:
                raise ApiError(409, "AlreadyExists", f"{path} exists")
            if "regarding" in given:  # the other API's names for the same things
                given |= {"involvedObject": given["regarding"], "message": given["note"]}
            return copy.deepcopy(self.put(key[0], given))
        if method == "PUT":
            return self._replace(key, given)
        if content_type == "application/apply-patch+yaml":
            return self._apply(key, given, force=(query or {})["force"] == "true")
        assert found["part"] == "status"
        return self._patch_status(key, given)

    def stream(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[bytes]:
        """All that has happened since, and then the end."""
        self._arrive("WATCH", path)
        found = _PATH.match(path)
        assert found
        since = int(query["resourceVersion"])
        if since < self.forgotten:
            error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            yield json.dumps({"type": "ERROR", "object": error}).encode()
            return
        for version, sort, one in list(self.log):
            if version > since and self._is_chosen(one, found["plural"], found["namespace"], query):
                yield json.dumps({"type": sort, "object": one}).encode()
        mark = {"metadata": {"resourceVersion": str(self.version)}}
        yield json.dumps({"type": "BOOKMARK", "object": mark}).encode()

    # What tests do behind the operator's back

    def put(self, plural: str, given: dict[str, Any]) -> dict[str, Any]:
        """An object is made or changed by somebody."""
        resource = _KINDS[plural]
        metadata = given.setdefault("metadata", {})
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        before = self.objects.get(key)
        made = {"apiVersion": resource.api_version, "kind": resource.kind, **given}
        metadata.setdefault("uid", before["metadata"]["uid"] if before else self._new_uid())
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        generation = before["metadata"]["generation"] if before else 0
        if before is None or before.get("spec") != given.get("spec"):
            generation += 1
        metadata["generation"] = generation
        metadata["resourceVersion"] = str(self._next())
        self.objects[key] = made
        self._note("MODIFIED" if before else "ADDED", made)
        return made

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """An object is deleted by somebody, with what it owns."""
        gone = self.objects.pop((plural, namespace, name))
        gone["metadata"]["resourceVersion"] = str(self._next())
        self._note("DELETED", gone)
        uid = gone["metadata"]["uid"]
        for key, one in list(self.objects.items()):
            if any(ref["uid"] == uid for ref in one["metadata"].get("ownerReferences", ())):
                self.remove(*key)

    def of(self, plural: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return [one for key, one in self.objects.items() if key[0] == plural]

    def forget(self) -> None:
        """Compaction: what has happened until now can be watched no more."""
        self.forgotten = self._next()
        self.log.clear()

    # How it does it

    def _arrive(self, method: str, path: str) -> None:
        self.before(method, path)
        self.requests.append((method, path))
        error = self.refuse(method, path)
        if error is not None:
            raise error

    def _next(self) -> int:
        self.version = next(self._versions)
        return self.version

    def _new_uid(self) -> str:
        return f"uid-{self._next()}"

    def _note(self, sort: str, given: dict[str, Any]) -> None:
        self.log.append((self.version, sort, copy.deepcopy(given)))

    def _get(self, key: tuple[str, str, str]) -> dict[str, Any]:
        if key not in self.objects:
            raise ApiError(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return self.objects[key]

    def _list(self, key: tuple[str, str, str], query: Mapping[str, str]) -> dict[str, Any]:
        chosen = [one for one in self.objects.values() if self._is_chosen(one, *key[:2], query)]
        start = int(query.get("continue", 0))
        end = start + int(query.get("limit", 500))
        metadata = {"resourceVersion": str(self.version)}
        if end < len(chosen):
            metadata["continue"] = str(end)
        # As the real one: what is in a list says neither its kind nor its version.
        bare = ("apiVersion", "kind")
        items = [{k: v for k, v in one.items() if k not in bare} for one in chosen[start:end]]
        return {"kind": "List", "metadata": metadata, "items": items}

    @staticmethod
    def _is_chosen(
        one: dict[str, Any], plural: str, namespace: str | None, query: Mapping[str, str]
    ) -> bool:
        if one["kind"] != _KINDS[plural].kind:
            return False
        if namespace and one["metadata"]["namespace"] != namespace:
            return False
        if "fieldSelector" in query and one["type"] != "Warning":
            return False
        label = query.get("labelSelector")
        return label is None or label in one["metadata"].get("labels", {})

    def _apply(
        self, key: tuple[str, str, str], given: dict[str, Any], *, force: bool
    ) -> dict[str, Any]:
        before = self.objects.get(key, {})
        if not force and before:
            raise ApiError(409, "Conflict", f'Apply failed with 1 conflict in "{key[2]}"')
        metadata = {**before.get("metadata", {}), **given["metadata"]}
        fields = {"spec", "data", "metadata"} & given.keys()
        entry = {
            "manager": "gptfl-operator",
            "operation": "Apply",
            "fieldsV1": {f"f:{name}": _fields(given[name], name) for name in fields},
        }
        metadata["managedFields"] = [entry]
        return copy.deepcopy(self.put(key[0], {**before, **given, "metadata": metadata}))

    def _patch_status(self, key: tuple[str, str, str], patch: Any) -> dict[str, Any]:
        before = self._get(key)
        test, add = patch
        assert (test["op"], test["path"]) == ("test", "/metadata/uid")
        assert (add["op"], add["path"]) == ("add", "/status")
        if test["value"] != before["metadata"]["uid"]:
            raise ApiError(422, "Invalid", "the server rejected our request")
        metadata, status = dict(before["metadata"]), add["value"]
        return copy.deepcopy(self.put(key[0], {**before, "metadata": metadata, "status": status}))

    def _replace(self, key: tuple[str, str, str], given: dict[str, Any]) -> dict[str, Any]:
        before = self._get(key)
        if given["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        return copy.deepcopy(self.put(key[0], given))

    def _delete(self, key: tuple[str, str, str], options: dict[str, Any]) -> dict[str, Any]:
        found = self._get(key)
        wanted = options.get("preconditions", {}).get("uid")
        if wanted and wanted != found["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "another uid")
        self.remove(*key)
        return {"kind": "Status", "status": "Success"}


def _fields(value: Any, name: str = "") -> dict[str, Any]:
    """The field set of an applied value: maps by field, lists as a whole."""
    if not isinstance(value, dict):
        return {}
    left_out = ("name", "namespace", "uid") if name == "metadata" else ()
    return {f"f:{key}": _fields(part) for key, part in value.items() if key not in left_out}


def run_object(name: str = "digits", namespace: str = "lab", **spec: Any) -> dict[str, Any]:
    """A run as a user gives it."""
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"seed": 1, **spec}}


def child_of(run: Mapping[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    """An object that the operator made for a run."""
    metadata = run["metadata"]
    owner = {"uid": metadata["uid"], "controller": True, "name": metadata["name"]}
    return {
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {RUN_UID_LABEL: metadata["uid"]},
            "ownerReferences": [owner],
        },
        **fields,
    }
