"""A real API server takes the resource's definition, and holds users to it."""

import copy

import pytest
from cluster_lab import RUNS, Cluster, run_file

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gptflruns.gptfl.io"


def test_the_definition_is_established_and_structural(shared_cluster: Cluster) -> None:
    found = shared_cluster.server.request("GET", DEFINITION)
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert found["status"]["acceptedNames"]["shortNames"] == ["gptfl"]


def test_the_example_is_taken_as_it_is(shared_cluster: Cluster, lab: str) -> None:
    taken = shared_cluster.server.request("POST", RUNS.format(lab), run_file("digits"))
    assert taken["metadata"]["generation"] == 1
    assert (
        taken["spec"]["federation"]["rounds"] == run_file("digits")["spec"]["federation"]["rounds"]
    )


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("federation", "rounds", 0), ("federation", "rounds", "many"), ("serving", "replicas", -1)],
)
def test_a_wrong_field_is_refused_with_its_path(
    shared_cluster: Cluster, lab: str, section: str, field: str, value: object
) -> None:
    wrong = copy.deepcopy(run_file("wrong"))
    wrong["spec"].setdefault(section, {})[field] = value
    said = shared_cluster.server.refusal("POST", RUNS.format(lab), wrong)
    assert f"spec.{section}.{field}" in said


def test_the_status_is_written_beside_the_spec(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    server.request("POST", RUNS.format(lab), run_file("digits"))
    path = f"{RUNS.format(lab)}/digits"
    patch = {"spec": {"seed": 99}, "status": {"phase": "Running", "nonsense": 1}}
    merge = "application/merge-patch+json"
    answer = server.request("PATCH", f"{path}/status", patch, content_type=merge)
    assert answer["status"] == {"phase": "Running", "conditions": [], "stages": []}
    assert answer["spec"]["seed"] != 99
    assert answer["metadata"]["generation"] == 1
