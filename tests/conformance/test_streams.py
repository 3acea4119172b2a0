"""A check of a stream protocol passes what is well made, and names what is wrong with what isn't."""

import asyncio
import gc
import re
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count, cycle
from typing import Any

import pytest

from pytest_echoserver import StreamHarness
from pytest_echoserver.conformance import ConformanceError, check_stream_protocol

from .conftest import flaws_of

CONVERSATION = [(b"hello\n", b"HELLO\n"), (b"one\ntwo\n", b"ONE\nTWO\n")]


class Lines(asyncio.Protocol):
    """Answers each line in capitals, and does all else right as well."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.rest = b""
        self.lines: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.lines += lines
        for line in lines:
            self.transport.write(line.upper() + b"\n")

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class BufferedLines(asyncio.BufferedProtocol, Lines):
    """The same, with a buffer of its own."""

    def get_buffer(self, sizehint: int) -> bytearray:
        self.buffer = bytearray(1_024)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


async def answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()
    except (ConnectionError, ValueError):  # ValueError: a line was too long
        pass
    finally:
        writer.close()


def streams() -> asyncio.StreamReaderProtocol:
    return asyncio.StreamReaderProtocol(asyncio.StreamReader(), answer_lines)


@pytest.mark.parametrize("factory", [Lines, BufferedLines, streams], ids=lambda it: it.__name__)
def test_what_is_well_made_passes(stream_harness: StreamHarness, factory: Callable[[], Any]) -> None:
    check_stream_protocol(stream_harness, factory, CONVERSATION, repeats=True)


class OneRead(Lines):
    """Takes each read for a line."""

    def data_received(self, data: bytes) -> None:
        self.lines.append(data.strip())
        self.transport.write(data.strip().upper() + b"\n")


class ForgetsTheRest(Lines):
    """Takes what a read begins with, and drops what comes behind the last line."""

    def data_received(self, data: bytes) -> None:
        for line in data.split(b"\n")[:-1]:
            self.transport.write(line.upper() + b"\n")


class OneOfSeveral(Lines):
    """Takes one line of each read."""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        line, end, rest = self.rest.partition(b"\n")
        if end:
            self.rest = rest
            self.transport.write(line.upper() + b"\n")


class Shares(Lines):
    """Has a buffer that all connections share."""

    shared = bytearray()

    def data_received(self, data: bytes) -> None:
        self.shared += data
        data = bytes(self.shared[: self.shared.rfind(b"\n") + 1])
        del self.shared[: len(data)]
        super().data_received(data)


class StaysOpen(Lines):
    """Keeps its half of the connection open, and never closes that."""

    def eof_received(self) -> bool:
        return True


class RaisesAtTheEnd(Lines):
    def eof_received(self) -> bool | None:
        raise LookupError("no more")


class RaisesAtReset(Lines):
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            raise exc


class TrustsItsPeer(Lines):
    def data_received(self, data: bytes) -> None:
        super().data_received(data.decode().encode())


class KeepsWaiters(Lines):
    """Has a future that nobody fulfils where the connection is lost before a line has come."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.first_line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.lines and not self.first_line.done():
            self.first_line.set_result(self.lines[0])


class KeepsThreadsWaiting(KeepsWaiters):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.first_line = Future()  # type: ignore[assignment]


class KeepsAnothersWaiting(KeepsWaiters):
    """Has a future of a loop that isn't its own."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        other = asyncio.SelectorEventLoop()
        self.first_line = other.create_future()
        other.close()


class GoesOn(Lines):
    """Has a task that outlives the connection."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.task = asyncio.ensure_future(self.beat())

    async def beat(self) -> None:
        await asyncio.Event().wait()


class Stays(GoesOn):
    async def beat(self) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class WritesOn(Lines):
    """Pays no heed to a client that doesn't read."""

    def pause_writing(self) -> None:
        pass


class NeverResumes(Lines):
    def resume_writing(self) -> None:
        pass


class Loses(Lines):
    """Drops what it would have to write while it is paused."""

    paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        if not self.paused:
            super().data_received(data)


@pytest.mark.parametrize(
    ("factory", "flaws"),
    [
        (OneRead, {"cut": "to b'hello\\n' it answered b'H\\nE\\nL\\n', not b'HELLO\\n'"}),
        (ForgetsTheRest, {"cut": "to b'hello\\n' it answered b'\\n', not b'HELLO\\n'"}),
        (OneOfSeveral, {"conversation": "to b'one\\ntwo\\n' it answered b'ONE\\n', not b'ONE\\nTWO\\n'"}),
        (Shares, {"two": "two connections at a time: to b'hello\\n' it answered b'HELHEL', not b'HELLO\\n'"}),
        (
            StaysOpen,
            {"eof": "EOF at the beginning: 3 s later the connection isn't lost: eof_received returned True"},
        ),
        (RaisesAtTheEnd, {"conversation": "LookupError: no more"}),
        (RaisesAtReset, {"reset": "a reset at the beginning: ConnectionResetError"}),
        (TrustsItsPeer, {"damaged": "64 times b'\\xff' in place of b'hello\\n': UnicodeDecodeError"}),
        (
            KeepsWaiters,
            {"left": "EOF at the beginning: 1 s after connection_lost nothing has fulfilled its future"},
        ),
        (KeepsThreadsWaiting, {"left": "1 s after connection_lost nothing has fulfilled its future `first_line`"}),
        (KeepsAnothersWaiting, {"left": "nothing has fulfilled its future `first_line`"}),
        (GoesOn, {"left": "1 s after connection_lost one of its tasks still runs: GoesOn.beat"}),
        (Stays, {"left": "1 s after connection_lost one of its tasks still runs: Stays.beat"}),
        (WritesOn, {"flow": "wait in its transport, and it goes on writing: after pause_writing() it should"}),
        (NeverResumes, {"flow": "the client reads again, and not all answers came"}),
        (Loses, {"flow": "the client reads again, and not all answers came"}),
    ],
    ids=lambda it: it.__name__ if isinstance(it, type) else "",
)
def test_what_is_wrong_is_named(
    stream_harness: StreamHarness, factory: Callable[[], Any], flaws: dict[str, str]
) -> None:
    conversation = CONVERSATION[:1] if factory is OneRead else CONVERSATION
    told = flaws_of(lambda: check_stream_protocol(stream_harness, factory, conversation, repeats=True))
    for name, text in flaws.items():
        assert text in told.get(name, ""), told
    if factory is not OneRead and factory is not ForgetsTheRest:  # what isn't whole fails in many ways
        assert told.keys() == flaws.keys()


class Slow(Lines):
    """Takes its time for each answer, more than a client that doesn't read waits for thousands of them."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.pending: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        if not self.pending:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.002, self.answer)
        self.pending += lines

    def answer(self) -> None:
        if self.pending:
            self.transport.write(self.pending.pop(0).upper() + b"\n")
        if self.pending:
            asyncio.get_running_loop().call_later(0.002, self.answer)
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def resume_writing(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass


class Full(Lines):
    """Says that it takes nobody more."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"full\n")
        transport.close()


class LastWords(Lines):
    """Does something after the connection is lost, in time."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.1, self.closed.set_result, None)
        self.task = asyncio.ensure_future(asyncio.sleep(0.1))


@pytest.mark.parametrize(
    ("factory", "conversation"),
    [
        (Slow, [(b"hello\n", b"HELLO\n")]),
        (Full, [(b"hello\n", b"full\n")]),
        (LastWords, CONVERSATION),
        (Lines, [(b"put " + b"x" * 20_000 + b"\n" + b"get\n", b"PUT " + b"X" * 20_000 + b"\nGET\n")]),
    ],
    ids=["slow", "full", "last words", "large"],
)
def test_what_is_unusual_is_no_flaw(
    stream_harness: StreamHarness, factory: Callable[[], Any], conversation: list[tuple[bytes, bytes]]
) -> None:
    check_stream_protocol(stream_harness, factory, conversation, repeats=factory is not Full)


class KeepsInSlots(asyncio.Protocol):
    __slots__ = ("closed", "transport")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_a_future_in_a_slot_is_an_attribute(stream_harness: StreamHarness) -> None:
    told = flaws_of(lambda: check_stream_protocol(stream_harness, KeepsInSlots, [(b"a", b"a")]))
    assert "nothing has fulfilled its future `closed`" in told["left"]


def test_several_greetings_are_no_part_of_what_repeats(stream_harness: StreamHarness) -> None:
    conversation = [(b"", b"ti"), (b"", b"me?\n"), (b"noon\n", b"")]
    check_stream_protocol(
        stream_harness,
        lambda: Client(asyncio.get_running_loop().create_future()),
        conversation,
        repeats=True,
        skip=["joined"],
    )


def test_the_difference_is_shown_of_what_is_long(stream_harness: StreamHarness) -> None:
    sends, wanted = b"a" * 1_000 + b"b\n", b"A" * 1_000 + b"C\n"
    told = flaws_of(lambda: check_stream_protocol(stream_harness, Lines, [(sends, wanted)]))
    alike = "A" * 20
    assert told["conversation"].endswith(f"it answered, from byte 980 on, b'{alike}B\\n', not b'{alike}C\\n'")


def test_several_messages_at_once_are_tried_where_they_repeat(stream_harness: StreamHarness) -> None:
    one = CONVERSATION[:1]
    assert flaws_of(lambda: check_stream_protocol(stream_harness, OneOfSeveral, one)) == {}
    told = flaws_of(lambda: check_stream_protocol(stream_harness, OneOfSeveral, one, repeats=True, skip=["flow"]))
    assert "all that is sent, twice and at once: to b'hello\\n' it answered nothing" in told["joined"]


def test_the_cause_is_what_the_protocol_has_raised(stream_harness: StreamHarness) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_stream_protocol(stream_harness, RaisesAtReset, CONVERSATION)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_checks_can_be_left_out(stream_harness: StreamHarness) -> None:
    check_stream_protocol(stream_harness, RaisesAtReset, CONVERSATION, skip=["reset"])
    check_stream_protocol(stream_harness, GoesOn, CONVERSATION, skip={"left"})


class Client(asyncio.Protocol):
    """Speaks first; ends its connection with the answer."""

    def __init__(self, done: "asyncio.Future[bytes]") -> None:
        self.done = done
        self.got = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"time?\n")

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.got.endswith(b"\n"):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.cancelled():
            self.done.set_result(self.got)


class HastyClient(Client):
    def data_received(self, data: bytes) -> None:
        self.got += data
        self.transport.close()


def of_client(stream_harness: StreamHarness, client: type[Client]) -> dict[str, str]:
    return flaws_of(
        lambda: check_stream_protocol(
            stream_harness,
            lambda: client(asyncio.get_running_loop().create_future()),
            [(b"", b"time?\n"), (b"noon\n", b"")],
            outcome=lambda protocol: protocol.done.result(),
        )
    )


def test_a_client_is_checked_by_what_has_come_of_it(stream_harness: StreamHarness) -> None:
    assert of_client(stream_harness, Client) == {}
    told = of_client(stream_harness, HastyClient)
    assert "arrives in pieces of 1 byte: its outcome is b'n', not b'noon\\n'" in told["cut"]


class Counts(Lines):
    """Answers with a number that is another each time."""

    count = 0

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\n")):
            type(self).count += 1
            self.transport.write(b"number %d\n" % self.count)


def test_answers_that_differ_are_told_by_a_regular_expression(stream_harness: StreamHarness) -> None:
    conversation = [(b"next\n", re.compile(rb"number \d+\n")), (b"next\n", re.compile(rb"number \d+\n"))]
    check_stream_protocol(stream_harness, Counts, conversation, repeats=True)
    with pytest.raises(ConformanceError, match=r"conversation: held as it was given: CaptureTimeout"):
        check_stream_protocol(stream_harness, Counts, [(b"next\n", re.compile(rb"letter \w+\n"))])


class SaysMore(Lines):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(b"ok\n")


def test_what_else_is_answered_is_a_flaw(stream_harness: StreamHarness) -> None:
    told = flaws_of(lambda: check_stream_protocol(stream_harness, SaysMore, CONVERSATION[:1]))
    assert told == {
        "conversation": "held as it was given: after all that it was to answer, it also answered b'ok\\n'"
    }


def test_a_factory_that_fails_is_told(stream_harness: StreamHarness) -> None:
    def fails() -> Lines:
        raise LookupError("no such protocol")

    told = flaws_of(lambda: check_stream_protocol(stream_harness, fails, CONVERSATION))
    assert told == {"conversation": "held as it was given: LookupError: no such protocol"}


ONE = Lines()


def no_outcome(_: object) -> object:
    raise LookupError("no outcome")


def cancelled(_: object) -> object:
    raise asyncio.CancelledError


class EqualsNothing:
    def __eq__(self, other: object) -> bool:
        raise LookupError("no equal")

    def __repr__(self) -> str:
        raise LookupError("no text")

    __hash__ = None  # type: ignore[assignment]


class KeepsForAll(Lines):
    """Has a list of what has come that all connections share."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = OF_ALL


OF_ALL: list[bytes] = []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"outcome": no_outcome}, "held as it was given: `outcome` has raised LookupError: no outcome"),
        ({"outcome": cancelled}, "held as it was given: `outcome` has raised asyncio.exceptions.CancelledError"),
        (
            {"outcome": lambda _: float("nan")},
            "held as it was given, once more: its outcome is nan, not nan: what `outcome` gives has to be equal "
            "whenever the same is sent and answered",
        ),
        (
            {"outcome": lambda _: EqualsNothing()},
            "held as it was given, once more: its outcomes can't be compared: <EqualsNothing, whose repr() raises "
            "LookupError> == <EqualsNothing, whose repr() raises LookupError> has raised LookupError: no equal",
        ),
        (
            {"factory": KeepsForAll, "outcome": lambda protocol: protocol.lines},
            "held as it was given, once more: its outcome is [b'hello', b'hello'], not [b'hello']: what `outcome` "
            "gives has to be equal whenever the same is sent and answered",
        ),
        (
            {"factory": KeepsForAll, "outcome": lambda protocol: ("got", {"lines": protocol.lines})},
            "held as it was given, once more: its outcome is ('got', {'lines': [b'hello', b'hello']}), not "
            "('got', {'lines': [b'hello']}): what `outcome` gives has to be equal whenever the same is sent and "
            "answered",
        ),
    ],
    ids=["raises", "cancelled", "nan", "equals nothing", "of all", "of all, within others"],
)
def test_an_outcome_that_is_of_no_use_is_told(
    stream_harness: StreamHarness, given: dict[str, Any], told: str
) -> None:
    arguments: dict[str, Any] = {"factory": Lines, "conversation": [(b"hello\n", b"HELLO\n")], **given}
    OF_ALL.clear()
    assert flaws_of(lambda: check_stream_protocol(stream_harness, **arguments)) == {"conversation": told}


async def collect(protocol: Lines) -> list[bytes]:
    return protocol.lines


def future(_: Lines) -> object:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"factory": lambda: ONE}, ValueError, "the factory gave the same protocol twice, <"),
        (
            {"factory": cycle([Lines(), Lines()]).__next__},
            ValueError,
            "the factory gave the same protocol twice, <",
        ),
        ({"factory": lambda: 7}, TypeError, "the factory has to give an asyncio.Protocol or"),
        ({"factory": lambda: Lines}, TypeError, "the factory gave the class Lines, not a protocol"),
        ({"factory": lambda: collect(ONE)}, TypeError, "not <coroutine object collect at "),
        ({"outcome": lambda protocol: collect(protocol)}, TypeError, "outcome must be a plain function: "),
        ({"outcome": future}, TypeError, "future gave <Future pending>, and nothing would await it"),
    ],
    ids=["twice", "in turns", "no protocol", "a class", "a coroutine", "async", "a future"],
)
@pytest.mark.filterwarnings("error")  # as of a coroutine that nothing has awaited
def test_what_a_factory_or_an_outcome_gives_by_mistake_is_no_flaw(
    stream_harness: StreamHarness, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments: dict[str, Any] = {"factory": Lines, "conversation": CONVERSATION, **given}
    with pytest.raises(error, match=re.escape(text)):
        check_stream_protocol(stream_harness, **arguments)
    gc.collect()
    assert stream_harness._scope.errors == []


class Counted(Lines):
    """Counts what has come to all of them."""

    pieces: list[bytes] = []  # noqa: RUF012  of all

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        super().data_received(data)


OTHERS_THAN = {
    name: {"cut", "two", "eof", "reset", "damaged", "joined", "flow"} - {name} for name in ("cut", "damaged")
}


def test_a_long_conversation_is_not_held_again_too_often(stream_harness: StreamHarness) -> None:
    Counted.pieces.clear()
    conversation = [(b"%d\n" % at, b"%d\n" % at) for at in range(200)]
    check_stream_protocol(stream_harness, Counted, conversation, skip=OTHERS_THAN["damaged"])
    assert 1_000 < len(Counted.pieces) < 3_000


class MisreadsOne(Lines):
    """Misreads one of many lines where it is cut before its end."""

    def data_received(self, data: bytes) -> None:
        super().data_received(b"00" if data == b"76" else data)


def test_each_message_of_a_long_conversation_is_cut(stream_harness: StreamHarness) -> None:
    conversation = [(b"%d\n" % at, b"%d\n" % at) for at in range(100)]
    told = flaws_of(
        lambda: check_stream_protocol(stream_harness, MisreadsOne, conversation, skip=OTHERS_THAN["cut"])
    )
    assert told == {
        "cut": "b'76\\n' arrives in two pieces, cut after 2 bytes, as all others are, somewhere: "
        "to b'76\\n' it answered b'00\\n', not b'76\\n'"
    }


def test_what_fails_before_a_cut_is_told_by_what_is_tried(stream_harness: StreamHarness) -> None:
    made = count(1)

    def fails_at_the_fourth() -> Lines:
        if next(made) == 4:  # as it is given, once more, and byte by byte: and then cut in two
            raise LookupError("fourth")
        return Lines()

    for times, told in (
        (1, "b'hello\\n' arrives in two pieces, cut after 1 byte: LookupError: fourth"),
        (100, "each message arrives in two pieces: LookupError: fourth"),
    ):
        made = count(1)
        flaws = flaws_of(
            lambda times=times: check_stream_protocol(  # type: ignore[misc]
                stream_harness,
                fails_at_the_fourth,
                CONVERSATION[:1] * times,
                outcome=lambda protocol: protocol.lines,
                skip=OTHERS_THAN["cut"],
            )
        )
        assert flaws == {"cut": told}


class MisreadsTheNext(Lines):
    """Misreads a line of one byte, once another has come in two pieces."""

    was_cut = False

    def data_received(self, data: bytes) -> None:
        self.was_cut |= data == b"ab"
        super().data_received(b"!\n" if self.was_cut and not self.rest and data == b"\n" else data)


def test_what_fails_where_nothing_is_cut_is_not_told_of_the_cut_before(stream_harness: StreamHarness) -> None:
    conversation = [(b"abc\n", b"ABC\n"), (b"\n", b"\n")] * 50
    told = flaws_of(
        lambda: check_stream_protocol(stream_harness, MisreadsTheNext, conversation, skip=OTHERS_THAN["cut"])
    )
    assert told == {"cut": "each message arrives in two pieces: to b'\\n' it answered b'!', not b'\\n'"}


def test_a_long_outcome_is_shown_from_the_difference_on(stream_harness: StreamHarness) -> None:
    numbers = count()

    def outcome(_: Lines) -> list[str]:
        return [*map(str, range(1_000, 1_300)), f"and {next(numbers)}", *map(str, range(500))]

    told = flaws_of(lambda: check_stream_protocol(stream_harness, Lines, CONVERSATION, outcome=outcome))
    assert "its outcome is …1298', '1299', 'and 1', '0', '1'" in told["conversation"]
    assert ", not …1298', '1299', 'and 0', '0', '1'" in told["conversation"]


def test_what_a_protocol_says_first_is_told_as_that(stream_harness: StreamHarness) -> None:
    told = flaws_of(lambda: check_stream_protocol(stream_harness, Full, [(b"", b"hello"), (b"hello\n", b"")]))
    assert told == {"conversation": "held as it was given: unasked it answered b'full\\n', not b'hello'"}


def test_nothing_of_it_fails_the_test_or_is_shown(stream_harness: StreamHarness) -> None:
    assert flaws_of(lambda: check_stream_protocol(stream_harness, RaisesAtReset, CONVERSATION)).keys() == {"reset"}
    assert stream_harness._scope.errors == []
    assert stream_harness._scope.traffic().peers == ()


def test_a_task_that_never_ends_is_told_of_once(stream_harness: StreamHarness) -> None:
    told = flaws_of(lambda: check_stream_protocol(stream_harness, Stays, CONVERSATION))
    assert told.keys() == {"left"}
    gc.collect()
    stream_harness._scope.settle()
    assert stream_harness._scope.errors == []


def test_it_would_block_a_loop(stream_harness: StreamHarness) -> None:
    async def check() -> None:
        with pytest.raises(RuntimeError, match=r"use `await asyncio.to_thread\(\.\.\.\)`"):
            check_stream_protocol(stream_harness, Lines, CONVERSATION)
        await asyncio.to_thread(check_stream_protocol, stream_harness, Lines, CONVERSATION)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"conversation": b"hello"}, TypeError, "a conversation is a list of"),
        ({"conversation": 7}, TypeError, "a conversation is a list of"),
        (
            {"conversation": [b"hello"]},
            TypeError,
            "a turn must be (bytes to send, bytes of the answer), not b'hello'",
        ),
        ({"conversation": [("hello", b"")]}, TypeError, "what is sent must be bytes, not 'hello'"),
        ({"conversation": [(b"hello", "HELLO")]}, TypeError, "must be bytes, not 'HELLO'"),
        ({"conversation": [(b"hello", re.compile("HELLO"))]}, TypeError, "a pattern must be of bytes"),
        ({"conversation": [(b"hello", re.compile(rb"\d+"))]}, ValueError, "doesn't end in a literal byte"),
        ({"conversation": []}, ValueError, "has to send something"),
        ({"conversation": [(b"", b"hello")]}, ValueError, "has to send something"),
        ({"factory": None}, TypeError, "a factory of stream protocols"),
        ({"outcome": 7}, TypeError, "outcome must be a function of the protocol, not 7"),
        ({"repeats": 1}, TypeError, "repeats must be True or False, not 1"),
        ({"skip": "cut"}, TypeError, "skip must be a list of names of checks, as in skip=['cut'], not 'cut'"),
        (
            {"skip": ["cuts"]},
            ValueError,
            "skip must be of 'cut', 'two', 'eof', 'reset', 'damaged', 'joined', 'flow'",
        ),
        ({"skip": ["conversation"]}, ValueError, "not 'conversation'"),
    ],
)
def test_wrong_arguments(
    stream_harness: StreamHarness, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments: dict[str, Any] = {"factory": Lines, "conversation": CONVERSATION, **given}
    with pytest.raises(error, match=re.escape(text)):
        check_stream_protocol(stream_harness, **arguments)
