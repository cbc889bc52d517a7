"""The operator's shell on a real API server: what it makes, what it leaves alone, what it survives.

The decision is a toy (a ConfigMap, a Job and a status for each run); the shell is the real one.
"""

import json
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from apiserver import ApiServer
from cluster_lab import RUNS, Cluster, OperatorProcess, is_served, run_file
from prometheus_client import CollectorRegistry
from servers import wait_until

from gptfl.telemetry.metrics.operator import OperatorMetrics
from gptfl_operator.api import ApiError, connect
from gptfl_operator.cluster import Cluster as Shell

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def lease(namespace: str) -> tuple[str, ...]:
    """A lease and a namespace of the test's own, so that tests may share an API server."""
    return ("--namespace", namespace, "--lease", f"{namespace}/operator")


def jobs(server: ApiServer, namespace: str) -> dict[str, dict[str, Any]]:
    found = server.list(f"/apis/batch/v1/namespaces/{namespace}/jobs")
    return {one["metadata"]["name"]: one for one in found}


def config(server: ApiServer, namespace: str, name: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    found: dict[str, Any] = server.request("GET", path)
    return found


def runs(server: ApiServer, namespace: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in server.list(RUNS.format(namespace))}


def phases(server: ApiServer, namespace: str) -> list[str | None]:
    return [run.get("status", {}).get("phase") for run in runs(server, namespace).values()]


def apply(server: ApiServer, namespace: str, *names: str, **changes: Any) -> None:
    for name in names:
        server.request("POST", RUNS.format(namespace), run_file(name, **changes))


def has_status(server: ApiServer, namespace: str, count: int) -> bool:
    found = phases(server, namespace)
    return len(found) == count and all(found)


def metric(operator: OperatorProcess, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    series = (line for line in lines if line.split("{")[0].split(" ")[0] == name)
    return sum(float(line.rsplit(" ", 1)[1]) for line in series if all(w in line for w in wanted))


def writes(operator: OperatorProcess) -> float:
    return metric(operator, "gptfl_operator_api_writes_total")


def test_a_run_becomes_objects_and_a_status(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        run = runs(server, lab)["digits"]
        assert run["status"]["observedGeneration"] == 1
        job = jobs(server, lab)["digits-job"]
        [owner] = job["metadata"]["ownerReferences"]
        assert owner["uid"] == run["metadata"]["uid"]
        pods = f"/api/v1/namespaces/{lab}/pods?labelSelector=gptfl.io/run-uid"
        wait_until(lambda: server.list(pods), "a pod that is known to be the run's")


def test_what_is_as_it_ought_to_be_is_never_written_again(
    shared_cluster: Cluster, lab: str
) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)) as operator:
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        before = writes(operator)
        assert before == 3, "a ConfigMap, a Job, a status"
        # Something happens to a child that is not ours to care about, and wakes it up.
        path = f"/apis/batch/v1/namespaces/{lab}/jobs/digits-job"
        looks = metric(operator, "gptfl_operator_reconciles_total", result="settled")
        note = {"metadata": {"annotations": {"somebody": "else"}}}
        server.request("PATCH", path, note, content_type=MERGE)
        wait_until(
            lambda: metric(operator, "gptfl_operator_reconciles_total", result="settled") > looks,
            "another look",
        )
        assert writes(operator) == before


def test_a_change_of_the_run_is_a_change_of_its_objects(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        change = {"spec": {"seed": 77}}
        server.request("PATCH", f"{RUNS.format(lab)}/digits", change, content_type=MERGE)
        wait_until(
            lambda: config(server, lab, "digits-config")["data"]["seed"] == "77", "the change"
        )
        wait_until(
            lambda: runs(server, lab)["digits"]["status"]["observedGeneration"] == 2, "its status"
        )


def test_a_run_that_is_deleted_leaves_nothing(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)) as operator:
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        server.request("DELETE", f"{RUNS.format(lab)}/digits")
        wait_until(lambda: not jobs(server, lab), "the end of the Job")
        pods = f"/api/v1/namespaces/{lab}/pods"
        wait_until(lambda: not server.list(pods), "the end of its pods")
        assert runs(server, lab) == {}, "no finalizer holds it"
        assert metric(operator, "gptfl_operator_runs") == 0


def test_a_child_that_is_deleted_by_hand_comes_back(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: "digits-job" in jobs(server, lab), "a Job")
        old = jobs(server, lab)["digits-job"]["metadata"]["uid"]
        path = f"/apis/batch/v1/namespaces/{lab}/jobs/digits-job?propagationPolicy=Background"
        server.request("DELETE", path)
        wait_until(
            lambda: (
                jobs(server, lab).get("digits-job", {}).get("metadata", {}).get("uid", old) != old
            ),
            "another Job",
        )


def test_fields_of_others_are_left_alone_and_ours_are_set_right(
    shared_cluster: Cluster, lab: str
) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)) as operator:
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        path = f"/api/v1/namespaces/{lab}/configmaps/digits-config"
        theirs = {"metadata": {"labels": {"team": "vision"}}, "data": {"note": "mine"}}
        server.request("PATCH", path, theirs, content_type=MERGE)
        ours = {"data": {"seed": "666"}}
        server.request("PATCH", path, ours, content_type=MERGE)
        wait_until(lambda: config(server, lab, "digits-config")["data"]["seed"] != "666", "order")
        found = config(server, lab, "digits-config")
        assert found["data"]["note"] == "mine"
        assert found["metadata"]["labels"]["team"] == "vision"
        settled = writes(operator)
        server.request("PATCH", path, {"data": {"note": "still mine"}}, content_type=MERGE)
        time.sleep(0.5)  # long enough for a write, if it were to come
        assert writes(operator) == settled


def test_an_object_of_somebody_else_is_not_taken(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    theirs = {"metadata": {"name": "digits-config"}, "data": {"seed": "theirs"}}
    server.request("POST", f"/api/v1/namespaces/{lab}/configmaps", theirs)
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        [condition] = runs(server, lab)["digits"]["status"]["conditions"]
        assert "conflict" in condition["message"]
        assert config(server, lab, "digits-config")["data"] == {"seed": "theirs"}
        assert "ownerReferences" not in config(server, lab, "digits-config")["metadata"]


def test_an_event_is_told_once(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        path = f"/apis/batch/v1/namespaces/{lab}/jobs/digits-job"
        done = {"metadata": {"annotations": {"toy/done": "yes"}}}
        server.request("PATCH", path, done, content_type=MERGE)
        wait_until(lambda: phases(server, lab) == ["Succeeded"], "success")
        told = [
            one
            for one in server.list(f"/api/v1/namespaces/{lab}/events")
            if one["involvedObject"]["kind"] == "GPTFLRun"
        ]
        assert [(one["reason"], one["type"]) for one in told] == [("Succeeded", "Normal")]


def test_what_the_api_server_refuses_is_in_the_status(shared_cluster: Cluster, lab: str) -> None:
    server = shared_cluster.server
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    server.request("POST", f"/api/v1/namespaces/{lab}/resourcequotas", quota)
    path = f"/api/v1/namespaces/{lab}/resourcequotas/none"
    wait_until(lambda: "hard" in server.request("GET", path).get("status", {}), "the quota")
    with shared_cluster.operator(lab, *lease(lab)):
        apply(server, lab, "digits")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        [condition] = runs(server, lab)["digits"]["status"]["conditions"]
        assert "exceeded quota: none" in condition["message"]
        server.request("DELETE", path)
        wait_until(lambda: "digits-job" in jobs(server, lab), "the Job after all")


def test_it_answers_probes_and_ends_cleanly(shared_cluster: Cluster, lab: str) -> None:
    with shared_cluster.operator(lab, *lease(lab)) as operator:
        url = f"http://127.0.0.1:{operator.probe_port}"

        def is_ready() -> bool:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=1).close()
            except urllib.error.HTTPError:
                return False
            return True

        wait_until(is_ready, "readiness")
        urllib.request.urlopen(f"{url}/healthz", timeout=1).close()
        path = f"/apis/coordination.k8s.io/v1/namespaces/{lab}/leases/operator"
        wait_until(lambda: metric(operator, "gptfl_operator_leading") == 1, "the lease")
        operator.signal(signal.SIGTERM)
        assert operator.wait() == 0
        spec = shared_cluster.server.request("GET", path)["spec"]
        assert not spec.get("holderIdentity")
        records = [json.loads(line) for line in operator.output.splitlines()]
        assert records[-1]["message"] == f"{lab} has stopped"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_of_two_replicas_one_works_and_the_other_takes_over(
    shared_cluster: Cluster, lab: str, end: signal.Signals
) -> None:
    server = shared_cluster.server
    with (
        shared_cluster.operator("first", *lease(lab)) as first,
        shared_cluster.operator("second", *lease(lab)) as second,
    ):
        both = {first.name: first, second.name: second}
        wait_until(
            lambda: sum(metric(one, "gptfl_operator_leading") for one in both.values()) == 1,
            "a leader",
        )
        leader = next(o for o in both.values() if metric(o, "gptfl_operator_leading"))
        other = second if leader is first else first
        apply(server, lab, "one")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        assert writes(other) == 0
        leader.signal(end)
        assert leader.wait() == (0 if end is signal.SIGTERM else -end)
        apply(server, lab, "two")
        wait_until(lambda: has_status(server, lab, 2), "the work of the other")
        assert writes(other) == 3


def test_killed_in_a_burst_and_restarted_all_is_done_and_nothing_twice(
    shared_cluster: Cluster, lab: str
) -> None:
    server, count = shared_cluster.server, 40
    names = [f"run-{number:02}" for number in range(count)]
    with shared_cluster.operator(lab, *lease(lab)) as operator:
        apply(server, lab, *names)
        for _ in range(3):
            done = len(jobs(server, lab))
            wait_until(
                lambda done=done: len(jobs(server, lab)) > min(done, count - 1), "some progress"
            )
            operator.kill()
            operator.start()  # under the same name: the lease is its own
        wait_until(lambda: has_status(server, lab, count), "all of it")
    found = jobs(server, lab)
    assert set(found) == {f"{name}-job" for name in names}
    assert {one["metadata"]["generation"] for one in found.values()} == {1}
    events = server.list(f"/api/v1/namespaces/{lab}/events")
    made = [one["involvedObject"]["name"] for one in events if one["reason"] == "SuccessfulCreate"]
    assert len(made) == len(set(made)), "no Job got its pod twice"


def test_a_restart_writes_nothing(shared_cluster: Cluster, lab: str) -> None:
    server, count = shared_cluster.server, 30
    apply(server, lab, *(f"run-{number:02}" for number in range(count)))
    with shared_cluster.operator("before", *lease(lab)):
        wait_until(lambda: has_status(server, lab, count), "all of it")
    versions = {name: one["metadata"]["resourceVersion"] for name, one in runs(server, lab).items()}
    with shared_cluster.operator("after", *lease(lab)) as operator:
        wait_until(
            lambda: metric(operator, "gptfl_operator_reconciles_total", result="settled") >= count,
            "a look at each",
        )
        assert writes(operator) == 0
        assert metric(operator, "gptfl_operator_reconciles_total", result="failed") == 0
    assert versions == {
        name: one["metadata"]["resourceVersion"] for name, one in runs(server, lab).items()
    }


def test_a_status_meant_for_a_run_does_not_go_to_another_of_its_name(
    shared_cluster: Cluster, lab: str
) -> None:
    server = shared_cluster.server
    apply(server, lab, "digits")
    older = runs(server, lab)["digits"]
    older["metadata"]["uid"] = "of-an-older-run"
    api = connect(server.kubeconfig, {})
    cluster = Shell(api, "test", OperatorMetrics(CollectorRegistry()))
    with pytest.raises(ApiError):
        cluster.write_status(older, {"phase": "Failed"})
    assert "status" not in runs(server, lab)["digits"]


def test_an_api_server_that_is_away_is_waited_for(own_cluster: Cluster) -> None:
    server, lab = own_cluster.server, own_cluster.namespace("lab")
    with own_cluster.operator("first", *lease(lab)) as operator:
        apply(server, lab, "before")
        wait_until(lambda: has_status(server, lab, 1), "a status")
        server.kill()
        time.sleep(20)
        server.start()
        wait_until(lambda: is_served(server), "the resource")
        apply(server, lab, "after")
        wait_until(lambda: has_status(server, lab, 2), "a status of the second run")
        assert set(jobs(server, lab)) == {"before-job", "after-job"}
        assert operator.is_alive, "it has lost its lease meanwhile, and waited for its turn"
