"""`SubprocessRunner`: starts programs."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from .. import _deadline
from .._adopted import Member
from .._checks import factory as checked_factory
from .._checks import flag, whole_number
from .._engine import ANSWER
from .._here import asyncio_runs_here
from .._scope import Scope
from .arguments import (
    check_directory,
    check_outputs,
    checked_argv,
    checked_stdin,
    protocol_made_by,
    stdin_of,
    terminal_size,
    why_not_started,
)
from .child import Child, Launch
from .ending import Ending
from .environment import complete_environment
from .process import Process
from .ready import LATE_EXIT, until_ready
from .ready_checks import Check, Printed, Ready, checked_ready
from .spawned import can_spawn
from .telling import command_line

__tracebackhide__ = True


class _Unsaid(int):
    """Told apart from a PIPE that is given: only then does the caller's own protocol hear of stderr."""


_PIPE: int = _Unsaid(subprocess.PIPE)


class SubprocessRunner:
    """Runs programs, with all that they print captured; none of them outlives the test.

    Get it from the fixture ``subprocess_runner``.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._ending = Ending()

    def __call__(
        self,
        *argv: str | os.PathLike[str],
        protocol: Callable[[], asyncio.SubprocessProtocol] | None = None,
        stdin: bytes | int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = _PIPE,
        env: Mapping[str, str] | None = None,
        extra_env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        pty: bool | os.terminal_size | tuple[int, int] = False,
        ready: Ready | None = None,
        capture_limit: int | None = None,
        kill_expected: bool = False,
        timeout: float | None = None,
    ) -> "Process":
        """Start a program, in a process group of its own, and return once it runs, or is ready. Never by a shell.

        At the end of the test its stdin is closed, and its group gets TERM, then KILL after 2 seconds. A process
        that has left the group (``setsid``) is found by a cookie in its environment, a variable that we add, and
        killed (on Linux; elsewhere with the extra ``process``). That a process had to be killed is an error, which
        names it.

        Args:
            argv: the program and its arguments.
            protocol: a factory of your own `asyncio.SubprocessProtocol`, called on the engine's loop. Its calls
                are recorded. It hears of stderr only if ``stderr`` was given.
            stdin: None, to read EOF at once; bytes, to be fed and then EOF; `subprocess.PIPE`, for `Process.write`;
                or as for `asyncio.loop.subprocess_exec`.
            stdout: as for ``subprocess_exec``; captured if it is a pipe.
            stderr: likewise.
            env: the whole environment, but for the variables by which coverage.py measures subprocesses: they are
                kept if they aren't given. By default it is this process's. ``PYTHONUNBUFFERED=1`` is set unless it
                is given.
            extra_env: what to add to either.
            cwd: the directory to start in.
            pty: whether its stdin, stdout and stderr are a terminal, its controlling one (pty(7)): of 80 columns
                and 24 lines, or of a size given as ``os.terminal_size((columns, lines))``. All that comes by it is
                ``stdout``, with the terminal's CR LF and the echo of what is typed. Bytes given as ``stdin`` are
                typed, and then what means EOF. Not on Windows.
            ready: what to wait for: bytes or a regular expression that is printed, on stdout or stderr, as far as
                they are captured (a regular expression is looked for in what came up to each byte, so ``$`` isn't
                the end of a line); a tuple ``(host, port)`` that accepts connections; a path, from ``cwd`` on, that
                exists, and accepts if it is a socket; or a callable that returns true, called again and again on a
                thread of its own.
            capture_limit: bytes of each output that are kept, half from its beginning and half from its end. By
                default all are.
            kill_expected: not to make it an error that something had to be killed at the end.
            timeout: seconds that a wait for this process may take, that for ``ready`` included; by default the
                configured ``echoserver_timeout``.

        Raises:
            FileNotFoundError: there is no such program, or no interpreter that runs it.
            PermissionError: it is there, and can't be run.
            NotADirectoryError: ``cwd`` is no directory, or isn't there.
            ProcessDied: it exited before it was ready.
            asyncio.IncompleteReadError: its outputs ended before it had printed the pattern, and it lives on.
            CaptureTimeout: it wasn't ready in time.
            TypeError, ValueError: an argument isn't what is allowed.
        """
        if sys.platform == "win32":
            raise RuntimeError("subprocess_runner can't run on Windows: the engine's loop starts no programs there")
        arguments = checked_argv(argv)
        check_directory(cwd)
        if protocol is not None:
            checked_factory(protocol, "subprocess protocols")
        limit = self._scope.timeout if timeout is None else _deadline.seconds(timeout)
        if capture_limit is not None:
            whole_number(capture_limit, "capture_limit", least=1)
        flag(kill_expected, "kill_expected")
        check = None if ready is None else checked_ready(ready, cwd)
        size = terminal_size(pty)
        errors = subprocess.PIPE if stderr is _PIPE else stderr
        stdin = checked_stdin(stdin)
        check_outputs(stdout, errors, on_terminal=size is not None, searched=isinstance(check, Printed))
        cookies = self._ending.cookies
        environment, cookie = cookies.bake(complete_environment(env, extra_env))
        child = Child(self._scope.name_for("process"), arguments, capture_limit, cookies, cookie, kill_expected)
        process = Process(self._scope, arguments, child, limit)
        options = {"stdin": stdin_of(stdin), "stdout": stdout, "stderr": errors, "env": environment, "cwd": cwd}
        self._begin(process, Launch(protocol, stderr is not _PIPE, size, options))
        if isinstance(stdin, bytes):
            process.write(stdin)
            process.write_eof()
        if check is not None:
            self._wait_until_ready(check, child, limit, command_line(arguments, cwd))
        return process

    def _begin(self, process: Process, launch: Launch) -> None:
        """Start the program: on this thread if we can, else by asyncio, which has to be on the engine's."""
        scope = self._scope
        is_plain = launch.factory is None and launch.size is None
        at_once = is_plain and can_spawn(scope.engine.loop, launch.options["stdin"])
        if at_once and not scope.engine.here:  # on the engine's own thread run() refuses, as it has to
            self._spawn(process, launch)
        else:
            scope.run(self._start, process, launch)

    def _spawn(self, process: Process, launch: Launch) -> None:
        scope, child = self._scope, process._child
        scope.engine.refuse_if_forked()
        with self._ended_unless_adopted(child), _told_better(child, launch.options):
            child.spawn(scope.blame, launch.options, scope.engine.loop, scope.post)
            self._adopt(process)

    async def _start(self, process: Process, launch: Launch) -> None:
        protocol = None if launch.factory is None else protocol_made_by(launch.factory)
        child = process._child
        with self._ended_unless_adopted(child), _told_better(child, launch.options):
            await child.start(protocol, self._scope.blame, launch)
            try:
                self._adopt(process)
            except BaseException:
                child.release()
                raise

    @contextmanager
    def _ended_unless_adopted(self, child: Child) -> Iterator[None]:
        """Kill what was started if the scope, which ends only what it has adopted, doesn't come to adopt it.

        A signal's handler may have raised meanwhile, or the test may be over.
        """
        try:
            yield
        except BaseException:
            self._ending.cookies.kill(child.cookie)
            raise

    def _adopt(self, process: Process) -> None:
        child = process._child
        patience = self._ending.add(child)
        self._scope.adopt(
            Member(
                process._traffic, child.record, self._ending.close, patience=patience, abandon=self._ending.abandon
            )
        )

    def _wait_until_ready(self, check: Check, child: Child, limit: float, command: str) -> None:
        held = "this call held up the event loop of its thread meanwhile" if asyncio_runs_here() else ""
        scope = self._scope
        error = scope.engine.run(
            scope.context, until_ready, check, child, limit, command, held, patience=limit + LATE_EXIT + ANSWER
        )
        if error is not None:
            raise error


@contextmanager
def _told_better(child: Child, options: dict[str, Any]) -> Iterator[None]:
    """Have what the system raises if it can't start a program say why."""
    try:
        yield
    except OSError as error:
        raise why_not_started(error, child.program, options["env"], options["cwd"]) from None
