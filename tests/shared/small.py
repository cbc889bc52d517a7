"""The small cousin of the demo: a whole run in a few seconds."""

from typing import Any

import gptfl
from gptfl.spec.run import GPTFLRun

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def small_document(**changes: Any) -> dict[str, Any]:
    """The demo in a few seconds: every stage, filter, checkpoint and control, little of each."""
    spec: dict[str, Any] = {
        "seed": 7,
        "task": {"labels": NAMES, "image": {"channels": 1, "height": 8, "width": 8}},
        "prompts": {
            "perLabel": 4,
            "templates": ["a {weight} handwritten digit {label}"],
            "attributes": [{"name": "weight", "values": ["thin", "bold"]}],
        },
        "generation": {"samplesPerLabel": 6, "steps": 3, "batchSize": 5, "shardSize": 10},
        "pretraining": {"epochs": 4, "batchSize": 16, "augmentation": {"shift": 0.1}},
        "federation": {
            "rounds": 5,
            "clientsPerRound": 2,
            "strategy": {"name": "FedAdam"},
            "simulation": {
                "dataset": {"uri": "sklearn://digits", "split": "train[:10%]"},
                "clients": 4,
                "partitioner": {"kind": "Dirichlet", "alpha": 0.3},
            },
        },
        "evaluation": {
            "dataset": {"uri": "sklearn://digits", "split": "train[90%:]"},
            "baselines": ["FromScratch", "SyntheticOnly", "Centralised"],
        },
    }
    for section, values in changes.items():
        spec[section] = {**spec[section], **values} if isinstance(values, dict) else values
    return {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {"name": "small"},
        "spec": spec,
    }


def small_run(**changes: Any) -> GPTFLRun:
    """The small cousin as a typed value."""
    return gptfl.parse_run(small_document(**changes))
