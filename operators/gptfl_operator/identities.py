"""Makes the Secrets that need dice: a federation's authority, its aggregator's key, clients'."""

import base64
from typing import Any

from gptfl.certificates import Pair, make_authority, make_token, sign_client, sign_server
from gptfl_operator.model import (
    KEEPS_VALUES_LABEL,
    TOKEN_DIGEST,
    CertificateRequest,
    CertificateUse,
    Object,
)


def made_secret(request: CertificateRequest, authority: Object | None) -> dict[str, Any]:
    """The Secret that is asked for; `authority` is the Secret of who signs it."""
    if request.use is CertificateUse.AUTHORITY:
        pair = make_authority(request.common_name)
        # It has to sign again, for a client that comes later.
        marked = _marked(request.secret, "labels", KEEPS_VALUES_LABEL, "true")
        return _filled(marked, {"ca.crt": pair.certificate, "ca.key": pair.key})
    assert authority is not None, "who signs is asked for before what is signed"
    signer = Pair(_value(authority, "ca.crt"), _value(authority, "ca.key"))
    files = {"ca.crt": signer.certificate}
    if request.use is CertificateUse.SERVER:
        pair = sign_server(signer, request.hosts)
        files |= {"server.crt": pair.certificate, "server.key": pair.key}
        return _filled(request.secret, files)
    pair = sign_client(signer, request.common_name)
    token, digest = make_token()
    files |= {"client.crt": pair.certificate, "client.key": pair.key, "token": token.encode()}
    return _filled(_marked(request.secret, "annotations", TOKEN_DIGEST, digest), files)


def _filled(secret: Object, files: dict[str, bytes]) -> dict[str, Any]:
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return {**secret, "data": data}


def _marked(secret: Object, part: str, name: str, value: str) -> dict[str, Any]:
    metadata = secret["metadata"]
    return {**secret, "metadata": {**metadata, part: {**metadata.get(part, {}), name: value}}}


def _value(secret: Object, name: str) -> bytes:
    return base64.b64decode(secret["data"][name])
