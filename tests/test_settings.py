"""Settings: marker over fixture over command line over ini over default."""

import ssl

import pytest

from pytest_echoserver._settings import Settings

from .conftest import Downstream

SHOW = """
    import pytest

    def show(peer):
        print("timeout", peer._timeout, "host", peer.host)

    def test_plain(udp_echo_server):
        show(udp_echo_server)

    @pytest.mark.echoserver(timeout=3)
    class TestMarked:
        def test_by_class(self, udp_echo_server):
            show(udp_echo_server)

        @pytest.mark.echoserver(host="::1")
        def test_by_both(self, udp_echo_server):
            show(udp_echo_server)

        @pytest.mark.echoserver(timeout=4)
        def test_the_nearest_wins(self, udp_echo_server):
            show(udp_echo_server)

        def test_a_keyword_comes_first(self, peers):
            show(peers.udp_echo(timeout=5, host="127.0.0.9"))
"""


def shown(result: pytest.RunResult) -> list[str]:
    result.assert_outcomes(passed=5)
    return [line.lstrip(".") for line in result.outlines if line.lstrip(".").startswith("timeout")]


def test_the_defaults(downstream: Downstream) -> None:
    assert shown(downstream.run(SHOW, "-s", "-q", "--no-header"))[0] == "timeout 5.0 host 127.0.0.1"


def test_ini_comes_before_the_default(downstream: Downstream) -> None:
    downstream.pytester.makeini("[pytest]\nechoserver_timeout = 1\nechoserver_host = 127.0.0.2")
    assert shown(downstream.run(SHOW, "-s", "-q"))[0] == "timeout 1.0 host 127.0.0.2"


def test_the_command_line_before_the_ini_and_the_marker_before_that(downstream: Downstream) -> None:
    downstream.pytester.makeini("[pytest]\nechoserver_timeout = 1\nechoserver_host = 127.0.0.2")
    result = downstream.run(SHOW, "-s", "-q", "--echoserver-timeout=2", "--echoserver-host=127.0.0.3")
    assert shown(result) == [
        "timeout 2.0 host 127.0.0.3",
        "timeout 3.0 host 127.0.0.3",
        "timeout 3.0 host ::1",
        "timeout 4.0 host 127.0.0.3",
        "timeout 5.0 host 127.0.0.9",
    ]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("timeout=-1", "echoserver_timeout must be a finite number of seconds, 0 or more, not -1.0"),
        ("timeout=nan", "echoserver_timeout must be a finite number of seconds, 0 or more, not nan"),
        ("timeout=soon", "echoserver_timeout must be a number of seconds, not 'soon'"),
        ("switch{0}interval=0", "echoserver_switch_interval must be seconds from 0.000001 to 1000, not 0.0"),
        ("switch{0}interval=1e4", "echoserver_switch_interval must be seconds from 0.000001 to 1000, not 10000.0"),
        ("switch{0}interval=nan", "echoserver_switch_interval must be seconds from 0.000001 to 1000, not nan"),
        ("switch{0}interval=soon", "echoserver_switch_interval must be a number of seconds, not 'soon'"),
        ("host=here", "echoserver_host must be an IP address like '127.0.0.1' or '::1', not 'here'"),
        ("loop=twisted", "echoserver_loop must be asyncio or uvloop, not 'twisted'"),
    ],
)
@pytest.mark.parametrize("where", ["command line", "ini"])
def test_a_bad_setting_is_a_usage_error(downstream: Downstream, option: str, says: str, where: str) -> None:
    if where == "ini":
        downstream.pytester.makeini(f"[pytest]\nechoserver_{option.format('_')}")
        result = downstream.run(SHOW)
    else:
        result = downstream.run(SHOW, f"--echoserver-{option.format('-')}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says}"])


NATIVE = """
    import sys
    from pytest_echoserver._kept import SETTINGS

    def test_it(pytestconfig, peers):
        peer = peers.udp()
        settings = pytestconfig.stash[SETTINGS]
        limits = peer._timeout, round(sys.getswitchinterval(), 6), settings.payload_limit
        print("limits", *limits, "host", peer.host, "seed", settings.seed)
"""


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="has no [tool.pytest]")
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("where", ["pyproject.toml", "pytest.toml"])
def test_toml_may_have_numbers_of_its_own(downstream: Downstream, where: str, quoted: bool) -> None:
    table = "[tool.pytest]" if where == "pyproject.toml" else "[pytest]"
    numbers = {"timeout": "2.5", "switch_interval": "0.0005", "seed": "7", "payload_limit": "64"}
    lines = [f"echoserver_{name} = " + (f'"{value}"' if quoted else value) for name, value in numbers.items()]
    downstream.pytester.path.joinpath(where).write_text(
        "\n".join([table, *lines, 'echoserver_host = "::1"']), encoding="utf-8"
    )
    result = downstream.run(NATIVE, "-s", "-q")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*limits 2.5 0.0005 64 host ::1 seed 7"])


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="has no [tool.pytest]")
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("timeout = -1", "echoserver_timeout must be a finite number of seconds, 0 or more, not -1*"),
        ("timeout = nan", "echoserver_timeout must be a finite number of seconds, 0 or more, not nan"),
        ('timeout = "soon"', "echoserver_timeout must be a number of seconds, not 'soon'"),
        ("timeout = true", "*echoserver_timeout*True*"),
        ("switch_interval = 0", "echoserver_switch_interval must be seconds from 0.000001 to 1000, not 0*"),
        ("payload_limit = 0", "echoserver_payload_limit must be a number of bytes, at least 1, not 0"),
        ('payload_limit = "few"', "echoserver_payload_limit must be a whole number, not 'few'"),
        ("payload_limit = 1.5", "*echoserver_payload_limit*1.5*"),
        ("seed = 1.5", "*echoserver_seed*1.5*"),
        ("host = 5", "*echoserver_host*5*"),
    ],
)
def test_a_bad_setting_in_toml_is_a_usage_error(downstream: Downstream, setting: str, says: str) -> None:
    downstream.pytester.makepyprojecttoml(f"[tool.pytest]\nechoserver_{setting}")
    result = downstream.run(SHOW)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says}"])


@pytest.mark.parametrize("seed", ["0", "7"])
def test_a_number_in_ini_options_may_be_quoted_or_not(downstream: Downstream, seed: str) -> None:
    for value in (seed, f'"{seed}"'):
        downstream.pytester.makepyprojecttoml(
            f"[tool.pytest.ini_options]\nechoserver_seed = {value}\nechoserver_timeout = 2.5"
        )
        result = downstream.run(NATIVE, "-s", "-q")
        result.stdout.fnmatch_lines([f"*limits 2.5 * seed {seed}"])


def test_uvloop_that_is_not_installed_is_a_usage_error(
    downstream: Downstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    result = downstream.run(SHOW, "--echoserver-loop=uvloop")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: * isn't installed: pip install 'pytest-echoserver[[]uvloop[]]'"])


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("timeout=-1", "ValueError: timeout must be a finite number of seconds, 0 or more, not -1"),
        ("timeout='1'", "TypeError: timeout must be a number of seconds, not '1'"),
        ("host=3", "TypeError: host must be a string like '127.0.0.1' or '::1', not 3"),
        ("strict=1", "TypeError: strict must be True or False, not 1"),
        (
            "port=3",
            "TypeError: the marker echoserver takes host, timeout, strict, seed and faults by keyword, not port",
        ),
        ("3", "TypeError: the marker echoserver takes host, timeout, strict, seed and faults by keyword, not 3"),
        ("host='192.0.2.1'", "ValueError: host '192.0.2.1' isn't a loopback address*allow_remote=True*"),
    ],
)
def test_a_bad_marker_is_an_error_of_its_test(downstream: Downstream, marker: str, says: str) -> None:
    result = downstream.run(
        f"""
        import pytest

        @pytest.mark.echoserver({marker})
        def test_it(udp_echo_server):
            pass

        def test_the_next(udp_echo_server):
            pass
        """
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([f"E*{says}"])


def test_a_host_that_is_not_loopback_names_the_option(downstream: Downstream) -> None:
    result = downstream.run("def test_it(udp_echo_server): pass", "--echoserver-host=0.0.0.0")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*host '0.0.0.0' isn't a loopback address*allow_remote=True*"])


def test_the_switch_interval_is_set_while_there_are_peers(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import sys

        before = sys.getswitchinterval()

        def pytest_unconfigure():
            assert sys.getswitchinterval() == before
        """
    )
    downstream.run(
        """
        import sys

        def test_without():
            assert sys.getswitchinterval() == 0.005

        def test_with(udp_echo_server):
            assert round(sys.getswitchinterval(), 6) == 0.0001
        """,
        "-p",
        "no:randomly",
        "--echoserver-switch-interval=0.0001",
    ).assert_outcomes(passed=2)


def test_help_and_markers_tell_of_them(downstream: Downstream) -> None:
    downstream.run("", "--help").stdout.fnmatch_lines(
        [
            "network peers (pytest-echoserver):",
            "*--echoserver-timeout*",
            "*--echoserver-host*",
            "*--echoserver-loop*",
            "*--echoserver-switch-interval*",
        ]
    )
    downstream.run("", "--markers").stdout.fnmatch_lines(
        [
            "@pytest.mark.echoserver(*, host=..., timeout=..., strict=..., seed=..., faults=...):*; "
            "strict: whether what no script and no rule matches fails the test*; faults: what the network does*"
        ]
    )
    downstream.run("", "--fixtures").stdout.fnmatch_lines(
        [
            "*udp_echo_server*",
            "*A UDP server that sends every datagram back*",
        ]
    )
    downstream.run("", "--fixtures").stdout.fnmatch_lines(
        [
            "echoserver_listen_host [[]session scope[]]*",
            "*To be overridden in a conftest: the IP address that peers are bound to*",
            "echoserver_ssl_context [[]session scope[]]*",
            "*To be overridden in a conftest: the server-side*",
        ]
    )


LISTEN_HOST = """
    import pytest

    @pytest.fixture(scope="session")
    def echoserver_listen_host():
        return {host!r}
"""


def test_the_conftests_host_comes_before_the_command_line_and_below_the_marker(downstream: Downstream) -> None:
    downstream.pytester.makeini("[pytest]\nechoserver_host = 127.0.0.2")
    downstream.pytester.makeconftest(LISTEN_HOST.format(host="127.0.0.4"))
    result = downstream.run(SHOW, "-s", "-q", "--echoserver-host=127.0.0.3")
    assert [line.rpartition(" ")[2] for line in shown(result)] == [
        "127.0.0.4",
        "127.0.0.4",
        "::1",
        "127.0.0.4",
        "127.0.0.9",
    ]


def test_a_conftest_that_gives_no_host_leaves_it_to_the_command_line(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(LISTEN_HOST.format(host=None))
    result = downstream.run(SHOW, "-s", "-q", "--echoserver-host=127.0.0.3")
    assert shown(result)[0] == "timeout 5.0 host 127.0.0.3"


def test_a_conftest_may_give_several_hosts_for_each_test(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session", params=["127.0.0.1", "::1"])
        def echoserver_listen_host(request):
            return request.param
        """
    )
    result = downstream.run(
        """
        def test_it(request, udp_peer, tcp_peer):
            assert udp_peer.host == tcp_peer.host == request.node.callspec.params["echoserver_listen_host"]
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (3, "TypeError: echoserver_listen_host must be a string like '127.0.0.1' or '::1', not 3"),
        ("", "ValueError: host must be an IP address like '127.0.0.1' or '::1', not ''"),
        ("192.0.2.1", "ValueError: host '192.0.2.1' isn't a loopback address*allow_remote=True*"),
    ],
)
def test_a_conftest_with_a_bad_host_is_an_error(downstream: Downstream, host: object, says: str) -> None:
    downstream.pytester.makeconftest(LISTEN_HOST.format(host=host))
    result = downstream.run("def test_it(udp_echo_server): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E*{says}"])


def test_only_the_marker_makes_a_test_lenient(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        def test_plain(peers):
            assert peers.udp()._strict is True

        @pytest.mark.echoserver(strict=False)
        class TestMarked:
            def test_by_class(self, peers):
                assert peers.udp()._strict is False

            @pytest.mark.echoserver(strict=True)
            def test_the_nearest_wins(self, peers):
                assert peers.udp()._strict is True
        """
    )
    result.assert_outcomes(passed=3)
    result = downstream.run("", "--echoserver-strict=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_fixtures_to_override_give_nothing(
    echoserver_listen_host: str | None, echoserver_ssl_context: ssl.SSLContext | None
) -> None:
    assert echoserver_listen_host is None
    assert echoserver_ssl_context is None


def test_they_are_not_changed() -> None:
    with pytest.raises(AttributeError, match="settings are not changed: timeout"):
        Settings().timeout = 1.0
