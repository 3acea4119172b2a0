"""The sessions of CONTRIBUTING: `nox -s lint types tests oldest uvloop plain coverage examples matrix`."""

import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "coverage"]
PYTHONS = ["3.11", "3.12", "3.13"]
matrix_files: list[Path] = []


@nox.session
def lint(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """The suite with the oldest pytest that is supported."""
    session.install("-e", ".[dev]", "pytest==8.4.*")
    session.run("pytest", *session.posargs)


@nox.session
def uvloop(session: nox.Session) -> None:
    """The suite with peers on uvloop."""
    session.install("-e", ".[dev]")
    session.run("pytest", "--echoserver-loop=uvloop", *session.posargs)


@nox.session
def plain(session: nox.Session) -> None:
    """The suite without what only some systems have, as fast ways go."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-p", "tests.downstream.plain_ways", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("coverage", "run", "-m", "pytest", "-p", "no:randomly", *session.posargs)
    session.run("coverage", "report")


@nox.session
def examples(session: nox.Session) -> None:
    session.install("-e", ".[examples]")
    session.run("pytest", "examples", *session.posargs)


@nox.session(python=PYTHONS)
@nox.parametrize("pytest", ["8.4", "latest"])
def matrix(session: nox.Session, pytest: str) -> None:
    """Suites beside other plugins, on both loops; when all have run, a table of them."""
    session.notify("matrix_table")
    session.install("-e", ".[matrix]", "pytest==8.4.*" if pytest == "8.4" else "pytest", "--upgrade")
    # This pytest only starts others: what is under test there is not to be loaded here.
    options = ["-p", "pytest_echoserver", "-p", "pytest_asyncio.plugin", *session.posargs]
    for loop in ("asyncio", "uvloop"):
        file = session.cache_dir / f"matrix-{session.python}-{pytest}-{loop}.xml"
        file.unlink(missing_ok=True)
        matrix_files.append(file)
        session.run(
            "pytest",
            "tests/matrix",
            f"--echoserver-loop={loop}",
            f"--junitxml={file}",
            *options,
            env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            success_codes=[0, 1],  # what failed is told with the table; the rest of the matrix runs all the same
        )


@nox.session(python=False, default=False)
def matrix_table(session: nox.Session) -> None:
    """Print what the sessions of the matrix in this run have found; fail if any of it failed."""
    session.run(sys.executable, "-m", "tests.matrix", *map(str, matrix_files), external=True)
