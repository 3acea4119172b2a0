"""Stream peers under load: nothing is lost or mixed, nothing left."""

import pytest

from ..conftest import Downstream

MANY = """
    import asyncio, gc, resource, socket
    import pytest
    from tests.conftest import open_and_running

    CONNECTIONS, MESSAGES = 500, 100

    @pytest.fixture(scope="session", autouse=True)
    def enough_descriptors():
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], min(4096, limits[1])), limits[1]))

    async def upper(connection):
        while True:
            connection.send((await connection.read_until(b"\\n")).upper())

    @pytest.mark.asyncio
    @pytest.mark.parametrize("kind", ["echo", "handler"])
    async def test_many_at_once(peers, kind):
        peer = peers.tcp_echo() if kind == "echo" else peers.tcp(upper)
        all_open = asyncio.Barrier(CONNECTIONS)

        async def talk(client):
            reader, writer = await asyncio.open_connection(*peer.address)
            await all_open.wait()
            for number in range(MESSAGES):
                message = b"message %d of %d\\n" % (number, client)
                writer.write(message)
                assert await reader.readline() == (message if kind == "echo" else message.upper())
            name = writer.get_extra_info("sockname")
            writer.close()
            await writer.wait_closed()
            return name

        names = await asyncio.gather(*map(talk, range(CONNECTIONS)))
        by_name = {connection.peername: connection for connection in peer.connections}
        assert len(peer.connections) == len(by_name) == CONNECTIONS
        for client, name in enumerate(names):
            received = b"".join(b"message %d of %d\\n" % (number, client) for number in range(MESSAGES))
            assert by_name[name].received == received
            assert by_name[name].sent == (received if kind == "echo" else received.upper())

    @pytest.mark.parametrize("kind", ["tcp_echo", "unix_echo", "handler"])
    def test_many_one_after_the_other(peers, kind):
        peer = peers.tcp(upper) if kind == "handler" else getattr(peers, kind)()
        with socket.socket(peer.family) as client:
            client.connect(peer.address)
        assert peer.next_connection().result().ended.result() == "eof"
        before = len(open_and_running())
        for number in range(10_000 if kind == "tcp_echo" else 2_000):
            with socket.socket(peer.family) as client:
                client.connect(peer.address)
            if number % 500 == 0:
                assert len(open_and_running()) < before + 600
            peer.next_connection().result()
        for connection in peer.connections:
            assert connection.ended.result() == "eof"
        peer.close()
        assert len(open_and_running()) < before
"""


@pytest.mark.parametrize(
    ("what", "passed"), [("at_once and echo", 1), ("at_once and handler", 1), ("one_after_the_other", 3)]
)
def test_nothing_is_lost_mixed_or_left(
    downstream: Downstream,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    what: str,
    passed: int,
) -> None:
    pytest.importorskip("resource")
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))
    result = downstream.run_apart(
        MANY,
        f"--echoserver-loop={request.config.getoption('--echoserver-loop') or 'asyncio'}",
        "-oasyncio_default_fixture_loop_scope=function",
        f"-k{what}",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=passed, deselected=5 - passed)
