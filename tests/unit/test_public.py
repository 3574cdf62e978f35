"""Which addresses everybody reaches, however they are written; whatever else a name leads to is inner."""

from __future__ import annotations

import socket

import pytest
from urllib3.connection import HTTPConnection

from restyle.http.public import (
    check_no_credentials,
    inner_address,
    is_public,
    keeps_credentials,
    reachable,
    read_networks,
    spelled,
)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True), ("2002:5db8:d822::1", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("198.18.0.1", False), ("192.88.99.1", False), ("168.63.129.16", False), ("100.100.100.200", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False), ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False), ("64:ff9b::a00:1", False), ("ff02::1", False),
        ("fec0::1", False), ("64:ff9b:1::a00:1", False), ("64:ff9b:1::5db8:d822", False), ("::a00:1", False),
        ("::5db8:d822", False), ("100::1", False), ("3fff::1", False), ("5f00::1", False), ("4000::1", False),
        ("2001:db8::1", False), ("", False), ("shop.example", False), ("1.2.3", False),
    ],
)  # fmt: skip
def test_which_addresses_everybody_reaches(address: str, public: bool) -> None:
    """An address that stands for another is judged by that one; what is no address is none of the public."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("address", "keeps"),
    [
        ("169.254.169.254", True), ("fe80::1%eth0", True), ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("168.63.129.16", True), ("fd00:ec2::254", True), ("127.0.0.1", False), ("10.0.0.1", False), ("x", False),
    ],
)  # fmt: skip
def test_where_credentials_are_kept(address: str, keeps: bool) -> None:
    """On the own link, and where some clouds have them beside it."""
    assert keeps_credentials(address) is keeps


def test_a_connection_is_looked_at_once_more() -> None:
    """By where it leads, whatever was looked up before."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = HTTPConnection("127.0.0.1", server.getsockname()[1])
        connection.connect()
        check_no_credentials(connection)
        connection.close()


def test_where_a_connection_may_lead() -> None:
    """To what was looked up once; where any of it is an inner address that is not listed, to none of it."""
    outside = "93.184.216.34"
    assert reachable("cdn.example", 443, names=lambda *_: [outside, "93.184.216.35"]) == [outside, "93.184.216.35"]
    for answers in ([outside, "10.0.0.1"], ["::ffff:10.0.0.1"], ["169.254.169.254"]):
        with pytest.raises(OSError, match="is an inner address"):
            reachable("cdn.example", 443, names=lambda *_, answers=answers: answers)
    listed = read_networks("10.0.0.0/8, ::1")
    assert reachable("cdn.example", 443, allowed=listed, names=lambda *_: ["::ffff:10.0.0.1"]) == ["::ffff:10.0.0.1"]
    assert reachable("[::1]", 443, allowed=listed) == ["::1"]
    with pytest.raises(OSError, match="Failed to resolve"):
        reachable("cdn.example", 443, names=lambda *_: [])
    with pytest.raises(ValueError, match="write addresses or networks"):
        read_networks("10.0.0.0/8, shop")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("2130706433", "127.0.0.1"), ("127.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("0177.0.0.01", "127.0.0.1"),
        ("0xa9fea9fe", "169.254.169.254"), ("127.0.0.1.", "127.0.0.1"),
        ("\uff11\uff12\uff17\uff0e0\u30020.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"), ("localhost.", "127.0.0.1"), ("LOCALHOST", "127.0.0.1"),
        ("a.localhost.", "127.0.0.1"),
        ("::1", "::1"), ("[::1]", "::1"), ("FE80::1%25eth0", "fe80::1"),
        ("cdn.example", ""), ("0x7f.example", ""), ("1.2.3.4.example.", ""), ("127.0.0.1 x", ""),
    ],
)  # fmt: skip
def test_addresses_are_read_as_resolvers_read_them(host: str, address: str) -> None:
    """Whole numbers, hexadecimal and octal ones, fewer than four parts, a last dot, other scripts' digits."""
    assert spelled(host) == address


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "localhost.",
        "[::1]",
        "fec0::1",
        "127%2e0.0.1",
        "127.0.0.1\\.cdn.example",
        "a b",
        "",
        ".",
        "a" * 64,
    ],
)
@pytest.mark.parametrize("is_proxied", [False, True])
def test_what_leads_inside_is_named(host: str, is_proxied: bool) -> None:
    """Behind a proxy too, and so is a name that two readers would read differently."""
    assert inner_address(host, 443, is_proxied=is_proxied)


def test_behind_a_proxy_a_name_that_this_machine_knows_is_looked_up() -> None:
    """What leads inside from here is not asked of the proxy; what only the proxy can look up is left to it."""
    assert inner_address("ip6-localhost", 443, is_proxied=True, names=lambda *_: ["::1"]) == "::1"
    assert inner_address("cdn.example", 443, is_proxied=True, names=lambda *_: []) == ""
    assert inner_address("cdn.example", 443, is_proxied=True, names=lambda *_: ["93.184.216.34"]) == ""
