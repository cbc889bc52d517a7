"""What a federation needs besides its Jobs: certificates, an address, lists, and closed doors."""

from collections.abc import Sequence
from dataclasses import dataclass

from gptfl_operator.manifests import certificates, federation
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import CertificateRequest, Object, Observed
from gptfl_operator.names import CLIENT
from gptfl_operator.objects import labels_of
from gptfl_operator.standing import Stand, Standing


@dataclass(frozen=True)
class Federating:
    """The surroundings of a federation."""

    apply: tuple[Object, ...] = ()
    keep: frozenset[tuple[str, str]] = frozenset()
    certificates: tuple[CertificateRequest, ...] = ()
    barred: frozenset[str] = frozenset()
    """Clients that are no longer let in."""


def surroundings(scope: Scope, found: Sequence[Standing], observed: Observed) -> Federating:
    """They are made when the federation begins, or at once where somebody outside has to prepare,
    and stay: a later spec of the run federates with the same clients again."""
    keep = frozenset(
        {("Secret", name) for name in certificates.secret_names(scope)}
        | {("Service", federation.aggregator_name(scope))}
        | {("ConfigMap", federation.admission_name(scope))}
        | {("NetworkPolicy", one["metadata"]["name"]) for one in federation.policies(scope)}
    )
    is_open = any(
        one.stage.name == "federation" and one.stand is Stand.WORKING for one in found
    ) or bool(federation.outside_names(scope))
    if not is_open or scope.run.spec.suspend:
        return Federating(keep=keep)
    missing = certificates.missing(scope, observed.secrets)
    clients = certificates.client_secrets(scope, observed.secrets)
    barred = {labels_of(one)[CLIENT] for one in clients if federation.is_revoked(one)}
    apply: list[Object] = [federation.service(scope), *federation.policies(scope)]
    if not missing:
        apply.append(federation.admission(scope, clients))
    return Federating(tuple(apply), keep, missing, frozenset(barred))
