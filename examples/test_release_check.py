import re
import ssl

import pytest
from release_check import latest

from pytest_echoserver import StreamPeer, TLSAuthority


def test_it_asks_and_reads_the_answer(tls_peer: StreamPeer, tls_authority: TLSAuthority) -> None:
    request = tls_peer.expect(re.compile(rb"GET (\S+) HTTP/1.1\r\n(.*)\r\n\r\n", re.DOTALL))
    request.reply(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"version": "1.2.3"}').close()

    assert latest(tls_peer.host, tls_peer.port, tls_authority.client_context()) == "1.2.3"
    assert request.met.result()[1] == b"/latest"


def test_it_talks_to_nobody_it_does_not_trust(tls_peer: StreamPeer) -> None:
    refusal = tls_peer.expect_handshake_failure()
    with pytest.raises(ssl.SSLCertVerificationError):
        latest(tls_peer.host, tls_peer.port, ssl.create_default_context())
    assert "unknown ca" in str(refusal.result())
