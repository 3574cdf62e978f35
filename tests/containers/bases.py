"""The images that the Dockerfile and the compose file begin from: at hand, pulled, or stand-ins made of Debian.

A stand-in is made where no image registry is reached, and for this proof alone: one Debian with Python, Valkey and the
rclone of this environment, under each of the names that the files ask for. The table says where it was used.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.containers.engine import Engine, Failed, Missing
from tests.support.compose import ROOT, read_compose

#: Debian's release with the Python of the Dockerfile.
RELEASE = "trixie"
PACKAGES = "ca-certificates,netcat-openbsd,python3,python3-venv,valkey-server,valkey-tools"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Authorities that this machine trusts beside Debian's: a proxy before the package registry may have one.
AUTHORITIES = Path("/usr/local/share/ca-certificates")


def base_of_image() -> str:
    """The image that the Dockerfile begins from."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    (name,) = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], name)


def bases(env: dict[str, str]) -> list[str]:
    """Every image that the proof needs and does not build."""
    services = read_compose(env)["services"]
    others = {service["image"] for service in services.values() if service.get("profiles", ["command"]) == ["command"]}
    return [base_of_image(), *sorted(others - {"restyle"})]


def provide(engine: Engine, names: list[str], folder: Path) -> tuple[str, list[str]]:
    """Has them all here; says where they are from, and names those that were made for this run.

    Raises:
        Missing: no registry is reached, and no stand-in can be made.
    """
    absent = [name for name in names if not engine.succeeds("image", "inspect", name)]
    try:
        for name in absent:
            engine.run("pull", "--quiet", name)
    except Failed:
        return _stand_in(engine, absent, folder), absent
    return "the official images" if absent else "base images that were here already", []


def _stand_in(engine: Engine, names: list[str], folder: Path) -> str:
    if shutil.which("debootstrap") is None:
        raise Missing("no image registry is reached, and there is no debootstrap to make stand-ins of the base images")
    root, archive = folder / "debian", folder / "debian.tar"
    _root("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(root))
    for authority in AUTHORITIES.glob("*.crt"):
        shutil.copy(authority, root / AUTHORITIES.relative_to("/"))
    _root("chroot", str(root), "update-ca-certificates")
    (root / "usr/bin/python").symlink_to("python3")
    shutil.copy(Path(sys.executable).with_name("rclone"), root / "usr/bin/rclone")
    (root / "data").mkdir()
    _root("chroot", str(root), "chown", "valkey:valkey", "/data")
    for left in ("var/cache/apt", "var/lib/apt/lists", "var/log", "tmp"):
        shutil.rmtree(root / left)
        (root / left).mkdir()
    (root / "tmp").chmod(0o1777)
    _root("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), ".")
    shutil.rmtree(root)
    first, *others = map(_whole, names)
    engine.run("import", "--change", f"ENV PATH={PATH}", str(archive), first)
    archive.unlink()
    for name in others:
        engine.run("tag", first, name)
    return f"stand-ins made of Debian {RELEASE} by debootstrap, since no image registry is reached"


def _whole(name: str) -> str:
    """A name with its registry, so that nothing has to look for it."""
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def _root(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Missing(
            f"no image registry is reached, and {command[0]} failed: {lines[-1] if lines else done.returncode}"
        )
