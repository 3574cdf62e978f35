"""deploy/kubernetes as a cluster gets it: rendered by kubectl, which needs no cluster for that."""

from __future__ import annotations

import copy
import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.brought import PLACE, brought

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
ROLES = ("worker", "beat", "dashboard")


@dataclass(frozen=True)
class Cluster:
    """The objects of one folder."""

    objects: tuple[dict[str, Any], ...]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Those of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def the(self, kind: str, name: str) -> dict[str, Any]:
        """One of them, by its name; of a generated name, its beginning."""
        (one,) = (
            each for each in self.all(kind)
            if each["metadata"]["name"] == name or (kind == "ConfigMap" and _stem(each) == name)
        )  # fmt: skip
        return one

    def pod(self, role: str) -> dict[str, Any]:
        """What a role's pods are made of."""
        spec: dict[str, Any] = self.the("Deployment", f"restyle-{role}")["spec"]["template"]["spec"]
        return spec

    def container(self, role: str) -> dict[str, Any]:
        """The one container of a role's pods."""
        (container,) = self.pod(role)["containers"]
        return dict(container)

    def environment(self, role: str) -> dict[str, str]:
        """What a role's container has from the settings and from its own lines; no secrets."""
        container = self.container(role)
        names = [each["configMapRef"]["name"] for each in container["envFrom"] if "configMapRef" in each]
        given: dict[str, str] = {}
        for name in names:
            given |= self.the("ConfigMap", name)["data"]
        return given | {each["name"]: each["value"] for each in container.get("env", ())}


def _stem(config: dict[str, Any]) -> str:
    return str(config["metadata"]["name"]).rpartition("-")[0]


def rendered(folder: str) -> Cluster:
    """A folder below deploy/kubernetes as `kubectl apply -k` would send it, each time anew.

    The test is skipped where kubectl cannot be had.
    """
    return Cluster(tuple(copy.deepcopy(_rendered(folder))))


@functools.cache
def _rendered(folder: str) -> list[dict[str, Any]]:
    kubectl = brought("install-kubectl", str(PLACE), sys.executable)
    done = subprocess.run(
        [kubectl, "kustomize", str(FOLDER / folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def secrets() -> Cluster:
    """The examples of the secrets, which no overlay has."""
    return Cluster(tuple(yaml.safe_load_all((FOLDER / "secret.example.yaml").read_text(encoding="utf-8"))))
