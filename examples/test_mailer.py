import re
import smtplib

import pytest
from mailer import send

from pytest_echoserver import StreamPeer


def test_it_hands_the_message_over(tcp_peer: StreamPeer) -> None:
    tcp_peer.expect_connection().reply(b"220 mail.example.org ready\r\n")
    tcp_peer.expect(b"ehlo here\r\n").reply(b"250 mail.example.org\r\n")
    tcp_peer.expect(re.compile(rb"mail (?i:from):<(.*)>\r\n")).reply(lambda match: b"250 " + match[1] + b" ok\r\n")
    tcp_peer.expect(re.compile(rb"rcpt (?i:to):<you@example.org>\r\n")).reply(b"250 ok\r\n")
    tcp_peer.expect(b"data\r\n").reply(b"354 go ahead\r\n")
    message = tcp_peer.expect(re.compile(rb"(.*)\r\n\.\r\n", re.DOTALL)).reply(b"250 taken\r\n")
    tcp_peer.expect(b"QUIT\r\n").reply(b"221 bye\r\n").close()

    send("greetings", "you@example.org", tcp_peer.host, tcp_peer.port)
    assert b"Subject: greetings\r\n" in message.met.result()[1]


def test_a_server_that_hangs_up_is_an_error(tcp_peer: StreamPeer) -> None:
    tcp_peer.expect_connection().reply(b"421 too busy\r\n").close()
    with pytest.raises(smtplib.SMTPConnectError, match="too busy"):
        send("greetings", "you@example.org", tcp_peer.host, tcp_peer.port)
