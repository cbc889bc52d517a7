"""What makes an object a run's own: an owner reference, and a label that its watch looks for."""

from collections.abc import Mapping
from typing import Any

from gptfl_operator.model import API_VERSION, RUN_UID_LABEL, Object
from gptfl_operator.resources import RUNS


def linked(given: Object, run: Object) -> dict[str, Any]:
    """The object as the run's: deleted with it, found by it, in its namespace."""
    metadata = run["metadata"]
    made = _labelled(given, metadata["uid"])
    made["metadata"]["namespace"] = metadata["namespace"]
    made["metadata"]["ownerReferences"] = [owner_reference(run)]
    if given["kind"] == "Job":
        template = _labelled(given["spec"]["template"], metadata["uid"])
        made["spec"] = {**given["spec"], "template": template}
    return made


def owner_reference(run: Object) -> dict[str, Any]:
    """Says that the run is the controller of what carries it."""
    return {
        "apiVersion": API_VERSION,
        "kind": RUNS.kind,
        "name": run["metadata"]["name"],
        "uid": run["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned(given: Object, run: Object) -> bool:
    """Whether an object with the run's label is really its: labels can be written by anybody."""
    owners = given["metadata"].get("ownerReferences", ())
    return any(one["uid"] == run["metadata"]["uid"] and one.get("controller") for one in owners)


def _labelled(given: Mapping[str, Any], uid: str) -> dict[str, Any]:
    metadata = given.get("metadata", {})
    labels = {**metadata.get("labels", {}), RUN_UID_LABEL: uid}
    return {**given, "metadata": {**metadata, "labels": labels}}
