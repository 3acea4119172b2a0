"""`SubprocessRunner`: starts programs."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Literal

from .. import _deadline
from .._checks import factory as checked_factory
from .._scope import Scope
from .arguments import Redirect, check_program, checked_argv, complete_environment, stdin_of
from .process import Process

__tracebackhide__ = True


class _Default(Enum):
    """Told apart from a given PIPE: only then does the caller's own protocol hear of stderr."""

    PIPE = subprocess.PIPE


class SubprocessRunner:
    """Runs programs, with all that they print captured; none of them outlives the test.

    Get it from the fixture ``subprocess_runner``.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __call__(
        self,
        *argv: str | os.PathLike[str],
        protocol: Callable[[], asyncio.SubprocessProtocol] | None = None,
        stdin: bytes | Redirect = None,
        stdout: Redirect = subprocess.PIPE,
        stderr: Redirect | Literal[_Default.PIPE] = _Default.PIPE,
        env: Mapping[str, str] | None = None,
        extra_env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
    ) -> "Process":
        """Start a program, in a process group of its own, and return once it runs. Never by a shell.

        At the end of the test its group gets TERM, and KILL if that doesn't end it. A process that leaves the group
        (``setsid``) escapes that.

        Args:
            argv: the program and its arguments.
            protocol: a factory of your own `asyncio.SubprocessProtocol`, called on the engine's loop. Its calls
                are recorded. It hears of stderr only if ``stderr`` was given.
            stdin: None, to read EOF at once; bytes, to be fed and then EOF; `subprocess.PIPE`, for `Process.write`;
                or as for `asyncio.loop.subprocess_exec`.
            stdout: as for ``subprocess_exec``; captured if it is a pipe.
            stderr: likewise.
            env: the whole environment; by default this process's, with ``PYTHONUNBUFFERED=1``.
            extra_env: what to add to it.
            cwd: the directory to start in.
            timeout: seconds that a wait for this process may take, by default the configured
                ``echoserver_timeout``.

        Raises:
            FileNotFoundError: there is no such program.
            PermissionError: it is there, and can't be run.
            NotADirectoryError: ``cwd`` is none.
            TypeError, ValueError: an argument isn't what is allowed.
        """
        arguments = checked_argv(argv)
        if protocol is not None:
            checked_factory(protocol, "subprocess protocols")
        limit = self._scope.timeout if timeout is None else _deadline.seconds(timeout)
        environment = complete_environment(env, extra_env)
        check_program(arguments[0], environment, cwd)
        process = Process(self._scope, arguments, limit)
        self._scope.run(
            process._start,
            protocol,
            stderr is not _Default.PIPE,
            {
                "stdin": stdin_of(stdin),
                "stdout": stdout,
                "stderr": subprocess.PIPE if stderr is _Default.PIPE else stderr,
                "env": environment,
                "cwd": cwd,
            },
        )
        if isinstance(stdin, (bytes, bytearray, memoryview)):
            process.write(bytes(stdin))
            process.write_eof()
        return process
