"""The certificates of a federation: an authority of the run's own, so that no client of another run
is let in, and what it signs."""

from collections.abc import Iterable, Iterator
from typing import Any

from gptfl_operator.manifests.clients import client_names, identity_name
from gptfl_operator.manifests.federation import aggregator_name
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import TOKEN_DIGEST, CertificateRequest, CertificateUse, Object
from gptfl_operator.names import labels, object_name
from gptfl_operator.objects import annotations_of, by_name

AUTHORITY_KEYS = ("ca.crt", "ca.key")
SERVER_KEYS = ("ca.crt", "server.crt", "server.key")
CLIENT_KEYS = ("ca.crt", "client.crt", "client.key", "token")


def authority_name(scope: Scope) -> str:
    """The Secret with the authority's key, which no pod sees."""
    return object_name(scope.name, "authority", longest=253)


def secret_names(scope: Scope) -> set[str]:
    """All Secrets of a run."""
    clients = {identity_name(scope, name) for name in client_names(scope)}
    return clients | {authority_name(scope), aggregator_name(scope)}


def missing(scope: Scope, secrets: Iterable[Object]) -> tuple[CertificateRequest, ...]:
    """What is not there yet, or not whole; the authority first."""
    there = by_name(secrets)
    return tuple(
        request
        for request in _all(scope)
        if not _is_whole(request.use, there.get(request.secret["metadata"]["name"]))
    )


def client_secrets(scope: Scope, secrets: Iterable[Object]) -> list[Object]:
    """The Secrets of the run's clients that are whole."""
    there = by_name(secrets)
    found = (there.get(identity_name(scope, name)) for name in client_names(scope))
    return [one for one in found if one is not None and _is_whole(CertificateUse.CLIENT, one)]


def _all(scope: Scope) -> Iterator[CertificateRequest]:
    authority = authority_name(scope)
    yield CertificateRequest(
        CertificateUse.AUTHORITY,
        _secret(scope, authority, "authority"),
        common_name=f"{scope.namespace}/{scope.name}",
    )
    server = aggregator_name(scope)
    yield CertificateRequest(
        CertificateUse.SERVER,
        _secret(scope, server, "aggregator"),
        authority=authority,
        common_name=server,
        hosts=(*_hosts(server, scope.namespace), *scope.settings.aggregator_hosts),
    )
    for client in client_names(scope):
        yield CertificateRequest(
            CertificateUse.CLIENT,
            _secret(scope, identity_name(scope, client), "client", client=client),
            authority=authority,
            common_name=client,
        )


def _hosts(service: str, namespace: str) -> tuple[str, ...]:
    full = f"{service}.{namespace}.svc"
    return (full, f"{full}.cluster.local", f"{service}.{namespace}", service, "localhost")


def _secret(scope: Scope, name: str, component: str, **more: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "labels": labels(scope.name, component, stage="federation", **more),
        },
    }


def _is_whole(use: CertificateUse, secret: Object | None) -> bool:
    keys = {
        CertificateUse.AUTHORITY: AUTHORITY_KEYS,
        CertificateUse.SERVER: SERVER_KEYS,
        CertificateUse.CLIENT: CLIENT_KEYS,
    }[use]
    if secret is None or not set(keys) <= set(secret.get("data") or ()):
        return False
    return use is not CertificateUse.CLIENT or TOKEN_DIGEST in annotations_of(secret)
