"""What of an object is ours is what the API server says; only that is compared.

The objects here are as a real API server answers; tests/cluster asks one.
"""

import copy
from typing import Any

import pytest

from gptfl_operator.cache import kept
from gptfl_operator.fields import is_settled, owned, with_fixed_parts, without_gaps

CONTAINER = {"f:args": {}, "f:image": {}, "f:name": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}
FIELDS = {
    "f:metadata": {
        "f:labels": {"f:gptfl.io/run-uid": {}},
        "f:ownerReferences": {'k:{"uid":"u1"}': {}},
    },
    "f:spec": {
        "f:backoffLimit": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {
                        ".": {},
                        **CONTAINER,
                        "f:env": {'k:{"name":"EMPTY"}': {".": {}, "f:name": {}, "f:value": {}}},
                        "f:ports": {
                            'k:{"containerPort":9400,"protocol":"TCP"}': {
                                ".": {},
                                "f:containerPort": {},
                            }
                        },
                    }
                },
                "f:restartPolicy": {},
                "f:volumes": {
                    'k:{"name":"tmp"}': {".": {}, "f:emptyDir": {}, "f:name": {}},
                },
            }
        },
    },
}
OWNER = {"apiVersion": "gptfl.io/v1alpha1", "kind": "GPTFLRun", "name": "digits", "uid": "u1"}
MEANT: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
        "name": "digits-prompts",
        "namespace": "lab",
        "labels": {"gptfl.io/run-uid": "u1"},
        "ownerReferences": [OWNER],
    },
    "spec": {
        "backoffLimit": 3,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "main",
                        "image": "gptfl:1",
                        "args": ["run", "--only", "prompts"],
                        "resources": {"limits": {"cpu": "0.5"}},
                        "env": [{"name": "EMPTY", "value": ""}],
                        "ports": [{"containerPort": 9400}],
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
    },
}


def live() -> dict[str, Any]:
    """MEANT as it is on the API server: defaults, other ways to write, others' fields."""
    made = copy.deepcopy(MEANT)
    made["metadata"] |= {
        "uid": "u2",
        "resourceVersion": "7",
        "managedFields": [
            {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {}},
            {"manager": "gptfl-operator", "operation": "Apply", "fieldsV1": FIELDS},
        ],
    }
    made["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "digits-prompts"
    pod = made["spec"]["template"]["spec"]
    pod |= {"dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30}
    [container] = pod["containers"]
    container |= {
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"cpu": "500m"}},
        "env": [{"name": "EMPTY"}],
        "ports": [{"containerPort": 9400, "protocol": "TCP"}],
    }
    pod["containers"].append({"name": "sidecar", "image": "mesh:1"})
    return made


def changed(given: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value somewhere; None removes it."""
    made = copy.deepcopy(given)
    *above, last = path.split("/")
    there: Any = made
    for name in above:
        there = there[int(name)] if name.isdigit() else there[name]
    if value is None:
        del there[last]
    else:
        there[last] = value
    return made


CONTAINER_PATH = "spec/template/spec/containers/0"


def test_defaults_and_the_fields_of_others_make_no_difference() -> None:
    assert is_settled(MEANT, live())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/backoffLimit", 4),
        ("spec/suspend", False),
        ("metadata/labels/more", "yes"),
        (f"{CONTAINER_PATH}/args", ["run"]),
        (f"{CONTAINER_PATH}/resources/limits/cpu", "2"),
        (f"{CONTAINER_PATH}/resources/limits/nvidia.com~1gpu", "1"),
        (f"{CONTAINER_PATH}/env", [{"name": "EMPTY", "value": "not"}]),
    ],
)
def test_what_we_mean_otherwise_is_a_difference(path: str, value: Any) -> None:
    assert not is_settled(changed(MEANT, path, value), live())


@pytest.mark.parametrize("path", ["spec/backoffLimit", f"{CONTAINER_PATH}/args"])
def test_what_we_mean_no_longer_is_a_difference(path: str) -> None:
    assert not is_settled(changed(MEANT, path, None), live())


def test_what_somebody_else_has_set_since_is_a_difference_whatever_its_value() -> None:
    taken = copy.deepcopy(FIELDS)
    del taken["f:spec"]["f:backoffLimit"]  # type: ignore[attr-defined]
    theirs = live()
    theirs["metadata"]["managedFields"][1]["fieldsV1"] = taken
    assert not is_settled(MEANT, theirs)
    assert not is_settled(changed(MEANT, "spec/backoffLimit", 0), theirs)


def test_an_object_that_we_never_applied_is_not_as_we_mean_it() -> None:
    theirs = live()
    del theirs["metadata"]["managedFields"]
    assert owned(theirs) == {}
    assert not is_settled(MEANT, theirs)


def test_what_is_kept_of_an_object_is_enough_to_compare() -> None:
    assert is_settled(MEANT, kept(live()))


def test_the_pods_of_a_job_that_exists_stay_as_they_were_made() -> None:
    newer = changed(MEANT, f"{CONTAINER_PATH}/image", "gptfl:2")
    assert is_settled(with_fixed_parts(newer, live()), live())
    slower = changed(newer, "spec/backoffLimit", 9)
    applied = with_fixed_parts(slower, live())
    assert not is_settled(applied, live())
    assert applied["spec"]["backoffLimit"] == 9
    [container] = applied["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "gptfl:1"
    assert container["env"] == [{"name": "EMPTY"}]
    assert "imagePullPolicy" not in container, "what was a default stays one"
    assert newer["spec"]["template"]["spec"]["containers"][0]["image"] == "gptfl:2"


def test_other_kinds_are_applied_as_they_are_meant() -> None:
    service = {"kind": "Service", "metadata": {}, "spec": {"template": 1}}
    assert with_fixed_parts(service, live()) == service


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("1", "1000m", True),
        ("1Gi", "1024Mi", True),
        ("1G", "1Gi", False),
        ("1e3", "1k", True),
        ("a", "b", False),
        (1, "1", True),
    ],
)
def test_amounts_are_compared_by_what_they_are_worth(one: str, other: str, are_same: bool) -> None:
    meant = changed(MEANT, f"{CONTAINER_PATH}/resources/limits/cpu", one)
    there = changed(live(), f"{CONTAINER_PATH}/resources/limits/cpu", other)
    assert is_settled(meant, there) == are_same


def test_a_secret_is_compared_without_its_values() -> None:
    meant = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"token": "aHVzaA=="}}
    entry = {
        "manager": "gptfl-operator",
        "operation": "Apply",
        "fieldsV1": {"f:data": {"f:token": {}}},
    }
    there = kept({**meant, "metadata": {"name": "s", "managedFields": [entry]}})
    assert "aHVzaA==" not in str(there)
    assert is_settled(meant, there)
    assert not is_settled({**meant, "data": {"token": "bmV3"}}, there)


def test_a_gap_is_what_is_named_and_not_there() -> None:
    assert without_gaps({"a": None, "b": {"c": None}, "d": [{"e": None, "f": 0}]}) == {
        "b": {},
        "d": [{"f": 0}],
    }
