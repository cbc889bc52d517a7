"""A small decision for tests of the shell: a ConfigMap and a Job a run, and a status."""

from datetime import datetime
from typing import Any

from gptfl_operator.controller import Brain
from gptfl_operator.model import Desired, EventNote, Object, Observed, Ref


def toy_decide(run: Object, observed: Observed, now: datetime) -> Desired:
    """Objects named after the run; done when its Job is."""
    name, spec = run["metadata"]["name"], run["spec"]
    settled = {f"{name}-config", f"{name}-job"}
    there = (*observed.config_maps, *observed.jobs)
    stale = tuple(Ref.of(one) for one in there if one["metadata"]["name"] not in settled)
    status = _status(run, observed, now)
    was = run.get("status", {}).get("phase")
    changed = was is not None and was != status["phase"]
    return Desired(
        apply=(_config_map(name, spec), _job(name)),
        delete=stale,
        status=status,
        events=(EventNote(status["phase"], "It has come so far."),) if changed else (),
    )


def _config_map(name: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-config"},
        "data": {"seed": str(spec.get("seed", 0))},
    }


def _job(name: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "gptfl:1",
        "args": ["run"],
        "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
        "env": [{"name": "EMPTY", "value": ""}],
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name}-job"},
        "spec": {"backoffLimit": 3, "template": {"spec": pod}},
    }


def _status(run: Object, observed: Observed, now: datetime) -> dict[str, Any]:
    is_done = any("toy/done" in job["metadata"].get("annotations", {}) for job in observed.jobs)
    before = run.get("status", {}).get("conditions", [{}])[0]
    state = "True" if is_done else "False"
    at = before.get("lastTransitionTime") if before.get("status") == state else None
    condition = {
        "type": "Complete",
        "status": state,
        "reason": "Done" if is_done else "Working",
        "message": "; ".join(observed.refused) or "All is well.",
        "observedGeneration": run["metadata"]["generation"],
        "lastTransitionTime": at or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {
        "observedGeneration": run["metadata"]["generation"],
        "phase": "Succeeded" if is_done else "Running",
        "conditions": [condition],
    }


TOY = Brain(decide=toy_decide)
