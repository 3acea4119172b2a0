"""The fixtures, each in a few lines; what they give is imported when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache, cached_property
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import pytest

from . import _deadline, _settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from ._directory import PrivateDirectory
    from ._engine import EngineHost
    from ._harness.datagram import DatagramHarness
    from ._harness.stream import StreamHarness
    from ._peers.datagram import DatagramPeer
    from ._peers.peers import Peers
    from ._peers.stream import StreamPeer
    from ._peers.tls import TLSAuthority
    from ._process.runner import SubprocessRunner
    from ._scope import Scope

    PeerMaker = Callable[[pytest.FixtureRequest, Scope, _settings.Settings], Peers]

SETTINGS = pytest.StashKey[_settings.Settings]()
SCOPE = pytest.StashKey["Scope"]()
SESSION_SCOPE = pytest.StashKey["Scope"]()
CLOSED_SESSION_SCOPE = pytest.StashKey["Scope"]()
"""The session's, until the test that it was closed after is reported."""
KEPT = pytest.StashKey[dict[str, Any]]()
OF_TEST = pytest.StashKey["OfTest"]()
TESTS_ARE_OVER = pytest.StashKey[bool]()
"""Set once no test runs any more: what is torn down after that was left by a run that was interrupted."""


@pytest.fixture
def udp_echo_server(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> DatagramPeer:
    """A UDP server that sends every datagram back, and remembers it; bound before the test starts.

    Send to ``udp_echo_server.address``; wait for what came with ``udp_echo_server.next_datagram()``.
    """
    return _of_test(request, echoserver_listen_host).peers.udp_echo()


@pytest.fixture
def tcp_echo_server(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A TCP server that sends back what comes, and remembers it; listening before the test starts.

    Connect to ``tcp_echo_server.address``; what came is ``tcp_echo_server.connection.received``.
    """
    return _of_test(request, echoserver_listen_host).peers.tcp_echo()


@pytest.fixture
def unix_echo_server(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A server on a Unix socket that sends back what comes, and remembers it; its ``address`` is a path."""
    return _of_test(request, echoserver_listen_host).peers.unix_echo()


@pytest.fixture
def tls_echo_server(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A TLS server that sends back what comes, and remembers it; clients trust it by ``tls_authority``.

    A client takes ``tls_authority.client_context()``, or trusts ``tls_authority.ca_file``.
    """
    return _of_test(request, echoserver_listen_host).peers.tls_echo()


@pytest.fixture
def udp_peer(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> DatagramPeer:
    """A UDP peer with no behaviour yet: ``udp_peer.expect(b"ping").reply(b"pong")``, or ``@udp_peer.serve``."""
    return _of_test(request, echoserver_listen_host).peers.udp()


@pytest.fixture
def tcp_peer(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A TCP peer with no behaviour yet: ``tcp_peer.expect(b"hi").reply(b"ho")``, or ``@tcp_peer.serve``."""
    return _of_test(request, echoserver_listen_host).peers.tcp()


@pytest.fixture
def unix_peer(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A peer on a Unix socket with no behaviour yet, to be given a script or a handler.

    Its ``address`` is a path.
    """
    return _of_test(request, echoserver_listen_host).peers.unix()


@pytest.fixture
def tls_peer(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamPeer:
    """A TLS peer with no behaviour yet, to be given a script or a handler; clients trust it by ``tls_authority``.

    A client takes ``tls_authority.client_context()``, or trusts ``tls_authority.ca_file``.
    """
    return _of_test(request, echoserver_listen_host).peers.tls()


@pytest.fixture
def peers(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> Peers:
    """Makes any number of network peers, with options, and closes them all: ``peers.tcp_echo(host="::1")``.

    Servers (``udp``, ``tcp``, ``unix``, ``tls``, each with ``_echo`` too), proxies (``udp_proxy``, ``tcp_proxy``),
    addresses where nobody is (``refusing``, ``blackhole``), port numbers (``reserve_port``).
    """
    return _of_test(request, echoserver_listen_host).peers


@pytest.fixture
def reserved_port(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> int:
    """A port number for a server that must be told its port, as by its command line: reserved for this test.

    Nobody has it bound, so the server can bind it for TCP and UDP, on any address, with whatever options it sets;
    so can peers. It is outside the range from which the system gives ports to those who ask for any, and locked, by
    a file in a directory of the machine, against all other tests, workers and runs of this user with this plugin.

    It can't be kept from other users, from programs that bind a fixed number without this plugin, and from
    containers that share the network but not that directory (``/tmp``). Where the server can bind port 0 and tell
    what it got, that is safer. For more than one: ``peers.reserve_port()``.
    """
    return _of_test(request, echoserver_listen_host).peers.reserve_port()


@pytest.fixture(scope="session")
def session_peers(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> Peers:
    """Makes peers like ``peers``, which live as long as the session: for wider-scoped fixtures of your own.

    Close each with the fixture that made it: ``with session_peers.tcp_echo() as server: yield server``. What goes
    wrong with one fails the test that runs; a script that isn't met fails its closing.
    """
    settings = _settings.of_session(request.config.stash[SETTINGS], echoserver_listen_host)
    make: PeerMaker = _of_session(request, "_echoserver_peer_maker")
    return make(request, _of_session(request, "_echoserver_session_scope"), settings)


@pytest.fixture
def stream_harness(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> StreamHarness:
    """Your asyncio stream protocol on a real connection, with the far end in the test's hands.

    ``stream = stream_harness.connect(MyProtocol)``, then ``stream.send(b"...")`` and ``stream.read_until(b"...")``.
    """
    from ._harness.stream import StreamHarness

    of_test = _of_test(request, echoserver_listen_host)
    return StreamHarness(of_test.scope, of_test.settings.host, _of_session(request, "_echoserver_authority"))


@pytest.fixture
def datagram_harness(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> DatagramHarness:
    """Your asyncio datagram protocol on a real UDP socket, with the far end in the test's hands.

    ``endpoint = datagram_harness.connect(MyProtocol)``, then ``endpoint.send(b"...")`` and
    ``endpoint.next_datagram()``.
    """
    from ._harness.datagram import DatagramHarness

    of_test = _of_test(request, echoserver_listen_host)
    return DatagramHarness(of_test.scope, of_test.settings.host)


@pytest.fixture
def subprocess_runner(request: pytest.FixtureRequest, echoserver_listen_host: str | None) -> SubprocessRunner:
    """Runs a program with all its output captured, and ends it with the test.

    ``process = subprocess_runner("cat", stdin=b"hello")``, then ``process.wait().result().stdout``.
    """
    from ._process.runner import SubprocessRunner

    return SubprocessRunner(_of_test(request, echoserver_listen_host).scope)


@pytest.fixture(scope="session")
def tls_authority(_echoserver_authority: TLSAuthority) -> TLSAuthority:
    """A throw-away certificate authority, for TLS that is verified; needs ``pip install pytest-echoserver[tls]``.

    A server under test takes ``tls_authority.server_context()`` or the files of ``.server_certificate()``; a client
    takes ``.client_context()`` or trusts ``.ca_file``.
    """
    return _echoserver_authority


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


class OfTest:
    """What one test has: its settings, its scope, and, once they are asked for, its peers."""

    def __init__(self, request: pytest.FixtureRequest, settings: _settings.Settings, scope: Scope) -> None:
        self.settings = settings
        self.scope = scope
        self._request = request

    @cached_property
    def peers(self) -> Peers:
        make: PeerMaker = _of_session(self._request, "_echoserver_peer_maker")
        return make(self._request, self.scope, self.settings)


def _of_test(request: pytest.FixtureRequest, listen_host: str | None) -> OfTest:
    """What the test has that asks for one of our fixtures: made for the first of them, closed after the last.

    It is no fixture, for pytest takes longer to set one up than we need for all that is in it. It ends where one
    would: pytest calls the finalizers of a test and its fixtures in the order opposite to that of their making.
    """
    node: pytest.Item = request.node
    if OF_TEST not in node.stash:
        node.stash[OF_TEST] = _new_of_test(request, node, listen_host)
    return node.stash[OF_TEST]


def _new_of_test(request: pytest.FixtureRequest, node: pytest.Item, listen_host: str | None) -> OfTest:
    from ._scope import Scope

    settings = _settings.of_test(request.config.stash[SETTINGS], node, listen_host)
    host: EngineHost = _of_session(request, "_echoserver_engine")
    before = _deadline.default
    scope = Scope(
        host.get(),
        settings.timeout,
        _Hooks(request.config),
        seeding=lambda: (settings.seed_of(node.nodeid), settings.repeat(node.nodeid)),
    )

    def end() -> None:
        __tracebackhide__ = True
        del node.stash[OF_TEST]
        try:
            scope.close()
        finally:
            _deadline.default = before

    node.addfinalizer(end)
    node.stash[SCOPE] = scope
    _deadline.default = settings.timeout
    return OfTest(request, settings, scope)


def _of_session(request: pytest.FixtureRequest, name: str) -> Any:
    """What a fixture of ours gave, which lives as long as the session; it is looked up once.

    Where a test depends on it, pytest looks it up for each, and all that it depends on in turn.
    """
    kept = request.config.stash.setdefault(KEPT, {})
    if name not in kept:
        kept[name] = request.getfixturevalue(name)
    return kept[name]


@pytest.fixture(scope="session")
def _echoserver_peer_maker(pytestconfig: pytest.Config, _echoserver_directory: PrivateDirectory) -> PeerMaker:
    """Makes the ``Peers`` of any scope: all that is the same in the whole session, put together once."""
    from ._peers.defaults import Defaults
    from ._peers.peers import Peers, merged_types

    @cache
    def own_context(authority: TLSAuthority) -> SSLContext:
        return authority.server_context()

    def defaults_of(settings: _settings.Settings) -> Defaults:
        return Defaults(
            timeout=settings.timeout, host=settings.host, strict=settings.strict, faults=settings.faults
        )

    types = merged_types(pytestconfig.hook.pytest_echoserver_peer_types())
    of_run = pytestconfig.stash[SETTINGS]
    usual = defaults_of(of_run)

    def make(request: pytest.FixtureRequest, scope: Scope, settings: _settings.Settings) -> Peers:
        def context() -> SSLContext:
            # Asked for when it is needed: somebody's own may take a while to make.
            theirs: SSLContext | None = request.getfixturevalue("echoserver_ssl_context")
            return theirs or own_context(_of_session(request, "_echoserver_authority"))

        # Few tests have settings of their own.
        defaults = usual if settings is of_run else defaults_of(settings)
        return Peers(scope, _echoserver_directory, context, types, defaults)

    return make


@pytest.fixture(scope="session")
def _echoserver_session_scope(pytestconfig: pytest.Config, _echoserver_engine: EngineHost) -> Iterator[Scope]:
    """What lives as long as the session: its errors, its end."""
    from ._scope import Scope

    settings = pytestconfig.stash[SETTINGS]
    scope = Scope(
        _echoserver_engine.get(),
        settings.timeout,
        _Hooks(pytestconfig),
        wide=True,
        seeding=lambda: (settings.seed_of(None), settings.repeat(None)),
    )
    pytestconfig.stash[SESSION_SCOPE] = scope
    yield scope
    del pytestconfig.stash[SESSION_SCOPE]
    pytestconfig.stash[CLOSED_SESSION_SCOPE] = scope
    scope.close()


@pytest.fixture(scope="session")
def _echoserver_engine(pytestconfig: pytest.Config) -> Iterator[EngineHost]:
    """The thread that peers live on; it is started by whoever asks for it first."""
    from . import _judging  # noqa: F401  now: where it is needed there may be no descriptor left to load it by
    from ._engine import LOOPS, EngineHost

    settings = pytestconfig.stash[SETTINGS]
    factory = pytestconfig.hook.pytest_echoserver_loop_factory(config=pytestconfig)
    host = EngineHost(factory or LOOPS[settings.loop])
    before = sys.getswitchinterval()
    sys.setswitchinterval(settings.switch_interval or before)
    yield host
    sys.setswitchinterval(before)
    pytestconfig.stash.setdefault(KEPT, {}).clear()
    host.stop()


@pytest.fixture(scope="session")
def _echoserver_directory() -> Iterator[PrivateDirectory]:
    """A directory that only this user can enter, for Unix sockets and certificates."""
    from ._directory import PrivateDirectory

    directory = PrivateDirectory()
    yield directory
    directory.close()


@pytest.fixture(scope="session")
def _echoserver_authority(_echoserver_directory: PrivateDirectory) -> TLSAuthority:
    """What ``tls_authority`` gives, whatever a conftest has overridden."""
    from ._peers.tls import TLSAuthority

    return TLSAuthority(_echoserver_directory)


def has_peers(item: pytest.Item) -> bool:
    """Whether a test has peers, of its own or the session's, which may have been closed with it just now."""
    of_session = item.config.stash
    return SCOPE in item.stash or SESSION_SCOPE in of_session or CLOSED_SESSION_SCOPE in of_session


class _Hooks:
    """Passes what happens to peers on to pytest's hooks; these are called for each peer, and few runs have any."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._hook = config.hook

    def opened(self, peer: Any) -> None:
        self._tell(self._hook.pytest_echoserver_peer_opened, peer)

    def closed(self, peer: Any) -> None:
        self._tell(self._hook.pytest_echoserver_peer_closed, peer)

    @staticmethod
    def _tell(hook: Any, peer: Any) -> None:
        if hook.get_hookimpls():
            hook(peer=peer)

    def written(self, error: Exception) -> bool:
        # Once no test runs any more nobody takes what is raised.
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if TESTS_ARE_OVER not in self._config.stash or terminal is None:
            return False
        terminal.write_line("")
        for line in format_exception(error, limit=0):
            terminal.write_line(line.rstrip())
        return True

    def redacted(self, peer: Any, data: bytes) -> bytes:
        from ._redaction import redacted

        return redacted(reversed(self._hook.pytest_echoserver_redact.get_hookimpls()), peer, data)
