"""The hooks of pytest-echoserver, for conftest files and plugins: define one, and it is called.

See `pytest's documentation <https://docs.pytest.org/en/stable/how-to/writing_hook_functions.html>`_ of hooks. As
everywhere there, an implementation may leave out arguments that it doesn't need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from ._peers.bound import BoundPeer
    from ._traffic import Traffic


@pytest.hookspec(firstresult=True)
def pytest_echoserver_loop_factory(config: pytest.Config) -> Callable[[], AbstractEventLoop] | None:
    """Give what makes the event loop that peers live on, in place of ``--echoserver-loop``.

    The first to give one wins. It is called once a session, and again in a forked child. The loop must have
    ``add_reader``: on Windows a selector loop.
    """


@pytest.hookspec
def pytest_echoserver_peer_opened(peer: BoundPeer) -> None:
    """A peer was opened: it is bound, and nobody has its address yet. Called on the thread that asked for it.

    Args:
        peer: a `DatagramPeer`, a `StreamPeer`, a proxy, or a `DeadPeer`.
    """


@pytest.hookspec
def pytest_echoserver_peer_closed(peer: BoundPeer) -> None:
    """A peer was closed, by the test or at the end of its scope; what it captured is still there.

    Args:
        peer: as for ``opened``.
    """


@pytest.hookspec
def pytest_echoserver_traffic(item: pytest.Item, traffic: Traffic) -> None:
    """A test with peers is over. Called once a test, whether it passed or not.

    Args:
        item: the test.
        traffic: all that its peers saw.
    """


@pytest.hookspec(firstresult=True)
def pytest_echoserver_decode(peer: object, data: bytes) -> str | None:
    """Tell in a few words what a message says, such as ``"query for example.org, A"``; None: it isn't known.

    The first to tell wins; it is shown beside the message. Called for the evidence of a failed test alone.

    Args:
        peer: whose message it is: a `DatagramPeer`, a `StreamPeer`, a harness, a process.
        data: a datagram, or what was received or sent of a stream at once, redacted.
    """


@pytest.hookspec
def pytest_echoserver_redact(peer: object, data: bytes) -> bytes | None:
    """Give a message without what must stay out of logs, such as passwords; None: there is nothing such in it.

    Each implementation gets what the one before has left. It goes before all that is shown or written of what
    passed: the timeline, files, the page, the ``decode`` hook, our errors. It does not see what your own assertions
    and exceptions show; and of a stream it gets what was received or sent at once, which may end within a secret.
    It may be called on another thread than the test's.

    Args:
        peer: whose message it is.
        data: as for ``decode``, before it was redacted.
    """


@pytest.hookspec
def pytest_echoserver_peer_types() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Give kinds of peers of your own: ``{name: factory}``.

    ``peers.<name>(**options)`` then calls ``factory(peers, **options)`` and gives what that gives, most likely what
    ``peers.tcp(...)`` or ``peers.udp(...)`` gave it, with rules or a handler of yours.
    """
