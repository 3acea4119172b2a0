"""The sessions that CI and CONTRIBUTING name: `nox -s lint types tests …`; `nox --list` has them all."""

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
def docs(session: nox.Session) -> None:
    """The pages, in docs/_build/html; no network is needed."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html")


@nox.session
def examples(session: nox.Session) -> None:
    session.install("-e", ".[examples]")
    session.run("pytest", "examples", *session.posargs)
