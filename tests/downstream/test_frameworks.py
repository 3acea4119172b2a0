"""The same test body, in sync tests and under each plugin for async ones."""

import pytest

from ..conftest import Downstream

SYNC = """
    import asyncio, socket, sys

    class Upper(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())

    def test_it(udp_echo_server, stream_harness, subprocess_runner):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"ping", udp_echo_server.address)
        assert udp_echo_server.next_datagram().result().data == b"ping"

        stream = stream_harness.connect(Upper)
        stream.send(b"hello\\n")
        assert stream.read_until(b"\\n").result() == b"HELLO\\n"
        stream.close().result()

        process = subprocess_runner(sys.executable, "-c", "print('out')")
        assert process.wait().result().stdout.split() == [b"out"]
"""
ASYNC = SYNC.replace("def test_it", "async def test_it")
for awaited in ("udp_echo_server.next_datagram()", 'stream.read_until(b"\\n")', "process.wait()"):
    ASYNC = ASYNC.replace(f"{awaited}.result()", f"(await {awaited})")
ASYNC = ASYNC.replace("stream.close().result()", "await stream.close()")


def marked(mark: str) -> str:
    return ASYNC.replace(
        "    async def test_it", f"    import pytest\n\n    @pytest.mark.{mark}\n    async def test_it"
    )


def test_the_bodies_are_alike() -> None:
    assert ASYNC.count("await") == 4
    assert ".result()" not in ASYNC


def test_sync(downstream: Downstream) -> None:
    downstream.run(SYNC).assert_outcomes(passed=1)


@pytest.mark.parametrize("loop_scope", ["function", "class", "module", "package", "session"])
def test_pytest_asyncio_strict(downstream: Downstream, loop_scope: str) -> None:
    result = downstream.run_apart(
        marked(f"asyncio(loop_scope={loop_scope!r})"),
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=1)


def test_pytest_asyncio_auto(downstream: Downstream) -> None:
    result = downstream.run_apart(
        ASYNC,
        "-oasyncio_default_fixture_loop_scope=function",
        "--asyncio-mode=auto",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(downstream: Downstream, backend: str) -> None:
    downstream.pytester.makeconftest(f"import pytest\n@pytest.fixture\ndef anyio_backend(): return {backend!r}")
    downstream.run_apart(marked("anyio"), plugins=("anyio.pytest_plugin",)).assert_outcomes(passed=1)


def test_unittest(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket, unittest
        import pytest

        class Base:
            @pytest.fixture(autouse=True)
            def server(self, udp_echo_server):
                self.server = udp_echo_server

            def ping(self):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"ping", self.server.address)
                return self.server.next_datagram()

        class Sync(Base, unittest.TestCase):
            def test_it(self):
                self.assertEqual(self.ping().result().data, b"ping")

        class Async(Base, unittest.IsolatedAsyncioTestCase):
            async def test_it(self):
                self.assertEqual((await self.ping()).data, b"ping")
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_engine_runs_either_loop(downstream: Downstream, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    check = f"""
    def test_the_loop(stream_harness):
        stream = stream_harness.connect(asyncio.Protocol)
        assert stream.call(asyncio.get_running_loop).result().__module__.startswith({loop!r})
    """
    downstream.run_apart(SYNC + check, f"--echoserver-loop={loop}").assert_outcomes(passed=2)


def test_connect_here_on_uvloop(downstream: Downstream) -> None:
    pytest.importorskip("uvloop")
    downstream.pytester.makeconftest(
        """
        import pytest, uvloop

        @pytest.fixture
        def anyio_backend():
            return "asyncio", {"use_uvloop": True}
        """
    )
    result = downstream.run_apart(
        """
        import asyncio, pytest

        class Upper(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(data.upper())

        @pytest.mark.anyio
        @pytest.mark.parametrize("closed", [True, False])
        async def test_it(stream_harness, closed):
            stream = await stream_harness.connect_here(Upper)
            assert type(asyncio.get_running_loop()).__module__ == "uvloop"
            stream.send(b"hello\\n")
            assert await stream.read_until(b"\\n") == b"HELLO\\n"
            if closed:
                await stream.close()
        """,
        plugins=("anyio.pytest_plugin",),
    )
    result.assert_outcomes(passed=2)
    result.stderr.no_fnmatch_line("*")


def test_connect_here_under_trio_says_what_to_use(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio, pytest

        @pytest.fixture
        def anyio_backend():
            return "trio"

        @pytest.mark.anyio
        async def test_it(stream_harness):
            with pytest.raises(RuntimeError, match="none runs here; connect"):
                await stream_harness.connect_here(asyncio.Protocol)
        """,
        plugins=("anyio.pytest_plugin",),
    )
    result.assert_outcomes(passed=1)
