"""What a run says of its pods: passed on whole, checked where the operator would stumble, and no
part of any key."""

from typing import Any

import pytest
from spec_runs import CLIENTS, REMOVED, changed

from gptfl.errors import SpecError
from gptfl.spec.base import canonical_json
from gptfl.spec.load import dump_run, frozen_run, parse_run
from gptfl.stages import plan

TEMPLATE = {
    "image": "example/gptfl:1",
    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "8Gi"}, "requests": {"cpu": "500m"}},
    "nodeSelector": {"gpu": "a"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "low",
    "serviceAccountName": "puller",
    "labels": {"team": "vision"},
    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}],
    "volumes": [{"name": "weights", "persistentVolumeClaim": {"claimName": "w", "readOnly": True}}],
    "volumeMounts": [{"name": "weights", "mountPath": "/weights", "readOnly": True}],
}


def with_template(**fields: Any) -> dict[str, Any]:
    return changed(pretraining__template=fields)


def test_a_template_loads_and_survives_a_dump_with_what_only_kubernetes_knows() -> None:
    run = parse_run(with_template(**TEMPLATE))

    assert parse_run(dump_run(run)) == run
    assert run.spec.pretraining.template is not None
    assert run.spec.pretraining.template.volumes[0].model_extra == {
        "persistentVolumeClaim": {"claimName": "w", "readOnly": True}
    }


def clients(**fields: Any) -> dict[str, Any]:
    return changed(
        federation__simulation=REMOVED, federation__clients=[CLIENTS[0] | fields, *CLIENTS[1:]]
    )


@pytest.mark.parametrize(
    ("other", "plain"),
    [
        (with_template(**TEMPLATE), changed()),
        (changed(suspend=True), changed()),
        (changed(queueName="team"), changed()),
        (changed(activeDeadlineSeconds=60, backoffLimit=1), changed()),
        (changed(ttlSecondsAfterFinished=60), changed()),
        (changed(generation__workerTemplate=TEMPLATE, generation__workers=3), changed()),
        (changed(serving__predictorTemplate=TEMPLATE, serving__replicas=3), changed()),
        (clients(location="Outside"), clients()),
        (clients(volumeClaimName="north", secretName="north"), clients()),
    ],
)  # fmt: skip
def test_where_and_how_it_is_computed_changes_no_key_and_no_frozen_file(
    other: dict[str, Any], plain: dict[str, Any]
) -> None:
    one, two = parse_run(other), parse_run(plain)

    assert [canonical_json(step.section) for step in plan(one)] == [
        canonical_json(step.section) for step in plan(two)
    ]
    assert frozen_run(one) == frozen_run(two)


def test_a_frozen_file_is_the_same_run() -> None:
    run = parse_run(changed(generation__filters={"blank": None}, seed=3))

    assert canonical_json(parse_run(frozen_run(run)).spec) == canonical_json(run.spec)


P = "spec.pretraining.template"
WRONG = [
    (with_template(resources={"limits": {"memory": "8 GB"}}),
     f"{P}.resources.limits.memory: '8 GB' is no quantity; use a quantity such as 500m, 4Gi or 1"),
    (with_template(resources={"limits": {"nvidia.com/gpu": 0.5}}),
     f"{P}.resources.limits.nvidia.com/gpu: 0.5 is no quantity; "
     "use a quantity such as 500m, 4Gi or 1"),
    (with_template(volumes=[{"persistentVolumeClaim": {"claimName": "w"}}]),
     f"{P}.volumes[0].name: is missing; write name: north"),
    (with_template(volumeMounts=[{"name": "w", "mountPath": "/w"}]),
     f"{P}.volumeMounts[0].name: 'w' is not among {P}.volumes (none yet); add it there"),
    (with_template(volumes=[{"name": "w"}], volumeMounts=[{"name": "w", "mountPath": "w"}]),
     f"{P}.volumeMounts[0].mountPath: 'w' has the wrong form; "
     "use a path that begins with /, at most 1024 characters"),
    (with_template(volumes=[{"name": "w"}], volumeMounts=[{"name": "w", "mountPath": "/etc"}]),
     f"{P}.volumeMounts[0].mountPath: '/etc' is the operator's own; use another path"),
    (with_template(volumes=[{"name": "tmp"}]),
     f"{P}.volumes[0].name: 'tmp' is the operator's own; use another name"),
    (with_template(volumes=[{"name": "w"}, {"name": "w"}]),
     f"{P}.volumes[1].name: 'w' is used twice; give each volume its own"),
    (with_template(labels={"gptfl.io/run": "x"}),
     f"{P}.labels: 'gptfl.io/run' is the operator's own; use a prefix of yours"),
    (with_template(nodeselector={}),
     f"{P}.nodeselector: is not a field; did you mean nodeSelector?"),
    (clients(location="Outside", volumeClaimName="north"),
     "spec.federation.clients[0].volumeClaimName: does nothing for a client with "
     "location: Outside; drop it or set location: Cluster"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "line"), WRONG, ids=[line.split(":")[0] for _, line in WRONG])
def test_each_fault_is_one_line(run: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_run(run)

    assert str(raised.value) == line
