"""The hooks, and the fixtures that are there to be overridden, as a conftest has them."""

import pytest

from ..conftest import Downstream

SEEN = """
    seen = []

    def pytest_echoserver_peer_opened(peer):
        seen.append(("opened", str(peer), repr(peer).endswith("closed>")))

    def pytest_echoserver_peer_closed(peer):
        seen.append(("closed", str(peer), repr(peer).endswith("closed>")))
"""


def test_each_peer_is_told_of_once_when_opened_and_once_when_closed(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(SEEN)
    result = downstream.run_apart(
        """
        from conftest import seen

        def opened(peers):
            yield from (peers.udp(), peers.udp_echo(), peers.tcp(), peers.tcp_echo(), peers.unix(), peers.tls())
            for transport in ("tcp", "udp"):
                yield from (peers.refusing(transport), peers.blackhole(transport))

        names = []

        def test_one(peers):
            made = list(opened(peers))
            names.extend(map(str, made))
            assert seen == [("opened", name, False) for name in names]
            del seen[:]
            for peer in made[::2]:
                peer.close()
                peer.close()
            assert seen == [("closed", name, True) for name in names[::2]]

        def test_two():
            assert seen[5:] == [("closed", name, True) for name in reversed(names[1::2])]
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("raises", ["raise LookupError", "pytest.fail"])
def test_a_hook_that_raises_keeps_neither_the_other_peers_nor_the_errors_of_the_close_from_being_told(
    downstream: Downstream, raises: str
) -> None:
    downstream.pytester.makeconftest(
        f"""
        import pytest

        def pytest_echoserver_peer_closed(peer):
            {raises}(f"told of {{peer}}")
        """
    )
    result = downstream.run(
        """
        def test_it(udp_peer, tcp_peer):
            pass

        def test_of_the_session(session_peers):
            session_peers.tcp(name="unmet").expect(b"never sent")
        """
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "*Error: *told of udp-1 (*",
            "*Error: *told of tcp-1 (*",
            "*Error: *told of unmet (*",
            "*ScriptMismatch: unmet (*): the script's only step was not met*",
        ]
    )


def test_one_that_could_not_be_opened_is_not_told_of(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(SEEN)
    result = downstream.run_apart(
        """
        import pytest
        from conftest import seen
        from pytest_echoserver import _readers

        def refuse(self, sock, reading):
            raise OSError("no room for one more")

        def test_one(peers, monkeypatch):
            for readers in (_readers.NestedPoller, _readers.LoopReaders):
                monkeypatch.setattr(readers, "add", refuse)
            for make in (peers.udp_echo, peers.tcp_echo):
                with pytest.raises(OSError, match="no room"):
                    make()

        def test_two():
            assert seen == []
        """
    )
    result.assert_outcomes(passed=2)


def test_a_conftest_may_give_the_loop(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import asyncio

        made = []

        class Loop(asyncio.SelectorEventLoop):
            pass

        def make():
            made.append(Loop())
            return made[-1]

        def pytest_echoserver_loop_factory(config):
            assert config.getoption("--echoserver-loop") is None
            return make
        """
    )
    result = downstream.run(
        """
        import asyncio
        from conftest import Loop, made

        def test_it(udp_echo_server, tcp_peer):
            assert [type(loop) for loop in made] == [Loop]

        def test_the_next(peers):
            running = []
            peers.udp(lambda datagram: running.append(asyncio.get_running_loop()))
            assert len(made) == 1
        """
    )
    result.assert_outcomes(passed=2)


def types(given: str) -> str:
    return f"""
    from functools import partial

    def silent(peers, **options):
        return peers.udp(lambda datagram: None, **options)

    class Kind:
        def __init__(self, peers=None, **options):
            self.peers = peers

        def make(self, peers):
            return silent(peers)

    def pytest_echoserver_peer_types():
        return {given}
    """


def test_a_conftest_may_add_kinds_of_peers(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        types('{"silent": silent, "bound": Kind().make, "partial": partial(silent, name="p"), "klass": Kind}')
    )
    result = downstream.run(
        """
        import inspect
        import pytest

        def test_it(peers, session_peers):
            assert peers.silent(name="mute").address
            assert peers.bound().address
            assert "p (" in str(peers.partial())
            assert peers.klass(peer="any").peers is peers
            assert str(inspect.signature(peers.silent)) == "(**options)"
            assert peers.silent.__name__ == "silent"
            assert all(type(each).__name__ == "Peers" for each in (peers, session_peers))
            assert "silent" in dir(peers)
            session_peers.silent().close()
            with pytest.raises(AttributeError, match="no attribute 'loud'"):
                peers.loud()
        """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('{"udp": silent}', "ValueError: there are peers.udp already: pytest_echoserver_peer_types must name it*"),
        ('{"_scope": silent}', "ValueError: a kind of peers must have a name that can be written after peers.*"),
        ('{"my peer": silent}', "ValueError: a kind of peers must have a name that can be written after peers.*"),
        ('{"mine": "silent"}', "TypeError: what makes peers.mine must be callable, not 'silent'"),
    ],
)
def test_a_kind_that_cannot_be_added_is_an_error(downstream: Downstream, given: str, text: str) -> None:
    downstream.pytester.makeconftest(types(given))
    result = downstream.run("def test_it(peers): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E*{text}"])


def test_a_conftest_may_give_the_context_of_tls_peers_and_the_host(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import ssl
        import pytest

        @pytest.fixture(scope="session")
        def echoserver_listen_host():
            return "::1"

        @pytest.fixture(scope="session")
        def echoserver_ssl_context(tls_authority):
            context = tls_authority.server_context("here.example")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context
        """
    )
    result = downstream.run_apart(
        """
        import socket
        import pytest

        def test_it(tls_echo_server, tls_authority):
            assert tls_echo_server.host == "::1"
            sock = socket.create_connection(tls_echo_server.address, 5)
            with tls_authority.client_context().wrap_socket(sock, server_hostname="here.example") as client:
                assert client.version() == "TLSv1.2"

        @pytest.mark.echoserver(host="127.0.0.1")
        def test_the_marker_comes_before(udp_peer):
            assert udp_peer.host == "127.0.0.1"
        """
    )
    result.assert_outcomes(passed=2)
