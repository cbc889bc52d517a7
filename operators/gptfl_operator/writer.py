"""Writes of what ought to be for a run what is missing, and feeds the answers to what is known."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gptfl_operator.api import ApiError
from gptfl_operator.cache import name_of
from gptfl_operator.cluster import Cluster
from gptfl_operator.fields import is_settled, with_fixed_parts
from gptfl_operator.identities import made_secret
from gptfl_operator.link import is_owned, linked
from gptfl_operator.model import CertificateRequest, Desired, Object, Ref
from gptfl_operator.world import World

_LOG = logging.getLogger("gptfl.operator")

Write = tuple[Object, bool]
"""What is to be applied, and whether there is one that is the run's already."""


@dataclass(frozen=True)
class Writer:
    """The objects of runs, as they are known and as they are to be."""

    world: World
    cluster: Cluster

    def missing(self, run: Object, desired: Desired) -> list[Write]:
        """Of what ought to be, what is not so."""
        missing: list[Write] = []
        for given in desired.apply:
            made = linked(given, run)
            live = self.world.caches[made["kind"]].get(name_of(made))
            if live is None or not is_owned(live, run):
                missing.append((made, False))
            elif "deletionTimestamp" not in live["metadata"]:
                made = with_fixed_parts(made, live)
                if not is_settled(made, live):
                    missing.append((made, True))
        return missing

    def is_current(self, run: Object) -> bool:
        """Whether the run is live as it is known; a deleted one would get objects for ever."""
        live = self.cluster.read(Ref.of(run))
        if live is None or live["metadata"]["uid"] != run["metadata"]["uid"]:
            return False
        self.world.runs.put(live)  # when it is newer, it comes again
        return bool(live["metadata"]["generation"] == run["metadata"]["generation"]) and (
            "deletionTimestamp" not in live["metadata"]
        )

    def apply(self, missing: Iterable[Write]) -> tuple[str, ...]:
        """Applies objects; returns what the API server said of those it would not take."""
        refused = []
        for given, is_ours in missing:
            try:
                # What has our name and is somebody else's is not taken from them.
                answer = self.cluster.apply(given, force=is_ours)
            except ApiError as error:
                if not error.is_refusal:
                    raise
                refused.append(f"{given['kind']} {given['metadata']['name']}: {error}")
                _LOG.warning("%s %s: %s", given["kind"], given["metadata"]["name"], error)
                continue
            self.world.caches[given["kind"]].put(answer)
        return tuple(refused)

    def delete(self, run: Object, refs: Sequence[Ref]) -> int:
        """Deletes what is the run's; returns how many objects that were."""
        deleted = 0
        for ref in refs:
            cache = self.world.caches[ref.kind]
            live = cache.get((run["metadata"]["namespace"], ref.name))
            if live is None or not is_owned(live, run) or "deletionTimestamp" in live["metadata"]:
                continue
            if ref.uid and ref.uid != live["metadata"]["uid"]:
                continue
            going = self.cluster.delete(Ref.of(live))
            if going is None:
                cache.remove(live)
            else:
                cache.put(going)
            deleted += 1
        return deleted

    def secrets(self, run: Object, requests: Sequence[CertificateRequest]) -> Iterator[Write]:
        """Secrets with keys, each made when those before it have been written."""
        cache = self.world.caches["Secret"]
        namespace = run["metadata"]["namespace"]
        for request in requests:
            authority = cache.get((namespace, request.authority))
            if request.authority and (authority is None or not is_owned(authority, run)):
                return  # it was refused; all will be asked for again
            made = linked(made_secret(request, authority), run)
            live = cache.get(name_of(made))
            yield made, live is not None and is_owned(live, run)
