"""The sessions that CI and CONTRIBUTING name: `nox -s lint types tests …`; `nox --list` has them all."""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
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
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of all that a developer installs; it asks a database on the network."""
    session.install("-e", ".[dev]", "pip-audit")
    session.run("pip-audit", "--strict", "--skip-editable")


@nox.session
def release(session: nox.Session) -> None:
    """What would be uploaded: built, checked, installed where nothing is, and its types; the sdist's own tests.

    Of these it runs those that are named, as in `nox -s release -- tests/peers`, or all.
    """
    session.install("build", "twine", "pyright[nodejs]", "hypothesis")
    made = Path(tempfile.mkdtemp(prefix="release-"))  # outside of the tree, whose settings the tests would find
    session.run("python", "-m", "build", "--quiet", "--outdir", str(made / "dist"))
    (wheel,), (sdist,) = (made / "dist").glob("*.whl"), (made / "dist").glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))

    empty = _venv(session, made / "empty")
    empty("-m", "pip", "install", "-q", str(wheel))
    first_test = re.findall(r"^```python\n(.*?)^```$", Path("README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (made / "test_first.py").write_text(first_test)
    empty(
        "-m", "pytest", "-q", "-W", "error", "-c", "/dev/null", "--rootdir", str(made), str(made / "test_first.py")
    )

    session.install(str(wheel))
    session.chdir(made)
    session.run("pyright", "--verifytypes", "pytest_echoserver", "--ignoreexternal")

    shutil.unpack_archive(sdist, made)
    source = made / sdist.name.removesuffix(".tar.gz")
    session.chdir(source)
    own = _venv(session, made / "own")
    own("-m", "pip", "install", "-q", "-e", ".[dev]")
    own("-m", "pytest", "-q", *session.posargs)


def _venv(session: nox.Session, place: Path) -> Callable[..., object]:
    """An environment with nothing in it; gives what runs its Python."""
    session.run("python", "-m", "venv", "--clear", str(place))
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    return partial(session.run, str(python), external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The pages, in docs/_build/html; no network is needed."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html")


@nox.session
def endurance(session: nox.Session) -> None:
    """Tests by the ten thousands, a flood, and whatever else goes wrong in a test; prints a table."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-q", "tests/endurance", *session.posargs, env={"ECHOSERVER_ENDURANCE": "long"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """What Hypothesis finds with fifty times the examples that the suite tries, and others each time."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/fuzz", *session.posargs, env={"ECHOSERVER_FUZZ": "long"})


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
