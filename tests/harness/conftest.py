"""What the tests of harnesses share."""

import pytest


@pytest.fixture
def asyncios_transports(pytestconfig: pytest.Config) -> None:
    """Skips where the engine's loop is another's, whose transports take no attributes of ours."""
    if pytestconfig.getoption("--echoserver-loop") not in (None, "asyncio"):
        pytest.skip("only asyncio's own transports can be followed at any time")
