"""S3 in networks of companies: behind an authority of their own, and behind proxies, for both clients."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restyle.errors import ConfigurationError, StoreUnavailable
from restyle.s3.store import Store
from tests.support.certificates import write_authority
from tests.support.forward import forwarding
from tests.support.network import forget_network
from tests.support.scripted import Scripted, answer, scripted

ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'
URI = "s3://shop/a b.jpg"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def secure(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """An S3 behind that certificate."""
    with scripted(lambda _: answer("200 OK", b"x", etag=ETAG), tls=authority[1]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://localhost:{server.port}")
        yield server


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """An S3 without TLS."""
    with scripted(lambda _: answer("200 OK", b"x", etag=ETAG)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def ask() -> None:
    """Two requests of a new door, beside the main thread: the second one goes by obstore where it can."""
    store = Store(seconds=2)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            assert pool.submit(store.get, URI).result().data == b"x"
    store.close()


def agents(server: Scripted) -> list[str]:
    """Who asked, in order."""
    return [request.header("user-agent").partition("/")[0] for request in server.heard]


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_company_s_authority_is_trusted(
    secure: Scripted, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By each variable and by both clients, AWS's own before the others; without it nothing is sent."""
    if name == "AWS_CA_BUNDLE":
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            ask()
        assert not secure.heard
        monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(authority[0].parent.parent)[0]))
    monkeypatch.setenv(name, str(authority[0]))
    ask()
    assert agents(secure) == ["botocore", "restyle"]


def test_another_authority_is_not_trusted(secure: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even one with the same name, by neither client."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(tmp_path / "other")[0]))
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        ask()
    assert not secure.heard


def test_a_folder_of_authorities_is_trusted(
    secure: Scripted, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All that are in it, as systems keep them."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "0a1b2c3d.0").write_bytes(authority[0].read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    ask()
    assert agents(secure) == ["botocore", "restyle"]


@pytest.mark.parametrize("login", ["", "me:secret"])
def test_a_proxy_is_gone_through(
    secure: Scripted, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """By each of the variables, with a password or without; its answers are told as its own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    with forwarding(login=login) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url(login))
        ask()
        assert set(proxy.passed) == {f"CONNECT localhost:{secure.port}"}
        assert agents(secure) == ["botocore", "botocore"]  # proxies are botocore's matter
        if login:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url("me:wrong"))
            with pytest.raises(StoreUnavailable, match="407") as refused:
                ask()
            assert "wrong" not in refused.value.message


def test_a_plain_request_goes_through_a_proxy_too(plain: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwarded rather than tunnelled; one that asks for a password says so."""
    with forwarding() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        ask()
        assert len(proxy.passed) == len(plain.heard) == 2
    with forwarding(login="me:secret") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        with pytest.raises(StoreUnavailable, match="the proxy before S3 asks for a password"):
            ask()


@pytest.mark.parametrize("inside", ["127.0.0.0/8", "10.0.0.0/8,127.0.0.1", "*"])
def test_an_s3_of_the_inside_needs_no_proxy(plain: Scripted, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    """NO_PROXY names it, by network too, for both clients: the proxy, which is dead, is not asked."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable):
        ask()
    monkeypatch.setenv("NO_PROXY", inside)
    ask()
    assert agents(plain) == ["botocore", "restyle"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_CA_BUNDLE", "/no/such.pem", "/no/such.pem does not exist; see AWS_CA_BUNDLE"),
        ("SSL_CERT_FILE", "/no/such.pem", "/no/such.pem does not exist"),
        ("ALL_PROXY", "socks5://me:secret@proxy.corp:1080", "ALL_PROXY names the .*proxy proxy.corp:1080"),
    ],
)
def test_what_cannot_be_used_is_told_as_the_client_is_made(
    secure: Scripted, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """Before anything is asked of S3, and without the password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=told) as refused:
        Store().make_ready(URI)
    assert "secret" not in refused.value.message
