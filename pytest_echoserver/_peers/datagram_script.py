"""`DatagramScript`: a script as it is followed by a datagram peer."""

import threading
from collections.abc import Callable
from typing import Any

from .._record import Datagram
from .._telling import told_bytes, told_place
from .._transports.datagram import Sockaddr
from .beginning import Beginning
from .datagram_end import DatagramEnd
from .expectations import Expectation, PatternLike, Rule, answers_of
from .matching import message_pattern
from .mismatch import LeftOver, unexpected, unmet
from .outbox import Outbox
from .script import Act, Action, Reply, Script

__tracebackhide__ = True


class DatagramScript:
    """Matches whole datagrams, from whatever source, and answers to where each came from.

    Args:
        owner: whose it is, for errors.
        end: what the datagrams come in by, and the answers go out.
        strict: whether it is an error if nothing matches.
        check_answer: gives the bytes of an answer, or raises.
        beginning: has it followed, and functions called for it.
        redact: takes out of what came what an error may not show.
        fail: called with what went wrong.
        raised: called with what code of the user's has raised, and whose datagram it was for.
    """

    def __init__(
        self,
        owner: str,
        lock: threading.RLock,
        timeout: float,
        *,
        end: DatagramEnd,
        strict: bool,
        check_answer: Callable[[object], bytes],
        beginning: Beginning,
        redact: Callable[[bytes], bytes],
        fail: Callable[[Exception], None],
        raised: Callable[[BaseException, Sockaddr], None],
    ) -> None:
        self.end = end
        self.script = Script(
            owner,
            lock,
            timeout,
            pattern=message_pattern,
            check_answer=check_answer,
            check_act=_no_act,
            post=beginning.post,
            redact=redact,
        )
        self._strict = strict
        self.fail = fail
        self.raised = raised
        self._beginning = beginning
        self._late: list[tuple[Datagram, bool]] = []
        """What came before the script, and whether it is a copy that the network made."""
        self._passed = 0
        """How many of the late ones came before the last that the script took: to these only rules still apply."""
        self.dealt_with = 0
        """How many datagrams had come when the script or a rule last took one: a silence begins after these."""

    def expect(self, pattern: PatternLike, times: int) -> Expectation:
        step = self.script.expect(pattern, times)
        self._beginning.post(self.go_on)
        return Expectation(self.script, step)

    def on(self, pattern: PatternLike) -> Rule:
        step = self.script.on(pattern)
        self._beginning.post(self.go_on)
        return Rule(self.script, step)

    def begin(self) -> None:
        """Follow the script from here on; what came before and was not read may meet it as well."""
        if self.end.transport is not None:
            self.end.transport.drain()
        with self.end.record.lock:  # a test may take the next one meanwhile
            first, untaken = self.end.cursor.position, self.end.untaken()
        self._late = [(datagram, at in self.end.copies) for at, datagram in enumerate(untaken, first)]
        self.end.listener = self._came

    def drop(self) -> None:
        """Follow it no more: it was forgotten."""
        self._beginning.made = True
        self.end.listener = None

    def go_on(self) -> None:
        """Look again at what came before the script: a step was added.

        The script keeps its order there too: what came before a datagram that it took is left for the rules.
        """
        at = 0
        while at < len(self._late):
            datagram, _ = self._late[at]
            if self._meets(datagram, datagram.source, at):
                del self._late[at]
                self._passed -= at < self._passed
            else:
                at += 1

    def verdict(self) -> list[Exception]:
        """What is wrong, if it all ended now, and wasn't told before."""
        if self.script.error is not None:
            return []
        late = [datagram for datagram, is_copy in self._late if self._strict and not is_copy]
        left = [LeftOver(f"from {told_place(datagram.source)}", datagram.data) for datagram in late]
        return [unmet(self.script, left)] if self.script.unmet or left else []

    def tell(self) -> None:
        """Count what the verdict is now as told: no later one has it again."""
        self.script.tell_unmet()
        self._late.clear()
        self._passed = 0

    def _came(self, _: bytes, addr: Sockaddr) -> None:
        datagram = self.end.received[-1]
        if self._meets(datagram, addr, len(self._late)):
            return
        if len(self.end.received) - 1 in self.end.copies:
            return
        self.end.note_unexpected(datagram)
        if self._strict and self.script.error is None:
            script = self.script
            why = ": the script is at its end" if script.steps and script.current is None else ""
            what = f"datagram of {told_bytes(len(datagram.data))} from {told_place(datagram.source)}"
            self.fail(unexpected(script, what, datagram.data, why))

    def _meets(self, datagram: Datagram, addr: Sockaddr, after: int) -> bool:
        """Do what the script or a rule says to a datagram; false if neither matches it.

        Args:
            after: how many of the late datagrams came before it.
        """
        current = None if after < self._passed else self.script.current
        try:
            for step in ([current] if current is not None else []) + self.script.rules:
                found = step.wanted.match(datagram.data)
                if found is not None:
                    subject = datagram if isinstance(found, bytes) else found
                    if step is current:
                        self._passed = after
                    self.dealt_with = len(self.end.received_rows)
                    self.script.came(step, _Exchange(self, addr), subject)
                    return True
        except BaseException as error:  # noqa: BLE001  of a user's predicate
            self.raised(error, addr)
            return True
        return False


class _Exchange:
    """One datagram, and what goes back to where it came from."""

    number = None

    def __init__(self, script: DatagramScript, addr: Sockaddr) -> None:
        self._script = script
        self._addr = addr
        self._outbox = Outbox()

    def act(self, subject: Any, action: Action) -> None:
        assert isinstance(action, Reply)
        if action.after:
            self._outbox.pause(action.after)
        try:
            for answer in action.answers:
                for data in answers_of(answer, subject, self._script.script.check_answer):
                    self._outbox.do(self._script.end.send, data, self._addr)
        except BaseException as error:  # noqa: BLE001  of a user's callable that makes an answer
            self._script.raised(error, self._addr)


def _no_act(act: Act) -> None:
    raise TypeError(f"a datagram can only be replied to: there is no {act.value}")
