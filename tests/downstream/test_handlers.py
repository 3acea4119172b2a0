"""How a handler of a stream peer fails the test: when, with what, and what is shown."""

import re
from collections import Counter

import pytest

from ..conftest import EITHER_LOOP, Downstream

BEGIN = """
    import asyncio, socket, threading
    import pytest

    clients = []

    @pytest.fixture(autouse=True)
    def all_closed():
        yield
        while clients:
            clients.pop().close()

    def connect(peer, data=b""):
        client = socket.socket(peer.family)
        clients.append(client)
        client.settimeout(5)
        client.connect(peer.address)
        client.sendall(data)
        return client
"""


def test_its_exception_is_shown_with_its_own_traceback(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            await connection.read(1)
            raise LookupError("of the handler")

        connect(tcp_peer, b"x")
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>*raise LookupError("of the handler")',
            "E*LookupError: of the handler",
            "*what this test's peers saw (pytest-echoserver)*",
            "tcp-1 (tcp 127.0.0.1:*)",
            "*->  #1  connected  from 127.0.0.1:*",
        ]
    )
    result.stdout.no_fnmatch_line("*behaviours.py*")


def test_its_own_line_is_shown_where_what_it_called_raises(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            await connection.read_exactly(10)

        connect(tcp_peer, b"short").close()

    def test_beside_its_own_failure(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            line = connection.read_until(b"x")  # without await
            connection.send(line)

        client = connect(tcp_peer)
        assert client.recv(1) == b"x"
    """
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            ">*await connection.read_exactly(10)",
            "*EndOfStream: the end came before exactly 10 bytes*",
            "*errors of this test's peers*",
            "*in handler",
            "*connection.send(line)",
            "TypeError: data must be bytes, not <CaptureFuture*",
        ]
    )
    result.stdout.no_fnmatch_line("*_checks.py*")


def test_its_assertion_is_explained(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(unix_peer):
        @unix_peer.serve
        async def handler(connection):
            assert await connection.read_exactly(4) == b"pong"

        connect(unix_peer, b"ping").close()
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['>*assert await connection.read_exactly(4) == b"pong"', "E*assert b'ping' == b'pong'"]
    )


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_what_it_would_still_raise_before_its_next_wait_is_not_lost(downstream: Downstream, loop: str) -> None:
    result = downstream.run_apart(
        BEGIN
        + """
    async def at_once(connection):
        await connection.read_exactly(1)

    async def in_turns(connection):
        await connection.read_exactly(1)
        for _ in range(100):
            await asyncio.sleep(0)

    async def in_a_task(connection):
        await asyncio.create_task(at_once(connection))

    async def within(connection):
        async with asyncio.timeout(10):
            await asyncio.wait_for(connection.read_exactly(1), 10)

    async def gathered(connection):
        await asyncio.gather(at_once(connection), asyncio.sleep(0))

    async def in_a_group(connection):
        async with asyncio.TaskGroup() as group:
            group.create_task(in_a_task(connection))

    async def by_an_event(connection):
        events = [asyncio.Event() for _ in range(10)]

        async def pass_on(before, after):
            await before.wait()
            after.set()

        async with asyncio.TaskGroup() as group:
            for before, after in zip(events, events[1:]):
                group.create_task(pass_on(before, after))
            await connection.read_exactly(1)
            events[0].set()

    @pytest.mark.parametrize("number", range(10))
    @pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
    @pytest.mark.parametrize("way", [at_once, in_turns, in_a_task, within, gathered, in_a_group, by_an_event])
    def test_it(peers, way, kind, number, tls_authority):
        async def handler(connection):
            await way(connection)
            raise LookupError

        client = connect(getattr(peers, kind)(handler))
        if kind == "tls":
            client = tls_authority.client_context().wrap_socket(client, server_hostname="localhost")
            clients.append(client)
        client.sendall(b"x")
    """,
        f"--echoserver-loop={loop}",
        "--tb=no",
        "-q",
    )
    result.assert_outcomes(failed=210)


def test_eof_within_a_message_fails_the_test_and_a_clean_one_does_not(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    @pytest.mark.parametrize("data", [b"", b"one\\n", b"one\\ntw"])
    def test_it(tcp_peer, data):
        @tcp_peer.serve
        async def handler(connection):
            while True:
                await connection.read_until(b"\\n")

        connect(tcp_peer, data).close()
    """
    )
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["E*EndOfStream: the end came before b'\\n' on connection 1 *was b'tw'"])


def test_what_it_does_when_it_is_cancelled_at_the_end_is_nobodys_fault(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            try:
                await connection.read_exactly(1)
            finally:
                connection.send(b"bye")
                raise LookupError

        connect(tcp_peer)
        tcp_peer.connection
    """
    )
    result.assert_outcomes(passed=1)


def test_one_that_refuses_to_end_is_named(downstream: Downstream) -> None:
    result = downstream.run_apart(
        BEGIN
        + """
    async def stubborn(connection):
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                pass

    def test_it(peers):
        for _ in range(6):  # each has its second to end
            peer = peers.tcp(stubborn)
            with connect(peer):
                peer.connection

    def test_the_next_is_none_the_worse(tcp_echo_server):
        with connect(tcp_echo_server, b"x") as client:
            assert client.recv(1) == b"x"
    """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*RuntimeError: stubborn for connection 1 of tcp-1 (tcp *) was cancelled, but did not end*"]
    )
    result.stderr.no_fnmatch_line("*no running event loop*")  # though they are thrown away once it is closed


def test_one_that_spins_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    async def spins(connection):
        while True:
            await asyncio.sleep(0)

    def test_it(peers):
        peer = peers.tcp(spins)
        connect(peer).close()
        peer.connection
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*RuntimeError: spins for connection 1 of tcp-1 * was still running 1 s after the test, *"]
    )


def test_one_that_blocks_is_told_by_the_timeout_that_it_causes(downstream: Downstream) -> None:
    result = downstream.run_apart(
        BEGIN
        + """
    free = threading.Event()

    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            free.wait(2)

        connect(tcp_peer).close()
        tcp_peer.connection.read_until(b"x").result()
    """,
        "--echoserver-timeout=0.5",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*CaptureTimeout: waited 0.5 s for*held up in handler, *: free.wait(2)"])


def test_pending_futures_raise_its_error_and_it_is_shown_once(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            await connection.read(1)
            raise LookupError("of the handler")

        client = connect(tcp_peer)
        read = tcp_peer.connection.read_until(b"never")
        client.sendall(b"x")
        read.result()
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: of the handler"])
    result.stdout.no_fnmatch_line("*errors of this test's peers*")


def test_two_handlers_that_fail_are_one_group(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    def test_it(tcp_peer, unix_peer):
        for peer in (tcp_peer, unix_peer):
            @peer.serve
            async def handler(connection):
                await connection.read(1)
                raise LookupError(str(connection))
            connect(peer, b"x")
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ExceptionGroup: 2 errors of this test's peers (2 sub-exceptions)"])


def test_a_handler_of_a_session_peer_fails_the_test_that_runs(downstream: Downstream) -> None:
    result = downstream.run(
        BEGIN
        + """
    @pytest.fixture(scope="session")
    def server(session_peers):
        async def handler(connection):
            assert await connection.read_exactly(1) != b"x"

        with session_peers.tcp(handler) as peer:
            yield peer

    @pytest.mark.parametrize("data", [b"a", b"x", b"b"])
    def test_it(server, data):
        connect(server, data).close()
    """
    )
    result.assert_outcomes(passed=2, failed=1)


def test_too_many_open_files_are_told_once(downstream: Downstream) -> None:
    result = downstream.run_apart(
        BEGIN
        + """
    import resource

    def test_it(tcp_peer):
        client = connect(tcp_peer)
        tcp_peer.connection
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        one_more = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (one_more.fileno() + 1, limits[1]))
        try:
            one_more.connect(tcp_peer.address)
            tcp_peer.next_connection().result()
            tcp_peer.next_connection().exception(timeout=0.5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            one_more.close()
            client.close()
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*OSError: *Too many open files"])
    result.stdout.no_fnmatch_line("*ExceptionGroup*")


AGAIN_AND_AGAIN = (
    BEGIN
    + """
    def again(peer, data=b"hello\\n", times=5):
        for _ in range(times):
            try:
                client = connect(peer, data)
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            except OSError:  # it was reset
                pass
"""
)


def test_what_goes_wrong_on_each_connection_is_told_once(downstream: Downstream) -> None:
    result = downstream.run(
        AGAIN_AND_AGAIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            await connection.read_exactly(100)

        again(tcp_peer)

    def test_its_port(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            assert connection.peername == ("127.0.0.1", 1)

        again(tcp_peer)

    def test_beside_its_own_failure(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            raise LookupError("of the handler")

        again(tcp_peer)
        assert 0
    """
    )
    result.assert_outcomes(failed=3)
    assert result.stdout.str().count("and 4 more like it") == 3
    result.stdout.fnmatch_lines(["E*EndOfStream: *on connection 1 of tcp-1 *", "E*AssertionError: assert *"])
    assert result.stdout.str().count("\nLookupError: of the handler\n") == 1
    assert result.stdout.str().count("raised LookupError: of the handler\n") == 5
    result.stdout.no_fnmatch_line("*ExceptionGroup*")


def test_what_differs_is_told_apart(downstream: Downstream) -> None:
    result = downstream.run(
        AGAIN_AND_AGAIN
        + """
    def test_it(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            line = await connection.read_until(b"\\n")
            try:
                raise LookupError(line)
            except LookupError as error:
                if line == b"c\\n":
                    raise
                raise ValueError("of the handler") from error

        for data in (b"a\\n", b"b\\n", b"a\\n", b"c\\n"):
            again(tcp_peer, data, 1)

    def test_at_each_peer(peers):
        async def handler(connection):
            raise LookupError("of the handler")

        again(peers.tcp(handler), times=2)
        again(peers.tcp(handler), times=3)
    """
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*ExceptionGroup: 3 errors of this test's peers (3 sub-exceptions)",
            "*and 1 more like it",
            "*ExceptionGroup: 2 errors of this test's peers (2 sub-exceptions)",
            "*and 1 more like it",
            "*and 2 more like it",
        ]
    )


def test_what_verify_has_raised_is_told_with_those_like_it(downstream: Downstream) -> None:
    result = downstream.run(
        AGAIN_AND_AGAIN
        + """
    async def handler(connection):
        raise LookupError("of the handler")

    def test_all_told(tcp_peer):
        tcp_peer.serve(handler)
        for times in (2, 3):
            again(tcp_peer, times=times)
            with pytest.raises(LookupError) as caught:
                tcp_peer.verify()
            where, *more = caught.value.__notes__
            assert where.startswith("in the handler of tcp-1 ")
            assert more == [f"and {times - 1} more like it"]

    def test_of_another_peer(peers):
        one, other = peers.tcp(handler), peers.tcp(handler)
        again(other, times=2)
        again(one, times=3)
        with pytest.raises(LookupError):
            one.verify()

    def test_in_the_session(session_peers):
        again(session_peers.tcp(handler), times=2)

    def test_the_next_one(session_peers):
        again(session_peers.tcp(handler), times=2)
    """
    )
    result.assert_outcomes(passed=1, failed=3)
    assert result.stdout.str().count("and 1 more like it") == 3


def test_a_group_that_one_raises_is_told_once(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_it(tcp_peer):
            @tcp_peer.serve
            async def server(connection):
                raise ExceptionGroup("of the handler", [ValueError("its own")])

            socket.create_connection(tcp_peer.address).close()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*errors of this test's peers*")


def test_what_the_users_code_raises_tells_of_which_peer_and_of_which_connection(downstream: Downstream) -> None:
    result = downstream.run(
        """
    import socket

    import pytest

    def raises(*_):
        raise LookupError("of the user")

    async def handler(_):
        raises()

    async def conversation(connection):
        await connection.read_exactly(1)
        raises()

    OVER_TCP = {
        "handler": lambda peer: peer(conversation),
        "framing": lambda peer: peer(framing=raises).on(...),
        "predicate": lambda peer: peer(framing=b"q").on(raises),
        "answer": lambda peer: peer().on(b"q").reply(raises),
        "of a connection": lambda peer: peer().connection.expect(b"q").reply(raises),
        "faults": lambda peer: peer(faults=raises).on(b"q"),
    }
    OVER_UDP = {
        "handler": lambda peer: peer(raises),
        "async handler": lambda peer: peer(handler),
        "predicate": lambda peer: peer().on(raises),
        "answer": lambda peer: peer().on(b"q").reply(raises),
        "faults": lambda peer: peer(faults=raises),
    }

    @pytest.mark.parametrize("way", OVER_TCP)
    def test_stream(peers, way):
        port, _ = peers.reserve_port(), peers.tcp(name="a")

        def peer(*args, **options):
            made = peers.tcp(*args, name="b", port=port, **options)
            clients.append(socket.create_connection(made.address, 5))
            return made

        clients = []
        OVER_TCP[way](peer)
        with clients[0] as client, pytest.raises(ConnectionError):
            client.send(b"q")
            client.recv(1)

    @pytest.mark.parametrize("way", OVER_UDP)
    def test_datagrams(peers, way):
        port, _ = peers.reserve_port(), peers.udp(name="a")
        OVER_UDP[way](lambda *args, **options: peers.udp(*args, name="b", port=port, **options))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"q", ("127.0.0.1", port))

    def test_harness(stream_harness):
        sock, connection = stream_harness.pair()
        connection.expect(b"q").reply(raises)
        sock.sendall(b"q")
        sock.recv(1)
    """
    )
    result.assert_outcomes(failed=12)
    told = re.findall(r"^E +in the (.*?)(?: \((\w+) .*\))?(, .*?)?$", result.stdout.str(), re.MULTILINE)
    counted = Counter((where, kind, more.partition(" from ")[0]) for where, kind, more in told)
    assert counted == {
        ("handler of b", "tcp", ", on connection 1"): 1,
        ("script of b", "tcp", ", on connection 1"): 4,
        ("faults of b", "tcp", ", on connection 1"): 1,
        ("handler of b", "udp", ", for a datagram"): 2,
        ("script of b", "udp", ", for a datagram"): 2,
        ("faults of b", "udp", ""): 1,
        ("script of pair-1", "", ""): 1,
    }
    result.stdout.fnmatch_lines(["E * handler of b (udp 127.0.0.1:*), for a datagram from 127.0.0.1 port *"])
    shown = re.findall(r"  !!  (?:b(?: #1)?  )?raised LookupError: of the user\n", result.stdout.str())
    assert len(shown) == 12


def test_an_exception_that_takes_no_note_fails_the_test_as_it_is(downstream: Downstream) -> None:
    result = downstream.run(
        """
    import socket

    class Frozen(Exception):
        def __setattr__(self, name, value):
            raise AttributeError(name)

    def test_it(udp_peer):
        @udp_peer.serve
        def handler(datagram):
            raise Frozen(7)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"q", udp_peer.address)
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * test_*Frozen: 7", "*  !!  raised test_*Frozen: 7"])


def test_what_is_secret_is_taken_out_of_what_the_timeline_has_of_an_exception(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
    def pytest_echoserver_redact(peer, data):
        return data.replace(b"hunter2", b"*******")
    """
    )
    result = downstream.run(
        """
    import socket

    def test_it(udp_peer):
        @udp_peer.serve
        def handler(datagram):
            raise LookupError(datagram.data)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"PASS hunter2", udp_peer.address)
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*  !!  raised LookupError: b'PASS [*][*][*][*][*][*][*]'"])
