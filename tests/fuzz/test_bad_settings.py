"""Settings that are none: of the marker, and of the command line."""

import pytest

from ..conftest import Downstream

MARKED = """
import pytest
from tests.fuzz.awkward import AWKWARD

@pytest.mark.parametrize("name", ["host", "timeout", "strict", "seed", "faults"])
@pytest.mark.parametrize("place", range(len(AWKWARD)))
def test_it(request, name, place):
    value = AWKWARD[place]
    request.node.add_marker(pytest.mark.echoserver(**{name: value}))
    for fixture in ("udp_peer", "tcp_peer"):
        try:
            request.getfixturevalue(fixture)
        except (TypeError, ValueError) as error:
            assert name in str(error) or repr(value) in str(error)
        except OSError:
            assert name == "host"
"""


def test_a_marker_is_taken_or_refused_by_name(downstream: Downstream) -> None:
    result = downstream.run(MARKED, "-q")
    assert result.parseoutcomes().keys() == {"passed"}


@pytest.mark.parametrize(
    "name", ["timeout", "host", "loop", "switch-interval", "seed", "traffic", "payload-limit", "pcap", "html"]
)
@pytest.mark.parametrize(
    "value", ["-1", "0", "nan", "inf", "1e400", "9" * 400, "x", "\u0661", "::1", "a b", "\x1b[1m"]
)
def test_an_option_is_taken_or_refused_by_name(downstream: Downstream, name: str, value: str) -> None:
    result = downstream.run("def test_it(udp_peer, tcp_peer): pass", f"--echoserver-{name}={value}")
    if result.ret == pytest.ExitCode.USAGE_ERROR:
        assert f"ERROR: echoserver_{name.replace('-', '_')} must be" in result.stderr.str()
    else:
        outcomes = result.parseoutcomes()
        assert outcomes == {"passed": 1} or (name == "host" and outcomes == {"errors": 1})
