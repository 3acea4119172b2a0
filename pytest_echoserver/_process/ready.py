"""Waiting for a program to be ready, and what is raised if it isn't."""

import asyncio

from .._futures import CaptureTimeout
from .child import Child
from .group import within
from .output import STDERR, STDOUT
from .ready_checks import Check
from .telling import told_output, told_status

__tracebackhide__ = True

LAST_OUTPUT = 0.5
"""Seconds that a program's output may take to come after its exit: a grandchild may hold the pipe."""


class ProcessDied(RuntimeError):
    """A program exited before it was ready; the text has its exit status, its command line and its output.

    ``returncode`` is the exit status, negative for a signal.
    """

    __module__ = "pytest_echoserver"

    returncode: int | None = None


async def until_ready(check: Check, child: Child, limit: float, command: str, hint: str) -> BaseException | None:
    """Wait until ``child`` is ready, has exited, or ``limit`` seconds are over; give what is to be raised."""
    met = asyncio.ensure_future(check.until_met(child))
    exited = asyncio.ensure_future(child.capture.exited.wait())
    try:
        await asyncio.wait({met, exited}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if met.done():
            return met.result()
        if exited.done():
            await within(LAST_OUTPUT, child.capture.complete)
            return None if check.met else _died(check, child, command)
        seen = "".join(f"; {part}" for part in (check.seen(), hint if check.asks_caller else "") if part)
        head = f"waited {limit:g} s for {child.told} to be ready ({check}): {child.state}{seen}"
        return CaptureTimeout(f"{head}\n{_evidence(child, command)}")
    finally:
        met.cancel()
        exited.cancel()
        await asyncio.wait({met, exited})


def _died(check: Check, child: Child, command: str) -> ProcessDied:
    head = f"{child.told} exited with {told_status(child.returncode)} before it was ready ({check})"
    error = ProcessDied(f"{head}\n{_evidence(child, command)}")
    error.returncode = child.returncode
    return error


def _evidence(child: Child, command: str) -> str:
    names = {STDOUT: "stdout", STDERR: "stderr"}
    told = [told_output(name, child.outputs.streams[fd]) for fd, name in names.items() if child.outputs.has(fd)]
    return "\n".join([*told, f"  command: {command}"])
