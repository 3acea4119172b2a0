"""What is said when an address can't be bound."""

import shutil
import subprocess

import pytest

from ..conftest import Downstream

WITHOUT_IPV6 = ("unshare", "--map-root-user", "--net")  # a network of its own, whose loopback isn't up


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch, downstream: Downstream) -> Downstream:
    """A downstream suite on a machine without IPv6."""
    if shutil.which("unshare") is None or subprocess.run([*WITHOUT_IPV6, "true"], check=False).returncode:
        pytest.skip("a network without IPv6 can't be made here")
    args = downstream.pytester._getpytestargs
    monkeypatch.setattr(downstream.pytester, "_getpytestargs", lambda: (*WITHOUT_IPV6, *args()))
    return downstream


def test_an_ipv6_host_where_there_is_none_is_an_error_that_says_so(without_ipv6: Downstream) -> None:
    result = without_ipv6.run_apart(
        """
        import pytest

        @pytest.mark.parametrize("kind", ["udp", "udp_echo", "tcp", "tls_echo"])
        def test_it(peers, kind):
            what = "a UDP socket" if kind.startswith("udp") else "a TCP socket"
            with pytest.raises(OSError, match=f"can't bind {what} to ::1 port 0: .*is there IPv6 on this machine"):
                getattr(peers, kind)(host="::1")
        """
    )
    result.assert_outcomes(passed=4)
