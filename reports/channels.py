"""The ways by which a notification leaves: webhook, Slack-compatible webhook, e-mail.

A secret goes to places of its own owner alone. Both are settings of the worker that sends: the mail server with its
password, the hosts of webhooks with the secret that signs. Who plans a run says only whom to tell.
"""

from __future__ import annotations

import html
import json
import re
import time
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.schedules import Notify
from config.settings import Settings
from restyle.problems import printable

_PORTS = {"http": 80, "https": 443}
#: Who signs in, host and port. A backslash ends a host for some readers, and begins a user for others.
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")

#: Scheme, host and port.
Place = tuple[str, str, int]


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
    """Whether webhooks of this worker may go to an address: its place is listed, or stands in the worker's own file."""
    if settings.notify_hosts:
        return _place(url) in {_listed(listed) for listed in settings.notify_hosts.split(",")} - {None}
    own = [settings.notify, *(schedule.notify for schedule in settings.schedule if schedule.notify)]
    return _place(url) in {_place(notify.webhook) for notify in own if notify.webhook} - {None}


def _listed(text: str) -> Place | None:
    """A place of RESTYLE_NOTIFY_HOSTS: a host is https and port 443 of it, unless another port or http:// is given."""
    text = text.strip()
    return _place(text if "://" in text else f"https://{text}")


def _place(url: str) -> Place | None:
    """Scheme, host and port of an address; None where it is none that every reader reads alike."""
    try:
        split = urlsplit(url)
        port = split.port or _PORTS.get(split.scheme, 0)
    except ValueError:
        return None
    if split.scheme not in _PORTS or not _AUTHORITY.fullmatch(split.netloc):
        return None
    return split.scheme, (split.hostname or "").lower(), port


def _by_webhook(url: str, payload: dict[str, Any], settings: Settings) -> str:
    # Imported for the first one: with requests they are 5 MB of each worker.
    from restyle.http import webhook

    if not may_receive(url, settings):
        place = _place(url)
        shown = printable("{}://{}:{}".format(*place) if place else url.partition("?")[0], 200)
        return f"{shown} is not among the places that this worker's webhooks may go to: RESTYLE_NOTIFY_HOSTS"
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
