"""Sends a message by SMTP, with the standard library's smtplib."""

import smtplib
from email.message import EmailMessage


def send(subject: str, to: str, host: str, port: int) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@example.org", to, subject
    message.set_content("hello")
    with smtplib.SMTP(host, port, local_hostname="here", timeout=5) as server:
        server.send_message(message)
