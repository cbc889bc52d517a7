"""All that the operator knows of the cluster, kept up to date by one watch a kind."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gptfl.store.runs import RunStatus
from gptfl_operator.api import Api
from gptfl_operator.cache import Cache, name_of
from gptfl_operator.informer import Informer
from gptfl_operator.link import is_owned
from gptfl_operator.model import RUN_UID_LABEL, Object, Observed, Ref
from gptfl_operator.queue import Key
from gptfl_operator.resources import CHILDREN, RUNS, WARNINGS, WATCHED, Resource

_WARNED = frozenset({"Pod", "Job"})
"""What it matters to be warned about: what the operator makes, and the pods of that."""
LOOKUP_SECONDS = 30.0


class World:
    """One cache a kind, and who keeps it."""

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`namespaces` are those that are looked after; none means all."""
        self.caches = {one.kind: Cache() for one in WATCHED}
        self.runs = self.caches[RUNS.kind]
        self.informers = [
            Informer(
                api,
                one,
                self.caches[one.kind],
                namespace=namespace,
                clock=clock,
                jitter=jitter,
                is_wanted=_is_wanted,
            )
            for one in WATCHED
            for namespace in namespaces or ("",)
        ]

    def start(self, stop: threading.Event) -> list[threading.Thread]:
        """Watches until `stop`; a watch that hears nothing ends with the process."""
        threads = [
            threading.Thread(
                target=one.run, args=(stop,), name=f"watch-{one.resource.plural}", daemon=True
            )
            for one in self.informers
        ]
        for thread in threads:
            thread.start()
        return threads

    @property
    def is_synced(self) -> bool:
        """Whether what is known is complete; what is decided from less could be wrong."""
        return all(one.is_synced for one in self.informers)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that the cluster has."""
        return frozenset(one.resource.kind for one in self.informers if one.is_installed)

    def listen(self, listener: Callable[[Key], None]) -> None:
        """Tells the listener the key of each run whose object, child or warning has changed."""

        def heard(given: Object) -> None:
            key = self._key(given)
            if key is not None:
                listener(key)

        for cache in self.caches.values():
            cache.listen(heard)

    def children(self, resource: Resource, run: Object) -> tuple[Object, ...]:
        """The run's objects of one kind. Pods belong to its Jobs and theirs, and to it by label."""
        found = self.caches[resource.kind].of(run["metadata"]["uid"])
        return tuple(one for one in found if resource.kind == "Pod" or is_owned(one, run))

    def has_children(self, key: Key) -> bool:
        """Whether anything was made for a run."""
        run = self.runs.get(key)
        uid = run["metadata"]["uid"] if run else ""
        return any(self.caches[one.kind].of(uid) for one in CHILDREN)

    def observe(self, run: Object, facts: "Facts") -> Observed:
        """What there is of a run, with what is not in any cache."""
        jobs, pods, services, config_maps, secrets, policies, inference = (
            self.children(one, run) for one in CHILDREN
        )
        return Observed(
            jobs=jobs,
            pods=pods,
            services=services,
            config_maps=config_maps,
            secrets=secrets,
            network_policies=policies,
            inference_services=inference,
            warnings=self._warnings((*pods, *jobs)),
            kinds=self.kinds,
            named=facts.named,
            progress=facts.progress,
            store_problem=facts.store_problem,
            refused=facts.refused,
            probes=facts.probes,
        )

    def _warnings(self, about: Sequence[Object]) -> tuple[Object, ...]:
        heard = self.caches[WARNINGS.kind]
        found = [event for one in about for event in heard.of(one["metadata"]["uid"])]
        return tuple(sorted(found, key=lambda event: event.get("lastTimestamp") or ""))

    def _key(self, given: Object) -> Key | None:
        """The run that an object tells something about."""
        if given["kind"] == RUNS.kind:
            return name_of(given)
        if given["kind"] == WARNINGS.kind:
            about = given["involvedObject"]
            child = self.caches[about["kind"]].get((about.get("namespace", ""), about["name"]))
            return self._key(child) if child is not None else None
        uid = given["metadata"].get("labels", {}).get(RUN_UID_LABEL, "")
        return next((name_of(run) for run in self.runs.of(uid)), None)


@dataclass(frozen=True)
class Facts:
    """What a decision wants to know and no watch tells."""

    named: dict[Ref, Object | None]
    progress: RunStatus | None = None
    store_problem: str | None = None
    refused: tuple[str, ...] = ()
    probes: Mapping[str, str] = field(default_factory=dict)


class Lookups:
    """Objects that runs name, read live, and again when half a minute has gone."""

    def __init__(
        self,
        read: Callable[[Ref], Object | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._found: dict[Ref, tuple[float, Object | None]] = {}

    def get(self, ref: Ref) -> Object | None:
        """The object, or None when there is none."""
        now = self._clock()
        read_at, found = self._found.get(ref, (float("-inf"), None))
        if now - read_at > LOOKUP_SECONDS:
            found = self._read(ref)
            self._found[ref] = now, found
            self._found = {key: kept for key, kept in self._found.items() if _is_fresh(kept, now)}
        return found


def _is_fresh(kept: tuple[float, Object | None], now: float) -> bool:
    return now - kept[0] <= LOOKUP_SECONDS


def _is_wanted(given: dict[str, Any]) -> bool:
    """Of warnings, those about kinds that runs have."""
    about = given.get("involvedObject")
    return about is None or about.get("kind") in _WARNED
