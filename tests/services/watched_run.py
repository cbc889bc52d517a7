"""A run of seconds and what a Prometheus that has scraped it answers."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers import Prometheus
from small import NAMES

ROUNDS, CLIENTS = 3, 2


def write_run(folder: Path, **changes: Mapping[str, Any]) -> Path:
    """A GPTFLRun with a control; `changes` go into its sections."""
    spec: dict[str, Any] = {
        "seed": 7,
        "task": {"labels": NAMES, "image": {"channels": 1, "height": 8, "width": 8}},
        "prompts": {"perLabel": 1},
        "generation": {"samplesPerLabel": 1, "steps": 2, "batchSize": 5, "shardSize": 5},
        "pretraining": {"epochs": 1, "batchSize": 8},
        "federation": {
            "rounds": ROUNDS,
            "simulation": {
                "dataset": {"uri": "sklearn://digits", "split": "train[:10%]"},
                "clients": CLIENTS,
            },
        },
        "evaluation": {
            "dataset": {"uri": "sklearn://digits", "split": "train[90%:]"},
            "baselines": ["FromScratch"],
        },
    }
    for section, values in changes.items():
        spec[section] = {**spec[section], **values}
    file = folder / "run.yaml"
    document = {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {"name": "watched"},
        "spec": spec,
    }
    file.write_text(json.dumps(document))
    return file


def ask(prometheus: Prometheus, query: str) -> list[tuple[Mapping[str, str], float]]:
    """The series that a query has now, each with its labels and value."""
    url = f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        result = json.load(answer)["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in result]


def last(prometheus: Prometheus, selector: str) -> float:
    """The last value of the one series that there is or has been."""
    ((_, value),) = ask(prometheus, f"last_over_time({selector}[15m])")
    return value
