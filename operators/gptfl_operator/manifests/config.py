"""The file that the pods of a run read."""

from typing import Any

from gptfl.spec.load import frozen_run
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.names import labels


def run_file(scope: Scope) -> dict[str, Any]:
    """The ConfigMap with the run's file as it is at this moment; its name says which."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": scope.run_file, "labels": labels(scope.name, "run")},
        "immutable": True,
        "data": {"run.yaml": frozen_run(scope.run)},
    }
