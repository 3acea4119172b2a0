"""What users see when a conversation goes wrong: one file of ``golden/`` for each way.

Each test fails in its call phase, with the text in its golden file. Ports, times, addresses in memory and paths are
made the same in both; so are what differs from one pytest or Python to another. To write the files anew, after a
change of the texts that is meant::

    ECHOSERVER_GOLDEN=write pytest tests/downstream/test_wrong_conversations.py

and look at what git says has changed.
"""

from pathlib import Path
from textwrap import dedent

import pytest

from ..conftest import Downstream
from ..golden import compare

GOLDEN = Path(__file__).parent / "golden"
HEAD = """
    import socket
    import ssl
    import time

    import pytest


    @pytest.fixture
    def connect():
        # What it makes is closed in the tear-down, after the report.
        clients = []

        def make(peer):
            clients.append(socket.create_connection(peer.address, 5))
            return clients[-1]

        yield make
        for client in clients:
            client.close()


"""
CASES = {
    "unmet_expectation": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect_connection().reply(b"220 ready\\r\\n")
        tcp_peer.expect(b"EHLO me\\r\\n").reply(b"250 ok\\r\\n")
        tcp_peer.expect(b"QUIT\\r\\n").reply(b"221 bye\\r\\n", after=0.05).close()
        client = connect(tcp_peer)
        client.recv(100)
        client.sendall(b"EHLO me\\r\\n")
        client.recv(100)
        tcp_peer.verify()
    """,
    "left_over": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect(b"hello, world\\n").reply(b"hi")
        client = connect(tcp_peer)
        client.sendall(b"hello, w")
        tcp_peer.connection.read_exactly(8).result()
        tcp_peer.verify()
    """,
    "unexpected_message": """
    def test_it(connect, udp_peer):
        udp_peer.expect(b"hello").reply(b"hi")
        udp_peer.on(b"ping").reply(b"pong")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(udp_peer.address)
            client.settimeout(5)
            for data in (b"ping", b"hello"):
                client.send(data)
                client.recv(100)
            client.send(b"and another thing")
    """,
    "wrong_byte": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect(b"\\x00\\x01\\x00\\x00\\x00\\x06\\x11\\x03\\x00\\x6b\\x00\\x03 and what follows")
        client = connect(tcp_peer)
        client.sendall(b"\\x00\\x01\\x00\\x00\\x00\\x06\\x11\\x03\\x00\\x6b\\x00\\x03 and That follows")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    """,
    "no_literal_to_compare_with": """
    import re

    def test_it(connect, peers):
        peer = peers.tcp(framing=b"\\r\\n")
        peer.expect(re.compile(rb"MAIL FROM:<(.*)>\\r\\n"), times=2)
        peer.on(lambda message: message.startswith(b"NOOP"))
        client = connect(peer)
        client.sendall(b"MAIL TO:<a@b>\\r\\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    """,
    "out_of_order": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect(b"USER me\\r\\n").reply(b"331 password?\\r\\n")
        tcp_peer.expect(b"PASS secret\\r\\n").reply(b"230 welcome\\r\\n")
        client = connect(tcp_peer)
        client.sendall(b"PASS secret\\r\\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    """,
    "end_in_the_middle": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect(b"USER me\\r\\n")
        client = connect(tcp_peer)
        client.sendall(b"USER")
        tcp_peer.connection.read_exactly(4).result()
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    """,
    "silence_broken": """
    def test_it(udp_peer):
        udp_peer.expect_silence(60)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"noise", udp_peer.address)
    """,
    "handler_exception": """
    def test_it(connect, tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            line = await connection.read_until(b"\\n")
            raise LookupError(f"no answer to {line!r}")

        client = connect(tcp_peer)
        client.sendall(b"hello\\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    """,
    "handler_assertion": """
    def test_it(udp_peer):
        @udp_peer.serve
        def handler(datagram):
            assert datagram.data == b"ping"
            return b"pong"

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"pong", udp_peer.address)
    """,
    "tls_handshake_failure": """
    def test_it(connect, tls_peer):
        nobody_trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client = connect(tls_peer)
        with pytest.raises(ssl.SSLError):
            nobody_trusted.wrap_socket(client, server_hostname="localhost")
    """,
    "handler_that_never_ends": """
    import threading

    let_go = threading.Event()

    @pytest.fixture
    def free_it():
        yield
        let_go.set()

    @pytest.mark.echoserver(timeout=0.2)
    def test_it(udp_peer, free_it):
        @udp_peer.serve
        def handler(datagram):
            let_go.wait(60)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", udp_peer.address)
            udp_peer.wait_for(2).result()
    """,
    "two_failing_peers": """
    def test_it(tcp_peer, udp_peer):
        tcp_peer.expect(b"hello")
        udp_peer.expect(b"hello")
    """,
    "two_connections_on_one_script": """
    def test_it(connect, tcp_peer):
        tcp_peer.expect(b"one").reply(b"1")
        tcp_peer.expect(b"two").reply(b"2")
        one = connect(tcp_peer)
        two = connect(tcp_peer)
        one.sendall(b"one")
        one.recv(1)
        two.sendall(b"two")
        tcp_peer.next_connection().result()
        tcp_peer.next_connection().result().read_exactly(3).result()
        tcp_peer.verify()
    """,
    "beside_the_tests_own_failure": """
    def test_it(tcp_peer):
        tcp_peer.expect(b"hello").reply(b"hi")
        assert 1 + 1 == 3
    """,
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_as_in_its_golden_file(downstream: Downstream, name: str) -> None:
    downstream.pytester.makepyfile(test_it=dedent(HEAD) + dedent(CASES[name]).lstrip())
    apart = name in ("tls_handshake_failure", "handler_that_never_ends")
    result = (downstream.run_file_apart if apart else downstream.run_file)("test_it.py", "--tb=short")
    result.assert_outcomes(failed=1)
    compare(GOLDEN / f"{name}.txt", result.outlines)


def test_each_golden_file_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


CLIENT = """
    import socket
    import pytest

    @pytest.fixture
    def client(tcp_peer):
        with socket.create_connection(tcp_peer.address, 5) as client:
            yield client
            client.sendall({last!r})
            {then}
"""


@pytest.mark.parametrize(
    ("last", "then"), [(b"QUIT", 'assert client.recv(10) == b"bye"'), (b"nobody expects this", "pass")]
)
def test_traffic_of_the_tear_down_is_answered_and_fails_nobody(
    downstream: Downstream, last: bytes, then: str
) -> None:
    result = downstream.run(
        CLIENT.format(last=last, then=then)
        + """
    def test_it(tcp_peer, client):
        tcp_peer.expect(b"hello").reply(b"hi")
        tcp_peer.on(b"QUIT").reply(b"bye")
        client.sendall(b"hello")
        assert client.recv(10) == b"hi"
    """
    )
    result.assert_outcomes(passed=1)


def test_code_of_the_users_that_raises_in_the_tear_down_ends_its_connection_and_fails_nobody(
    downstream: Downstream,
) -> None:
    result = downstream.run(
        r"""
        import logging, socket
        from contextlib import suppress
        import pytest

        def fails(_): 1 / 0
        def nothing(_): pass

        async def handler(connection):
            await connection.read_until(b"QUIT")
            fails(connection)

        def of_its_own(peer):
            peer.next_connection().result().expect(b"QUIT").reply(fails)

        @pytest.mark.parametrize("kind", ["tcp", "unix"])
        @pytest.mark.parametrize("options, before, after", [
            ({}, lambda peer: peer.serve(handler), nothing),
            ({}, lambda peer: peer.on(b"QUIT").reply(fails), nothing),
            ({}, nothing, of_its_own),
            ({"framing": fails}, lambda peer: peer.on(...), nothing),
            ({"framing": b"T"}, lambda peer: peer.on(fails), nothing),
            ({"faults": fails}, nothing, nothing),
        ], ids=["handler", "reply", "of-its-own", "framing", "predicate", "faults"])
        def test_it(client): pass

        @pytest.fixture
        def client(peers, caplog, kind, options, before, after):
            caplog.set_level(logging.DEBUG, "pytest_echoserver")
            peer = getattr(peers, kind)(**options)
            before(peer)
            with socket.socket(peer.family) as client:
                client.settimeout(5)
                client.connect(peer.address)
                yield client
                after(peer)
                client.sendall(b"QUIT")
                with suppress(ConnectionResetError):
                    assert client.recv(10) == b""
            assert "after the judgement: ZeroDivisionError" in caplog.text

        def test_a_pair(closing): pass

        @pytest.fixture
        def closing(stream_harness):
            sock, connection = stream_harness.pair()
            yield
            connection.expect(b"QUIT").reply(fails)
            sock.sendall(b"QUIT")
            assert sock.recv(10) == b""
        """
    )
    result.assert_outcomes(passed=13)


def test_what_nobody_expects_in_the_tear_down_leaves_its_connections_as_they_are(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest

        @pytest.fixture
        def clients(tcp_peer):
            tcp_peer.on(b"hello")
            clients = [socket.create_connection(tcp_peer.address, 5) for _ in range(2)]
            connections = [tcp_peer.next_connection().result() for _ in clients]
            yield
            for client, connection in zip(clients, connections):
                client.sendall(b"nobody expects this")
                connection.read_until(b"this").result()
                connection.send(b"open still")
                assert client.recv(10) == b"open still"
                client.close()

        def test_it(clients): pass
        """
    )
    result.assert_outcomes(passed=1)


def test_a_datagram_handler_that_raises_in_the_tear_down_is_logged_and_fails_nobody(
    downstream: Downstream,
) -> None:
    result = downstream.run(
        """
        import logging, socket
        import pytest

        @pytest.fixture
        def client(udp_peer, caplog):
            caplog.set_level(logging.DEBUG, "pytest_echoserver")
            udp_peer.serve(lambda datagram: 1 / 0)
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            yield client
            client.sendto(b"QUIT", udp_peer.address)
            client.close()
            udp_peer.next_datagram().result()
            udp_peer.close()  # after the handler
            assert "after the judgement: ZeroDivisionError" in caplog.text

        def test_it(client): pass
        """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "ending", "outcome"),
    [
        ("echoserver", 'pytest.skip("why")', {"skipped": 1}),
        ("echoserver", 'pytest.xfail("why")', {"xfailed": 1}),
        ("xfail(raises=AssertionError, strict=True)", "pass", {"xfailed": 1}),
        ("echoserver", "raise KeyError", {"failed": 1}),
    ],
)
def test_what_a_test_declares_stays(
    downstream: Downstream, mark: str, ending: str, outcome: dict[str, int]
) -> None:
    result = downstream.run(
        f"""
        import pytest

        @pytest.mark.{mark}
        def test_it(tcp_peer):
            tcp_peer.expect(b"never sent")
            {ending}
        """
    )
    result.assert_outcomes(**outcome)


def test_what_a_caught_verify_raised_fails_nothing(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        def test_it(tcp_peer, udp_peer):
            for peer in (tcp_peer, udp_peer):
                peer.expect(b"never sent")
                with pytest.raises(AssertionError):
                    peer.verify()
        """
    )
    result.assert_outcomes(passed=1)


def test_an_async_handler_that_never_rests_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, socket

        def test_it(udp_peer):
            @udp_peer.serve
            async def handler(datagram):
                while True:
                    await asyncio.sleep(0)

            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", udp_peer.address)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*RuntimeError: *handler for udp-1 (*) was still running 1 s after the test*"])
