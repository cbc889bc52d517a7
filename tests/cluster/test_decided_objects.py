"""A real API server takes what the decision asks for, to the last field, and so does Pod Security
*restricted*."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_lab import RUNS, Cluster, run_file

from gptfl_operator.names import digest8
from gptfl_operator.resources import resource_of

GOLDEN = sorted((Path(__file__).parents[1] / "unit/operator/golden").glob("*.made.yaml"))
STRICT = "?fieldValidation=Strict"


@pytest.fixture
def place(shared_cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace that takes no pod with a privilege, for one of the cases."""
    lab = shared_cluster.namespace(f"tried-{digest8(request.node.name)}")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    patch = {"metadata": {"labels": labels}}
    kind = "application/merge-patch+json"
    shared_cluster.server.request("PATCH", f"/api/v1/namespaces/{lab}", patch, content_type=kind)
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "puller"},
        "automountServiceAccountToken": False,
    }
    shared_cluster.server.request("POST", f"/api/v1/namespaces/{lab}/serviceaccounts", account)
    return lab


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.name.split(".")[0])
def test_every_object_is_taken(shared_cluster: Cluster, place: str, file: Path) -> None:
    server = shared_cluster.server
    made = yaml.safe_load(file.read_text())["apply"]
    assert made
    for thing in made:
        if thing["kind"] == "InferenceService":
            continue  # KServe's own words are tried on a node, in tests/e2e.
        path = resource_of(thing["kind"]).path(namespace=place)
        server.request("POST", path + STRICT, thing)
        if thing["kind"] == "Job":
            # A Job is only warned of what its pods may not; so one is made as it would make it.
            template = thing["spec"]["template"]
            server.request("POST", f"/api/v1/namespaces/{place}/pods{STRICT}", a_pod(template))


def test_the_namespace_would_have_refused_less(shared_cluster: Cluster, place: str) -> None:
    """Otherwise the test above would prove nothing."""
    first = next(file for file in GOLDEN if file.name.startswith("first_visit"))
    job = next(one for one in yaml.safe_load(first.read_text())["apply"] if one["kind"] == "Job")
    pod = a_pod(job["spec"]["template"])
    pod["spec"]["containers"][0]["securityContext"].pop("capabilities")

    said = shared_cluster.server.refusal("POST", f"/api/v1/namespaces/{place}/pods", pod)
    assert 'violates PodSecurity "restricted' in said


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.name.split(".")[0])
def test_every_status_is_taken(shared_cluster: Cluster, place: str, file: Path) -> None:
    server = shared_cluster.server
    server.request("POST", RUNS.format(place), run_file("digits"))
    status = yaml.safe_load(file.read_text())["status"]
    patch = {"status": status}
    taken = server.request(
        "PATCH",
        f"{RUNS.format(place)}/digits/status{STRICT}",
        patch,
        content_type="application/merge-patch+json",
    )

    assert taken["status"] == status


def a_pod(template: dict[str, Any]) -> dict[str, Any]:
    """With an account that is there, and without a priority class that is not."""
    spec = {name: value for name, value in template["spec"].items() if name != "priorityClassName"}
    spec["serviceAccountName"] = "puller"
    metadata = {**template["metadata"], "generateName": "tried-"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
