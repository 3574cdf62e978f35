"""The ways by which a notification leaves: webhook, Slack-compatible webhook, e-mail.

A secret goes to places of its own owner alone. Both are settings of the worker that sends: the mail server with its
password, the hosts of webhooks with the secret that signs. Who plans a run says only whom to tell.
"""

from __future__ import annotations

import html
import ipaddress
import json
import socket
import time
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.schedules import Notify
from config.settings import Settings


def send(channel: str, recipients: Notify, payload: dict[str, Any], settings: Settings) -> str:
    """Sends a payload by one channel; answers with why it did not arrive, or with nothing."""
    match channel:
        case "webhook" if recipients.webhook:
            return _by_webhook(recipients.webhook, payload, settings)
        case "slack":
            return _by_slack(payload, settings)
        case "email" if recipients.email:
            return _by_mail(recipients.email.to, payload, settings)
    return f"there is no channel {channel}"


def may_receive(url: str, settings: Settings) -> bool:
    """Whether webhooks of this worker may go to an address: its host is listed, or stands in the worker's own file."""
    split = urlsplit(url)
    host, netloc = (split.hostname or "").lower(), split.netloc.rpartition("@")[2].lower()
    if settings.notify_hosts:
        return bool({host, netloc} & {listed.strip().lower() for listed in settings.notify_hosts.split(",")})
    own = [settings.notify, *(schedule.notify for schedule in settings.schedule if schedule.notify)]
    return netloc in {urlsplit(notify.webhook).netloc.rpartition("@")[2].lower() for notify in own if notify.webhook}


def is_link_local(host: str, port: int) -> bool:
    """Whether a name leads to an address of the own link, where clouds keep the credentials of a machine.

    Raises:
        OSError: the name leads nowhere.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    return any((getattr(address, "ipv4_mapped", None) or address).is_link_local for address in addresses)


def _by_webhook(url: str, payload: dict[str, Any], settings: Settings) -> str:
    # Imported for the first one: with requests they are 5 MB of each worker.
    from restyle.http import webhook

    split = urlsplit(url)
    host = split.hostname or ""
    if not may_receive(url, settings):
        return f"{host} is not among the hosts that this worker's webhooks may go to: RESTYLE_NOTIFY_HOSTS"
    try:
        if is_link_local(host, split.port or 443):
            return f"{host} leads to an address of the own link, which webhooks never go to"
    except (OSError, ValueError):
        return f"{host} leads nowhere"
    body = json.dumps(payload, ensure_ascii=False).encode()
    secret = _plain(settings.notify_secret)
    headers = {webhook.SIGNATURE: webhook.sign(body, secret, int(time.time()))} if secret else {}
    return webhook.post(url, body, {**headers, "X-Restyle-Event": str(payload["id"])})


def _by_slack(payload: dict[str, Any], settings: Settings) -> str:
    from restyle.http import webhook

    if not (address := _plain(settings.notify_slack)):
        return "RESTYLE_NOTIFY_SLACK is not set for this worker"
    # Words of the API's and of manifests are no markup, which could call everybody to a channel.
    text = html.escape(str(payload["text"]), quote=False)
    return webhook.post(address, json.dumps({"text": text}).encode(), {})


def _by_mail(to: tuple[str, ...], payload: dict[str, Any], settings: Settings) -> str:
    from restyle.http import mail

    if not settings.smtp_host:
        return "RESTYLE_SMTP_HOST is not set for this worker"
    message = EmailMessage()
    message["From"], message["To"] = settings.smtp_from or f"restyle@{settings.smtp_host}", ", ".join(to)
    message["Subject"] = " ".join(str(payload["text"]).splitlines()[0].split())[:200]
    message.set_content(str(payload["text"]) + "\n\n" + json.dumps(payload, indent=1) + "\n")
    return mail.send(
        message, host=settings.smtp_host, port=settings.smtp_port, tls=settings.smtp_tls, user=settings.smtp_user,
        password=_plain(settings.smtp_password), to=to,
    )  # fmt: skip


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
