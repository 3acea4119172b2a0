"""`Connection`: one stream connection, the end of it that is in the test's hands."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextvars import ContextVar
from typing import Any, overload

from .. import _deadline
from .._blamed import add_note
from .._bytestream import Reader
from .._checks import bytes_like, whole_number
from .._futures import CaptureFuture
from .._outcomes import fulfil
from .._patterns import Told, compile_pattern
from .._scope import Scope
from .._telling import told_bytes, told_error
from .._traffic import PeerTraffic
from .beginning import Beginning
from .expectations import PatternLike, StreamExpectation
from .matching import Framing
from .script import Act, Moment, Step, expected_of
from .segments import sizes_of
from .stream_end import StreamEnd
from .stream_script import StreamScript

__tracebackhide__ = True

HANDLED: ContextVar["Connection | None"] = ContextVar("pytest_echoserver_handled", default=None)
"""In a handler: the connection that it handles. There its reads go by the handler's cursor."""


class Connection:
    """One end of a stream connection: what came in is kept whole, and read when you like.

    Handler and test have the same object, and each reads with a cursor of its own: reads go on from where the
    last one ended, in the order in which they were asked for; `received` has all from the start. Everything that
    takes time gives a `CaptureFuture`; what is sent is sent in order even if nobody looks at the future.

    A handler may wait until the test ends; the waits of a test have the peer's timeout.
    """

    def __init__(self, scope: Scope, name: str, timeout: float, end: StreamEnd) -> None:
        self._scope = scope
        self._name = name
        self._timeout = timeout
        self._end = end
        end.inbound.redact = self._redacted
        self._for_test = end.inbound.reader()
        self._for_handler = self._for_test
        self._write_ended = False
        self._peername: Any = None
        self._short_name = name
        self._framing: Framing | None = None
        self._strict = True
        self._rules: list[Step] | None = None
        self._own_script: StreamScript | None = None

    @property
    def received(self) -> bytes:
        """All that came in so far. What was sent just now may still be on its way: a read waits for it."""
        return bytes(self._end.inbound)

    @property
    def sent(self) -> bytes:
        """All that was sent so far. It is noted before it leaves."""
        return bytes(self._end.outbound)

    @property
    def peername(self) -> Any:
        """The address of the other side: (host, port); on a Unix socket a path, mostly ``""``."""
        return self._peername

    @property
    def ended(self) -> CaptureFuture[str]:
        """A future of how the other side ended it: ``"eof"``, or ``"reset"`` for an RST.

        It raises ``ConnectionAbortedError`` if this side was first.
        """
        return self._end.when_ended(self._future("the end of the connection"))

    def read(self, n: int = -1) -> CaptureFuture[bytes]:
        """What has come, at most ``n`` bytes, as soon as there is any; ``b""`` at EOF.

        Without ``n``: everything up to EOF.

        Raises:
            TypeError, ValueError: ``n`` is no number of bytes, 1 or more.
        """
        if n != -1:
            whole_number(n, "n", least=1)
        what = "the end of the stream" if n < 0 else f"up to {told_bytes(n)}"
        return self._reader.read(self._future(what), n)

    def read_exactly(self, n: int) -> CaptureFuture[bytes]:
        """The next ``n`` bytes. EOF before that is an `asyncio.IncompleteReadError`, with what there was.

        None at all, as of a message whose length is 0, are there at once, after EOF too.

        Raises:
            TypeError, ValueError: ``n`` is no number of bytes, 0 or more.
        """
        whole_number(n, "n", least=0)
        return self._reader.read_exactly(self._future(f"exactly {told_bytes(n)}"), n)

    @overload
    def read_until(self, pattern: bytes) -> CaptureFuture[bytes]: ...
    @overload
    def read_until(self, pattern: re.Pattern[bytes]) -> CaptureFuture[re.Match[bytes]]: ...
    def read_until(self, pattern: bytes | re.Pattern[bytes]) -> CaptureFuture[Any]:
        r"""All up to and with ``pattern``; for a regular expression, its match.

        A regular expression has to end in a literal byte, as ``rb"(\d+)\n"`` does, and is met by the shortest
        piece, from where the last read ended, that it fully matches: so it doesn't matter how the bytes were
        cut on their way. With ``(?s:.*?)`` before it, it may stand anywhere in what comes. EOF before that is an
        `asyncio.IncompleteReadError`.

        Raises:
            TypeError, ValueError: such a pattern can't be read up to; the text says why.
        """
        wanted = compile_pattern(pattern, anchored=True)
        return self._reader.read_until(self._future(Told(wanted, self._redacted)), wanted)

    async def lines(self) -> AsyncIterator[bytes]:
        r"""The lines as they come, each with its ``\n``, up to EOF; a last one may lack it. For ``async for``."""
        while True:
            try:
                yield await self.read_until(b"\n")
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    yield await self.read_exactly(len(rest.partial))
                return

    def send(self, data: bytes, segments: int | Sequence[int] | None = None) -> CaptureFuture[None]:
        """Send ``data``; the future is done when the kernel has taken all of it; over TLS, when all is encrypted.

        Args:
            data: what to send.
            segments: sizes in bytes, which sum to that of ``data``, or one size for all, as ``1`` for byte by
                byte. Each piece leaves when the other end has read the one before it, so each arrives as a read
                of its own: on Linux, with the other end on this machine; elsewhere they leave a moment apart. Only
                a client's thread that the system interrupts within its read may take the next one as well.

        Raises:
            TypeError: it isn't bytes.
            ValueError: the segments aren't sizes, or don't sum to the data.
            RuntimeError: it comes after `send_eof` or `close`.
        """
        payload = bytes_like(data)
        sizes = sizes_of(segments, len(payload))
        if self._write_ended:
            raise RuntimeError(f"send() on {self} after its end was sent: nothing can follow EOF")
        future = self._sending(f"{told_bytes(len(payload))} to be sent")
        if sizes is None:
            return self._do(self._end.send, payload, future)
        return self._do(self._end.send_in_segments, payload, sizes, self._timeout, future)

    def send_eof(self) -> CaptureFuture[None]:
        """End our direction after all that was sent (half-close); reading goes on.

        Raises:
            io.UnsupportedOperation: the connection is one of TLS, which ends both directions at once.
        """
        self._check_act(Act.SEND_EOF)
        self._write_ended = True
        return self._do(self._end.send_eof, self._sending("EOF to be sent"))

    def close(self) -> CaptureFuture[None]:
        """Close it, after what was sent has left and what has come in was read: the other side sees clean EOF.

        Returns:
            A future that is done when it is closed; to close it again does nothing.
        """
        self._write_ended = True
        return self._do(self._start_closing, self._sending("the connection to be closed"))

    def reset(self) -> CaptureFuture[None]:
        """Close it with a RST, after what was sent has arrived: the other side gets ECONNRESET.

        What doesn't arrive within a second, because nobody there reads, is lost (RFC 9293, 3.10.5).

        Raises:
            io.UnsupportedOperation: it is a Unix socket; there is no RST on those.
        """
        self._check_act(Act.RESET)
        self._write_ended = True
        return self._do(self._end.reset, self._sending("the connection to be reset"))

    def stall(self) -> CaptureFuture[None]:
        """Stop reading: once the buffers are full, the other side can send no more (a zero window).

        The buffers hold megabytes; a peer made with ``receive_buffer=4096`` has a small one, and stops a sender
        much sooner. On a Unix socket only the sender's own buffer counts.
        """
        return self._do(self._done_by(self._end.stall), self._future("reading to stop"))

    def unstall(self) -> CaptureFuture[None]:
        """Go on reading, after `stall`."""
        return self._do(self._done_by(self._end.unstall), self._future("reading to go on"))

    def expect(self, pattern: PatternLike, *, times: int = 1) -> StreamExpectation:
        """Add to a script of this connection's own: what has to come next, and what to answer.

        For concurrent connections, each with a conversation of its own; the script of the peer goes on with the
        others. It begins with what this connection's reads have not yet taken.

        Args:
            pattern: as for the peer's ``expect``.
            times: how often it has to come, one after the other.

        Raises:
            TypeError, ValueError: no such pattern can be expected; the text says why.
            RuntimeError: a handler serves the connection.
        """
        return self._script.expect(pattern, times)

    def expect_eof(self) -> StreamExpectation:
        """Add to the script of this connection: the client has to end it next, or its direction of it.

        Raises:
            RuntimeError: a handler serves the connection.
        """
        return self._script.expect_moment(Moment.EOF)

    @property
    def _told_by(self) -> Collection[str]:
        """What in a text is of this connection, and no other of its peer's."""
        port = (str(self._peername[1]),) if isinstance(self._peername, tuple) else ()
        return (self._end._told, *port)

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    @property
    def _script(self) -> StreamScript:
        with self._end.inbound.lock:
            if self._own_script is None:
                self._own_script = self._make_script()
            return self._own_script

    def _make_script(self) -> StreamScript:
        return StreamScript(
            str(self),
            self._end.inbound.lock,
            self._timeout,
            framing=self._framing,
            strict=self._strict,
            rules=self._rules,
            patient=True,
            check_act=self._check_act,
            beginning=Beginning(self._scope, self._follow_script),
            redact=self._redacted,
        )

    def _follow_script(self) -> None:
        assert self._own_script is not None
        self._own_script.follow(self, self._for_test.position, self._end.arrived)

    def _check_act(self, act: Act) -> None:
        check_act(act, tls=self._end.tls, unix=self._end.is_unix, who=str(self))

    def _fail(self, error: Exception, *, of_user: bool = True, code: str = "") -> None:
        """Fail the test with ``error``, and end the connection with it.

        Once the test is judged, nothing fails it any more. If code of the user's has raised ``error``, the
        connection is ended all the same: nobody serves it any longer, and its client would wait for ever. After
        what only came unexpectedly it then stays as it is.

        Args:
            of_user: whether code of the user's has raised ``error``.
            code: what code that is, if it isn't the script or the handler.
        """
        if of_user:
            self._end.note("exception_raised", told_error(error))
        blamed = self._blame(error, of_user=of_user, code=code)
        if blamed or of_user:
            self._end.fail(error)
        if blamed:
            self._failed(error)

    def _blame(self, error: Exception, *, of_user: bool, code: str) -> bool:
        """Have the test fail with ``error``; false if it is judged already."""
        judged = self._scope.judged
        if self._scope.blame(error) and of_user:
            add_note(error, f"in {code or f'the script of {self}'}")
        return not judged

    def _failed(self, error: Exception) -> None:
        """Called once ``error`` has failed the test: a peer's connection ends the waits of the whole peer."""

    def _verdict(self) -> list[Exception]:
        """What is wrong with the connection's own script, if it all ended now."""
        return [] if self._own_script is None else self._own_script.verdict()

    def _traffic(self) -> PeerTraffic:
        """Of one that is no peer's, what it saw."""
        scripts = [] if self._own_script is None else [self._own_script.script]
        return PeerTraffic(self._name, "stream", None, self._end.events, expected_of(scripts), peer=self)

    def _redacted(self, data: bytes) -> bytes:
        """What came as an error may show it."""
        return self._scope.redacted(self, data)

    def _told(self) -> None:
        """Count what the verdict is now as told."""
        if self._own_script is not None:
            self._own_script.tell()

    def _fail_waits(self, error: Exception) -> None:
        """Give ``error`` to all in the test who wait for something of this connection."""
        self._for_test.fail(error)
        self._end.end_cursor.fail(error)
        if self._own_script is not None:
            self._own_script.script.fail_waits(error)

    def _forget(self) -> None:
        self._end.inbound.forget()
        self._end.outbound.forget()
        self._for_test.skip_to(len(self._end.inbound))

    @property
    def _reader(self) -> Reader:
        return self._for_handler if HANDLED.get() is self else self._for_test

    def _do(self, function: Callable[..., Any], *args: Any) -> CaptureFuture[Any]:
        """Have ``function`` called on the engine's thread, in order; its last argument is its future."""
        if self._scope.engine.here:
            function(*args)
        else:
            self._scope.post(function, *args)
        future: CaptureFuture[Any] = args[-1]
        return future

    @staticmethod
    def _done_by(function: Callable[[], None]) -> Callable[[CaptureFuture[None]], None]:
        def call(future: CaptureFuture[None]) -> None:
            function()
            fulfil(future, None)

        return call

    def _start_closing(self, future: CaptureFuture[None]) -> None:
        self._end.close(future)

    async def _shut(self) -> None:
        self._end.abort()
        await self._end.lost.wait()

    def _sending(self, what: str) -> CaptureFuture[Any]:
        return self._future(what, self._tell_unsent)

    def _tell_unsent(self) -> str:
        waiting = self._end.unsent
        if waiting:
            return f"{told_bytes(waiting)} {'waits' if waiting == 1 else 'wait'} to leave"
        return self._end.outbox.told or "what has left was not read at the other end"

    def _future(self, what: object, instead: Callable[[], str] | None = None) -> CaptureFuture[Any]:
        timeout = _deadline.UNTIL_THE_TEST_ENDS if HANDLED.get() is self else self._timeout
        return CaptureFuture(what, where=self, timeout=timeout, instead=instead or self._what_came)

    def _what_came(self) -> str:
        return self._reader.tell_unread()


def check_act(act: Act, *, tls: bool, unix: bool, who: str) -> None:
    """Raise io.UnsupportedOperation if ``act`` can't be done to such a connection."""
    if act is Act.SEND_EOF and tls:
        raise io.UnsupportedOperation(
            f"send_eof() on {who}: TLS as asyncio speaks it has no half-close; close() ends both directions"
        )
    if act is Act.RESET and unix:
        raise io.UnsupportedOperation(
            f'reset() on {who}: a Unix socket has no RST; close() ends it, or take TCP (a harness: kind="tcp")'
        )
