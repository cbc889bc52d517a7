"""The Job of a part: how often it is tried, what does not count as a try, when it rests."""

from typing import Any

from gptfl_operator.manifests.pods import CONTAINER, Part, pod_template
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.names import QUEUE, labels

INTERRUPTED = (130, 143)
"""Exit codes of a process that was asked to end: no fault of the stage."""
WRONG_SPEC = 2
"""Exit code of a file that is wrong: it is not going to be right by trying again."""


def job(
    scope: Scope, part: Part, name: str, run_file: str, *, pods: int = 1, tries: int | None = None
) -> dict[str, Any]:
    """A Job with that many pods. `tries` is the run's backoffLimit for each of them when None."""
    spec = scope.run.spec
    limit = spec.backoff_limit * pods if tries is None else tries
    more = {"client": part.client} if part.client else {}
    own = labels(scope.name, part.component, stage=part.stage, **more)
    wanted: dict[str, Any] = {
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": limit,
        # One that is still going down may still write.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": pod_template(scope, part, run_file),
    }
    if spec.active_deadline_seconds is not None:
        wanted["activeDeadlineSeconds"] = spec.active_deadline_seconds
    if spec.queue_name is None:
        wanted["suspend"] = spec.suspend
    else:
        # Kueue suspends the Job when it is made and owns the field from then on.
        own[QUEUE] = spec.queue_name
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": own},
        "spec": wanted,
    }


def _failure_rules() -> list[dict[str, Any]]:
    def exits(action: str, *codes: int) -> dict[str, Any]:
        found = {"containerName": CONTAINER, "operator": "In", "values": list(codes)}
        return {"action": action, "onExitCodes": found}

    return [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        exits("Ignore", *INTERRUPTED),
        exits("FailJob", WRONG_SPEC),
    ]
