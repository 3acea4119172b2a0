"""`Step`: one thing that happened, in words, as all the evidence shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .._telling import ToldInShort, differing, escaped, told_bytes, told_error, told_signal
from .payload import Payload

Way = Literal["in", "out"]
"""Towards a peer, or away from it."""
Tone = Literal["plain", "good", "bad", "fault"]

RAISED = "raised "
"""What stands before an exception that code of the user's has raised."""
PIPES = {0: "stdin", 1: "stdout", 2: "stderr"}


@dataclass(slots=True)
class Step:
    """One line of the timeline, one arrow of the diagram.

    Attributes:
        what: what happened, in words; of a message nothing, for its way and payload tell.
        way: of what passes between a peer and others, in which direction.
        payload: what passed, if anything.
        other: the address with whom, if it is known.
        near: the peer's own address, if it isn't the usual one.
        tone: how it is to be taken.
        with_target: whether it passed between a proxy and its target.
        is_call: whether a transport has called the user's protocol by it.
        faults: what the network did to it.
        lost: whether it never arrived.
        copies: how many of it arrived.
        decoded: what the payload says.
        time: when, in seconds since the test began; None at its end.
        peer: the place of its peer among the traffic's.
        connection: on which connection of the peer, from 1, if it has such.
        event: the name of the event.
        stands_for: how many events that are left out, if it is no event itself.
    """

    what: str
    way: Way | None = None
    payload: Payload | None = None
    other: Any = None
    near: Any = None
    tone: Tone = "plain"
    with_target: bool = False
    is_call: bool = False
    faults: list[str] = field(default_factory=list)
    lost: bool = False
    copies: int = 1
    decoded: str = ""
    time: float | None = None
    peer: int = 0
    connection: int | None = None
    event: str = ""
    stands_for: int = 0

    def suffer(self, verdict: ToldInShort) -> None:
        """Take note of what the network does to it."""
        asked = differing(verdict)
        self.faults += told_verdict(asked)
        self.lost = asked.get("drop", False)
        self.copies = asked.get("copies", 1)


def message(way: Way, data: bytes, rest: Sequence[Any] = (), what: str = "", **more: Any) -> Step:
    """A step in which data passed. Of datagrams an event has, beside data, the other's address, and maybe ours."""
    other, near, *_ = *rest, None, None
    return Step(what, way, Payload(len(data), bytes(data)), other, near, **more)


def step_of(name: str, args: Sequence[Any]) -> Step:
    """The step for an event of a peer. When that was, and at which peer, is for the caller to say."""
    for step_for in (_data_step, _connection_step, _program_step):
        step = step_for(name, args)
        if step is not None:
            return step
    match name, *args:
        case "kept_waiting", number:
            return Step(f"waits: the script is with connection {number}")
        case "fault", direction, int() as offset, ToldInShort() as verdict:
            asked = differing(verdict)
            where = "" if "at" in asked else f" from byte {offset:,} on"
            return Step(f"the way {direction}{where}: {', '.join(told_verdict(asked))}", tone="fault")
        case "rate_limited", direction, *offset, float() | int() as rate:
            where = f" from byte {offset[0]:,} on" if offset else ""
            told = f"at most {rate:{',.0f' if 10 <= rate < 1e15 else 'g'}} bytes/s"
            return Step(f"the way {direction}{where}: {told}", tone="fault")
        case (("partitioned" | "healed"), *_):
            return Step(name, tone="fault")
        case "dropped_by_kernel", count:
            return Step(f"the kernel dropped {count} for want of room", tone="bad")
        case "exception_raised", told:
            return Step(f"{RAISED}{told_argument(told)}", tone="bad")
        case _:
            return Step(" ".join([name.replace("_", " "), *map(told_argument, args)]))


def _data_step(name: str, args: Sequence[Any]) -> Step | None:
    """The step for an event in which data passed; None for any other."""
    match name, *args:
        case "datagram_received" | "data_received", data, *rest:
            return message("in", data, rest)
        case "datagram_sent" | "data_sent", data, *rest:
            return message("out", data, rest)
        case "target_datagram_received" | "target_data_received", data, *rest:
            return message("in", data, rest, what="from the target", with_target=True)
        case "target_datagram_sent" | "target_data_sent", data, *rest:
            return message("out", data, rest, what="to the target", with_target=True)
        case "stdin_written", data:
            return message("in", data, what=PIPES[0])
        case "pipe_data_received", int() as fd, data:
            return message("out", data, what=PIPES[fd])
        case "unexpected", data, *rest:
            return message("in", data, rest, what="unexpected", tone="bad")
    return None


def _connection_step(name: str, args: Sequence[Any]) -> Step | None:
    """The step for an event in the life of a connection, to a peer or to a proxy's target; None for any other."""
    match name, *args:
        case "connection_made", (None | str() | bytes() | tuple()) as peername:
            return Step("connected", "in", other=peername or None)
        case "connection_made", _:  # a transport: of a process
            return Step("started")
        case "target_connected", address:
            return Step("connected to the target", "out", other=address, with_target=True)
        case "eof_received" | "target_eof_received", *_:
            return Step("end of stream", "in", with_target=name != "eof_received")
        case "eof_sent" | "target_eof_sent", *_:
            return Step("end of stream", "out", with_target=name != "eof_sent")
        case "reset_sent", *_:
            return Step("reset", "out", tone="bad")
        case "connection_lost" | "target_lost", ConnectionResetError():
            return Step("reset", "in", tone="bad", with_target=name == "target_lost")
        case "connection_lost", None:
            return Step("closed")
        case "target_lost", None:
            return Step("closed, to the target", with_target=True)
        case "handshake_completed", version:
            return Step(f"TLS handshake done, {told_argument(version)}")
        case "handshake_failed" | "error_received" | "connection_lost" | "target_lost" | "target_refused", error:
            return Step(f"{name.replace('_', ' ')}: {told_argument(error)}", tone="bad")
    return None


def _program_step(name: str, args: Sequence[Any]) -> Step | None:
    """The step for an event of a program, but for its output, and for its start and end; None for any other."""
    match name, *args:
        case "signal_sent", int() as signum:
            return Step(told_signal(signum), "in")
        case "stdin_ended", *_:
            return Step("stdin: end of file", "in")
        case "pipe_connection_lost", int() as fd, *error:
            told = f": {told_argument(error[0])}" if error and error[0] is not None else ""
            return Step(f"{PIPES[fd]} closed{told}")
    return None


def call_of(name: str, args: Sequence[Any]) -> Step:
    """The step for a call that a transport made to the user's protocol."""
    if name == "dropped_by_kernel":
        return step_of(name, args)
    if args and isinstance(args[0], bytes):
        return message("in", args[0], args[1:], what=name, is_call=True)
    told = ", ".join(told_argument(arg) for arg in args)
    return Step(
        f"{name}({told})", is_call=True, tone="bad" if args and isinstance(args[0], BaseException) else "plain"
    )


def told_verdict(asked: dict[str, Any]) -> list[str]:
    """What a network does that differs from letting pass, in words."""
    return [_told_fault(name, value, asked) for name, value in asked.items() if name != "at"]


def told_address(address: object) -> str:
    match address:
        case (str() as host, int() as port, *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case str():
            return escaped(address)
        case _:
            return ""


def told_argument(value: object) -> str:
    """An event's argument that is no payload."""
    match value:
        case (str(), int()):
            return told_address(value)
        case BaseException():
            return escaped(told_error(value))
        case None | int() | float() | str() | ToldInShort():
            return escaped(str(value))
        case _:
            return f"<{type(value).__name__}>"


def _told_fault(name: str, value: Any, asked: dict[str, Any]) -> str:
    match name:
        case "drop":
            return "lost"
        case "delay":
            milliseconds = value * 1000
            return f"delayed {milliseconds:.4g} ms" if milliseconds < 1000 else f"delayed {milliseconds:.0f} ms"
        case "copies":
            return f"{value} copies"
        case "data":
            return f"replaced by {told_bytes(len(value))}"
        case "flip":
            several = isinstance(value, tuple)
            return f"bits {', '.join(map(str, value))} flipped" if several else f"bit {value} flipped"
        case "reorder":
            return "reordered"
        case "stale":
            return "a copy of the one before"
        case "source":
            return f"from {told_address(value)}"
        case "end":
            return f"{value} after {told_bytes(asked['at'], ',')}" if "at" in asked else f"{value}"
        case _:
            return name
