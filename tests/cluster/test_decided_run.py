"""The operator as it is, on a real API server and a real store: a run goes through its stages.

Jobs and their pods are Kubernetes' own; that a pod has done its work, which takes a kubelet, is
written by the test, and so is what its process would leave in the store.
"""

import base64
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_lab import RUNS, Cluster, run_file
from s3_buckets import new_place
from servers import ACCESS_KEY, SECRET_KEY, Minio, Process, free_port, listens, wait_until

from gptfl.spec.load import parse_run
from gptfl.spec.run import run_uid
from gptfl.stages import plan
from gptfl.store import RunStatus, StepState, StepStatus, Store
from gptfl.store.s3 import S3Blobs, s3_settings

MERGE = "application/merge-patch+json"
STAGES = ["prompts", "generation", "pretraining", "aggregator", "evaluation", "export"]


@dataclass
class Lab:
    """A namespace with an operator that looks after it, and a store."""

    cluster: Cluster
    namespace: str
    minio: Minio
    store: str

    def get(self, path: str) -> list[dict[str, Any]]:
        return self.cluster.server.list(path.format(self.namespace))

    def jobs(self, component: str) -> list[dict[str, Any]]:
        found = self.get("/apis/batch/v1/namespaces/{}/jobs")
        return [
            one
            for one in found
            if one["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ]

    def pods(self, job: str) -> list[dict[str, Any]]:
        return self.get(f"/api/v1/namespaces/{{}}/pods?labelSelector=job-name={job}")

    def status(self) -> dict[str, Any]:
        (run,) = self.get(RUNS)
        status: dict[str, Any] = run.get("status", {})
        return status

    def reason(self, kind: str) -> str | None:
        listed = self.status().get("conditions", ())
        return next((one["reason"] for one in listed if one["type"] == kind), None)

    def message(self, kind: str) -> str:
        listed = self.status().get("conditions", ())
        return next((one["message"] for one in listed if one["type"] == kind), "")

    def change(self, spec: dict[str, Any]) -> None:
        path = f"{RUNS.format(self.namespace)}/digits"
        self.cluster.server.request("PATCH", path, {"spec": spec}, content_type=MERGE)

    def pod_says(self, component: str, **status: Any) -> None:
        """What the kubelet would write about the pod of a component."""
        wait_until(lambda: bool(self.jobs(component)), f"a Job of {component}")
        job = self.jobs(component)[0]["metadata"]["name"]
        wait_until(lambda: bool(self.pods(job)), f"a pod of {job}")
        pod = self.pods(job)[0]["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/status"
        self.cluster.server.request("PATCH", path, {"status": status}, content_type=MERGE)

    def ends_well(self, component: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
        self.pod_says(
            component, phase="Succeeded", containerStatuses=[a_container(terminated=ended)]
        )


def a_container(**state: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "example/gptfl:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }


@pytest.fixture(name="minio", scope="module")
def _minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with Minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def decided(shared_cluster: Cluster, lab: str, minio: Minio, tmp_path: Path) -> Iterator[Lab]:
    """The operator with its real decision, for one namespace."""
    store = new_place(minio)
    settings = tmp_path / "settings.yaml"
    said = {
        "image": "example/gptfl:1",
        "store": store,
        "storeEndpoint": minio.endpoint,
        "storeSecret": "store-keys",
        "pollSeconds": 1,
        "retrySeconds": 1,
    }
    settings.write_text(yaml.safe_dump(said))
    port = free_port()
    operator = Process(
        [
            *(sys.executable, "-m", "gptfl_operator", "--settings", str(settings)),
            *("--kubeconfig", str(shared_cluster.server.kubeconfig), "--identity", "decided"),
            *("--namespace", lab, "--lease", f"{lab}/operator", "--probe-port", str(port)),
        ],
        tmp_path / "operator.log",
        ready=lambda: listens(port),
        environment={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with operator:
        yield Lab(shared_cluster, lab, minio, store)


def add_keys(lab: Lab) -> None:
    """The Secret that the operator's settings name."""
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "store-keys"},
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()},
    }
    lab.cluster.server.request("POST", f"/api/v1/namespaces/{lab.namespace}/secrets", secret)


def export_is_told(lab: Lab) -> None:
    """What the last process of a run leaves in the store."""
    (found,) = lab.get(RUNS)
    run = parse_run(found)
    now = datetime.now(UTC)
    made = {"state": StepState.DONE, "key": "ab" * 32, "digest": "cd" * 32, "finished": now}
    steps = tuple(StepStatus(name=one.name, stage=one.stage, **made) for one in plan(run))
    status = RunStatus(
        namespace=lab.namespace,
        name="digits",
        uid=run_uid(run),
        started=now,
        steps=steps,
        metrics={"accuracy": 0.93},
    )
    store = Store(S3Blobs(s3_settings(lab.store, environment=lab.minio.environment)))
    store.run_folder(lab.namespace, "digits", status.uid).write_status(status)


def test_a_run_goes_through_its_stages_to_its_end(decided: Lab) -> None:
    decided.cluster.server.request("POST", RUNS.format(decided.namespace), run_file("digits"))
    wait_until(lambda: decided.reason("Accepted") == "MissingSecret", "the missing Secret")
    assert decided.get("/apis/batch/v1/namespaces/{}/jobs") == []

    add_keys(decided)
    for stage in STAGES:
        if stage == "export":
            export_is_told(decided)
        decided.ends_well(stage)
    wait_until(lambda: decided.reason("Complete") == "Succeeded", "the end")

    status = decided.status()
    assert status["phase"] == "Succeeded"
    assert status["metrics"] == {"accuracy": 0.93}
    assert decided.reason("Published") == "NoKServe"
    assert {one["state"] for one in status["stages"]} == {"Done"}
    names = [s["metadata"]["name"] for s in decided.get("/api/v1/namespaces/{}/secrets")]
    assert sum("-client-client-" in name for name in names) == 10
    assert decided.jobs("client") == []


def test_what_goes_wrong_in_a_pod_is_said_and_a_mended_spec_goes_on(decided: Lab) -> None:
    add_keys(decided)
    limits = {"memory": "1Gi"}
    file = run_file(
        "digits", backoffLimit=0, prompts={"template": {"resources": {"limits": limits}}}
    )
    decided.cluster.server.request("POST", RUNS.format(decided.namespace), file)
    waiting = {"reason": "ImagePullBackOff", "message": "manifest unknown"}
    decided.pod_says("prompts", phase="Pending", containerStatuses=[a_container(waiting=waiting)])
    wait_until(lambda: decided.reason("Generated") == "ImagePull", "the image that is not there")

    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    killed = {"exitCode": 137, "reason": "OOMKilled", "startedAt": now, "finishedAt": now}
    decided.pod_says("prompts", phase="Failed", containerStatuses=[a_container(terminated=killed)])
    wait_until(lambda: decided.reason("Failed") == "OutOfMemory", "the failure")
    assert decided.message("Failed") == (
        "prompts: the container main was killed for using more than its 1Gi of memory; raise "
        "spec.prompts.template.resources.limits.memory, or lower the stage's batchSize"
    )
    assert decided.status()["phase"] == "Failed"

    decided.change({"prompts": {"template": {"resources": {"limits": {"memory": "2Gi"}}}}})
    wait_until(lambda: decided.reason("Failed") == "NoFailure", "another attempt")
    decided.ends_well("prompts")
    wait_until(lambda: decided.message("Generated") == "generation is at work", "the next stage")


def test_suspending_takes_the_pods_away_and_resuming_brings_them_back(decided: Lab) -> None:
    add_keys(decided)
    decided.cluster.server.request("POST", RUNS.format(decided.namespace), run_file("digits"))
    wait_until(lambda: bool(decided.get("/api/v1/namespaces/{}/pods")), "a pod")

    decided.change({"suspend": True})
    wait_until(lambda: decided.reason("Suspended") == "Suspended", "the rest")
    wait_until(
        lambda: all(
            "deletionTimestamp" in pod["metadata"]
            for pod in decided.get("/api/v1/namespaces/{}/pods")
        ),
        "no pod",
    )
    decided.change({"suspend": False})
    wait_until(lambda: decided.reason("Generated") == "Running", "work")
    decided.ends_well("prompts")
