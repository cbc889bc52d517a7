"""The clients in the cluster: a pod each, with its own identity and its own data."""

from collections.abc import Iterator, Mapping
from typing import Any

from gptfl.spec.federation import ClientSpec
from gptfl.spec.pods import PodTemplate
from gptfl_operator.manifests.federation import PORT, aggregator_name, outside_names
from gptfl_operator.manifests.pods import RUN_FILE, Part
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.names import digest8, object_name

IDENTITY_FOLDER = "/etc/gptfl/identity"
DATA_FOLDER = "/data"


def client_names(scope: Scope) -> list[str]:
    """All clients in their order; the made-up ones are called as on a laptop."""
    federation = scope.run.spec.federation
    if federation.clients is not None:
        return [client.name for client in federation.clients]
    count = federation.simulation.clients if federation.simulation else 0
    width = len(str(max(0, count - 1)))
    return [f"client-{index:0{width}}" for index in range(count)]


def identity_name(scope: Scope, client: str) -> str:
    """The Secret with a client's key, certificate and token. The digest tells a client from a part
    of another run, whose name may end in the same words."""
    digest = digest8(scope.name, client)
    return object_name(scope.name, f"client-{client}", digest, longest=253)


def client_parts(scope: Scope) -> Iterator[Part]:
    """A pod for each client that is in the cluster."""
    given = {client.name: client for client in scope.run.spec.federation.clients or ()}
    outside = set(outside_names(scope))
    for name in client_names(scope):
        if name not in outside:
            yield _part(scope, name, given)


def _part(scope: Scope, name: str, given: Mapping[str, ClientSpec]) -> Part:
    client = given.get(name)
    volumes: list[dict[str, Any]] = [
        {"name": "identity", "secret": {"secretName": identity_name(scope, name)}}
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "identity", "mountPath": f"{IDENTITY_FOLDER}/clients/{name}", "readOnly": True}
    ]
    if client is not None and client.volume_claim_name is not None:
        claim = {"claimName": client.volume_claim_name, "readOnly": True}
        volumes.append({"name": "data", "persistentVolumeClaim": claim})
        mounts.append({"name": "data", "mountPath": DATA_FOLDER, "readOnly": True})
    return Part(
        "client",
        "federation",
        _arguments(scope, name, is_simulated=client is None),
        scope.run.spec.federation.client_template or PodTemplate(),
        "spec.federation.clientTemplate",
        client=name,
        has_store=False,
        volumes=tuple(volumes),
        mounts=tuple(mounts),
        environment_of=client.secret_name if client is not None else None,
    )


def _arguments(scope: Scope, name: str, *, is_simulated: bool) -> list[str]:
    server = ["--server", f"{aggregator_name(scope)}.{scope.namespace}.svc:{PORT}"]
    if is_simulated:
        who = ["--pki", IDENTITY_FOLDER, "--client", name]
        return ["client", "simulate", RUN_FILE, *server, *who, *_own_model(scope)]
    identity = ["--identity", f"{IDENTITY_FOLDER}/clients/{name}", "--data", RUN_FILE]
    return ["client", "join", *server, *identity, *_own_model(scope)]


def _own_model(scope: Scope) -> list[str]:
    """Whoever writes the run's file also says what runs in the cluster's pods, so a client there
    believes the file; one outside has to be told by its owner."""
    _, found, function = scope.run.spec.pretraining.model.source.partition("python://")
    return ["--model", function] if found else []
