"""Small runs for the tests of the spec: one that is right, and ways to change it."""

import copy
from typing import Any

RIGHT: dict[str, Any] = {
    "apiVersion": "gptfl.io/v1alpha1",
    "kind": "GPTFLRun",
    "metadata": {"name": "pets"},
    "spec": {
        "task": {"labels": ["cat", "dog"]},
        "federation": {"simulation": {"dataset": {"uri": "sklearn://digits"}}},
        "evaluation": {"dataset": {"uri": "sklearn://digits", "split": "test"}},
    },
}
CLIENTS = [{"name": name, "data": {"uri": f"data/{name}"}} for name in ("north", "south", "west")]
REMOVED = object()


def changed(**fields: Any) -> dict[str, Any]:
    """The right run with fields set by path: `changed(federation__rounds=3)`; `REMOVED` drops."""
    run = copy.deepcopy(RIGHT)
    for path, value in fields.items():
        *parents, last = path.split("__")
        place = run if parents and parents[0] in ("metadata", "spec") else run["spec"]
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return run
