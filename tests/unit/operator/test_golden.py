"""Objects as they are sent: from a run and what there is of it to manifests and status, in YAML.

`GPTFL_WRITE_GOLDEN=1 pytest tests/unit/operator/test_golden.py` writes them anew; read the
difference before you commit it.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from operator_world import KEYS, SETTINGS, World, a_run

GOLDEN = Path(__file__).parent / "golden"

TEMPLATE = {
    "image": "example/mine:2",
    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}, "requests": {"cpu": "4"}},
    "nodeSelector": {"gpu": "a100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "priorityClassName": "batch",
    "serviceAccountName": "puller",
    "labels": {"team": "vision"},
    "env": [{"name": "HF_HOME", "value": "/hub"}],
    "volumes": [{"name": "hub", "persistentVolumeClaim": {"claimName": "hub"}}],
    "volumeMounts": [{"name": "hub", "mountPath": "/hub"}],
}
CLIENTS = [
    {"name": "north", "data": {"uri": "file:///data"}, "volumeClaimName": "north-data"},
    {"name": "south", "data": {"uri": "hf://a/b"}, "secretName": "south-hub"},
    {"name": "west", "data": {"uri": "data/west"}, "location": "Outside"},
    {"name": "east"},
]


def first_visit() -> World:
    return World()


def with_a_template() -> World:
    run = a_run(
        pretraining={"template": TEMPLATE},
        queueName="team",
        activeDeadlineSeconds=3600,
        backoffLimit=2,
    )
    return World(run).up_to("pretraining")


def generation_with_workers() -> World:
    return World(a_run(generation={"workers": 3})).up_to("generation")


def federation_with_clients() -> World:
    world = World(
        a_run(federation={"rounds": 4, "clients": CLIENTS}),
        replace(SETTINGS, scrapers={"kubernetes.io/metadata.name": "monitoring"}),
    )
    world.named[world.at("PersistentVolumeClaim", "north-data")] = {"metadata": {"name": "n"}}
    world.named[world.at("Secret", "south-hub")] = {"metadata": {"name": "s"}, "data": KEYS}
    return world.up_to("aggregator")


def federation_with_made_up_clients() -> World:
    return World(a_run(pretraining={"model": {"source": "python://mine:net"}})).up_to("aggregator")


def published() -> World:
    world = World().up_to("export")
    world.complete("export")
    world.settle()
    world.ready("pets-beefbeef")
    world.visit()
    return world


CASES: list[Callable[[], World]] = [
    first_visit,
    with_a_template,
    generation_with_workers,
    federation_with_clients,
    federation_with_made_up_clients,
    published,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_objects_and_status_are_as_written(case: Callable[[], World]) -> None:
    world = case()
    given = {
        "run": {name: part for name, part in world.run.items() if name != "status"},
        "observed": {
            "things": [f"{kind}/{name}" for kind, name in sorted(world.things)],
            "jobs": {
                name: world.things["Job", name].get("status", {}) for name in world.names("Job")
            },
        },
    }
    desired = world.decide()
    made = {
        "apply": list(desired.apply),
        "delete": [f"{ref.kind}/{ref.name}" for ref in desired.delete],
        "probes": [asdict(probe) for probe in desired.probes],
        "status": desired.status,
    }

    assert_golden(GOLDEN / f"{case.__name__}.given.yaml", given)
    assert_golden(GOLDEN / f"{case.__name__}.made.yaml", made)


class _Plain(yaml.SafeDumper):
    """Whole values each time: an alias would be read twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def assert_golden(path: Path, value: Any) -> None:
    text = yaml.dump(value, Dumper=_Plain, sort_keys=False, width=100)
    if os.environ.get("GPTFL_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
