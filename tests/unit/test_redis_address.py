"""Where Redis is, as RESTYLE_REDIS_URL says it: for our own door and, of the same address, for Celery's."""

from __future__ import annotations

import ssl

import pytest
from kombu.utils.url import parse_url
from pydantic import SecretStr

from config.celery_app import make_celery
from config.settings import Settings
from restyle.coordination.redis.address import RedisAddress
from restyle.errors import ConfigurationError

THREE = "sentinel://worker:p%3Ba%40ss@h1:26380;sentinel://h2;sentinel://[::1]:26379/3"


def test_sentinels_are_read_with_what_any_of_them_says() -> None:
    """As Celery spells it: credentials and database stand in one part, and belong to the servers."""
    address = RedisAddress(THREE, master="shop", sentinel_username="watch", sentinel_password="secret")
    assert address.sentinels == [("h1", 26380), ("h2", 26379), ("::1", 26379)]
    pool = address.pool(4)
    server = pool.connection_kwargs
    assert (server["username"], server["password"], server["db"]) == ("worker", "p;a@ss", 3)
    assert (pool.service_name, server["socket_timeout"]) == ("shop", 10.0)  # type: ignore[attr-defined] # sentinel's pool
    sentinel = address.sentinel_options
    assert (sentinel["username"], sentinel["password"], sentinel["retry"].get_retries()) == ("watch", "secret", 0)


@pytest.mark.parametrize("query", ["unknown=geheim", "db=x", "socket_timeout=soon", "protocol=9"])
def test_an_option_that_nobody_knows_is_refused(query: str) -> None:
    """In a sentence, at the start, and without a word of what stands there."""
    with pytest.raises(ConfigurationError, match="RESTYLE_REDIS_URL cannot be read") as caught:
        RedisAddress(f"redis://:geheim@localhost/0?{query}").pool(1)
    assert "geheim" not in str(caught.value)
    RedisAddress("rediss://:geheim@localhost/0?ssl_ca_certs=/nowhere.pem&ssl_cert_reqs=required").pool(1)


def test_celery_is_told_the_same_of_every_sentinel() -> None:
    """Kombu takes user, password and database from whichever part is next."""
    parts = [parse_url(part) for part in RedisAddress(THREE).broker_url.split(";")]
    assert [(part["hostname"], part["port"]) for part in parts] == [("h1", 26380), ("h2", 26379), ("::1", 26379)]
    assert {(part["userid"], part["password"], part["virtual_host"]) for part in parts} == {("worker", "p;a@ss", "3")}


def test_celery_asks_the_sentinels_as_we_do() -> None:
    """By the settings' names: the master's, the sentinels' own password, TLS with the address's certificates."""
    settings = Settings(
        redis_url=SecretStr(f"{THREE}?ssl_ca_certs=ca.pem"), workspace="s3://bucket/prefix",
        redis_sentinel_master="shop", redis_sentinel_password=SecretStr("secret"), redis_sentinel_tls=True,
    )  # fmt: skip
    conf = make_celery(settings).conf
    assert conf.broker_use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "ca.pem"}
    assert conf.broker_transport_options["master_name"] == "shop"
    sentinel = conf.broker_transport_options["sentinel_kwargs"]
    assert (sentinel["password"], sentinel["ssl"], sentinel["ssl_ca_certs"]) == ("secret", True, "ca.pem")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_one_server_is_told_as_it_was(scheme: str) -> None:
    """Nothing of sentinels is asked."""
    address = RedisAddress(f"{scheme}://:secret@host:6379/1")
    assert not address.is_sentinels
    assert address.broker_url == address.url
    assert address.pool(4).connection_kwargs["password"] == "secret"


@pytest.mark.parametrize(
    "url", ["sentinel://", "sentinel://:pw-1@h1:port", "sentinel://h1;;sentinel://h2", f"sentinel://{'x' * 70}"]
)
def test_what_names_no_sentinel_is_refused_in_a_sentence(url: str) -> None:
    """With the form that it should have, and without a password."""
    with pytest.raises(ConfigurationError, match=r"RESTYLE_REDIS_URL cannot be read: write sentinel://USER:") as raised:
        RedisAddress(url).pool(4)
    assert "pw-1" not in raised.value.message


@pytest.mark.parametrize(
    "url",
    [
        "redis://:5432/pw-1@host:6379/0", "redis://user:5432/pw-1@host/0", "redis://:5432?pw-1@host", "redis://:pw-1",
        "redis://us:5432#pw-1@host:6379/0", "rediss://user:pw-1/x@host", "redis://u:1/pw-1@h1", "redis:///0", "redis://",
        "sentinel://:5432/pw-1@h1:26379;sentinel://h2", "redis://:pw-1@host:99999/0", "redis://:pw-1@[::1/0",
    ],
)  # fmt: skip
def test_what_stands_in_a_password_unencoded_is_no_host(url: str) -> None:
    """A part of it would be taken for a server's name, and be told as what cannot be reached."""
    with pytest.raises(ConfigurationError, match="RESTYLE_REDIS_URL cannot be read") as raised:
        RedisAddress(url).pool(4)
    assert "pw-1" not in raised.value.message
    assert "5432" not in raised.value.message


def test_no_secret_is_shown() -> None:
    """An address may stand in a log."""
    shown = repr(RedisAddress(THREE, sentinel_password="secret"))
    assert "secret" not in shown
    assert "p%3Ba" not in shown
