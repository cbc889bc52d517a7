"""The objects of one kind as the operator last heard of them, from the API server's lists, its
watch and the answers to the operator's own writes, whichever is the newest.

An answer to a write is often here before the watch tells of it, and sometimes after the watch has
told of what came later: what is older than what is known is dropped, also for what is gone.
"""

import hashlib
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from gptfl.spec.run import KIND
from gptfl_operator.model import KEEPS_VALUES_LABEL, MANAGER, RUN_UID_LABEL, Object

Name = tuple[str, str]
"""Namespace and name."""

GRAVES = 10_000
"""Of how many deleted objects it is remembered that, and when, they were deleted."""

Listener = Callable[[Object], None]
"""Told each object that came, changed or went."""


class Cache:
    """Objects by name, and by what they belong to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Name, Object] = {}
        self._members: defaultdict[str, set[Name]] = defaultdict(set)
        self._graves: OrderedDict[Name, int] = OrderedDict()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tells the listener of every change from now on, in the thread that brings it."""
        self._listeners.append(listener)

    def get(self, name: Name) -> Object | None:
        """The object of that name."""
        with self._lock:
            return self._objects.get(name)

    def all(self) -> list[Object]:
        """Every object."""
        with self._lock:
            return list(self._objects.values())

    def of(self, uid: str) -> tuple[Object, ...]:
        """The objects that belong to a run, or events that are about an object, by its uid."""
        with self._lock:
            return tuple(self._objects[name] for name in sorted(self._members.get(uid, ())))

    def put(self, given: Object) -> None:
        """An object as it was at some time: kept unless something newer is known."""
        with self._lock:
            is_news = self._put(given)
        self._tell([given] if is_news else [])

    def remove(self, given: Object) -> None:
        """An object as it was when it was deleted."""
        with self._lock:
            gone = self._remove(name_of(given), version_of(given))
        self._tell([gone] if gone else [])

    def replace(self, listed: Iterable[Object], version: int, *, within: str = "") -> None:
        """All objects (of a namespace) there were at a version; what is missing has vanished."""
        with self._lock:
            listed = list(listed)
            names = {name_of(one) for one in listed}
            changed = [one for one in listed if self._put(one)]
            # What was made after the list was read is not missing from it.
            missing = [name for name in self._within(within) if name not in names]
            vanished = [self._remove(name, version) for name in missing]
        self._tell([*changed, *filter(None, vanished)])

    def clear(self, *, within: str = "") -> None:
        """The kind itself is gone, and may come back with objects of the same names."""
        with self._lock:
            names = self._within(within)
            gone = [self._remove(name, version_of(self._objects[name])) for name in names]
        self._tell(filter(None, gone))

    def _within(self, namespace: str) -> list[Name]:
        return [name for name in self._objects if not namespace or name[0] == namespace]

    def _put(self, given: Object) -> bool:
        name, version = name_of(given), version_of(given)
        known = self._objects.get(name)
        if version <= max(version_of(known) if known else 0, self._graves.get(name, 0)):
            return False
        self._forget(name)
        self._objects[name] = given
        self._members[belongs_to(given)].add(name)
        return True

    def _remove(self, name: Name, version: int) -> Object | None:
        known = self._objects.get(name)
        if known and version_of(known) > version:
            return None
        self._graves[name] = max(version, self._graves.pop(name, 0))
        if len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
        self._forget(name)
        return known

    def _forget(self, name: Name) -> None:
        known = self._objects.pop(name, None)
        if known is None:
            return
        group = belongs_to(known)
        self._members[group].discard(name)
        if not self._members[group]:
            del self._members[group]

    def _tell(self, changed: Iterable[Object]) -> None:
        for one in changed:
            for listener in self._listeners:
                listener(one)


def name_of(given: Object) -> Name:
    """Namespace and name of an object."""
    metadata = given["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(given: Object) -> int:
    """The resourceVersion: API servers promise that it grows."""
    return int(given["metadata"]["resourceVersion"])


def belongs_to(given: Object) -> str:
    """The uid of what an object is about: an event's pod, a child's run, a run itself."""
    if given["kind"] == "Event":
        return str(given["involvedObject"].get("uid", ""))
    own = str(given["metadata"]["uid"])
    if given["kind"] == KIND:
        return own
    return str(given["metadata"].get("labels", {}).get(RUN_UID_LABEL, own))


def kept(given: dict[str, Any]) -> dict[str, Any]:
    """What the cache keeps of an object: no secrets, and of who owns its fields only ourselves."""
    metadata = given["metadata"]
    if "managedFields" in metadata:
        metadata["managedFields"] = [
            one
            for one in metadata["managedFields"]
            if (one.get("manager"), one.get("operation")) == (MANAGER, "Apply")
        ]
    if given["kind"] == "Secret":
        return sealed(given)
    if given["kind"] == "Event":
        names = ("apiVersion", "kind", "involvedObject", "reason", "message", "count")
        trimmed = {name: given[name] for name in names if name in given}
        last = given.get("lastTimestamp") or given.get("eventTime")
        return {**trimmed, "metadata": metadata, "lastTimestamp": last}
    return given


def sealed(secret: dict[str, Any]) -> dict[str, Any]:
    """A Secret with a digest in place of each value, unless it is made to be read by us."""
    if secret["metadata"].get("labels", {}).get(KEEPS_VALUES_LABEL) == "true":
        return secret
    data = {key: digest(value) for key, value in (secret.get("data") or {}).items()}
    return {**secret, "data": data}


def digest(value: str) -> str:
    """What stands for a value of a Secret."""
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
