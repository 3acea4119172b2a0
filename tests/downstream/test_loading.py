"""Every way in which a suite can come by the plugin."""

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from ..conftest import Downstream

ROOT = Path(__file__).parents[2]
THREE_LINES = """\
def test_it(udp_echo_server, client=__import__("socket").socket(type=2)):
    with client: client.sendto(b"x", udp_echo_server.address)
    assert udp_echo_server.next_datagram().result().data == b"x"
"""
# As if it were not installed: the metadata of the checkout, and so its entry point, are out of sight.
NOT_INSTALLED = """
import importlib.metadata

found = importlib.metadata.distributions
importlib.metadata.distributions = lambda **options: (
    one for one in found(**options) if one.name != "pytest-echoserver"
)
"""


OTHERS = [ep.name for ep in entry_points(group="pytest11") if ep.name != "pytest_echoserver"]
"""Other people's plugins: pytest loads them too where nothing stops it, which takes longer than most tests here."""


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    pytester.makepyfile(test_it=THREE_LINES)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    return pytester


def run(folder: pytest.Pytester, *args: str) -> pytest.RunResult:
    return beside_all(folder, *(f"-pno:{name}" for name in OTHERS), *args)


def beside_all(folder: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run it with all plugins that are installed, but for the one that warns unless it has its setting."""
    return folder.runpytest_subprocess("-W", "error", "-p", "no:asyncio", *args, timeout=60)


def not_installed(folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir("site").joinpath("sitecustomize.py").write_text(NOT_INSTALLED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder.path / "site"), str(ROOT)]))


def test_installed(folder: pytest.Pytester) -> None:
    run(folder).assert_outcomes(passed=1)


def test_installed_beside_all_others(folder: pytest.Pytester) -> None:
    beside_all(folder).assert_outcomes(passed=1)


def test_installed_and_named(folder: pytest.Pytester) -> None:
    run(folder, "-p", "pytest_echoserver").assert_outcomes(passed=1)


def test_named_without_autoload(folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run(folder, "-p", "pytest_echoserver").assert_outcomes(passed=1)


@pytest.mark.parametrize("autoload", [True, False])
def test_from_pytest_plugins(folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, autoload: bool) -> None:
    if not autoload:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    folder.makeconftest('pytest_plugins = ["pytest_echoserver"]')
    run(folder).assert_outcomes(passed=1)


def test_in_all_ways_at_once(folder: pytest.Pytester) -> None:
    folder.makeconftest('pytest_plugins = ["pytest_echoserver"]')
    run(folder, "-p", "pytest_echoserver").assert_outcomes(passed=1)


@pytest.mark.parametrize("how", ["-p", "pytest_plugins"])
def test_not_installed_but_on_the_path(folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    not_installed(folder, monkeypatch)
    run(folder).assert_outcomes(errors=1)
    if how == "-p":
        run(folder, "-p", "pytest_echoserver").assert_outcomes(passed=1)
    else:
        folder.makeconftest('pytest_plugins = ["pytest_echoserver"]')
        run(folder).assert_outcomes(passed=1)


def test_blocked(folder: pytest.Pytester) -> None:
    result = run(folder, "-p", "no:pytest_echoserver")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'udp_echo_server' not found*"])


def test_blocked_once_it_was_loaded(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        test_it="""
        def test_of_a_test(udp_echo_server):
            pass

        def test_of_the_session(session_peers):
            pass

        def test_what_all_share(tls_authority):
            pass
        """
    )
    result = run(folder, "-p", "pytest_echoserver", "-p", "no:pytest_echoserver")
    result.assert_outcomes(errors=3)
    too_late = "E *-p no:pytest_echoserver has come too late: `-p pytest_echoserver`, before*"
    result.stdout.fnmatch_lines([too_late] * 3)
    result.stdout.no_fnmatch_line("*AssertionError*")
    result.stdout.no_fnmatch_line("*KeyError*")


def test_assertions_in_a_callback_are_rewritten(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        test_it="""
        import asyncio

        class Picky(asyncio.Protocol):
            def data_received(self, data):
                assert data == b"expected"

        def test_it(stream_harness):
            stream_harness.connect(Picky).send(b"sent")
        """
    )
    result = run(folder)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert b'sent' == b'expected'", "E*At index 0 diff: b's' != b'e'"])


def test_a_conftest_may_have_fixtures_of_the_same_names(folder: pytest.Pytester) -> None:
    folder.makeconftest(
        """
        import pytest

        @pytest.fixture
        def peers():
            return "mine"
        """
    )
    folder.makepyfile(
        test_it="def test_it(peers, udp_echo_server): assert peers == 'mine' and udp_echo_server.port"
    )
    run(folder).assert_outcomes(passed=1)


COLLECT = """
import sys

def pytest_unconfigure():
    print("loaded:", *sorted(sys.modules))
"""
STARTS_NOTHING = """
import threading

def test_unused():
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
"""


def test_a_suite_that_does_not_use_it_pays_no_import(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(COLLECT)
    pytester.makepyfile(STARTS_NOTHING)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def loaded(*args: str) -> set[str]:
        # Not by `python -m pytest`, nor by pytester in this process: both have loaded things of their own.
        result = pytester.run(
            sys.executable, "-c", "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))", "--collect-only", *args
        )
        assert result.ret == 0
        (line,) = (line for line in result.outlines if line.startswith("loaded:"))
        return set(line.split()[1:])

    added = loaded("-p", "pytest_echoserver") - loaded("-p", "no:pytest_echoserver")
    assert {name for name in added if not name.startswith("pytest_echoserver")} == set()
    assert added == {
        "pytest_echoserver",
        *(
            f"pytest_echoserver.{name}"
            for name in (
                "_deadline",
                "_fixtures",
                "_neighbours",
                "_kept",
                "_plugin",
                "_settings",
                "_unrewritten",
                "hookspecs",
            )
        ),
    }


LOADERS = """
import sys

def pytest_unconfigure():
    ours = [module for name, module in sys.modules.items() if name.startswith("pytest_echoserver._peers")]
    print("loaded by:", *{type(module.__loader__).__name__ for module in ours})
"""


@pytest.mark.parametrize("how", ["installed", "-p", "pytest_plugins"])
def test_its_modules_load_as_python_loads_them(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "installed":
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(LOADERS + ("pytest_plugins = ['pytest_echoserver']" if how == "pytest_plugins" else ""))
    pytester.makepyfile(THREE_LINES)
    result = run(pytester, "-s", *(["-p", "pytest_echoserver"] if how == "-p" else []))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["loaded by: SourceFileLoader"])


def test_udp_peers_load_nothing_of_what_other_things_need(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(COLLECT)
    pytester.makepyfile(THREE_LINES)
    (line,) = (line for line in run(pytester, "-s").outlines if "loaded:" in line)
    ours = {
        name.removeprefix("pytest_echoserver.") for name in line.split() if name.startswith("pytest_echoserver.")
    }
    assert "_peers.datagram" in ours
    assert not {name for name in ours if name.startswith(("_harness", "_process", "_evidence"))}
    assert not ours & {
        "_bytestream",
        "_traffic",
        "_peers.connection",
        "_peers.stream",
        "_peers.script",
        "_peers.tls",
        "_peers.dead",
    }


def test_a_suite_that_does_not_use_it_starts_no_thread(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(STARTS_NOTHING)
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_suite_that_does_not_use_it_keeps_its_report_without_descriptors(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import os, resource

        def test_it():
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), most))
            assert not "the failure that is to be seen"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*the failure that is to be seen*"])


def test_beside_a_plugin_that_sets_up_others_as_ours_are_set_up(folder: pytest.Pytester) -> None:
    folder.makepyfile(
        other="""
        import pytest

        @pytest.fixture(scope="module")
        def of_the_module():
            pass

        @pytest.hookimpl(tryfirst=True)
        def pytest_fixture_setup(fixturedef, request):
            if fixturedef.argname == "udp_peer":
                request.getfixturevalue("of_the_module")
                request.getfixturevalue("tmp_path")
        """,
        test_it="""
        import pytest

        @pytest.fixture
        def udp_peer(udp_peer):
            return udp_peer

        @pytest.mark.parametrize("host", [pytest.param(h, marks=pytest.mark.echoserver(host=h)) for h in HOSTS])
        def test_it(udp_peer, peers, host):
            assert udp_peer.host == peers.tcp().host == host
        """.replace("HOSTS", '["127.0.0.1", "127.0.0.2"]'),
    )
    folder.makeini("[pytest]\naddopts = -p other")  # before ours: the last to be loaded comes first
    run(folder, "-p", "pytest_echoserver").assert_outcomes(passed=2)


def test_beside_a_plugin_that_sets_up_fixtures_itself(folder: pytest.Pytester) -> None:
    folder.makeconftest(
        """
        import pytest
        from _pytest.fixtures import call_fixture_func

        @pytest.hookimpl(tryfirst=True)
        def pytest_fixture_setup(fixturedef, request):
            if request.node.name == "test_by_it":
                given = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
                value = call_fixture_func(fixturedef.func, request, given)
                fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
                return value
        """
    )
    folder.makepyfile(
        test_it="""
        import pytest

        def test_by_pytest(udp_peer):
            assert udp_peer.host == "127.0.0.1"

        @pytest.mark.echoserver(host="127.0.0.2")
        def test_by_it(udp_peer):
            assert udp_peer.host == "127.0.0.2"
        """
    )
    run(folder).assert_outcomes(passed=2)
