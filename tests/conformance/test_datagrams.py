"""A check of a datagram protocol passes what is well made, and names what is wrong with what isn't."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_echoserver import DatagramHarness
from pytest_echoserver.conformance import ConformanceError, check_datagram_protocol

from .conftest import flaws_of

CONVERSATION: list[tuple[bytes | None, bytes | list[bytes]]] = [
    (b"hello", b"HELLO"),
    (b"twice", [b"TWICE", b"TWICE"]),
    (b"quiet", []),
]


class Upper(asyncio.DatagramProtocol):
    """Answers each datagram in capitals, one as it is told, and does all else right as well."""

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)
        for _ in range({b"quiet": 0, b"twice": 2}.get(data, 1)):
            self.answer(data.upper(), addr)

    def answer(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@pytest.mark.parametrize("remote", [True, False])
def test_what_is_well_made_passes(datagram_harness: DatagramHarness, remote: bool) -> None:
    check_datagram_protocol(datagram_harness, Upper, CONVERSATION, remote=remote)


class Shares(Upper):
    """Counts in what all endpoints share."""

    counted: list[bytes] = []  # noqa: RUF012  that is what is wrong

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.counted.append(data)
        self.answer(b"%d" % len(self.counted), addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.counted.clear()


class AnswersTheFirst(Upper):
    """Answers whoever was the first to ask."""

    asker: Any = None

    def answer(self, data: bytes, addr: Any) -> None:
        self.asker = self.asker or addr
        self.transport.sendto(data, self.asker)


class TrustsItsPeer(Upper):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[0] >= 0:
            super().datagram_received(data, addr)


class TakesErrorsHard(Upper):
    def error_received(self, exc: Exception) -> None:
        raise exc


class CountsOnOne(Upper):
    """Has a future that is fulfilled again by each datagram."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.hello: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data == b"hello":
            self.hello.set_result(data)
        super().datagram_received(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.hello.cancel()


class KeepsWaiters(CountsOnOne):
    def connection_lost(self, exc: Exception | None) -> None:
        pass


class RaisesAtTheEnd(Upper):
    def connection_lost(self, exc: Exception | None) -> None:
        if b"quiet" not in self.got:
            raise LookupError("it was never quiet")


class GoesOn(Upper):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.task = asyncio.ensure_future(asyncio.Event().wait())


class SaysMore(Upper):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        if data == b"quiet":
            self.answer(b"ok", addr)


@pytest.mark.parametrize(
    ("factory", "flaws"),
    [
        (
            AnswersTheFirst,
            {"stranger": "the same, before each datagram: to b'hello' it answered nothing, not b'HELLO'"},
        ),
        (TrustsItsPeer, {"damaged": "b'' in place of b'hello': IndexError"}),
        (TakesErrorsHard, {"error": "error_received(ConnectionRefusedError()) at once: ConnectionRefusedError"}),
        (RaisesAtTheEnd, {"close": "closed at once: LookupError: it was never quiet"}),
        (GoesOn, {"left": "1 s after connection_lost one of its tasks still runs: Event.wait"}),
        (SaysMore, {"conversation": "after all that it was to answer, it also sent b'ok'"}),
    ],
    ids=lambda it: it.__name__ if isinstance(it, type) else "",
)
def test_what_is_wrong_is_named(
    datagram_harness: DatagramHarness, factory: Callable[[], Any], flaws: dict[str, str]
) -> None:
    told = flaws_of(lambda: check_datagram_protocol(datagram_harness, factory, CONVERSATION, remote=False))
    for name, text in flaws.items():
        assert text in told.get(name, ""), told
    if factory not in (TakesErrorsHard, RaisesAtTheEnd, TrustsItsPeer):  # which fail in other checks, too
        assert told.keys() == flaws.keys()


def test_what_endpoints_share_is_named(datagram_harness: DatagramHarness) -> None:
    told = flaws_of(lambda: check_datagram_protocol(datagram_harness, Shares, [(b"a", b"1"), (b"b", b"2")]))
    assert told == {"two": "two endpoints at a time: to b'a' it answered b'2', not b'1'"}


def test_a_datagram_may_come_twice(datagram_harness: DatagramHarness) -> None:
    told = flaws_of(lambda: check_datagram_protocol(datagram_harness, CountsOnOne, CONVERSATION))
    assert told.keys() == {"duplicate"}
    assert "each datagram arrives twice: InvalidStateError" in told["duplicate"]


def test_futures_that_nobody_fulfils_are_named(datagram_harness: DatagramHarness) -> None:
    told = flaws_of(
        lambda: check_datagram_protocol(datagram_harness, KeepsWaiters, CONVERSATION, skip=["duplicate"])
    )
    assert told == {
        "left": "closed at once: 1 s after connection_lost nothing has fulfilled its future `hello`: "
        "who awaits that, waits for ever"
    }


class Client(asyncio.DatagramProtocol):
    """Asks, and ends with the first answer."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.sendto(b"time?")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)
        self.transport.close()


def test_a_client_speaks_first(datagram_harness: DatagramHarness) -> None:
    def outcome(client: Client) -> list[bytes]:
        return client.got

    check_datagram_protocol(datagram_harness, Client, [(None, b"time?"), (b"noon", [])], outcome=outcome)


class Hears(Upper):
    """Takes from anybody what only the one that it talks to may say."""

    def answer(self, data: bytes, addr: Any) -> None:
        pass


def test_what_a_stranger_says_may_change_nothing(datagram_harness: DatagramHarness) -> None:
    def outcome(protocol: Hears) -> int:
        return len(protocol.got)

    told = flaws_of(
        lambda: check_datagram_protocol(datagram_harness, Hears, [(b"on", [])], remote=False, outcome=outcome)
    )
    assert told["stranger"].endswith("its outcome is 2, not 1")


@pytest.mark.echoserver(host="::1")
def test_over_ipv6(datagram_harness: DatagramHarness) -> None:
    check_datagram_protocol(datagram_harness, Upper, CONVERSATION, remote=False)


def test_nothing_of_it_fails_the_test(datagram_harness: DatagramHarness) -> None:
    with pytest.raises(ConformanceError):
        check_datagram_protocol(datagram_harness, SaysMore, CONVERSATION)
    assert datagram_harness._scope.errors == []


ONE = Upper()


def test_an_outcome_that_equals_nothing_is_told(datagram_harness: DatagramHarness) -> None:
    told = flaws_of(
        lambda: check_datagram_protocol(datagram_harness, Upper, CONVERSATION, outcome=lambda _: float("nan"))
    )
    assert told.keys() == {"conversation"}
    assert "held as it was given, once more: its outcome is nan, not nan" in told["conversation"]


def test_a_long_conversation_is_not_held_again_too_often(datagram_harness: DatagramHarness) -> None:
    got: list[bytes] = []

    class Counted(Upper):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            got.append(data)
            super().datagram_received(data, addr)

    conversation: list[tuple[bytes | None, bytes]] = [(b"%d" % at, b"%d" % at) for at in range(200)]
    skip = ["two", "close", "error", "duplicate"]
    check_datagram_protocol(datagram_harness, Counted, conversation, skip=skip)
    assert 1_000 < len(got) < 3_000


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"conversation": b"hello"}, TypeError, "a conversation is a list of"),
        ({"conversation": [b"hello"]}, TypeError, "a turn must be (datagram to send or None, list of answers)"),
        ({"conversation": [("hello", b"")]}, TypeError, "what is sent, if it isn't None, must be bytes"),
        (
            {"conversation": [(b"hello", "HELLO")]},
            TypeError,
            "answers must be a datagram's bytes, or a list of such",
        ),
        ({"conversation": [(b"hello", ["HELLO"])]}, TypeError, "an answer must be bytes, not 'HELLO'"),
        ({"conversation": [(b"hello", None)]}, TypeError, "answers must be a datagram's bytes, or a list of such"),
        ({"conversation": []}, ValueError, "has at least one turn"),
        ({"factory": None}, TypeError, "a factory of datagram protocols"),
        ({"factory": lambda: ONE}, ValueError, "the factory gave the same protocol twice, <"),
        ({"factory": object}, TypeError, "the factory has to give an asyncio.DatagramProtocol, not <object"),
        ({"remote": "no"}, TypeError, "remote must be True or False, not 'no'"),
        ({"skip": ["cut"]}, ValueError, "skip must be of 'two', 'stranger', 'close'"),
    ],
)
def test_wrong_arguments(
    datagram_harness: DatagramHarness, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments: dict[str, Any] = {"factory": Upper, "conversation": CONVERSATION, **given}
    with pytest.raises(error, match=re.escape(text)):
        check_datagram_protocol(datagram_harness, **arguments)
