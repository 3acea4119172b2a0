"""The two loops: the engine's, and that of a test."""

import pytest

from ..conftest import EITHER_LOOP, Downstream, needs_uvloop


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_the_engine_runs_either_loop(downstream: Downstream, loop: str) -> None:
    suite = f"""
    import asyncio

    def test_the_loop(stream_harness):
        stream = stream_harness.connect(asyncio.Protocol)
        assert stream.call(asyncio.get_running_loop).result().__module__.startswith({loop!r})
    """
    downstream.run_apart(suite, f"--echoserver-loop={loop}").assert_outcomes(passed=1)


@needs_uvloop
def test_connect_here_on_uvloop(downstream: Downstream) -> None:
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
