"""Credentials of S3 that rotate: a server that takes the last two pairs, and a process that hands out the newest."""

from __future__ import annotations

import json
import secrets
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.servers import S3

#: Seconds before the end of credentials from which on botocore asks for others.
ADVISED = 15 * 60


class Rotating:
    """The pairs of one server. Its first pair, which the soak itself uses, stays."""

    def __init__(self, s3: S3, folder: Path, every: float) -> None:
        """Hands out a first pair.

        Args:
            s3: the server, which is running.
            folder: where the file is that the process prints.
            every: seconds between two rotations.
        """
        self._s3 = s3
        self._file = folder / "credentials.json"
        self._config = folder / "aws-config"
        self._config.write_text(f"[default]\nregion = us-east-1\ncredential_process = cat {self._file}\n")
        self._every = every
        self._pairs: deque[tuple[str, str]] = deque(maxlen=2)
        self.count = -1
        self.rotate()

    @property
    def env(self) -> dict[str, str]:
        """How a process finds them; no pair stands in its environment."""
        return {"AWS_CONFIG_FILE": str(self._config), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}

    def rotate(self) -> None:
        """Another pair is handed out; the one before the last is refused from here on. The server starts again."""
        self._pairs.append((secrets.token_hex(8), secrets.token_hex(16)))
        key, secret = self._pairs[-1]
        until = datetime.now(UTC) + timedelta(seconds=ADVISED + self._every / 2)
        fresh = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret, "Expiration": until.isoformat()}
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(fresh))
        self._s3.kill()
        self._s3.start(also=self._pairs)
        beside.rename(self._file)
        self.count += 1
