"""Waiting for a program to be ready, and what is raised if it isn't."""

import asyncio

from .._bytestream import EndOfStream
from .._futures import CaptureTimeout
from .._quiet import until_quiet
from .child import Child
from .group import within
from .output import NAMES, STDOUT
from .ready_checks import Check, Printed
from .telling import told_output, told_status, told_why_unknown

__tracebackhide__ = True

LATE_EXIT = 0.5
"""Seconds that a program's exit may take to come after the end of its outputs."""
MOST_TURNS = 50
"""Turns of the loop in which all is read that was in a pipe or, in small pieces, at a terminal."""


class ProcessDied(RuntimeError):
    """A program exited before it was ready; the text has its exit status, its command line and its output.

    ``returncode`` is the exit status, negative for a signal; None if somebody else has collected it.
    """

    __module__ = "pytest_echoserver"

    returncode: int | None = None


async def until_ready(check: Check, child: Child, limit: float, command: str, hint: str) -> BaseException | None:
    """Wait until ``child`` is ready, has exited, or ``limit`` seconds are over; give what is to be raised."""
    met = asyncio.tasks.ensure_future(check.until_met(child))
    exited = asyncio.tasks.ensure_future(child.capture.exited.wait())
    printed = check if isinstance(check, Printed) else None
    try:
        await asyncio.tasks.wait({met, exited}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if met.done() and (printed is None or printed.met):
            return met.result()
        if met.done():  # its outputs have ended: as a rule, so has the program
            await within(LATE_EXIT, child.capture.exited)
        if child.capture.exited.is_set():
            await _read_what_it_left(child)
            return None if printed and printed.met else _died(check, child, command)
        if met.done():
            return _silent(check, child, command)
        seen = "".join(f"; {part}" for part in (check.seen(), "" if printed else hint) if part)
        head = f"waited {limit:g} s for {child.told} to be ready ({check}): {child.state}{seen}"
        return CaptureTimeout(f"{head}\n{_evidence(child, command)}")
    finally:
        met.cancel()
        exited.cancel()
        await asyncio.tasks.wait({met, exited})


async def _read_what_it_left(child: Child) -> None:
    """Read what a program had printed by its exit; what a child of it prints later is not meant."""
    turns = iter(range(MOST_TURNS))
    await until_quiet(
        lambda: len(child.record.rows),
        lambda: not child.capture.complete.is_set() and next(turns, None) is not None,
    )


def _died(check: Check, child: Child, command: str) -> ProcessDied:
    head = f"{child.told} exited with {told_status(child.returncode)} before it was ready ({check})"
    if child.returncode is None:
        head += f"; {told_why_unknown('the status')}"
    elif child.returncode == 0:
        head += "; a program that goes to the background by itself is not followed: start it in the foreground"
    error = ProcessDied(f"{head}\n{_evidence(child, command)}")
    error.returncode = child.returncode
    return error


def _silent(check: Check, child: Child, command: str) -> EndOfStream:
    names = " and ".join(NAMES[fd] for fd in child.outputs.captured)
    head = f"the end of {names} came before {child.told} was ready ({check}): {child.state}"
    partial = b"".join(bytes(child.outputs.streams[fd]) for fd in child.outputs.captured)
    return EndOfStream(partial, None, f"{head}\n{_evidence(child, command)}")


def _evidence(child: Child, command: str) -> str:
    outputs = child.outputs
    told = [told_output(NAMES[fd], outputs.streams[fd]) for fd in outputs.captured]
    if STDOUT not in outputs.captured:
        told.insert(0, f"  {NAMES[STDOUT]}: not captured, whatever was printed there")
    return "\n".join([*told, f"  command: {command}"])
