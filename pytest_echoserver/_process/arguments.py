"""What `subprocess_runner` may be given: checked before anything is started."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from .._checks import in_short, whole_number
from .._neighbours import real_open

__tracebackhide__ = True

DEFAULT_SIZE = os.terminal_size((80, 24))

Redirect = int | IO[Any] | None


def checked_argv(argv: tuple[object, ...]) -> list[str]:
    if not argv:
        raise ValueError("no program was given: pass it and its arguments, as in ('ls', '-l')")
    for argument in argv:
        if not isinstance(argument, (str, os.PathLike)):
            hint = (
                ": pass them apart, as in subprocess_runner(*argv)" if isinstance(argument, (list, tuple)) else ""
            )
            raise TypeError(f"program and arguments must be str or paths, not {argument!r}{hint}")
    arguments = [os.fspath(argument) for argument in argv]  # type: ignore[call-overload]
    for argument in arguments:
        if not isinstance(argument, str):
            raise TypeError(f"program and arguments must be str or paths of str, not {argument!r}")
        if "\0" in argument:
            raise ValueError(f"no argument can hold a NUL, as {argument!r} does")
        check_encodable(argument, "an argument")
    if not arguments[0]:
        raise ValueError("the program's name is empty")
    words = arguments[0].split()
    if len(arguments) == 1 and len(words) > 1 and not _exists(arguments[0]):
        raise ValueError(
            f"{arguments[0]!r} reads like a shell's command line, and there is no shell here: pass each argument "
            f"apart, as in subprocess_runner({', '.join(map(repr, words))})"
        )
    return arguments


def check_encodable(text: str, what: str) -> None:
    """Raise ValueError if the system can't be given this text."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be of characters that the system can have, not {text!r}") from None


def check_directory(cwd: object) -> None:
    """Raise TypeError, ValueError or NotADirectoryError if that is no directory."""
    if cwd is None:
        return
    if not isinstance(cwd, (str, os.PathLike)) or not isinstance(path := os.fspath(cwd), str):
        raise TypeError(f"cwd must be a str or a path of str, not {cwd!r}")
    if not path:
        raise ValueError("cwd must be the path of a directory, not ''")
    if not os.path.isdir(path):  # noqa: PTH112  Path's raises for a name that is too long
        raise NotADirectoryError(errno.ENOTDIR, "cwd is no directory that is there", path)


def checked_stdin(value: bytes | Redirect) -> bytes | Redirect:
    """Give what is to be fed as bytes that nobody changes any more; or what stands for where to read it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    _check_redirect(value, "stdin")
    return value


def check_outputs(stdout: object, stderr: object, *, on_terminal: bool, searched: bool) -> None:
    """Raise TypeError or ValueError if the outputs can't go there.

    Args:
        on_terminal: whether the program has a terminal, to which they go.
        searched: whether a pattern is looked for in them.
    """
    _check_redirect(stdout, "stdout")
    _check_redirect(stderr, "stderr")
    if on_terminal:
        _check_left_to_terminal(stdout, stderr)
    elif searched:
        _check_one_is_captured(stdout, stderr)


def _check_redirect(value: object, name: str) -> None:
    """Raise TypeError or ValueError if no program's ``stdin``, ``stdout`` or ``stderr`` can be that."""
    special = (subprocess.PIPE, subprocess.DEVNULL, *((subprocess.STDOUT,) if name == "stderr" else ()))
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (is_number and value in special):
        return
    fileno = getattr(value, "fileno", None)
    if not is_number and (isinstance(value, type) or not callable(fileno)):
        data = "bytes, " if name == "stdin" else ""
        hint = ": encode it" if data and isinstance(value, str) else ""
        raise TypeError(
            f"{name} must be {data}subprocess.PIPE, DEVNULL, an open file or its descriptor, "
            f"not {in_short(value)}{hint}"
        )
    try:
        os.fstat(value if fileno is None else fileno())  # type: ignore[arg-type]
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an open file or its descriptor, not {value!r}: {error}") from None


def _check_left_to_terminal(stdout: object, stderr: object) -> None:
    for name, value, allowed in (
        ("stdout", stdout, (subprocess.PIPE,)),
        ("stderr", stderr, (subprocess.PIPE, subprocess.STDOUT)),
    ):
        if value not in allowed:
            raise ValueError(f"with pty= all output goes to the terminal: leave {name}= out, not {value!r}")


def _check_one_is_captured(stdout: object, stderr: object) -> None:
    """Check that there is an output in which a pattern can be looked for."""
    if subprocess.PIPE not in (stdout, stderr):
        names: dict[object, str] = {subprocess.DEVNULL: "DEVNULL", subprocess.STDOUT: "STDOUT"}
        given = f"stdout={names.get(stdout, repr(stdout))} and stderr={names.get(stderr, repr(stderr))}"
        raise ValueError(
            f"ready= got a pattern, but with {given} nothing of the output is captured: leave one of them out, or "
            "give subprocess.PIPE; or wait for an address, a path or a callable"
        )


def why_not_started(
    error: OSError, program: str, environment: Mapping[str, str], cwd: str | os.PathLike[str] | None
) -> OSError:
    """What to say of a program that could not be started: ``error`` itself if there is nothing better."""
    found = _found(program, environment, cwd)
    if found is None and not _is_path(program):
        path = environment.get("PATH", os.defpath)
        return FileNotFoundError(errno.ENOENT, f"there is no such program in PATH ({path})", program)
    if found is None and _exists(Path(cwd or "", program)):
        return PermissionError(errno.EACCES, "this file is no program that can be run", program)
    if found is None:
        return FileNotFoundError(errno.ENOENT, "there is no such program", program)
    if isinstance(error, FileNotFoundError):
        return _interpreter_missing(found, program) or error
    return error


def _found(program: str, environment: Mapping[str, str], cwd: str | os.PathLike[str] | None) -> str | None:
    named = os.path.join(cwd or "", program) if _is_path(program) else program  # noqa: PTH118
    return shutil.which(named, path=environment.get("PATH", os.defpath))


def _interpreter_missing(found: str, program: str) -> FileNotFoundError | None:
    with suppress(OSError), real_open(found, "rb") as script:
        line = script.readline(256)
        if line.startswith(b"#!"):
            told = repr(line.removesuffix(b"\n"))[1:]
            return FileNotFoundError(
                errno.ENOENT, f"the interpreter that its first line names is missing: {told}", program
            )
    return None


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path's raises for a name that is too long


def _is_path(program: str) -> bool:
    return bool(os.path.dirname(program))  # noqa: PTH120  as execvp(3) tells a path from a name


def terminal_size(pty: object) -> os.terminal_size | None:
    """The size of the terminal that was asked for, if one was: 80 columns and 24 lines if none was named."""
    match pty:
        case False:
            return None
        case True:
            return DEFAULT_SIZE
        case (columns, lines):  # os.terminal_size is a tuple of these
            return os.terminal_size((characters(columns, "columns"), characters(lines, "lines")))
    raise TypeError(f"pty must be True, False or a size (columns, lines), not {pty!r}")


def characters(value: object, name: str) -> int:
    return whole_number(value, name, least=1, most=65_535)


def stdin_of(stdin: bytes | Redirect) -> Redirect:
    if stdin is None:
        return subprocess.DEVNULL
    return subprocess.PIPE if isinstance(stdin, bytes) else stdin


def protocol_made_by(factory: Callable[[], asyncio.SubprocessProtocol]) -> asyncio.SubprocessProtocol:
    protocol = factory()
    if isinstance(protocol, asyncio.SubprocessProtocol):
        return protocol
    hint = "the class itself, or a lambda that makes one" if isinstance(protocol, type) else "one"
    raise TypeError(f"the factory has to give an asyncio.SubprocessProtocol, not {protocol!r}: return {hint}")
