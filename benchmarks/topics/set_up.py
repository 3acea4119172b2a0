"""What it costs to have a peer: from nothing to bound and answering, and to nothing again."""

import select
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_echoserver._transports.datagram import RECEIVE_BUFFER

from .. import ours, rivals
from ..measure import Calls, Goal, Sample, Topic, Unavailable, Variant

SHARED = "a loop in a thread, run_coroutine_threadsafe"
THREAD = "a thread and a loop for each"


def _of_ours(make: str) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with ours.peers() as peers:
            yield Calls(lambda: getattr(peers, make)().close())

    return variant


def _on_shared_loop(start: Callable[[], Any]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with rivals.shared_loop() as run:
            yield Calls(lambda: run(rivals.close(run(start()))))

    return variant


def _on_loop_of_its_own(start: Callable[[], Any]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        def once() -> None:
            with rivals.shared_loop() as run:
                run(rivals.close(run(start())))

        yield Calls(once)

    return variant


def _socketserver(kind: type[socketserver.BaseServer], handler: type[socketserver.BaseRequestHandler]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        def once() -> None:
            with kind(rivals.LOCAL, handler) as server:
                thread = threading.Thread(target=server.serve_forever, args=(0.001,))
                thread.start()
                server.shutdown()
                thread.join()

        yield Calls(once)

    return variant


def _of_plugin(once: Callable[[], None]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        once()  # unavailable, perhaps
        # Its server looks every half a second whether it is to end: so a sample has few of it.
        yield lambda times: Calls(once)(max(1, times // 100))

    return variant


def _bare(kind: socket.SocketKind) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        def once() -> None:
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.bind(rivals.LOCAL)
                if kind == socket.SOCK_STREAM:
                    sock.listen()

        yield Calls(once)

    return variant


@contextmanager
def _system_calls() -> Iterator[Sample]:
    """What no UDP peer can do without that has a large buffer, is watched and knows what was dropped: the limit."""
    if sys.platform != "linux":
        raise Unavailable("Linux")
    so_meminfo, figures = 55, 36
    with select.epoll() as poller:

        def once() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                sock.bind(rivals.LOCAL)
                sock.getsockname()
                poller.register(sock, select.EPOLLIN)
                sock.getsockopt(socket.SOL_SOCKET, so_meminfo, figures)
                poller.unregister(sock)

        yield Calls(once)


class _UDPHandler(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


class _TCPHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


TOPICS = {
    "set-up-udp": Topic(
        "a UDP peer's set-up and tear-down",
        ("µs", 1e6),
        {
            ours.NAME: _of_ours("udp_echo"),
            SHARED: _on_shared_loop(rivals.udp_endpoint),
            THREAD: _on_loop_of_its_own(rivals.udp_endpoint),
            "socketserver.ThreadingUDPServer in a thread": _socketserver(
                socketserver.ThreadingUDPServer, _UDPHandler
            ),
            "a bare socket, bound and closed": _bare(socket.SOCK_DGRAM),
            "the system calls of a UDP peer, and nothing else": _system_calls,
        },
        200,
        (
            Goal(ours.NAME, SHARED, 1 / 8),
            Goal(ours.NAME, THREAD, 1 / 16),
            Goal(ours.NAME, "a bare socket, bound and closed", 2),
        ),
    ),
    "set-up-tcp": Topic(
        "a TCP peer's set-up and tear-down",
        ("µs", 1e6),
        {
            ours.NAME: _of_ours("tcp_echo"),
            SHARED: _on_shared_loop(rivals.tcp_server),
            THREAD: _on_loop_of_its_own(rivals.tcp_server),
            "socketserver.ThreadingTCPServer in a thread": _socketserver(
                socketserver.ThreadingTCPServer, _TCPHandler
            ),
            "pytest-httpserver": _of_plugin(rivals.http_server),
            "pytest-localserver": _of_plugin(rivals.local_server),
            "a bare socket, listening and closed": _bare(socket.SOCK_STREAM),
        },
        200,
        (Goal(ours.NAME, SHARED, 1 / 5), Goal(ours.NAME, THREAD, 1 / 10)),
    ),
}
