"""`StreamScript`: a script as it is followed on the connections of a stream peer."""

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._outcomes import as_exception
from .expectations import PatternLike, StreamExpectation, StreamRule, answers_of, any_bytes
from .matching import Framing, MessagePattern, StreamPattern, StreamSearch, message_pattern, stream_pattern
from .mismatch import unexpected, unmet
from .script import Act, Action, Moment, Reply, Script, Step

if TYPE_CHECKING:
    from .connection import Connection

__tracebackhide__ = True

GRACE = 0.25
"""Seconds for which a connection is kept that its client has ended before the script began: what is to be said to
that may come in the next line of the test."""


class StreamScript:
    """Follows one conversation over one connection after the other; rules hold on all at any time.

    The script is with a connection from the first match there to the end of that connection: then it goes on
    with whichever comes next. What comes on another meanwhile, and matches no rule, waits.

    Args:
        owner: whose it is, for errors.
        lock: that of the record.
        timeout: seconds that a wait for ``met`` may take.
        framing: what tells messages; without it the script is matched byte by byte.
        strict: whether it is an error if nothing matches.
        check_act: raises if something can't be done there.
        post: has a function called on the engine's loop.
        fail: called with a connection and what went wrong there.
        rules: those of another script to go by, too.
        patient: whether steps may still be added when there is none left for what has come: it then waits.
    """

    def __init__(
        self,
        owner: str,
        lock: threading.RLock,
        timeout: float,
        *,
        framing: Framing | None,
        strict: bool,
        check_act: Callable[[Act], None],
        post: Callable[..., object],
        fail: "Callable[[Connection, Exception], None]",
        rules: list[Step] | None = None,
        patient: bool = False,
    ) -> None:
        self.framing = framing
        self.strict = strict
        self.patient = patient
        self.fail = fail
        self.script = Script(
            owner,
            lock,
            timeout,
            pattern=stream_pattern if framing is None else message_pattern,
            check_answer=any_bytes,
            check_act=check_act,
            post=post,
            rules=rules,
        )
        self._post = post
        self._with: Talk | None = None
        self._kept_waiting = False
        self._untaken: list[Talk] = []
        self._talks: dict[Connection, Talk] = {}

    def expect(self, pattern: PatternLike, times: int = 1) -> StreamExpectation:
        return self._added(self.script.expect(pattern, times))

    def expect_moment(self, moment: Moment) -> StreamExpectation:
        return self._added(self.script.expect_moment(moment))

    def on(self, pattern: PatternLike) -> StreamRule:
        step = self.script.on(pattern)
        self._post(self.go_on)
        return StreamRule(self.script, step)

    def _added(self, step: Step) -> StreamExpectation:
        self._post(self.go_on)
        return StreamExpectation(self.script, step)

    def follow(self, connection: "Connection", start: int, late_until: int) -> None:
        """Follow the script on ``connection`` too, from position ``start`` of its input on.

        What had come up to ``late_until`` is older than the script: what nothing matches there may yet be matched
        by a step that is still to be added.
        """
        end = connection._end
        talk = Talk(self, connection, start, late_until)
        self._talks[connection] = talk
        self._untaken.append(talk)
        end.listener = talk
        self.go_on()

    def leave(self, connection: "Connection") -> int:
        """Follow it there no longer; give the position that it had come to."""
        talk = self._talks.get(connection)
        if talk is None:
            return 0
        self.left(talk)
        connection._end.listener = None
        self.wake()
        return talk.start

    def go_on(self) -> None:
        """Look at all that waits: a step was added, or the connection that held the script has ended."""
        self._kept_waiting = False
        moved = True
        while moved:
            moved = self._take_connection() or any(talk.advance() for talk in list(self._talks.values()))

    def advance(self, talk: "Talk") -> None:
        """Look at what came on one connection, and if the script has moved by that, at all that waits."""
        before = (self.script.position, self._with)
        while talk.advance():
            pass
        moved = (self.script.position, self._with) != before or talk.connection not in self._talks
        if moved or self._kept_waiting:
            self.go_on()

    def may_meet(self, talk: "Talk") -> bool:
        """Whether it is this connection's turn: the script is with it; or with none, and no older one has a word.

        For the loop may come to a younger connection first.
        """
        if self._with is None:
            older = itertools.takewhile(lambda other: other is not talk, self._talks.values())
            turn = not any(other.has_unread for other in older)
        else:
            turn = self._with is talk
        self._kept_waiting = self._kept_waiting or not turn
        return turn

    def taken_by(self, talk: "Talk") -> None:
        """A step was met there: the script is with that connection now."""
        self._with = talk
        with suppress(ValueError):
            self._untaken.remove(talk)

    def left(self, talk: "Talk") -> None:
        """The conversation there has ended."""
        self._talks.pop(talk.connection, None)
        self._forget(talk)

    def wake(self) -> None:
        """Look at all that waits, once what is being done now is done."""
        self._post(self.go_on)

    def lost(self, talk: "Talk") -> None:
        """We have ended the conversation there ourselves; what is left over of it stays so."""
        self._forget(talk)
        self.go_on()

    def left_over(self) -> list[tuple[str, bytes]]:
        """What came and was matched by nothing as yet."""
        unread = ((talk, talk.unread) for talk in self._talks.values())
        return [
            (f"on {talk.connection._short_name}{self._why(talk)}", data)
            for talk, data in unread
            if data and talk.start + len(data) > talk.told_until
        ]

    def verdict(self) -> list[Exception]:
        """What is wrong, if it all ended now, and wasn't told before."""
        if self.script.error is not None:
            return []
        left = self.left_over() if self.strict else []
        if not (self.script.unmet or left):
            return []
        return [unmet(self.script, left)]

    def tell(self) -> None:
        """Count what the verdict is now as told: no later one has it again."""
        self.script.tell_unmet()
        for talk in self._talks.values():
            talk.told_until = talk.start + len(talk.unread)

    def _take_connection(self) -> bool:
        current = self.script.current
        if current is None or current.wanted is not Moment.CONNECTION or not self._untaken:
            return False
        talk = self._untaken[0]
        self.taken_by(talk)
        talk.came(current, talk.connection)
        return True

    def _forget(self, talk: "Talk") -> None:
        with suppress(ValueError):
            self._untaken.remove(talk)
        if self._with is talk:
            self._with = None

    def _why(self, talk: "Talk") -> str:
        if self._with in (None, talk):
            return ""
        assert self._with is not None
        return (
            f" (the script was still with {self._with.connection._short_name}, which had not ended; for concurrent "
            "connections give each a script of its own: connection.expect(...))"
        )


class Talk:
    """What the script has to do with one connection."""

    def __init__(self, follower: StreamScript, connection: "Connection", start: int, late_until: int) -> None:
        self.connection = connection
        self.start = start
        self.ended_by: str | None = next(iter(connection._end.ends), None)
        self.told_until = 0
        self._late_until = late_until
        self._follower = follower
        self._end = connection._end
        self._over = False
        self._in_grace = self._grace_is_over = False
        self._searches: dict[Step, StreamSearch] = {}
        self._looked = start

    @property
    def has_unread(self) -> bool:
        """Whether something has come that waits for its turn, be it in the system's buffer."""
        return not self._over and self._end.arrived > self.start

    @property
    def unread(self) -> bytes:
        return bytes(self._end.inbound.buffer[self.start :])

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  it reads from the buffer
        self._look()

    def eof_received(self) -> None:
        self.ended_by = "eof"
        self._look()

    def connection_lost(self) -> None:
        self.ended_by = self.ended_by or next(iter(self._end.ends), None)
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
                self._end.outbox.do(self._end.stall)
            case Act.SEND_EOF:
                self._end.send_eof()

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
            return self.ended_by is not None and self._cannot_match(len(self._end.inbound))
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
        script = self._follower.script
        current = script.current
        mine = current if current is not None and self._follower.may_meet(self) else None
        if isinstance(getattr(mine, "wanted", None), Moment):
            mine = None
        if self._follower.framing is not None:
            return self._find_message(self._follower.framing, mine, script.rules)
        wanted = ([mine] if mine is not None else []) + script.rules
        return self._find_next(mine, wanted) if self._follower.strict else self._find_anywhere(wanted)

    def _find_message(
        self, framing: Framing, mine: Step | None, rules: list[Step]
    ) -> tuple[Step | None, Any, int] | None:
        buffer = self._end.inbound.buffer
        end = framing.end_of_message(buffer, self.start, self._looked)
        if end is None:
            self._looked = len(buffer)
            return None
        message = bytes(buffer[self.start : end])
        for step in ([mine] if mine is not None else []) + rules:
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
        if follower.script.error is not None:  # told once is enough
            self._is_over()
            self._end.fail(follower.script.error)
            return False
        got = self.unread if follower.framing is None else bytes(self._end.inbound.buffer[self.start : end])
        why = ": the script is at its end" if follower.script.steps and follower.script.current is None else ""
        if self.ended_by is not None and len(self._end.inbound) == end:
            why = ", and then the end of the connection"
        self._end.note("unexpected", got)
        what = f"input on {self.connection._short_name}"
        self._fail(unexpected(follower.script, what, got, why))
        return False

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

    def _move_to(self, position: int) -> None:
        self.start = self._looked = position
        self._searches.clear()

    def _is_over(self) -> None:
        self._over = True
        self._follower.left(self)
        self._follower.wake()

    def _fail(self, error: Exception) -> None:
        self._is_over()
        self._follower.script.fail(error)
        self._follower.fail(self.connection, error)
