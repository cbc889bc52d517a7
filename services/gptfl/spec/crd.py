"""The CustomResourceDefinition of GPTFLRun, derived from the types."""

from typing import Any

import yaml

from gptfl.spec.run import GROUP, KIND, VERSION
from gptfl.spec.schema import Schema, run_schema, structural
from gptfl.spec.status import Status

COLUMNS = (
    ("Phase", "string", ".status.phase", "A summary of the run."),
    ("Stage", "string", ".status.stage", "The stage that is at work."),
    ("Progress", "string", ".status.progress", "How far the stage is."),
    ("Accuracy", "number", ".status.metrics.accuracy", "Of the final model, on the test data."),
    ("Endpoint", "string", ".status.endpoint", "Where the model answers."),
    ("Age", "date", ".metadata.creationTimestamp", "Since the run was made."),
)
"""What `kubectl get gptfl` shows."""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition, as its API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gptflruns.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": "gptflruns",
                "singular": "gptflrun",
                "shortNames": ["gptfl"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "description": meaning}
                        for name, kind, path, meaning in COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def crd_yaml() -> str:
    """The CustomResourceDefinition as YAML."""
    header = "# Derived from services/gptfl/spec by `make generate`; change the types, not this.\n"
    return header + yaml.dump(crd(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)


class _Plain(yaml.SafeDumper):
    """Without anchors: not all that reads a CRD knows them, and people least of all."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _root() -> Schema:
    """Of apiVersion, kind and metadata an API server takes no more than their types, and a pattern
    for the name."""
    run = run_schema()
    members = run["properties"]
    name = {
        key: members["metadata"]["properties"]["name"][key]
        for key in ("type", "pattern", "maxLength")
    }
    return run | {
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": members["spec"],
            "status": structural(Status),
        },
    }
