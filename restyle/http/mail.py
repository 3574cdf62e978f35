"""Sends a notification as e-mail: one message by SMTP; the reason where the server does not take it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage

TIMEOUT = 15.0


def send(
    message: EmailMessage, *, host: str, port: int, tls: str, user: str = "", password: str = "", to: Sequence[str]
) -> str:
    """Gives a message to a mail server; returns the reason where it was not taken, else an empty text.

    A password is only sent over TLS.
    """
    if user and tls == "none":
        return f"{host} asks for no TLS (RESTYLE_SMTP_TLS is none), and a password is never sent without"
    secure = ssl.create_default_context()
    try:
        connection = (
            smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=secure)
            if tls == "tls"
            else smtplib.SMTP(host, port, timeout=TIMEOUT)
        )
        with connection as server:
            if tls == "starttls":
                server.starttls(context=secure)
            if user:
                server.login(user, password)
            refused = server.send_message(message, to_addrs=list(to))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return f"{host} did not take it ({type(error).__name__})"
    return f"{host} refuses {', '.join(sorted(refused))}" if refused else ""
