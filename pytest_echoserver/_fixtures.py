"""The fixtures, each in a few lines; what they give is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from . import _settings
from ._kept import CLOSED_SESSION_SCOPE, OF_SESSION, OF_TEST, SESSION_SCOPE, SETTINGS

if TYPE_CHECKING:
    from ssl import SSLContext

    from ._harness.datagram import DatagramHarness
    from ._harness.stream import StreamHarness
    from ._peers.datagram import DatagramPeer
    from ._peers.peers import Peers
    from ._peers.stream import StreamPeer
    from ._peers.tls import TLSAuthority
    from ._process.runner import SubprocessRunner
    from ._session import OfSession, OfTest

_request: pytest.FixtureRequest | None = None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Keep the ``request`` that a function-scoped fixture is set up with, for `_of_test`: it may be one of ours.

    As an argument of our fixtures it would be made anew for each, and pytest would read a signature twice to do
    so: that takes longer than a UDP peer's set-up. This is a wrapper since those are called in any case, even if
    another plugin sets the fixture up.
    """
    # The fixture's own arguments were set up before this: no other fixture's request takes its place.
    global _request
    if fixturedef.scope == "function":
        _request = request
    return (yield)


@pytest.fixture
def udp_echo_server(echoserver_listen_host: str | None) -> DatagramPeer:
    """A UDP server that sends every datagram back, and remembers it; bound before the test starts.

    Send to ``udp_echo_server.address``; wait for what came with ``udp_echo_server.next_datagram()``.
    """
    return _of_test(echoserver_listen_host).peers.udp_echo()


@pytest.fixture
def tcp_echo_server(echoserver_listen_host: str | None) -> StreamPeer:
    """A TCP server that sends back what comes, and remembers it; listening before the test starts.

    Connect to ``tcp_echo_server.address``; what came is ``tcp_echo_server.connection.received``.
    """
    return _of_test(echoserver_listen_host).peers.tcp_echo()


@pytest.fixture
def unix_echo_server(echoserver_listen_host: str | None) -> StreamPeer:
    """A server on a Unix socket that sends back what comes, and remembers it; its ``address`` is a path."""
    return _of_test(echoserver_listen_host).peers.unix_echo()


@pytest.fixture
def tls_echo_server(echoserver_listen_host: str | None) -> StreamPeer:
    """A TLS server that sends back what comes, and remembers it; clients trust it by ``tls_authority``.

    A client takes ``tls_authority.client_context()``, or trusts ``tls_authority.ca_file``.
    """
    return _of_test(echoserver_listen_host).peers.tls_echo()


@pytest.fixture
def udp_peer(echoserver_listen_host: str | None) -> DatagramPeer:
    """A UDP peer with no behaviour yet: ``udp_peer.expect(b"ping").reply(b"pong")``, or ``@udp_peer.serve``."""
    return _of_test(echoserver_listen_host).peers.udp()


@pytest.fixture
def tcp_peer(echoserver_listen_host: str | None) -> StreamPeer:
    """A TCP peer with no behaviour yet: ``tcp_peer.expect(b"hi").reply(b"ho")``, or ``@tcp_peer.serve``."""
    return _of_test(echoserver_listen_host).peers.tcp()


@pytest.fixture
def unix_peer(echoserver_listen_host: str | None) -> StreamPeer:
    """A peer on a Unix socket with no behaviour yet, to be given a script or a handler.

    Its ``address`` is a path.
    """
    return _of_test(echoserver_listen_host).peers.unix()


@pytest.fixture
def tls_peer(echoserver_listen_host: str | None) -> StreamPeer:
    """A TLS peer with no behaviour yet, to be given a script or a handler; clients trust it by ``tls_authority``.

    A client takes ``tls_authority.client_context()``, or trusts ``tls_authority.ca_file``.
    """
    return _of_test(echoserver_listen_host).peers.tls()


@pytest.fixture
def peers(echoserver_listen_host: str | None) -> Peers:
    """Makes any number of network peers, with options, and closes them all: ``peers.tcp_echo(host="::1")``.

    Servers (``udp``, ``tcp``, ``unix``, ``tls``, each with ``_echo`` too), proxies (``udp_proxy``, ``tcp_proxy``),
    addresses where nobody is (``refusing``, ``blackhole``), port numbers (``reserve_port``).
    """
    return _of_test(echoserver_listen_host).peers


@pytest.fixture
def reserved_port(echoserver_listen_host: str | None) -> int:
    """A port number for a server that must be told its port, as by its command line: reserved for this test.

    Nobody has it bound, so the server can bind it for TCP and UDP, on any address, with whatever options it sets;
    so can peers. It is outside the range from which the system gives ports to those who ask for any, and locked, by
    a file in a directory of the machine, against all other tests, workers and runs of this user with this plugin.

    It can't be kept from other users, from programs that bind a fixed number without this plugin, and from
    containers that share the network but not that directory (``/tmp``). Where the server can bind port 0 and tell
    what it got, that is safer. For more than one: ``peers.reserve_port()``.
    """
    return _of_test(echoserver_listen_host).peers.reserve_port()


@pytest.fixture(scope="session")
def session_peers(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> Iterator[Peers]:
    """Makes peers like ``peers``, which live as long as the session: for wider-scoped fixtures of your own.

    Close each with the fixture that made it: ``with session_peers.tcp_echo() as server: yield server``. What goes
    wrong with one fails the test that runs; a script that isn't met fails its closing.
    """
    __tracebackhide__ = True
    shared, of_run = _of_session(request), request.config.stash
    settings = _settings.of_session(of_run[SETTINGS], echoserver_listen_host)
    if SESSION_SCOPE not in of_run:
        of_run[SESSION_SCOPE] = shared.new_scope(settings, None)
    scope = of_run[SESSION_SCOPE]
    shared.having_session_peers += 1  # a module that has imported this has a fixture of its own by it
    try:
        yield shared.peers_in(scope, settings, request)
    finally:
        shared.having_session_peers -= 1
        if not shared.having_session_peers:
            del of_run[SESSION_SCOPE]
            of_run[CLOSED_SESSION_SCOPE] = scope
            scope.close()


@pytest.fixture
def stream_harness(echoserver_listen_host: str | None) -> StreamHarness:
    """Your asyncio stream protocol on a real connection, with the far end in the test's hands.

    ``stream = stream_harness.connect(MyProtocol)``, then ``stream.send(b"...")`` and ``stream.read_until(b"...")``.
    """
    from ._harness.stream import StreamHarness

    of_test = _of_test(echoserver_listen_host)
    return StreamHarness(of_test.scope, of_test.settings.host, of_test.shared.authority)


@pytest.fixture
def datagram_harness(echoserver_listen_host: str | None) -> DatagramHarness:
    """Your asyncio datagram protocol on a real UDP socket, with the far end in the test's hands.

    ``endpoint = datagram_harness.connect(MyProtocol)``, then ``endpoint.send(b"...")`` and
    ``endpoint.next_datagram()``.
    """
    from ._harness.datagram import DatagramHarness

    of_test = _of_test(echoserver_listen_host)
    return DatagramHarness(of_test.scope, of_test.settings.host)


@pytest.fixture
def subprocess_runner(echoserver_listen_host: str | None) -> SubprocessRunner:
    """Runs a program with all its output captured, and ends it with the test.

    ``process = subprocess_runner("cat", stdin=b"hello")``, then ``process.wait().result().stdout``.
    """
    from ._process.runner import SubprocessRunner

    return SubprocessRunner(_of_test(echoserver_listen_host).scope)


@pytest.fixture(scope="session")
def tls_authority(_echoserver_session: OfSession) -> TLSAuthority:
    """A throw-away certificate authority, for TLS that is verified; needs ``pip install pytest-echoserver[tls]``.

    A server under test takes ``tls_authority.server_context()`` or the files of ``.server_certificate()``; a client
    takes ``.client_context()`` or trusts ``.ca_file``.
    """
    return _echoserver_session.authority


@pytest.fixture(scope="session")
def echoserver_listen_host() -> str | None:
    """To be overridden in a conftest: the IP address that peers are bound to, such as ``"::1"``.

    A peer's ``host=`` and the marker's come before it, and it comes before ``--echoserver-host`` and the ini file.
    ``None``, as here, leaves it to them. Keep its scope, ``session``.
    """
    return None


@pytest.fixture(scope="session")
def echoserver_ssl_context() -> SSLContext | None:
    """To be overridden in a conftest: the server-side ``ssl.SSLContext`` of peers that speak TLS.

    A peer's ``tls=`` comes before it. ``None``, as here, means one with a certificate by ``tls_authority``, such as
    ``tls_authority.server_context()`` gives. Keep its scope, ``session``.
    """
    return None


@pytest.fixture(scope="session")
def _echoserver_session(pytestconfig: pytest.Config) -> Iterator[OfSession]:
    """What all tests share, the engine that peers live on above all."""
    from ._session import OfSession

    __tracebackhide__ = True
    if SETTINGS not in pytestconfig.stash:
        _refuse_blocked()
    shared = pytestconfig.stash[OF_SESSION] = OfSession(pytestconfig)
    yield shared
    del pytestconfig.stash[OF_SESSION]
    shared.close()


def _of_session(request: pytest.FixtureRequest) -> OfSession:
    """What all tests share. It is asked of pytest once: where a test depends on it, that takes a while for each."""
    of_run = request.config.stash
    if OF_SESSION not in of_run:
        request.getfixturevalue("_echoserver_session")
    return of_run[OF_SESSION]


def _of_test(listen_host: str | None) -> OfTest:
    """What the test has that asks for one of our fixtures: made for the first of them, ended after the last."""
    __tracebackhide__ = True
    request = _request
    if request is None:  # nobody has called the hook above
        _refuse_blocked()
    node: pytest.Item = request.node
    if OF_TEST not in node.stash:
        from ._session import OfTest

        node.stash[OF_TEST] = OfTest(_of_session(request), request, listen_host)
    return node.stash[OF_TEST]


def _refuse_blocked() -> NoReturn:
    """Fail who asks for a fixture of a plugin that was blocked after it was loaded: it has lost its hooks alone."""
    __tracebackhide__ = True
    raise pytest.UsageError(
        "-p no:pytest_echoserver has come too late: `-p pytest_echoserver`, before that or in addopts, had loaded "
        "the plugin, so its fixtures are there, and its hooks are not; take out the one or the other"
    )
