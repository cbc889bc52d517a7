"""A real API server with etcd behind it, and the controllers that make pods and collect garbage.

No kubelet: pods are made and never run. What needs running pods is in tests/e2e.
"""

import base64
import ipaddress
import json
import os
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from servers import Process, free_port, listens, program

VERSION = "1.34.4"
TOKEN = "of-the-test"


def kubernetes_program(name: str, version: str = VERSION) -> str:
    """The path of a program of Kubernetes; without it a test skips on a laptop and fails in CI."""
    folder = os.environ.get("GPTFL_KUBERNETES_BIN", Path.home() / ".cache/gptfl/kubernetes")
    path = Path(folder) / version / name
    if path.is_file():
        return str(path)
    missing = f"{name} {version} is not built: run tools/cluster/install"
    if os.environ.get("GPTFL_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


class Etcd(Process):
    """Where an API server keeps its objects."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        peers = f"http://127.0.0.1:{free_port()}"
        super().__init__(
            [
                program("etcd"),
                *("--data-dir", str(folder / "data"), "--unsafe-no-fsync", "--log-level", "warn"),
                *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"default={peers}"),
            ],
            folder / "etcd.log",
            ready=lambda: _answers(f"{self.url}/health"),
        )


class ApiServer(Process):
    """kube-apiserver; who has the token may do anything."""

    def __init__(self, folder: Path, etcd: Etcd) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._authority = folder / "server.crt"
        _make_certificate(self._authority, folder / "server.key")
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self._kubeconfig()))
        account_key = folder / "server.key"
        super().__init__(
            [
                kubernetes_program("kube-apiserver"),
                *(f"--etcd-servers={etcd.url}", f"--secure-port={self.port}"),
                *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
                f"--tls-cert-file={self._authority}",
                f"--tls-private-key-file={account_key}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=198.19.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={account_key}",
                f"--service-account-key-file={self._authority}",
                "--endpoint-reconciler-type=none",
                "--shutdown-delay-duration=0s",
            ],
            folder / "apiserver.log",
            ready=self._is_ready,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
    ) -> Any:
        """The answer to a request, as somebody else than the operator. Raises HTTPError."""
        return json.loads(self.text(path, method, body, content_type))

    def text(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        content_type: str = "application/json",
    ) -> str:
        """The answer as it comes."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
        asked = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        context = ssl.create_default_context(cafile=str(self._authority))
        with urllib.request.urlopen(asked, timeout=30, context=context) as answer:
            found: str = answer.read().decode()
            return found

    def list(self, path: str) -> list[dict[str, Any]]:
        """All objects of a path."""
        items: list[dict[str, Any]] = self.request("GET", path)["items"]
        return items

    def refusal(self, method: str, path: str, body: Any) -> str:
        """What the server says to a request that it does not take."""
        try:
            self.request(method, path, body)
        except urllib.error.HTTPError as error:
            message: str = json.loads(error.read())["message"]
            return message
        pytest.fail(f"{method} {path} was taken")

    def _is_ready(self) -> bool:
        try:
            # The namespace that everybody relies on is made a moment after it says that it is up.
            self.request("GET", "/api/v1/namespaces/default")
        except (OSError, ValueError):
            return False
        return True

    def _kubeconfig(self) -> dict[str, Any]:
        authority = base64.b64encode(self._authority.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }


class ControllerManager(Process):
    """kube-controller-manager: Jobs get their pods, and what has lost its owner goes."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        super().__init__(
            [
                kubernetes_program("kube-controller-manager"),
                f"--kubeconfig={server.kubeconfig}",
                *("--leader-elect=false", f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
                f"--cert-dir={folder}",
                "--controllers=job-controller,"
                "garbage-collector-controller,namespace-controller,serviceaccount-controller,"
                "resourcequota-controller",
            ],
            folder / "controllers.log",
            ready=lambda: listens(self.port),
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _make_certificate(certificate: Path, key_file: Path) -> None:
    """A certificate for this machine's own address, signed by itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
