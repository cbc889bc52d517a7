"""The aggregator: its pod, its address, who may reach it, and the lists of who is let in."""

import json
from collections.abc import Iterable
from typing import Any

from gptfl.spec.federation import ClientLocation
from gptfl.spec.pods import PodTemplate
from gptfl_operator.manifests.pods import METRICS_PORT, RUN_FILE, Part
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import TOKEN_DIGEST, Object
from gptfl_operator.names import CLIENT, REVOKED, labels, object_name, selector
from gptfl_operator.objects import annotations_of, labels_of
from gptfl_operator.settings import ServiceType

PORT = 9092
SERVER_FOLDER = "/etc/gptfl/server"
ADMISSION_FOLDER = "/etc/gptfl/admission"


def outside_names(scope: Scope) -> list[str]:
    """The clients that somebody else starts somewhere else."""
    return [
        client.name
        for client in scope.run.spec.federation.clients or ()
        if client.location is ClientLocation.OUTSIDE or client.data is None
    ]


def aggregator_name(scope: Scope) -> str:
    """Of the Service and what belongs to it: the same for every spec, since clients outside the
    cluster know it."""
    return object_name(scope.name, "aggregator")


def admission_name(scope: Scope) -> str:
    """The ConfigMap with the tokens' digests and the revoked names."""
    return object_name(scope.name, "admission", longest=253)


def aggregator_part(scope: Scope) -> Part:
    """The pod that runs the rounds."""
    files = {"cert": "server.crt", "key": "server.key", "ca": "ca.crt"}
    arguments = ["aggregate", RUN_FILE, "--only", "federation", "--listen", f"0.0.0.0:{PORT}"]
    for option, file in files.items():
        arguments += [f"--{option}", f"{SERVER_FOLDER}/{file}"]
    arguments += ["--tokens", f"{ADMISSION_FOLDER}/tokens.json"]
    arguments += ["--revoked", f"{ADMISSION_FOLDER}/revoked"]
    return Part(
        "aggregator",
        "federation",
        arguments,
        scope.run.spec.federation.template or PodTemplate(),
        "spec.federation.template",
        ports={"clients": PORT},
        volumes=(
            {"name": "identity", "secret": {"secretName": aggregator_name(scope)}},
            {"name": "admission", "configMap": {"name": admission_name(scope)}},
        ),
        mounts=(
            {"name": "identity", "mountPath": SERVER_FOLDER, "readOnly": True},
            {"name": "admission", "mountPath": ADMISSION_FOLDER, "readOnly": True},
        ),
    )


def service(scope: Scope) -> dict[str, Any]:
    """The aggregator's address; reached from outside only by runs that have clients there."""
    kind = scope.settings.aggregator_service if outside_names(scope) else ServiceType.CLUSTER_IP
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": aggregator_name(scope),
            "labels": labels(scope.name, "aggregator", stage="federation"),
        },
        "spec": {
            "type": kind.value,
            "selector": dict(selector(scope.name, "aggregator")["matchLabels"]),
            "ports": [{"name": "clients", "port": PORT, "targetPort": "clients"}],
        },
    }


def admission(scope: Scope, secrets: Iterable[Object]) -> dict[str, Any]:
    """Who is let in: digests of the tokens by the clients' names, and the names of the revoked."""
    clients = {labels_of(secret)[CLIENT]: secret for secret in secrets}
    tokens = {
        name: annotations_of(secret)[TOKEN_DIGEST] for name, secret in sorted(clients.items())
    }
    revoked = [name for name, secret in sorted(clients.items()) if is_revoked(secret)]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": admission_name(scope),
            "labels": labels(scope.name, "aggregator", stage="federation"),
        },
        "data": {
            "tokens.json": json.dumps(tokens, indent=1),
            "revoked": "".join(f"{name}\n" for name in revoked),
        },
    }


def is_revoked(secret: Object) -> bool:
    """Whether the client of that Secret is no longer let in."""
    return labels_of(secret).get(REVOKED) == "true"


def policies(scope: Scope) -> list[dict[str, Any]]:
    """The aggregator is for the run's clients alone, and nobody has business with a client."""
    return [
        _policy(scope, "aggregator", _client_ingress(scope)),
        _policy(scope, "client", []),
    ]


def _client_ingress(scope: Scope) -> list[dict[str, Any]]:
    port = [{"protocol": "TCP", "port": PORT}]
    if outside_names(scope):
        # From anywhere: who has no certificate of this run is turned away by the aggregator.
        return [{"ports": port}]
    return [{"from": [{"podSelector": selector(scope.name, "client")}], "ports": port}]


def _policy(scope: Scope, component: str, ingress: list[dict[str, Any]]) -> dict[str, Any]:
    scrapers = dict(scope.settings.scrapers)
    scrape = {
        "from": [{"namespaceSelector": {"matchLabels": scrapers} if scrapers else {}}],
        "ports": [{"protocol": "TCP", "port": METRICS_PORT}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": object_name(scope.name, component, longest=253),
            "labels": labels(scope.name, component, stage="federation"),
        },
        "spec": {
            "podSelector": selector(scope.name, component),
            "policyTypes": ["Ingress"],
            "ingress": [*ingress, scrape],
        },
    }
