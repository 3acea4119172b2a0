"""What all tests of a session share, and what one test has: made for whoever asks first, and ended with it."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from threading import RLock
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from . import (
    _deadline,
    _judging,  # noqa: F401  now: where it is needed there may be no descriptor left to load it by
    _settings,
)
from ._directory import PrivateDirectory
from ._engine import LOOPS, EngineHost
from ._kept import OF_TEST, SCOPE, SETTINGS, TESTS_ARE_OVER
from ._scope import Scope

if TYPE_CHECKING:
    from ssl import SSLContext

    import pytest

    from ._peers.defaults import Defaults
    from ._peers.peers import Peers
    from ._peers.tls import TLSAuthority
    from ._settings import Settings

FIXTURES = f"{__package__}._fixtures"


class OfSession:
    """What all tests share; ended with the session.

    Attributes:
        engine: the thread that peers live on; it is started by whoever asks for it first.
        directory: one that only this user can enter, for Unix sockets and certificates; made likewise.
        having_session_peers: how many fixtures have the session's peers; their scope ends with the last one.
        of_test: what the test has that runs, or that pytest has not ended.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._hooks = _Hooks(config)
        factory = config.hook.pytest_echoserver_loop_factory(config=config)
        self.engine = EngineHost(factory or LOOPS[self._settings.loop])
        self.directory = PrivateDirectory()
        self.having_session_peers: int = 0
        self.of_test: OfTest | None = None
        self._authority: TLSAuthority | None = None
        self._making = RLock()  # peers may be made by several threads at once, fixtures by one
        self._switch_interval_before = sys.getswitchinterval()
        sys.setswitchinterval(self._settings.switch_interval or self._switch_interval_before)
        config.add_cleanup(self.close)  # pytest may call no finalizer: see `OfTest.end_instead`

    def close(self) -> None:
        """End all that there is; it may be called again."""
        try:
            if self.of_test is not None:
                self.of_test.end()
            self.directory.close()
        finally:
            sys.setswitchinterval(self._switch_interval_before)
            self.engine.stop()

    @property
    def authority(self) -> TLSAuthority:
        """What ``tls_authority`` gives, whatever a conftest has overridden."""
        with self._making:
            if self._authority is None:
                from ._peers.tls import TLSAuthority

                self._authority = TLSAuthority(self.directory)
            return self._authority

    def new_scope(self, settings: Settings, node: pytest.Item | None) -> Scope:
        """A scope for this test; without one, for what lives longer."""
        node_id = None if node is None else node.nodeid
        return Scope(
            self.engine.get(),
            settings.timeout,
            self._hooks,
            wide=node is None,
            seeding=lambda: (
                settings.seed_of(node_id),
                settings.repeat(None if node is None else _as_an_argument(node)),
            ),
        )

    def peers_in(self, scope: Scope, settings: Settings, request: pytest.FixtureRequest) -> Peers:
        """What makes the peers of a scope."""

        def context() -> SSLContext:
            # Asked for when it is needed: somebody's own may take a while to make.
            with self._making:
                theirs: SSLContext | None = request.getfixturevalue("echoserver_ssl_context")
                return theirs or self._own_context

        # Few tests have settings of their own.
        defaults = self._usual if settings is self._settings else _defaults_of(settings)
        return self._peers_type(scope, self.directory, context, defaults)

    @cached_property
    def _own_context(self) -> SSLContext:
        return self.authority.server_context()

    @cached_property
    def _peers_type(self) -> type[Peers]:
        from ._peers.peers import Peers

        given = self._config.hook.pytest_echoserver_peer_types()
        if not given:
            return Peers
        from ._peers.kinds import with_kinds

        return with_kinds(given)

    @cached_property
    def _usual(self) -> Defaults:
        return _defaults_of(self._settings)


def _as_an_argument(node: pytest.Item) -> str:
    """The test as pytest takes it where it was started: ids are mostly from the root directory on, not always."""
    try:
        path = Path(os.path.relpath(node.path, node.config.invocation_params.dir))
    except ValueError:  # on another drive of Windows
        path = node.path
    _, names, name = node.nodeid.partition("::")
    return path.as_posix() + names + name


def _defaults_of(settings: Settings) -> Defaults:
    from ._peers.defaults import Defaults

    return Defaults(timeout=settings.timeout, host=settings.host, strict=settings.strict, faults=settings.faults)


class OfTest:
    """What one test has: its settings, its scope, and, once they are asked for, its peers.

    It is no fixture, for pytest takes longer to set one up than we need for all that is in it. It ends where one
    would: pytest calls the finalizers of a test and its fixtures in the order opposite to that of their making.
    """

    def __init__(self, shared: OfSession, request: pytest.FixtureRequest, listen_host: str | None) -> None:
        node: pytest.Item = request.node
        self.shared = shared
        self.settings = _settings.of_test(request.config.stash[SETTINGS], node, listen_host)
        self.scope = shared.new_scope(self.settings, node)
        self._request = request
        self._peers: Peers | None = None
        self._timeout_before = _deadline.default
        node.addfinalizer(self.end)
        shared.of_test = self
        node.stash[SCOPE] = self.scope
        _deadline.default = self.settings.timeout

    @property
    def peers(self) -> Peers:
        # No cached_property: up to Python 3.11 that takes a lock, here for each test.
        if self._peers is None:
            self._peers = self.shared.peers_in(self.scope, self.settings, self._request)
        return self._peers

    def end_instead(self) -> None:
        """End it where pytest doesn't: it forgets all finalizers once a tear-down has raised what is no Exception.

        So it does those of our fixtures, and would give to the next test what they gave to this one.
        """
        for fixture in self._request._fixture_defs.values():
            if fixture.scope == "function" and fixture.func.__module__ == FIXTURES:
                fixture.finish(self._request)  # type: ignore[arg-type]
        self.end()

    def end(self) -> None:
        __tracebackhide__ = True
        self.shared.of_test = None
        del self._request.node.stash[OF_TEST]
        try:
            self.scope.close()
        finally:
            _deadline.default = self._timeout_before


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
