"""Whose certificates are trusted: one rule for S3, the API and webhooks."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

#: By which programs are told of other authorities than the system's, the first that is set.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
#: Where systems keep theirs: Debian, Red Hat, SUSE, Alpine and macOS.
_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def authorities() -> str:
    """The file, or folder, of the certificates to trust: of the first variable that is set, else the system's."""
    for name in VARIABLES:
        if path := os.environ.get(name):
            return path
    found = ssl.get_default_verify_paths()
    for path in (found.cafile, *_SYSTEMS):
        if path and Path(path).is_file():
            return path
    import certifi

    return certifi.where()
