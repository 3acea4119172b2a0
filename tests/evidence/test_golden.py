"""What a failed test's report shows of its traffic, of each kind: one file of ``golden/`` for each.

What stands in them was read for whether one sees the cause within five seconds. Scripts that go wrong are in
``tests/downstream/golden``. See `tests.golden` for how to write the files anew.
"""

from pathlib import Path
from textwrap import dedent

import pytest

from ..conftest import Downstream
from ..golden import compare

GOLDEN = Path(__file__).parent / "golden"
HEAD = """
    import asyncio
    import re
    import socket
    import ssl
    import sys

    import pytest


"""
CASES = {
    "datagram": """
    def test_a_resolver_asks_twice(udp_peer):
        udp_peer.expect(b"\\x12\\x34\\x01\\x00query").reply(b"\\x12\\x34\\x81\\x80answer")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(udp_peer.address)
            client.settimeout(5)
            client.send(b"\\x12\\x34\\x01\\x00query")
            assert client.recv(100) == b"\\x12\\x34\\x81\\x80other!"
    """,
    "stream": """
    def test_a_login(tcp_peer):
        tcp_peer.expect_connection().reply(b"220 ready\\r\\n")
        tcp_peer.expect(re.compile(rb"USER (.*)\\r\\n")).reply(lambda user: b"331 hello " + user[1] + b"\\r\\n")
        tcp_peer.expect(b"PASS secret\\r\\n").reply(b"230 welcome\\r\\n")
        with socket.create_connection(tcp_peer.address, 5) as client:
            client.recv(100)
            client.sendall(b"USER me\\r\\n")
            client.recv(100)
            client.sendall(b"PASS sekret\\r\\n")
            assert client.recv(100).startswith(b"230")
    """,
    "http": """
    def test_a_request(tcp_peer):
        tcp_peer.on(re.compile(rb"GET (.*) HTTP/1.1\\r\\n")).reply(b"HTTP/1.1 404 Not Found\\r\\n\\r\\n")
        with socket.create_connection(tcp_peer.address, 5) as client:
            client.sendall(b"GET /an/address/that/is/not/short/at/all/and/wrong HTTP/1.1\\r\\n")
            answer = client.recv(100)
            assert b"200 OK" in answer
    """,
    "tls": """
    def test_over_tls(tls_peer, tls_authority):
        tls_peer.on(b"ping").reply(b"pong")
        with socket.create_connection(tls_peer.address, 5) as plain:
            with tls_authority.client_context().wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"ping")
                assert client.recv(100) == b"PONG"
    """,
    "unix": """
    def test_by_a_path(unix_echo_server):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(unix_echo_server.address)
            client.sendall(b"hello")
            assert client.recv(100) == b"hullo"
    """,
    "harness": """
    class Shout(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())
            self.transport.close()

    def test_it_shouts_twice(stream_harness):
        stream = stream_harness.connect(Shout)
        stream.send(b"once")
        stream.read_exactly(4).result()
        stream.lost.result()
        assert stream.received == b"ONCETWICE"
    """,
    "process": """
    PROGRAM = "import sys; print('name?', flush=True); print('hello', input()); sys.exit(3)"

    def test_a_dialog(subprocess_runner):
        program = subprocess_runner(sys.executable, "-c", PROGRAM, stdin=-1)
        program.read_until(b"name?\\n").result()
        program.write(b"me\\n").result()
        status = program.wait().result().returncode
        assert status == 0
    """,
    "faults": """
    from pytest_echoserver import Verdict

    def network(packet):
        return [None, Verdict(drop=True), Verdict(copies=2), Verdict(delay=0.001), Verdict(flip=7)][packet.index]

    def test_on_a_bad_network(peers):
        peer = peers.udp_echo(inbound=network)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            for number in range(5):
                client.sendto(b"message %d" % number, peer.address)
                if number != 1:
                    client.recv(100)
                    if number == 2:
                        client.recv(100)
        heard = len(peer.received)
        assert heard == 6
    """,
    "reset_by_the_network": """
    from pytest_echoserver import StreamFaults

    def test_a_download_goes_on(peers):
        peer = peers.tcp(faults=StreamFaults(reset_after=6))
        peer.on(b"get\\n").reply(b"0123456789")
        with socket.create_connection(peer.address, 5) as client:
            client.sendall(b"get\\n")
            got = b""
            with pytest.raises(ConnectionResetError):
                while True:
                    got += client.recv(100)
        assert got == b"0123456789"
    """,
    "half_closed": """
    def test_a_client_that_goes_on(tcp_peer):
        tcp_peer.expect(b"last words?\\n").reply(b"goodbye\\n").send_eof()
        with socket.create_connection(tcp_peer.address, 5) as client:
            client.sendall(b"last words?\\n")
            heard = client.makefile("rb").read()
        assert tcp_peer.connection.ended.result() == "eof"
        assert heard == b"goodbye!\\n"
    """,
    "several_peers": """
    def test_a_client_that_falls_back(peers):
        dead, primary, backup = peers.refusing("tcp"), peers.tcp(name="primary"), peers.tcp_echo(name="backup")
        metrics = peers.udp(name="metrics")
        primary.expect_connection().close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(dead.address, 5)
        with socket.create_connection(primary.address, 5) as client:
            assert client.recv(100) == b""
        primary.verify()  # by then it has seen its client close
        with socket.create_connection(backup.address, 5) as client:
            client.sendall(b"state?")
            assert client.recv(100) == b"state?"
        assert metrics.received
    """,
}


@pytest.mark.parametrize("name", CASES)
def test_its_traffic_is_shown_as_in_its_golden_file(downstream: Downstream, name: str) -> None:
    downstream.pytester.makepyfile(test_it=dedent(HEAD) + dedent(CASES[name]).lstrip())
    # pytester forgets what is imported in this process, and our modules would be there twice.
    run = downstream.run_file_apart if "from pytest_echoserver" in CASES[name] else downstream.run_file
    result = run("test_it.py", "--tb=short", "--show-capture=no")
    result.assert_outcomes(failed=1)
    compare(GOLDEN / f"{name}.txt", result.outlines)


def test_each_golden_file_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)
