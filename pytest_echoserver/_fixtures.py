"""The fixtures, each in a few lines; what they give is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import _deadline, _settings

if TYPE_CHECKING:
    from ssl import SSLContext

    from ._directory import PrivateDirectory
    from ._engine import EngineHost
    from ._harness.stream import StreamHarness
    from ._peers.datagram import DatagramPeer
    from ._peers.peers import Peers
    from ._peers.tls import TLSAuthority
    from ._process.runner import SubprocessRunner
    from ._scope import Scope

SETTINGS = pytest.StashKey[_settings.Settings]()
SCOPE = pytest.StashKey["Scope"]()


@pytest.fixture
def udp_echo_server(_echoserver_peers: Peers) -> DatagramPeer:
    """A UDP server that sends every datagram back, and remembers it; bound before the test starts.

    Send to ``udp_echo_server.address``; wait for what came with ``udp_echo_server.next_datagram()``.
    """
    return _echoserver_peers.udp_echo()


@pytest.fixture
def peers(_echoserver_peers: Peers) -> Peers:
    """Makes any number of network peers, with options: ``peers.udp_echo(host="::1")``."""
    return _echoserver_peers


@pytest.fixture
def stream_harness(_echoserver_scope: Scope) -> StreamHarness:
    """Your asyncio stream protocol on a real socketpair, with the far end in the test's hands.

    ``stream = stream_harness.connect(MyProtocol)``, then ``stream.send(b"...")`` and ``stream.read_until(b"...")``.
    """
    from ._harness.stream import StreamHarness

    return StreamHarness(_echoserver_scope)


@pytest.fixture
def subprocess_runner(_echoserver_scope: Scope) -> SubprocessRunner:
    """Runs a program with all its output captured, and ends it with the test.

    ``process = subprocess_runner("cat", stdin=b"hello")``, then ``process.wait().result().stdout``.
    """
    from ._process.runner import SubprocessRunner

    return SubprocessRunner(_echoserver_scope)


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


@pytest.fixture
def _echoserver_peers(_echoserver_scope: Scope, _echoserver_settings: _settings.Settings) -> Peers:
    from ._peers.peers import Peers

    return Peers(_echoserver_scope, _echoserver_settings.host)


@pytest.fixture
def _echoserver_settings(
    request: pytest.FixtureRequest, echoserver_listen_host: str | None
) -> Iterator[_settings.Settings]:
    settings = _settings.of_test(request.config.stash[SETTINGS], request.node, echoserver_listen_host)
    before, _deadline.default = _deadline.default, settings.timeout
    yield settings
    _deadline.default = before


@pytest.fixture
def _echoserver_scope(
    request: pytest.FixtureRequest, _echoserver_engine: EngineHost, _echoserver_settings: _settings.Settings
) -> Iterator[Scope]:
    from ._scope import Scope

    scope = Scope(_echoserver_engine.get(), _echoserver_settings.timeout)
    request.node.stash[SCOPE] = scope
    yield scope
    scope.close()


@pytest.fixture(scope="session")
def _echoserver_engine(pytestconfig: pytest.Config) -> Iterator[EngineHost]:
    from ._engine import EngineHost

    host = EngineHost(pytestconfig.stash[SETTINGS].loop)
    yield host
    host.stop()


@pytest.fixture(scope="session")
def _echoserver_directory() -> Iterator[PrivateDirectory]:
    from ._directory import PrivateDirectory

    directory = PrivateDirectory()
    yield directory
    directory.close()


@pytest.fixture(scope="session")
def _echoserver_authority(_echoserver_directory: PrivateDirectory) -> TLSAuthority:
    from ._peers.tls import TLSAuthority

    return TLSAuthority(_echoserver_directory)
