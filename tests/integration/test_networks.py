"""Networks of companies: an authority of their own, proxies with and without a password, and what both say no with."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from apps.cli.processes.checks import Finding, examine
from config.reading import load_settings
from restyle.errors import ApiUnavailable, ConfigurationError
from restyle.http import webhook
from restyle.http.exchange import Wire
from restyle.segmind.links import Links
from restyle.segmind.v1 import Segmind
from restyle.segmind.v2 import SegmindQueue
from tests.support import pictures
from tests.support.answering import answering
from tests.support.forward import forwarding
from tests.support.network import forget_network
from tests.support.servers import S3
from tests.support.standin import Made, StandIn, standing_in

KEY = "SG_0123456789abcdef"
JPEG = pictures.encode(pictures.photo())


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)


def picture(_asked: object, _number: int) -> Made:
    """What the API answers."""
    return Made(JPEG, {"content-type": "image/jpeg"})


@pytest.fixture
def api(authority: tuple[Path, ssl.SSLContext]) -> Iterator[StandIn]:
    """An API behind that certificate."""
    with standing_in(picture, tls=authority[1]) as found:
        yield found


@pytest.fixture
def plain() -> Iterator[StandIn]:
    """An API without TLS."""
    with standing_in(picture) as found:
        yield found


def call(origin: str) -> int:
    """One call; the status of its answer."""
    wire = Wire(f"{origin}/v1/sdxl-img2img", KEY, timeout=5, connect_timeout=2)
    try:
        return wire.ask("POST", f"{origin}/v1/sdxl-img2img", b'{"prompt": "p"}').status
    finally:
        wire.close()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_company_s_authority_is_trusted(
    api: StandIn, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By each variable, for calls, files and webhooks; without it nothing is sent, and it is said what to set."""
    with pytest.raises(ApiUnavailable, match=r"certificate verify failed.*SSL_CERT_FILE names a file") as caught:
        call(api.origin)
    assert not caught.value.in_doubt
    assert "certificate verify failed" in webhook.post(f"{api.origin}/hook", b'{"prompt": "hook"}', {})
    assert not api.calls
    monkeypatch.setenv(name, str(authority[0]))
    assert call(api.origin) == 200
    api.files["/a.jpg"] = Made(JPEG)
    links = Links(f"{api.origin}/v1/x", timeout=5)
    assert links.fetch(f"{api.origin}/a.jpg") == JPEG
    links.close()
    assert webhook.post(f"{api.origin}/hook", b'{"prompt": "hook"}', {}) == ""
    assert (api.calls, api.fetched) == ({"p": 1, "hook": 1}, [("/a.jpg", False)])


def test_a_company_s_authority_may_be_in_a_directory(
    api: StandIn, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As OpenSSL has them, by hash."""
    hashed = tmp_path / "certs"
    hashed.mkdir()
    asked = ["openssl", "x509", "-noout", "-hash", "-in", str(authority[0])]
    name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    (hashed / f"{name}.0").write_text(authority[0].read_text())
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed))
    assert call(api.origin) == 200


@pytest.mark.parametrize("login", ["", "me:p%40ss%20w"])
def test_a_proxy_is_gone_through(
    api: StandIn, plain: StandIn, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """With a password or without, forwarded or tunnelled; through the tunnel even the proxy sees no key."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    with forwarding(login=unquote(login)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url(login))
        for one in (plain, api):
            assert call(one.origin) == 200
            assert webhook.post(f"{one.origin}/hook", b'{"prompt": "hook"}', {}) == ""
            assert one.calls == {"p": 1, "hook": 1}
    host = api.origin.removeprefix("https://")
    sent = [f"POST {plain.origin}/v1/sdxl-img2img", f"POST {plain.origin}/hook", f"CONNECT {host}", f"CONNECT {host}"]
    assert (proxy.passed, proxy.refused) == (sent, [])


def test_a_proxy_that_asks_who_it_is_says_so_itself(
    api: StandIn, plain: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """407 is the proxy's, with its name and what to set; nothing was sent on, so nothing is in doubt."""
    with forwarding(login="me:secret") as proxy:
        for one, login in ((plain, ""), (plain, "me:wrong"), (api, ""), (api, "me:wrong")):
            variable = f"{one.origin.partition(':')[0].upper()}_PROXY"
            monkeypatch.setenv(variable, proxy.url(login))
            with pytest.raises(ApiUnavailable) as caught:
                call(one.origin)
            told = caught.value.message
            assert f"the proxy 127.0.0.1:{proxy.port} answers 407 Proxy Authentication Required" in told
            assert f"{variable}=http://USER:PASSWORD@HOST:PORT" in told
            assert "wrong" not in told
            assert (caught.value.in_doubt, caught.value.http_status) == (False, None)
    assert not api.calls + plain.calls


@pytest.mark.parametrize("status", [403, 502, 503, 504])
def test_a_proxy_s_refusal_is_told_as_its_own(api: StandIn, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A page of 502 for the tunnel is no answer of the API: it was never asked."""
    with forwarding(refusal=status) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        with pytest.raises(ApiUnavailable, match=rf"the proxy 127.0.0.1:{proxy.port} answers {status} ") as caught:
            call(api.origin)
        assert "ProxyError" not in caught.value.message
        assert (caught.value.in_doubt, caught.value.http_status) == (False, None)
        assert f"answers {status} " in webhook.post(f"{api.origin}/hook", b"{}", {})
    assert not api.calls


@pytest.mark.parametrize(("status", "counted"), [(403, None), (502, 502), (504, 504)])
def test_a_page_of_a_proxy_that_forwards_is_its_own(
    plain: StandIn, monkeypatch: pytest.MonkeyPatch, status: int, counted: int | None
) -> None:
    """It stands in the API's place, and does not stop the fleet for the key; where nobody knows, it counts as a try."""
    with forwarding(refusal=status) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        with pytest.raises(ApiUnavailable, match=rf"the proxy 127.0.0.1:{proxy.port} answers {status} ") as caught:
            call(plain.origin)
    assert (caught.value.in_doubt, caught.value.http_status) == (False, counted)


@pytest.mark.parametrize("breaks", ["nobody listens", "hangs up", "says nothing", "speaks no HTTP"])
def test_a_proxy_that_is_none_is_no_doubt(api: StandIn, monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    """Whatever it does before there is a way to the API: nothing was sent."""
    answer = {"hangs up": b"", "says nothing": None, "speaks no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n"}
    with answering(answer.get(breaks)) as server:
        if breaks == "nobody listens":
            server.close()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
        with pytest.raises(ApiUnavailable, match=f"by the proxy 127.0.0.1:{server.port}") as caught:
            call(api.origin)
        assert not caught.value.in_doubt
    assert not api.calls


def test_addresses_of_the_inside_go_by_no_proxy(plain: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY names them, by network too: the proxy, which is dead, is not asked."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ApiUnavailable):
        call(plain.origin)
    for name in ("127.0.0.0/8", "10.0.0.0/8,127.0.0.1", "*"):
        monkeypatch.setenv("NO_PROXY", name)
        assert call(plain.origin) == 200


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ALL_PROXY", "socks5://proxy.corp:1080", "ALL_PROXY names the SOCKS proxy proxy.corp:1080"),
        ("HTTPS_PROXY", "ftp://proxy.corp", "HTTPS_PROXY names a proxy of ftp://"),
        ("SSL_CERT_FILE", "/no/such.pem", "SSL_CERT_FILE: /no/such.pem does not exist"),
    ],
)
def test_what_cannot_be_used_is_said_when_a_client_is_made(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    """Of both doors of the API, before any call; a webhook says it as the reason why it did not arrive."""
    monkeypatch.setenv(variable, value)
    for door in (Segmind, SegmindQueue):
        with pytest.raises(ConfigurationError, match=told):
            door("https://api.segmind.com/v1/sdxl-img2img", KEY)
    assert told in webhook.post("https://hooks.example/x", b"{}", {})


def test_doctor_names_the_way_and_what_to_set(
    api: StandIn,
    authority: tuple[Path, ssl.SSLContext],
    s3: S3,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which certificates and proxy the API is reached by; and where those are at fault, not to check the key."""
    settings = load_settings(
        redis_url=redis_url, workspace=s3.workspace.uri, api_url=api.url, api_key=KEY,
        local_s3_endpoint=s3.endpoint.url, local_s3_access_key=s3.access_key, local_s3_secret_key=s3.secret_key,
    )  # fmt: skip
    api.files["/v1/get-user-credits"] = Made(b'{"credits": 7}')

    def look() -> dict[str, Finding]:
        return {finding.name: finding for finding in examine(settings)}

    found = look()
    assert "by no proxy" in found["network"].detail
    assert not found["api key"].ok
    assert "set SSL_CERT_FILE to a PEM file" in found["api key"].advice
    assert "RESTYLE_API_KEY" not in found["api key"].advice
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    with forwarding(login="me:pass") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url("me:pass"))
        found = look()
        assert f"certificates of {authority[0]} (SSL_CERT_FILE)" in found["network"].detail
        assert f"by the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY)" in found["network"].detail
        assert "7.00 credits" in found["api key"].detail
        monkeypatch.setenv("HTTPS_PROXY", proxy.url())
        assert f"the proxy 127.0.0.1:{proxy.port} answers 407" in look()["api key"].detail
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    assert "SSL_CERT_FILE: /no/such.pem does not exist" in look()["network"].detail
