"""`StreamScript`: a script as it is followed on the connections of a stream peer."""

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from .beginning import Beginning
from .expectations import PatternLike, StreamExpectation, StreamRule, any_bytes
from .matching import Framing, message_pattern, stream_pattern
from .mismatch import LeftOver, unmet
from .script import Act, Moment, Script, Step
from .talk import Talk

if TYPE_CHECKING:
    from .connection import Connection

__tracebackhide__ = True


class StreamScript:
    """Follows one conversation over one connection after the other; rules hold on all at any time.

    The script is with a connection from the first match there to the end of that connection, or to where a step or
    the network stalls it: then it goes on with whichever comes next, unless that is read again before. What comes
    on another meanwhile, and matches no rule, waits.

    Args:
        owner: whose it is, for errors.
        lock: that of the record.
        timeout: seconds that a wait for ``met`` may take.
        framing: what tells messages; without it the script is matched byte by byte.
        strict: whether it is an error if nothing matches.
        check_act: raises if something can't be done there.
        beginning: has it followed, and functions called for it.
        redact: takes out of what came what an error may not show.
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
        beginning: Beginning,
        redact: Callable[[bytes], bytes],
        rules: list[Step] | None = None,
        patient: bool = False,
    ) -> None:
        self.framing = framing
        self.strict = strict
        self.patient = patient
        self.beginning = beginning
        self.script = Script(
            owner,
            lock,
            timeout,
            pattern=stream_pattern if framing is None else message_pattern,
            check_answer=any_bytes,
            check_act=check_act,
            post=beginning.post,
            redact=redact,
            rules=rules,
        )
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
        self.wake()
        return StreamRule(self.script, step)

    def _added(self, step: Step) -> StreamExpectation:
        self.wake()
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
        end.listen(talk, self.wake)
        self.go_on()

    def leave(self, connection: "Connection") -> int:
        """Follow it there no longer; give the position that it had come to."""
        talk = self._talks.get(connection)
        if talk is None:
            return 0
        talk.drop()
        self.left(talk)
        connection._end.listen(None)
        self.wake()
        return talk.start

    def drop(self) -> None:
        """Follow it nowhere any more: it was forgotten."""
        for talk in self._talks.values():
            talk.drop()
        self.beginning.made = True
        self._talks.clear()
        self._untaken.clear()
        self._with = None

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
        if self.elsewhere(talk) is not None:
            turn = False
        elif self._with is talk:
            turn = True
        else:
            older = itertools.takewhile(lambda other: other is not talk, self._talks.values())
            turn = not any(other.has_unread for other in older)
        self._kept_waiting = self._kept_waiting or not turn
        return turn

    def elsewhere(self, talk: "Talk") -> Talk | None:
        """The other connection that has the script, and keeps it from this one."""
        return None if self._with in (None, talk) or self._with.hands_on else self._with

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
        self.beginning.post(self.go_on)

    def lost(self, talk: "Talk") -> None:
        """We have ended the conversation there ourselves; what is left over of it stays so."""
        self._forget(talk)
        self.go_on()

    def left_over(self) -> list[LeftOver]:
        """What came and was matched by nothing as yet."""
        unread = ((talk, talk.unread) for talk in self._talks.values())
        return [
            LeftOver(f"on {talk.connection._short_name}{self._why(talk)}", data, talk.unended)
            for talk, data in unread
            if data and talk.start + len(data) > talk.told_until and not talk.cut_short
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
        holder = self.elsewhere(talk)
        if holder is None:
            return ""
        return (
            f" (the script was still with {holder.connection._short_name}, which had not ended; for concurrent "
            "connections give each a script of its own: connection.expect(...))"
        )
