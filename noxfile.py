"""What CI and CONTRIBUTING name: `nox -s lint types tests oldest uvloop plain coverage examples fuzz`."""

import nox

nox.options.sessions = ["lint", "types", "tests", "coverage"]
PYTHONS = ["3.11", "3.12", "3.13"]


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
def fuzz(session: nox.Session) -> None:
    """What Hypothesis finds with fifty times the examples that the suite tries, and others each time."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/fuzz", *session.posargs, env={"ECHOSERVER_FUZZ": "long"})


@nox.session
def examples(session: nox.Session) -> None:
    session.install("-e", ".[examples]")
    session.run("pytest", "examples", *session.posargs)
