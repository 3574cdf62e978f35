"""Who is let in to the dashboard: by the router's own path, by role, by a trusted proxy, and never by a trick."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest
from starlette.requests import Request
from starlette.routing import Route

from apps.dashboard.access.identity import Access, Identity, Role, TrustedProxy, check_access, neighbourhood, read_proxy
from apps.dashboard.access.security import Guard, Names, own_names
from apps.dashboard.access.serving import MAX_ALL, MAX_CONNECTIONS
from apps.dashboard.access.sharing import Shares
from apps.dashboard.server import create_app
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError
from tests.support.dashboard import running_dashboard
from tests.support.servers import S3
from tests.support.shown import TOKEN, Place, environment
from tests.support.striking import striking
from tests.support.wait import wait_until

VIEW_TOKEN = "another-token-to-look"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the dashboard under test listens to all of this machine


@contextmanager
def serving(
    redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch, access: Access, url: str | None = None
) -> Iterator[Place]:
    """A dashboard with this access, of a workspace of its own."""
    workspace = s3.workspace
    for name, value in environment(redis_url, s3, workspace).items():
        monkeypatch.setenv(name, value)
    state = State(redis_url, namespace=workspace.namespace, account="")
    with running_dashboard(access=access, host=EVERYWHERE, url=url) as served:
        yield Place(served, s3.store, workspace, Progress(state))
    state.close()


@pytest.fixture
def place(redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A dashboard with both tokens."""
    with serving(redis_url, s3, monkeypatch, Access("tester@here", TOKEN, VIEW_TOKEN)) as served:
        yield served


def sign_in(place: Place, token: str, name: str = "Anna") -> str:
    """Signs in; the cookie."""
    form = {"name": name, "token": token, "form_token": place.ask("/sign-in").form_token}
    entered = place.ask("/sign-in", form)
    assert entered.status == 303, entered.text
    return entered.headers["set-cookie"].partition(";")[0]


def raw(place: Place, request: bytes) -> bytes:
    """What the server answers to these bytes, up to its end of the connection."""
    split = urlsplit(place.served.url)
    with socket.create_connection((split.hostname or "", split.port or 0), 20) as connection:
        connection.sendall(request)
        connection.settimeout(20)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer


def test_the_host_header_opens_nothing(place: Place) -> None:
    """Whatever stands in Host, a page that asks for a sign-in asks for it; odd ones are no host at all."""
    run = place.add_run()
    tricks = (
        "localhost/healthz?", "127.0.0.1/static/?", "localhost/sign-in?", "localhost/sign-in#", "localhost:80/healthz?",
        "localhost\\healthz", "localhost?/healthz", "localhost#/healthz", "user@localhost", "localhost:", "localhost:x",
        "localhost:99999", ".localhost", "localhost.", "-", "[::1", "[::1]x", "::1", "", "a" * 300, "localhost,evil",
    )  # fmt: skip
    for host in tricks:
        for path in ("/fleet", f"/runs/{run.run_id}", f"/runs/{run.run_id}/cancel"):
            answer = place.ask(path, Host=host, Accept="*/*")
            assert answer.status in {400, 401, 421}, (host, path, answer.status)
            assert run.run_id not in answer.text
    twice = raw(place, b"GET /fleet HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert twice.split(b" ")[1] in {b"400", b"421"}
    absolute = raw(
        place, b"GET http://localhost/healthz?/fleet HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert b"Fleet" not in absolute


def test_the_routers_path_decides() -> None:
    """The guard goes by the path that the router goes by, whatever URL the server makes of the Host header."""
    reached = []

    async def app(scope: object, _receive: object, _send: object) -> None:
        reached.append(scope)

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    sent: list[object] = []
    guard = Guard(app, Names(frozenset({"localhost"}), is_open=False))
    scope = {
        "type": "http", "method": "GET", "path": "/fleet", "raw_path": b"/healthz", "root_path": "", "scheme": "http",
        "query_string": b"", "headers": [(b"host", b"evil.example")], "server": ("localhost", 80),
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    assert not reached
    asyncio.run(guard({**scope, "path": "/healthz"}, receive, send))
    assert len(reached) == 1


def test_whoever_looks_presses_nothing(place: Place) -> None:
    """With the view token every page is shown without its buttons, and no press is taken; with the other one it is."""
    run = place.add_run()
    path = f"/runs/{run.run_id}"
    cookie = sign_in(place, VIEW_TOKEN, "Vera")
    page = place.ask(path, Cookie=cookie)
    assert (page.status, f"{path}/suspend" in page.text) == (200, False)
    assert "/fleet/api/suspend" not in place.ask("/fleet", Cookie=cookie).text
    assert place.ask(f"{path}/suspend", Cookie=cookie).status == 403
    good = {"form_token": page.form_token}
    assert place.ask(f"{path}/suspend", good, Cookie=cookie).status == 403
    assert place.ask("/fleet/api/suspend", good, Cookie=cookie).status == 403
    assert place.progress.suspensions(run.run_id) == []
    cookie = sign_in(place, TOKEN)
    asked = place.ask(f"{path}/suspend", Cookie=cookie)
    assert place.ask(f"{path}/suspend", {"form_token": asked.form_token}, Cookie=cookie).status == 303
    assert place.progress.suspensions(run.run_id)


def test_every_form_is_ours(place: Place) -> None:
    """Whatever a form does: without its token, with another's, or from another site it is refused, each of them."""
    run, cookie = place.add_run(), sign_in(place, TOKEN)
    stranger = {"form_token": place.ask("/sign-in").form_token}
    ours = {"form_token": place.ask(f"/runs/{run.run_id}/suspend", Cookie=cookie).form_token}
    app = create_app(place.served.live, Access("x"), Names(frozenset(), is_open=True))
    paths = {route.path for route in app.routes if isinstance(route, Route) and "POST" in (route.methods or ())}
    assert {"/new/start", "/runs/{run:str}/marks/withdraw", "/runs/{run:str}/grid/use"} < paths
    for path in paths - {"/sign-in"}:
        filled = path.replace("{run:str}", run.run_id).replace("{side:str}", "api").replace("{action:str}", "suspend")
        filled = filled.replace("{name:str}", "nightly")
        for form, headers in (({}, {}), (stranger, {}), (ours, {"Origin": "http://evil.example"}),
                              (ours, {"Sec-Fetch-Site": "cross-site"})):  # fmt: skip
            answer = place.ask(filled, form, Cookie=cookie, **headers)
            assert answer.status == 403, (filled, form, headers)
    assert place.progress.suspensions(run.run_id) == []


def test_strangers_learn_no_more_than_ok(place: Place) -> None:
    """Health tells whether it is ready, and nothing of what it works with."""
    for path in ("/healthz", "/readyz"):
        answer = place.ask(path, Host="evil.example")
        assert answer.status == 200
        assert not re.search(r"\d{4,}|redis|s3", answer.text), answer.text


def test_a_public_address_makes_cookies_its_own(redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind https the cookie is __Host-, Secure, and the browser is told to ask for nothing else."""
    access = Access("tester@here", TOKEN, is_secure=True)
    with serving(redis_url, s3, monkeypatch, access, "https://restyle.shop.example") as place:
        host = "restyle.shop.example"
        asked = place.ask("/sign-in", Host=host)
        assert asked.headers["strict-transport-security"].startswith("max-age=")
        form = {"name": "Anna", "token": TOKEN, "form_token": asked.form_token}
        for origin in ("http://restyle.shop.example", "https://evil.example", "null"):
            assert place.ask("/sign-in", form, Origin=origin, Host=host).status == 403
        entered = place.ask("/sign-in", form, Origin="https://restyle.shop.example", Host=host)
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-restyle=")
        for part in ("Secure", "HttpOnly", "Path=/"):
            assert part in cookie
        assert "domain" not in cookie.lower()
        assert place.ask("/", Cookie=cookie.partition(";")[0], Host=host).status == 200


def test_a_proxy_names_who_asks(redis_url: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the proxy's address its header is believed, for looking and for acting; from no other address."""
    here = ipaddress.ip_network("127.0.0.1/32")
    proxy = TrustedProxy("X-Forwarded-User", (here,), frozenset({"anna@shop"}))
    with serving(redis_url, s3, monkeypatch, Access("tester@here", proxy=proxy)) as place:
        run = place.add_run()
        path = f"/runs/{run.run_id}/suspend"
        assert place.ask("/", Accept="*/*").status == 401
        assert "did not say who" in place.ask("/sign-in").text
        page = place.ask("/", X_Forwarded_User="ben@shop")
        assert "ben@shop (looks)" in page.text
        assert "Sign out" not in page.text
        assert place.ask(path, X_Forwarded_User="ben@shop").status == 403
        asked = place.ask(path, X_Forwarded_User="anna@shop")
        # Another's form is not one's own.
        assert place.ask(path, {"form_token": asked.form_token}, X_Forwarded_User="ben@shop").status == 403
        assert place.ask(path, {"form_token": asked.form_token}, X_Forwarded_User="anna@shop").status == 303
        (reason,) = place.progress.suspensions(run.run_id)
        assert reason.by == "anna@shop (dashboard)"
    elsewhere = TrustedProxy("X-Forwarded-User", (ipaddress.ip_network("10.1.0.0/16"),), frozenset({"*"}))
    with serving(redis_url, s3, monkeypatch, Access("tester@here", proxy=elsewhere)) as place:
        assert place.ask("/", Accept="*/*", X_Forwarded_User="anna@shop").status == 401


def _request(peer: str, *names: str) -> Request:
    headers = [(b"x-forwarded-user", name.encode("latin-1")) for name in names]
    return Request({"type": "http", "headers": headers, "client": (peer, 1234)})


@pytest.mark.parametrize(
    ("peer", "names", "identity"),
    [
        ("10.1.2.3", ("anna",), Identity("anna", Role.ACT)),
        ("::ffff:10.1.2.3", ("anna",), Identity("anna", Role.ACT)),
        ("10.1.2.3", ("ben",), Identity("ben", Role.LOOK)),
        ("10.2.2.3", ("anna",), None),
        ("testclient", ("anna",), None),
        ("10.1.2.3", (), None),
        ("10.1.2.3", ("",), None),
        ("10.1.2.3", ("\x00\x1b",), None),
        ("10.1.2.3", ("anna\x7f",), None),
        ("10.1.2.3", ("\xc2\xadanna",), None),
        ("10.1.2.3", ("\xc2\xa0anna",), None),
        ("10.1.2.3", ("anna" + "x" * 57,), None),
        ("10.1.2.3", ("\xff",), None),
        ("10.1.2.3", ("\xc3\x96ner",), Identity("\u00d6ner", Role.LOOK)),
        ("10.1.2.3", ("anna", "ben"), None),
    ],
)
def test_whom_a_proxy_names(peer: str, names: tuple[str, ...], identity: Identity | None) -> None:
    """One header, one printable name, from one of its addresses: as it stands, for what is taken off makes another."""
    proxy = read_proxy("X-Forwarded-User", "10.1.0.0/16, 192.168.7.7", "anna")
    assert proxy is not None
    assert proxy.identity(_request(peer, *names)) == identity


def test_settings_that_would_let_anybody_in_are_refused() -> None:
    """A proxy needs its addresses, a view token needs the other one, and a public address is an address."""
    assert read_proxy(None, "", "") is None
    with pytest.raises(ConfigurationError, match="RESTYLE_DASHBOARD_PROXIES"):
        read_proxy("X-Forwarded-User", "", "")
    with pytest.raises(ConfigurationError, match="such as"):
        read_proxy("X-Forwarded-User", "proxy.corp", "")
    with pytest.raises(ConfigurationError, match="nobody could press"):
        check_access("127.0.0.1", Access("me", view_token=VIEW_TOKEN))
    with pytest.raises(ConfigurationError, match="must differ"):
        check_access("127.0.0.1", Access("me", TOKEN, TOKEN))
    for url in ("restyle.shop", "ftp://shop", "https://shop/dashboard", "https://"):
        with pytest.raises(ConfigurationError, match="RESTYLE_DASHBOARD_URL"):
            own_names("127.0.0.1", (), url)


@pytest.mark.long
def test_half_requests_end(place: Place) -> None:
    """A head that does not come, before the first request or after one, ends its connection; pages go on meanwhile."""
    split = urlsplit(place.served.url)
    address = (split.hostname or "", split.port or 0)
    beginnings = (b"", b"GET / HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
    half = [socket.create_connection(address, 20) for _ in range(30)]
    for number, connection in enumerate(half):
        connection.sendall(beginnings[number % 3])
        connection.settimeout(20)
    assert place.ask("/healthz").status == 200
    began = time.monotonic()
    for connection in half:
        while connection.recv(65_536):
            pass
        connection.close()
    assert time.monotonic() - began < 15


def test_one_address_cannot_take_every_connection(place: Place) -> None:
    """Beyond a hundred connections of one address, further ones are closed, and those that end make room."""
    split = urlsplit(place.served.url)
    address = (split.hostname or "", split.port or 0)
    taken = [socket.create_connection(address, 20) for _ in range(130)]

    def answers() -> bool:
        try:
            return place.ask("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    assert not answers()
    for connection in taken:
        connection.close()
    wait_until(answers, timeout=10, description="room for another connection")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "10.1.2.3"), ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::2", "2001:db8:0:1::/64"), ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_what_is_counted_as_one(address: str, counted: str) -> None:
    """Who has one address of IPv6 has the 64 bits behind it too."""
    assert neighbourhood(address) == counted


def test_many_addresses_cannot_take_every_connection(place: Place) -> None:
    """Seven that take all there are keep nobody out: of the silent ones, the oldest makes way; a page answers."""
    split = urlsplit(place.served.url)
    taken = [
        socket.create_connection((split.hostname or "", split.port or 0), 20, source_address=(f"127.0.0.{near}", 0))
        for near in range(2, 9)
        for _ in range(MAX_CONNECTIONS)
    ]
    assert len(taken) > MAX_ALL
    assert place.ask("/healthz").status == 200
    first, last = taken[0], taken[-1]
    first.settimeout(5)
    assert first.recv(1) == b""
    last.setblocking(False)
    with pytest.raises(BlockingIOError):
        last.recv(1)
    for connection in taken:
        connection.close()


@pytest.mark.parametrize("seconds", [4, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_bad_requests_keep_nobody_out(place: Place, seconds: int) -> None:
    """Under 200 bad requests a second, wrong tokens among them, the right token gets in and pages answer in 1 s."""
    run, cookie, split = place.add_run(), sign_in(place, TOKEN), urlsplit(place.served.url)
    form_token = place.ask("/sign-in").form_token
    took, until = list[float](), time.monotonic() + seconds
    with striking(split.hostname or "", split.port or 0, form_token, 210) as attack:
        while time.monotonic() < until:
            began = time.monotonic()
            assert place.ask(f"/runs/{run.run_id}", Cookie=cookie).status == 200
            took.append(time.monotonic() - began)
            assert sign_in(place, TOKEN)
            time.sleep(0.2)
        sent = int(attack.communicate(timeout=60)[0])
    slow = sorted(took)[-5:]
    print(f"{sent / seconds:.0f} bad requests a second; the slowest of {len(took)} pages: {slow}")  # noqa: T201
    assert sent > (150 if seconds > 60 else 50) * seconds, "the attack was too weak to tell"
    assert slow[-1] < 1.0


def shared_link(place: Place, run_id: str, cookie: str, days: int = 7) -> str:
    """The path of a link to a run, as a page makes it."""
    path = f"/runs/{run_id}/share"
    form = {"days": str(days), "form_token": place.ask(path, Cookie=cookie).form_token}
    page = place.ask(path, form, Cookie=cookie)
    link = re.search(r'id="link"[^>]*>[^<]*(/shared/[^<]+)</textarea>', page.text)
    assert link, page.text
    return link[1]


def test_a_link_opens_one_run_alone(place: Place) -> None:
    """Its pictures, to look at: no list, no other run, no button, no page of the fleet; and it is written down."""
    run, other = place.add_run(), place.add_run(1)
    place.add_picture(run)
    ours, look = sign_in(place, TOKEN), sign_in(place, VIEW_TOKEN)
    assert place.ask(f"/runs/{run.run_id}/share", Cookie=look).status == 403
    answer = place.ask(shared_link(place, run.run_id, ours))
    assert (answer.status, answer.headers["location"]) == (303, f"/runs/{run.run_id}/jobs")
    assert "httponly" in answer.headers["set-cookie"].lower()
    guest = answer.headers["set-cookie"].partition(";")[0]
    page = place.ask(f"/runs/{run.run_id}/jobs", Cookie=guest)
    assert page.status == 200
    assert "shared with you" in page.text
    assert place.workspace.uri not in page.text
    assert other.run_id not in page.text
    assert not re.search(r'<nav|name="mark" value|href="/(fleet|new|schedules)?"', page.text)
    for picture in ("before", "after"):
        assert place.ask(f"/runs/{run.run_id}/pictures/0/0/{picture}", Cookie=guest).status == 200
    closed = ["/", "/new", "/fleet", "/schedules", "/live/", f"/live/runs/{run.run_id}", f"/runs/{run.run_id}"]
    closed += [f"/runs/{run.run_id}/{page}" for page in ("marks.csv", "report", "cancel", "share", "grid")]
    closed += [f"/runs/{other.run_id}/{page}" for page in ("jobs", "pictures/0/0/after", "pictures/0/0/after/full")]
    for path in closed:
        assert place.ask(path, Cookie=guest, Accept="*/*").status == 401, path
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    form = {"mark": "reject", "place": "0", "form_token": token[1] if token else "0"}
    for act in ("marks", "marks/withdraw", "cancel", "share"):
        assert place.ask(f"/runs/{run.run_id}/{act}", form, Cookie=guest, Accept="*/*").status == 401, act
    assert "<b>shared</b> by Anna (dashboard)" in place.ask(f"/runs/{run.run_id}", Cookie=ours).text


def test_a_link_is_ours_and_ends(place: Place) -> None:
    """One letter otherwise, another run, another end, another token or workspace, or its time over: nothing opens."""
    run, other = place.add_run(), place.add_run(1)
    text = shared_link(place, run.run_id, sign_in(place, TOKEN)).removeprefix("/shared/")
    run_id, until, signature = text.split(":")
    forged = (
        f"{other.run_id}:{until}:{signature}", f"{run_id}:{int(until) + 1}:{signature}", f"{run_id}:{until}:",
        f"{run_id}:{until}:{signature[:-1]}{'0' if signature[-1] != '0' else '1'}", f"{run_id}:-1:{signature}",
        f"{run_id}:{until}:{signature}0", f"{run_id}:\u0661:{signature}", f"{run_id}::", "x", "::",
    )  # fmt: skip
    for one in forged:
        assert place.ask(f"/shared/{quote(one)}").status == 404, one
    now = [0.0]
    shares = Shares(Access("x", TOKEN), place.workspace.uri, lambda: now[0])
    link = shares.made(run_id, 1)
    assert shares.run_of(link) == run_id
    assert Shares(Access("x", TOKEN), place.workspace.uri, lambda: 5.0).run_of(link) == run_id
    assert Shares(Access("x", TOKEN + "x"), place.workspace.uri, lambda: 5.0).run_of(link) == ""
    assert Shares(Access("x", TOKEN), f"{place.workspace.uri}x", lambda: 5.0).run_of(link) == ""
    assert Shares(Access("x"), place.workspace.uri, lambda: 5.0).run_of(link) == ""
    now[0] = 86_400.0
    assert shares.run_of(link) == ""
