"""What is no longer wanted: of an older spec, or of a stage that is over."""

from collections.abc import Collection, Iterable, Iterator

from gptfl_operator.model import Object, Observed, Ref
from gptfl_operator.objects import name_of

KINDS = {
    "Job": ("batch/v1", "jobs"),
    "InferenceService": ("serving.kserve.io/v1beta1", "inference_services"),
    "Service": ("v1", "services"),
    "ConfigMap": ("v1", "config_maps"),
    "NetworkPolicy": ("networking.k8s.io/v1", "network_policies"),
    "Secret": ("v1", "secrets"),
}
"""What the operator makes, in the order in which it goes: first what has pods."""


def stale(
    observed: Observed, apply: Iterable[Object], keep: Collection[tuple[str, str]]
) -> Iterator[Ref]:
    """The run's objects that are neither applied nor kept; `keep` holds kinds and names."""
    wanted = {(one["kind"], name_of(one)) for one in apply} | set(keep)
    for kind, (api_version, place) in KINDS.items():
        for thing in getattr(observed, place):
            # What is on its way out already needs no second word.
            if (kind, name_of(thing)) in wanted or thing["metadata"].get("deletionTimestamp"):
                continue
            metadata = thing["metadata"]
            yield Ref(
                api_version,
                kind,
                metadata.get("namespace", ""),
                name_of(thing),
                metadata.get("uid", ""),
            )
