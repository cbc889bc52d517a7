"""A cluster with the resource installed, and operators on it, as tests see them."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from apiserver import ApiServer, ControllerManager, Etcd
from servers import Process, free_port, listens, wait_until

CRD = Path(__file__).parents[2] / "charts/gptfl/crds/gptflruns.yaml"
RUNS = "/apis/gptfl.io/v1alpha1/namespaces/{}/gptflruns"


@dataclass
class Cluster:
    """An API server with the resource installed, as its user sees it."""

    etcd: Etcd
    server: ApiServer
    controllers: ControllerManager
    folder: Path

    def namespace(self, name: str) -> str:
        """A new namespace; returns its name."""
        metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.server.request("POST", "/api/v1/namespaces", metadata)
        return name

    def operator(self, name: str = "operator", *arguments: str) -> "OperatorProcess":
        """An operator with the toy decision, to be used as a context."""
        return OperatorProcess(self.folder, self.server.kubeconfig, name, *arguments)


class OperatorProcess(Process):
    """The operator as a process, with the toy decision in place of the real one."""

    def __init__(self, folder: Path, kubeconfig: Path, name: str, *arguments: str) -> None:
        self.name, self.probe_port, self.metrics_port = name, free_port(), free_port()
        super().__init__(
            [
                *(sys.executable, str(Path(__file__).parent / "toy_operator.py")),
                *("--kubeconfig", str(kubeconfig), "--identity", name),
                *("--settings", os.devnull),
                *("--probe-port", str(self.probe_port)),
                *("--metrics-port", str(self.metrics_port)),
                *("--log-format", "json"),
                *arguments,
            ],
            folder / f"{name}-{self.probe_port}.log",
            ready=lambda: listens(self.probe_port),
            environment={"PYTHONPATH": os.pathsep.join(sys.path)},
        )


def start(folder: Path) -> Iterator[Cluster]:
    """A cluster until it is no longer needed."""
    with Etcd(folder / "etcd") as etcd, ApiServer(folder / "apiserver", etcd) as server:
        definition = yaml.safe_load(CRD.read_text())
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        server.request("POST", path, definition)
        with ControllerManager(folder / "controllers", server) as controllers:
            cluster = Cluster(etcd, server, controllers, folder)
            wait_until(lambda: is_served(server), "the resource")
            yield cluster
            server.kill()  # asked politely it takes a minute


def is_served(server: ApiServer) -> bool:
    """Whether the API server knows the resource by now."""
    try:
        server.list("/apis/gptfl.io/v1alpha1/gptflruns")
    except OSError:
        return False
    return True


def run_file(name: str, **changes: Any) -> dict[str, Any]:
    """A run as a user applies it."""
    example = yaml.safe_load((Path(__file__).parents[2] / "examples/digits.yaml").read_text())
    spec = {**example["spec"], **changes}
    return {**example, "metadata": {"name": name}, "spec": spec}
