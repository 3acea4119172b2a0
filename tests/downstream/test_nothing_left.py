"""After the tests there is what there was before them: descriptors, threads, tasks, child processes."""

import sys

import pytest

from ..conftest import EITHER_LOOP, Downstream

# Compares before and after, in the run that it is a part of; the engine lives as long as the session.
WATCH = """
    import asyncio, os, socket, subprocess
    import pytest
    from tests.conftest import open_and_running

    @pytest.fixture(scope="session", autouse=True)
    def watch(_echoserver_session):
        engine = _echoserver_session.engine.get()
        before = open_and_running()
        yield
        async def tasks():
            return asyncio.all_tasks() - {asyncio.current_task()}
        import contextvars
        assert engine.run(contextvars.Context(), tasks) == set()
        left = open_and_running() ^ before
        if not isinstance(engine.loop, asyncio.BaseEventLoop):
            # uvloop opens this one with the first child process, and keeps it.
            left = {one for one in left if not one.endswith("/dev/null")}
        assert left == set()
"""
USES_ALL = (
    WATCH
    + """
    class Works(asyncio.Protocol):
        def connection_made(self, transport):
            self.task = asyncio.ensure_future(asyncio.sleep(100))

    @pytest.mark.parametrize("number", range(5))
    def test_it(peers, udp_echo_server, stream_harness, subprocess_runner, number):
        for host in ("127.0.0.1", "::1"):
            peer = peers.udp_echo(host=host)
            with socket.socket(peer.family, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", peer.address)
            peer.next_datagram().result()
        stream_harness.connect(Works).send(b"x")
        sock, connection = stream_harness.pair()
        sock.sendall(b"x")
        subprocess_runner("cat", stdin=subprocess.PIPE).write(b"x")
        subprocess_runner("sh", "-c", "sleep 60 & echo $!").read_until(b"\\n").result()
        with pytest.raises(TypeError):
            stream_harness.connect(lambda: None)
        with pytest.raises(FileNotFoundError):
            subprocess_runner("/no/such/program")
        if number == 3:
            pytest.skip("half way")
        if number == 4:
            pytest.xfail("at the end")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("closed", [True, False])
    async def test_here(stream_harness, closed):
        stream = await stream_harness.connect_here(asyncio.Protocol)
        await stream.send(b"x")
        if closed:
            await stream.close()
"""
)
ASYNCIO = ("-oasyncio_default_fixture_loop_scope=function",)


@pytest.fixture
def watched(downstream: Downstream, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Downstream:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))
    return downstream


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_everything_used_leaves_nothing(watched: Downstream, loop: str) -> None:
    result = watched.run_apart(USES_ALL, f"--echoserver-loop={loop}", *ASYNCIO, plugins=("pytest_asyncio.plugin",))
    result.assert_outcomes(passed=5, skipped=1, xfailed=1)
    result.stderr.no_fnmatch_line("*")


LEAKS = {
    "a descriptor": "kept.append(os.dup(0))",
    "a thread": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "a child process": "kept.append(os.posix_spawn('/bin/sleep', ['sleep', '5'], {}))",
    "a task": "_echoserver_session.engine.get().loop.call_soon_threadsafe("
    "lambda: kept.append(_echoserver_session.engine.get().loop.create_task(asyncio.sleep(5))))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="sees child processes by /proc")
@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_made_on_purpose_is_noticed(watched: Downstream, leak: str) -> None:
    result = watched.run_apart(
        WATCH
        + f"""
    kept = []

    def test_it(udp_echo_server, _echoserver_session):
        {LEAKS[leak]}
    """
    )
    result.assert_outcomes(passed=1, errors=1)


MANY = """
    import random, socket
    import pytest

    @pytest.mark.parametrize("number", range(2000))
    def test_echo(udp_echo_server, number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"%d" % number, udp_echo_server.address)
            assert client.recv(10) == b"%d" % number
        assert udp_echo_server.next_datagram().result().data == b"%d" % number
"""


def test_2000_echo_tests_in_random_order_on_two_workers(
    watched: Downstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # These two know each other only by the names that they have when they are loaded automatically.
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    result = watched.run_apart(WATCH + MANY, "-q", "-n", "2", *ASYNCIO)
    result.assert_outcomes(passed=2000)


def test_nothing_is_left_of_a_peer_that_could_not_accept_at_its_end(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
    import os, resource, socket
    import pytest

    @pytest.fixture(scope="module")
    def clients():
        with socket.socket() as served, socket.socket() as waits:
            for client in (served, waits):
                client.settimeout(5)
            yield served, waits

    @pytest.fixture
    def limits():  # for longer than the peer
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield limits
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def test_shortage(clients, limits, tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            await connection.read_until(b"what never comes")

        served, waits = clients
        served.connect(tcp_peer.address)
        served.sendall(b"x")
        tcp_peer.connection.read_exactly(1).result()
        os.close(lowest := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        waits.connect(tcp_peer.address)

    def test_after(clients):
        served, waits = clients
        assert served.recv(1) == b""
        with pytest.raises(ConnectionResetError):
            waits.recv(1)
    """
    )
    result.assert_outcomes(failed=1, passed=1)


def test_what_was_closed_is_no_work_for_the_garbage_collector(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import gc, socket, weakref
        import pytest

        KNOWN = []

        @pytest.fixture(scope="module", autouse=True)
        def without_the_collector():
            gc.disable()
            yield
            gc.enable()

        @pytest.mark.parametrize("kind", ["udp_peer", "udp_echo_server", "tcp_peer", "tcp_echo_server"])
        def test_it(request, kind):
            peer = request.getfixturevalue(kind)
            if kind == "udp_echo_server":
                with socket.socket(peer.family, socket.SOCK_DGRAM) as client:
                    client.sendto(b"x", peer.address)
                    peer.next_datagram().result()
            KNOWN.append(weakref.ref(peer))

        def test_the_others_are_gone():
            assert [known() for known in KNOWN] == [None] * 4
        """
    )
    result.assert_outcomes(passed=5)


def test_nothing_is_opened_once_its_test_is_over(watched: Downstream) -> None:
    """A thread that goes on, say, may have its fixtures still; nobody would close what it opens."""
    result = watched.run_apart(
        WATCH
        + """
    kept = {}

    def test_one(peers, subprocess_runner, stream_harness, datagram_harness):
        kept.update(peers=peers, run=subprocess_runner, streams=stream_harness, datagrams=datagram_harness)

    @pytest.mark.parametrize("open_it", [
        lambda: kept["peers"].udp_echo(),
        lambda: kept["peers"].tcp_echo(name="named"),
        lambda: kept["peers"].unix(),
        lambda: kept["peers"].udp_proxy(("127.0.0.1", 9)),
        lambda: kept["peers"].tcp_proxy(("127.0.0.1", 9)),
        lambda: kept["peers"].refusing("tcp"),
        lambda: kept["peers"].blackhole("udp"),
        lambda: kept["peers"].reserve_port(),
        lambda: kept["run"]("sleep", "60"),
        lambda: kept["run"]("sleep", "60", stdin=subprocess.PIPE),
        lambda: kept["run"]("sleep", "60", pty=True),
        lambda: kept["streams"].connect(asyncio.Protocol),
        lambda: kept["streams"].pair(),
        lambda: kept["datagrams"].connect(asyncio.DatagramProtocol),
    ])
    def test_two(open_it):
        with pytest.raises(RuntimeError, match="the test that this is for is over"):
            open_it()
"""
    )
    result.assert_outcomes(passed=15)
