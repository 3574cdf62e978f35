"""docker-compose.yml and the Dockerfile: valid by the Compose specification and a linter, and sealed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.compose import FILE, ROOT, read_compose

EXAMPLE = ROOT / ".env.example"
SECRETS = re.compile(r"PASSWORD|KEY|TOKEN|SECRET|SLACK", re.IGNORECASE)


def example() -> dict[str, str]:
    """The variables of .env.example, each empty one filled in."""
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {name: value or f"chosen{name.lower()}" for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Compose would read it after `cp .env.example .env`."""
    return read_compose(example())


def test_it_is_valid_by_the_specification(compose: dict[str, Any]) -> None:
    """The file fits the Compose specification's own schema, and so do its variables' defaults."""
    schema = json.loads((Path(__file__).parents[1] / "support/schemas/compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compose)


def test_no_secret_is_in_it() -> None:
    """Each value under a name of a secret is a variable without a default, and the example names it without a value."""
    text = FILE.read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert {"VALKEY_PASSWORD", "S3_SECRET_KEY", "RESTYLE_API_KEY", "DASHBOARD_TOKEN", "GRAFANA_PASSWORD"} <= asked
    for line in text.splitlines():
        name, _, value = line.strip().partition(": ")
        if SECRETS.search(name) and re.fullmatch(r"[A-Z_]+", name):
            assert "${" in value, line
            assert ":-" not in value, line
    given = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    assert asked == given.keys()
    assert not [name for name, value in given.items() if value and name != "RESTYLE_API_KEY"]


def test_every_service_is_sealed_and_limited(compose: dict[str, Any]) -> None:
    """Read-only, no rights to gain, no root but for the one that hands over a volume, and with limits."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["ulimits"] == {"core": 0}, name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert (str(service["user"]).split(":")[0] == "0") == (name == "s3-volume"), name
        assert "@" in service["image"] or ":" in service["image"] or service["image"] == "restyle", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_each_role_has_its_own_secrets_and_no_others(compose: dict[str, Any]) -> None:
    """Only workers have the API's key and the secrets of notifications, only the dashboard what people sign in with."""
    shared = {"RESTYLE_REDIS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    own = {
        "worker": {"RESTYLE_API_KEY", "RESTYLE_NOTIFY_SECRET", "RESTYLE_NOTIFY_SLACK", "RESTYLE_SMTP_PASSWORD"},
        "dashboard": {"RESTYLE_DASHBOARD_TOKEN"}, "beat": set(), "restyle": set(), "sandbox": {"SANDBOX_API_KEY"},
    }  # fmt: skip
    for name, secrets in own.items():
        environment = set(compose["services"][name]["environment"])
        found = {variable for variable in environment if SECRETS.search(variable)} | (environment & shared)
        assert found == secrets | (set() if name == "sandbox" else shared), name


def test_the_images_builder_is_locked() -> None:
    """Nothing is installed in the image by its name alone: each file by its hash, and the wheel from the checkout."""
    installs = re.findall(r"pip install (.*)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert len(installs) == 3
    assert all("--require-hashes" in install or "--no-index" in install for install in installs)


def test_services_wait_for_healthy_ones(compose: dict[str, Any]) -> None:
    """Whatever a service needs has a healthcheck and is waited for, and what lasts has a healthcheck itself."""
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], (name, needed)
        if service.get("restart") != "no":
            assert "healthcheck" in service, name
    assert services["worker"]["stop_grace_period"] == "210s"


def test_every_mounted_file_is_there(compose: dict[str, Any]) -> None:
    """What is mounted from the repository exists in it."""
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    folders = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert folders
    assert not [folder for folder in folders if not (ROOT / folder).exists()]


def test_the_dockerfile_passes_a_linter() -> None:
    """The linter hadolint finds nothing, not even a matter of style."""
    command = [str(Path(sys.executable).with_name("hadolint")), "--no-color", "Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_from_the_lock_and_keeps_no_source() -> None:
    """Every COPY is let through by .dockerignore; the last stage takes the environment alone; all pins have hashes."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    build, final = text.split("\nFROM ")[1:]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", build, re.MULTILINE)
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert not [name for line in copied for name in line.split() if f"!{name}" not in allowed]
    assert "--require-hashes" in build
    assert re.findall(r"^COPY .*$", final, re.MULTILINE) == ["COPY --from=build /opt/restyle /opt/restyle"]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
