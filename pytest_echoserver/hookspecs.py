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


@pytest.hookspec(firstresult=True)
def pytest_echoserver_loop_factory(config: pytest.Config) -> Callable[[], AbstractEventLoop] | None:
    """Give what makes the event loop that peers live on, in place of ``--echoserver-loop``.

    The first to give one wins. It is called once a session, and again in a forked child. The loop must have
    ``add_reader``: on Windows a selector loop.
    """


@pytest.hookspec
def pytest_echoserver_peer_opened(peer: BoundPeer) -> None:
    """A peer was opened: it is bound, and nobody has its address yet. Called on the thread that asked for it."""


@pytest.hookspec
def pytest_echoserver_peer_closed(peer: BoundPeer) -> None:
    """A peer was closed, by the test or at the end of its scope; what it captured is still there."""


@pytest.hookspec
def pytest_echoserver_peer_types() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Give kinds of peers of your own: ``{name: factory}``.

    ``peers.<name>(**options)`` then calls ``factory(peers, **options)`` and gives what that gives, most likely what
    ``peers.tcp(...)`` or ``peers.udp(...)`` gave it, with rules or a handler of yours.
    """
