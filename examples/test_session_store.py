import re
from collections.abc import Iterator

import pytest
from redis.exceptions import ReadOnlyError
from session_store import SessionStore

from pytest_echoserver import Peers, StreamPeer


def command(*words: bytes) -> bytes:
    """A command as Redis' protocol, RESP, has it: an array of strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def length_of_command(data: bytes) -> int | None:
    """The framing of RESP: how long the first command is, or None while its lengths haven't all come."""
    head = re.match(rb"\*(\d+)\r\n", data)
    end = head.end() if head else 0
    for _ in range(int(head[1]) if head else 0):
        word = re.compile(rb"\$(\d+)\r\n").match(data, end)
        if word is None:
            return None
        end = word.end() + int(word[1]) + 2
    return end or None


@pytest.fixture
def server(peers: Peers) -> StreamPeer:
    """With rules for what the client begins with: how it introduces itself differs from version to version."""
    server = peers.tcp(framing=length_of_command, name="redis")
    server.on(command(b"HELLO", b"3")).reply(b"%1\r\n+proto\r\n:3\r\n")
    server.on(re.compile(rb".*\r\nCLIENT\r\n.*", re.DOTALL)).reply(b"+OK\r\n")
    return server


@pytest.fixture
def store(server: StreamPeer) -> Iterator[SessionStore]:
    store = SessionStore(server.host, server.port)
    yield store
    store.close()


def test_a_session_has_a_user(server: StreamPeer, store: SessionStore) -> None:
    server.expect(command(b"GET", b"session:abc")).reply(b"$3\r\njoe\r\n")
    assert store.user_of("abc") == "joe"


def test_an_unknown_session_has_none(server: StreamPeer, store: SessionStore) -> None:
    server.expect(command(b"GET", b"session:abc")).reply(b"_\r\n")
    assert store.user_of("abc") is None


def test_an_error_of_the_server_is_passed_on(server: StreamPeer, store: SessionStore) -> None:
    server.expect(command(b"DEL", b"session:abc")).reply(b"-READONLY You can't write against a replica\r\n")
    with pytest.raises(ReadOnlyError, match="against a replica"):
        store.end("abc")
