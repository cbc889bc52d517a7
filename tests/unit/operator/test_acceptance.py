"""What only someone in the cluster can see: it is named with the field's path, nothing is made, and
it heals by itself."""

from dataclasses import replace
from typing import Any

import pytest
from operator_world import KEYS, SETTINGS, World, a_run

from gptfl_operator.model import Ref

CLIENTS = [
    {"name": "north", "data": {"uri": "file:///data"}, "volumeClaimName": "north-data"},
    {"name": "south", "data": {"uri": "hf://a/b"}, "secretName": "south-hub"},
]

WITH_CLIENTS = a_run(federation={"clients": CLIENTS})


def a_world(run: dict[str, Any] | None = None, **settings: Any) -> World:
    return World(run, replace(SETTINGS, **settings))


def lacking(kind: str, name: str, world: World) -> World:
    world.named[world.at(kind, name)] = None
    return world


def holding(kind: str, name: str, world: World, *keys: str) -> World:
    data = dict.fromkeys(keys, "digest")
    world.named[world.at(kind, name)] = {"metadata": {"name": name}, "data": data}
    return world


WRONG = [
    (a_world(store=None), "NoStore",
     "spec.artifacts.uri: is unset, and the operator has no store of its own; "
     "write uri: s3://BUCKET/PREFIX"),
    (a_world(a_run(artifacts={"uri": "file:///tmp/x"})), "NoStore",
     "spec.artifacts.uri: 'file:///tmp/x' is a folder, which pods do not share; "
     "use s3://BUCKET/PREFIX"),
    (lacking("Secret", "store-keys", a_world()), "MissingSecret",
     "spec.artifacts.secretName: the Secret 'store-keys' is not in the namespace 'lab'; "
     "make it there or name another"),
    (holding("Secret", "store-keys", a_world(), "AWS_ACCESS_KEY_ID"), "MissingSecretKey",
     "spec.artifacts.secretName: the Secret 'store-keys' has no AWS_SECRET_ACCESS_KEY; add it"),
    (a_world(a_run(artifacts={"uri": "s3://own/place", "secretName": "own"})), "MissingSecret",
     "spec.artifacts.secretName: the Secret 'own' is not in the namespace 'lab'; "
     "make it there or name another"),
    (a_world(WITH_CLIENTS), "MissingVolumeClaim",
     "spec.federation.clients[0].volumeClaimName: the volume claim 'north-data' is not in the "
     "namespace 'lab'; make it there or name another"),
    (holding("PersistentVolumeClaim", "north-data", a_world(WITH_CLIENTS)),
     "MissingSecret",
     "spec.federation.clients[1].secretName: the Secret 'south-hub' is not in the namespace "
     "'lab'; make it there or name another"),
    (a_world(broker_secret="redis"), "MissingSecret",
     "spec.generation.workers: the Secret 'redis' is not in the namespace 'lab'; "
     "make it there or name another"),
    (a_world(a_run(name="a" * 41)), "NameTooLong",
     "spec.serving.name: is unset, and the run's name has more than 40 characters; "
     "give a name of at most 40"),
    (a_world(a_run(serving={"name": "pets-aggregator"})), "NameTaken",
     "spec.serving.name: ends as the Services of aggregators do; use another name"),
    (a_world(simulated_clients=1), "TooManyClients",
     "spec.federation.simulation.clients: 2 is more than the 1 pods that the operator starts for "
     "made-up clients; use up to 1, or have the operator's settings changed"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "reason", "message"), WRONG)
def test_each_is_named_and_nothing_is_made(world: World, reason: str, message: str) -> None:
    desired = world.visit()

    assert world.said("Accepted") == ("False", reason)
    assert world.condition("Accepted")["message"] == message
    assert world.things == {}
    assert desired.requeue_after == SETTINGS.retry_seconds
    assert world.run["status"]["phase"] == "Pending"


def test_it_heals_by_itself() -> None:
    world = lacking("Secret", "store-keys", a_world())
    world.settle()
    holding("Secret", "store-keys", world, *KEYS)
    world.settle()

    assert world.said("Accepted") == ("True", "Accepted")
    assert world.components() == ["prompts"]


def test_what_the_api_server_refuses_is_said() -> None:
    world = a_world()
    world.refused = ("Job pets: forbidden: exceeded quota: team",)
    desired = world.decide()

    said = {one["type"]: one for one in desired.status["conditions"]} if desired.status else {}
    assert said["Generated"]["reason"] == "Refused"
    assert said["Generated"]["message"] == (
        "the API server does not take Job pets: forbidden: exceeded quota: team"
    )


def test_a_namespace_may_be_as_long_as_kubernetes_allows() -> None:
    run = a_run()
    run["metadata"]["namespace"] = "n" * 63
    world = World(run)
    world.at = lambda kind, name: Ref("v1", kind, "n" * 63, name)  # type: ignore[method-assign]
    holding("Secret", "store-keys", world, *KEYS)
    world.visit()

    assert world.said("Accepted") == ("True", "Accepted")
