from collections.abc import Iterator

import pytest
from redis.exceptions import ReadOnlyError
from session_store import SessionStore

from pytest_echoserver import Peers, StreamPeer


def command(*words: bytes) -> bytes:
    """A command as Redis' protocol, RESP, has it: an array of strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def length_of_command(data: bytes) -> int | None:
    """The framing of RESP: how long the first command is, if all of it has come."""
    *lines, _ = data.split(b"\r\n", 2 * int(data[1 : data.index(b"\r\n")]) + 1) if b"\r\n" in data else [b""]
    complete = lines and len(lines) == 2 * int(lines[0][1:]) + 1
    return sum(len(line) + 2 for line in lines) if complete else None


@pytest.fixture
def server(peers: Peers) -> StreamPeer:
    server = peers.tcp(framing=length_of_command)
    server.on(lambda data: b"\r\nCLIENT\r\n" in data).reply(b"+OK\r\n")  # the client introduces itself
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
    server.expect(command(b"GET", b"session:abc")).reply(b"$-1\r\n")
    assert store.user_of("abc") is None


def test_an_error_of_the_server_is_passed_on(server: StreamPeer, store: SessionStore) -> None:
    server.expect(command(b"DEL", b"session:abc")).reply(b"-READONLY You can't write against a replica\r\n")
    with pytest.raises(ReadOnlyError, match="against a replica"):
        store.end("abc")
