"""`Talk`: what a script has to do with one connection of a stream peer."""

from typing import TYPE_CHECKING, Any

from .._outcomes import as_exception
from .._patterns import cut
from .expectations import answers_of, any_bytes
from .matching import MessageEnds, MessagePattern, StreamPattern, StreamSearch
from .mismatch import Unended, unexpected
from .script import Act, Action, Moment, Reply, Step

if TYPE_CHECKING:
    from .connection import Connection
    from .stream_end import StreamEnd
    from .stream_script import StreamScript

__tracebackhide__ = True

GRACE = 0.25
"""Seconds for which a connection is kept that its client has ended before the script began: what is to be said to
that may come in the next line of the test."""


class Talk:
    """What the script has to do with one connection.

    Attributes:
        start: how far into the connection's input all was matched, or passed over: what follows is unread.
        ended_by: how the client has ended it, "eof" or "reset"; "cut" if its network has; None until then.
        told_until: how far into the input what nothing matches was reported.

    Args:
        late_until: how far into the input what has come is older than the script.
    """

    def __init__(self, follower: "StreamScript", connection: "Connection", start: int, late_until: int) -> None:
        self.connection = connection
        self.start = start
        self.ended_by: str | None = _how_it_ended(connection._end)
        self.told_until = 0
        self._waits_at = -1
        """The ``start`` for which it was noted last that this connection is kept waiting."""
        self._late_until = late_until
        self._follower = follower
        self._end = connection._end
        self._over = False
        self._in_grace = self._grace_is_over = False
        self._searches: dict[Step, StreamSearch] = {}
        self._ends = None if follower.framing is None else follower.framing.ends()

    @property
    def number(self) -> int | None:
        return self._end.number

    @property
    def has_unread(self) -> bool:
        """Whether something has come that waits for its turn, be it in the system's buffer."""
        return not (self._over or self.hands_on) and self._end.arrived > self.start

    @property
    def hands_on(self) -> bool:
        """Whether the script may go on elsewhere: this isn't read any more, so nobody sees how it ends."""
        return self._end.stalled_by_step or self.cut_short

    @property
    def cut_short(self) -> bool:
        """Whether what is unread may be half of something, by no fault of the client's."""
        return self._end.cut_short

    @property
    def unread(self) -> bytes:
        return bytes(self._end.inbound.buffer[self.start :])

    @property
    def unended(self) -> Unended | None:
        """What a framing says that has found no end of a message in what is unread; else None."""
        if self._ends is None or not self._ends.missed(self._end.inbound.buffer, self.start):
            return None
        return Unended(str(self._follower.framing), self._ends.length)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  it reads from the buffer
        self._look()

    def eof_received(self) -> None:
        self.ended_by = "eof"
        self._look()

    def connection_lost(self) -> None:
        if not self._end.closed_by_us:
            self.ended_by = self.ended_by or _how_it_ended(self._end)
        if self.ended_by is not None:
            self._look()
        elif not self._over:  # by us: what the client might have said yet is nobody's fault
            self._over = True
            self._follower.lost(self)

    def act(self, subject: Any, action: Action) -> None:
        """Do what the script says, after all it said before."""
        match action:
            case Reply():
                try:
                    self._reply(subject, action)
                except BaseException as error:  # noqa: BLE001  of a user's callable that makes an answer
                    self._fail(as_exception(error))
            case Act.CLOSE:
                self._is_over()
                self._end.close()
            case Act.RESET:
                self._is_over()
                self._end.reset()
            case Act.STALL:
                self._end.outbox.do(self._stall)
            case Act.SEND_EOF:
                self._end.send_eof()

    def drop(self) -> None:
        """The script was forgotten: whatever comes is nothing to it."""
        self._over = True

    def advance(self) -> bool:
        """Take the next message, or the end; false if nothing can be taken now."""
        if self._over:
            return False
        if self.start == len(self._end.inbound):
            return self.ended_by is not None and self._take_end()
        try:
            found = self._find()
        except BaseException as error:  # noqa: BLE001  of a user's predicate or framing
            self._fail(as_exception(error))
            return False
        if found is None:
            if self.ended_by is None:
                return False
            if self.cut_short and self._follower.strict:
                return self._follower.may_meet(self) and self._take_end()
            return self._cannot_match(len(self._end.inbound))
        step, subject, end = found
        if step is None:
            return self._cannot_match(end)
        self._move_to(end)
        if step is self._follower.script.current:
            self._follower.taken_by(self)
        self.came(step, subject)
        return True

    def _find(self) -> tuple[Step | None, Any, int] | None:
        """The step that is met, by what, and where it ends; without a step: nothing can match. None as yet."""
        follower = self._follower
        mine = follower.script.current
        if mine is not None and (isinstance(mine.wanted, Moment) or not follower.may_meet(self)):
            mine = None
        wanted = ([mine] if mine is not None else []) + follower.script.rules
        if self._ends is not None:
            return self._find_message(self._ends, wanted)
        return self._find_next(mine, wanted) if follower.strict else self._find_anywhere(wanted)

    def _find_message(self, ends: MessageEnds, wanted: list[Step]) -> tuple[Step | None, Any, int] | None:
        buffer = self._end.inbound.buffer
        end = ends.find(buffer, self.start)
        if end is None:
            return None
        message = cut(buffer, self.start, end)
        for step in wanted:
            assert isinstance(step.wanted, MessagePattern)
            subject = step.wanted.match(message)
            if subject is not None:
                return step, subject, end
        return None, None, end

    def _find_next(self, mine: Step | None, wanted: list[Step]) -> tuple[Step | None, Any, int] | None:
        """The script's literal comes first, as long as it can still match; else whoever ends first.

        So it doesn't matter how the bytes were cut.
        """
        found: list[tuple[Step, Any, int]] = []
        undecided = False
        for step in wanted:
            search = self._search(step)
            match = search.find(self._end.inbound.buffer)
            if match is not None:
                found.append((step, match[0], match[2]))
            is_literal = isinstance(step.wanted.value, bytes)
            may_match = not search.diverged and self.ended_by is None
            if step is mine and is_literal and (match is not None or may_match):
                break
            undecided = undecided or (match is None and not search.diverged)
        else:
            if not found and not undecided:
                return None, None, len(self._end.inbound)
        return min(found, key=lambda each: each[2], default=None)

    def _find_anywhere(self, wanted: list[Step]) -> tuple[Step, Any, int] | None:
        """Whoever ends first; what stands before it is passed over."""
        buffer = self._end.inbound.buffer
        found = [(step, *match) for step in wanted if (match := self._search(step).find(buffer)) is not None]
        if not found:
            if self._follower.script.current is not None:
                self._note_that_it_waits()
            return None
        step, subject, begin, end = min(found, key=lambda each: each[3])
        self._pass_over(begin)
        return step, subject, end

    def _search(self, step: Step) -> StreamSearch:
        search = self._searches.get(step)
        if search is None:
            assert isinstance(step.wanted, StreamPattern)
            search = step.wanted.search_from(self.start, anywhere=not self._follower.strict)
            self._searches[step] = search
        return search

    def _pass_over(self, end: int) -> None:
        """Only record what nothing matches."""
        if end > self.start:
            self._end.note("unexpected", bytes(self._end.inbound.buffer[self.start : end]))

    def _cannot_match(self, end: int) -> bool:
        """Nothing can match what comes next; whether that can be passed over."""
        follower = self._follower
        if not follower.may_meet(self):
            self._note_that_it_waits()
            return False
        if not follower.strict:
            self._pass_over(end)
            self._move_to(end)
            return True
        if self.start < self._late_until or (follower.patient and follower.script.current is None):
            return False
        if self.told_until >= len(self._end.inbound):  # as left over, before its end came
            self._is_over()
            self._end.close()
            return True
        if follower.script.error is not None and not self.connection._scope.judged:  # told once is enough
            self._is_over()
            self._end.fail(follower.script.error)
            return False
        got = self.unread if follower.framing is None else bytes(self._end.inbound.buffer[self.start : end])
        why = ": the script is at its end" if follower.script.steps and follower.script.current is None else ""
        if self.ended_by is not None and len(self._end.inbound) == end:
            why = ", and then the end of the connection"
        self._end.note("unexpected", got)
        what = f"input on {self.connection._short_name}"
        self._fail(unexpected(follower.script, what, got, why, self.unended), of_user=False)
        return False

    def _note_that_it_waits(self) -> None:
        """Note, once for each message, that another connection has the script: its client may wait in vain."""
        holder = self._follower.elsewhere(self)
        if holder is not None and self._waits_at != self.start:
            self._waits_at = self.start
            self._end.note("kept_waiting", holder.number)

    def _take_end(self) -> bool:
        """The client has ended it, and all before that was matched."""
        current = self._follower.script.current
        if self.ended_by == "eof" and current is not None and current.wanted is Moment.EOF:
            if not self._follower.may_meet(self):
                return False
            self._follower.taken_by(self)
            self.came(current, self.connection)
            return True
        if self._deserves_grace and not self._grace_is_over:
            if not self._in_grace:
                self._in_grace = True
                self._end.later(GRACE, self._end_grace)
            return False
        self._is_over()
        self._end.close()
        return True

    @property
    def _deserves_grace(self) -> bool:
        """Whether the script may have begun after all that the client said."""
        return self._follower.patient or 0 < self._end.arrived <= self._late_until

    def _end_grace(self) -> None:
        self._grace_is_over = True
        self._look()

    def came(self, step: Step, subject: Any) -> None:
        self._follower.script.came(step, self, subject)

    def _look(self) -> None:
        if not self._over:
            self._follower.advance(self)

    def _reply(self, subject: Any, reply: Reply) -> None:
        if reply.after:
            self._end.outbox.pause(reply.after)
        for answer in reply.answers:
            for data in answers_of(answer, subject, any_bytes):
                self._end.send(data)

    def _stall(self) -> None:
        self._end.stall()
        self._end.stalled_by_step = True
        self._follower.wake()

    def _move_to(self, position: int) -> None:
        self.start = position
        self._searches.clear()

    def _is_over(self) -> None:
        self._over = True
        self._follower.left(self)
        self._follower.wake()

    def _fail(self, error: Exception, *, of_user: bool = True) -> None:
        self._is_over()
        self._follower.script.fail(error)
        self.connection._fail(error, of_user=of_user)


def _how_it_ended(end: "StreamEnd") -> str | None:
    return "cut" if end.ended_by_network else next(iter(end.ends), None)
