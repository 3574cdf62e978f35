"""Which certificates are trusted and which proxy is taken, by the environment; and what is no use is said at once."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from restyle.errors import ConfigurationError
from restyle.http import trust
from restyle.http.trust import CA_VARIABLES, authorities, authorities_from, check_address, proxy_for
from tests.support.certificates import write_authority
from tests.support.network import forget_network

API = "https://api.segmind.com/v1/sdxl-img2img"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing."""
    forget_network(monkeypatch)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A company's authority."""
    return str(write_authority(tmp_path)[0])


# -- certificates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_each_variable_names_a_bundle(monkeypatch: pytest.MonkeyPatch, bundle: str, name: str) -> None:
    """And it is said which one did."""
    monkeypatch.setenv(name, bundle)
    assert (authorities(), authorities_from()) == (bundle, name)


def test_the_first_of_them_counts(monkeypatch: pytest.MonkeyPatch, bundle: str) -> None:
    """Those of requests come before OpenSSL's; an empty one is none."""
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    assert authorities() == certifi.where()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    assert authorities() == bundle


def test_a_directory_of_hashes_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: str) -> None:
    """As OpenSSL has them; of several, the first that has any."""
    hashed = tmp_path / "certs"
    hashed.mkdir()
    (hashed / "0a1b2c3d.0").write_text(Path(bundle).read_text())
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'gone'}:{hashed}")
    assert authorities() == str(hashed)


def test_without_a_variable_the_system_is_trusted(monkeypatch: pytest.MonkeyPatch, bundle: str, tmp_path: Path) -> None:
    """Its own store, which administrators add to; where there is none, certifi's."""
    monkeypatch.setattr(trust, "_SYSTEM_BUNDLES", (str(tmp_path / "none"), bundle))
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(tmp_path / "none"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert (authorities(), authorities_from()) == (bundle, "the system's store")
    monkeypatch.setattr(trust, "_SYSTEM_BUNDLES", ())
    assert (authorities(), authorities_from()) == (certifi.where(), "certifi")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "does not exist"),
        (b"", "holds no certificate in PEM form"),
        (b"\x30\x82\x01\x00", "holds no certificate in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "holds no certificate in PEM form"),
        (b"directory", "holds no certificate that is named by its hash"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, fault: str
) -> None:
    """With the variable, the path and what to do: TLS would otherwise fail for each job."""
    path = tmp_path / "ca"
    if content == b"directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    for name in CA_VARIABLES:
        monkeypatch.setenv(name, str(path))
        with pytest.raises(ConfigurationError) as caught:
            authorities()
        assert name in caught.value.message
        assert f"{path} {fault}" in caught.value.message
        assert "PEM" in caught.value.message
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "url", ["", "api.segmind.com/v1", "https://", "ftp://api/v1", "https://[::1", "https://api:x/"]
)
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    """Nothing could be sent to it, so no job is to wait for it."""
    with pytest.raises(ConfigurationError, match="is no address of an API"):
        check_address(url)


# -- proxies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "name", "variable"),
    [
        ({}, None, ""),
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, "proxy.corp:3128", "HTTPS_PROXY"),
        ({"https_proxy": "proxy.corp:3128"}, "proxy.corp:3128", "https_proxy"),
        ({"HTTPS_PROXY": "https://proxy.corp"}, "proxy.corp:443", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://me:p%40ss@proxy.corp:3128/"}, "proxy.corp:3128", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "[::1]:3128", "HTTPS_PROXY"),
        ({"HTTP_PROXY": "http://proxy.corp:3128"}, None, ""),
        ({"ALL_PROXY": "http://proxy.corp:3128"}, "proxy.corp:3128", "ALL_PROXY"),
        ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://other:2"}, "one:1", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "segmind.com"}, None, ""),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "*"}, None, ""),
        ({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "10.0.0.0/8"}, "proxy.corp:3128", "HTTPS_PROXY"),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str | None, variable: str
) -> None:
    """As requests and curl read it."""
    for given, value in environment.items():
        monkeypatch.setenv(given, value)
    found = proxy_for(API)
    assert (found.name if found else None, found.variable if found else "") == (name, variable)
    assert "p%40ss" not in repr(found)


@pytest.mark.parametrize("host", ["10.20.30.40", "[fd00::1]", "store", "Store.Corp"])
def test_a_port_can_be_left_out(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY with a port keeps that one straight, of an IP address too, and no other of its host."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.corp:3128")
    monkeypatch.setenv("NO_PROXY", f"api.corp, {host}:9000")
    assert proxy_for(f"http://{host}:9000/bucket") is None
    assert proxy_for(f"http://{host}/bucket") is not None
    assert proxy_for(f"http://{host}:9001/bucket") is not None
    monkeypatch.setenv("NO_PROXY", f"{host}:80")
    assert proxy_for(f"http://{host}/bucket") is None


def test_a_network_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY with a CIDR keeps addresses of the inside straight."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.corp:3128")
    monkeypatch.setenv("NO_PROXY", "localhost, 10.20.0.0/16,.corp")
    assert proxy_for("http://10.20.30.40:8000/v1") is None
    assert proxy_for("https://api.corp/v1") is None
    assert proxy_for("http://10.21.30.40:8000/v1") is not None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("socks5://me:secret@proxy.corp:1080", "SOCKS proxy proxy.corp:1080, for which the package PySocks is missing"),
        ("socks5h://proxy.corp", "PySocks"),
        ("ftp://me:secret@proxy.corp:3128", "names a proxy of ftp://"),
        ("http://me:secret@proxy.corp:port", "is no address of a proxy"),
        ("http://:3128", "names no host"),
        ("http://", "names no host"),
        ("http://[::1", "is no address of a proxy"),
    ],
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """With the variable and a form that can; never with the password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        proxy_for(API)
    assert told in caught.value.message
    assert caught.value.message.startswith(name)
    assert "secret" not in caught.value.message
