"""aiosmtpd's server protocol, a `StreamReaderProtocol` with STARTTLS, on `stream_harness`."""

import asyncio
from typing import Any

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from pytest_echoserver import HarnessedStream, StreamHarness, TLSAuthority

SEGMENTS = pytest.mark.parametrize("segments", [None, 1], ids=["whole", "byte-by-byte"])

DIALOGUE = [
    (b"EHLO me\r\n", b"250 HELP\r\n"),
    (b"MAIL FROM:<a@example.org>\r\n", b"250 OK\r\n"),
    (b"RCPT TO:<b@example.org>\r\n", b"250 OK\r\n"),
    (b"DATA\r\n", b"354 "),
    (b"Subject: hello\r\n\r\n..dotted\r\n.\r\n", b"250 "),
    (b"QUIT\r\n", b"221 Bye\r\n"),
]


class Remembers(Sink):
    """Keeps the mails that it gets."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content)
        return "250 kept"


def talk_through(stream: HarnessedStream[Any], segments: int | None) -> None:
    for request, answer in DIALOGUE:
        stream.send(request, segments=segments)
        stream.read_until(answer).result()


@SEGMENTS
@pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
def test_a_mail_is_delivered(stream_harness: StreamHarness, kind: Any, segments: int | None) -> None:
    handler = Remembers()
    stream = stream_harness.connect(lambda: SMTP(handler, hostname="here"), kind=kind, side="server")
    assert stream.read_until(b"\r\n").result().startswith(b"220 here ")
    talk_through(stream, segments)
    assert handler.mails == [b"Subject: hello\r\n\r\n.dotted\r\n"]
    assert stream.lost.result() is None


def test_a_mail_is_delivered_on_the_tests_loop(stream_harness: StreamHarness) -> None:
    handler = Remembers()

    async def talk() -> None:
        stream = await stream_harness.connect_here(lambda: SMTP(handler, hostname="here"), side="server")
        for request, answer in DIALOGUE:
            stream.send(request, segments=1)
            await stream.read_until(answer)
        await stream.close()

    asyncio.run(talk())
    assert len(handler.mails) == 1


def test_eof_in_the_middle_of_a_command(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(lambda: SMTP(Sink()), side="server")
    stream.read_until(b"\r\n").result()
    stream.send(b"EHLO m")
    stream.send_eof()
    stream.next_call("eof_received").result()
    assert stream.call(lambda: stream.protocol._handler_coroutine).result() is not None
    assert b"250" not in stream.received


def test_a_reset_in_the_middle_of_a_mail(stream_harness: StreamHarness) -> None:
    handler = Remembers()
    stream = stream_harness.connect(lambda: SMTP(handler), kind="tcp", side="server")
    for request, answer in DIALOGUE[:4]:
        stream.send(request)
        stream.read_until(answer).result()
    stream.send(b"Subject: he")
    stream.reset()
    assert isinstance(stream.lost.result(), ConnectionResetError)
    assert handler.mails == []


@pytest.mark.usefixtures("asyncios_transports")
def test_starttls_is_followed(stream_harness: StreamHarness, tls_authority: TLSAuthority) -> None:
    handler = Remembers()
    context = tls_authority.server_context()
    stream = stream_harness.connect(lambda: SMTP(handler, tls_context=context), side="server")
    stream.send(b"EHLO me\r\n")
    stream.read_until(b"250 HELP\r\n").result()
    stream.send(b"STARTTLS\r\n")
    stream.read_until(b"220 Ready to start TLS\r\n").result()
    stream.start_tls().result()
    talk_through(stream, None)
    assert len(handler.mails) == 1
    assert stream.lost.result() is None
    calls = [event.name for event in stream.events]
    assert calls.count("connection_made") == 2  # as RFC 3207 has it: all is forgotten that came before
    assert calls.count("start_tls") == 1
    assert calls.index("start_tls") < len(calls) - 1 - calls[::-1].index("data_received")
