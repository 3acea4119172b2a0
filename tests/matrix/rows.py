"""The rows of the matrix: which neighbour, loaded how, with which options, runs which suite."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A suite beside a neighbour.

    Attributes:
        name: what the table calls it.
        packages: the neighbours, as they are installed; without one of them the row is skipped.
        plugins: what they are for ``pytest -p``; None: all that is installed is loaded by itself.
        options: for the command line.
        suite: the file in ``suites/``. All its tests pass, but for those named test_meant_to_fail.
        prints: a line that its output has.
        outcomes: how many tests there are of each outcome, as pytest counts them.
    """

    name: str
    packages: tuple[str, ...] = ()
    plugins: tuple[str, ...] | None = ()
    options: tuple[str, ...] = ()
    suite: str
    prints: str = "*"
    outcomes: dict[str, int] = field(default_factory=lambda: {"passed": 5, "failed": 1})


def asyncio_row(name: str, suite: str, scope: str, *options: str) -> Row:
    scopes = (f"-oasyncio_default_{of}_loop_scope={scope}" for of in ("fixture", "test"))
    return Row(
        name=f"pytest-asyncio, {name}",
        packages=("pytest-asyncio",),
        plugins=("pytest_asyncio.plugin",),
        options=(*scopes, *options),
        suite=suite,
    )


FORKS = (
    # Python warns from 3.12 on of any thread in a process that forks; the second are pytest-forked's own files.
    *("-W", "ignore:This process (pid=:DeprecationWarning"),
    *("-W", "ignore:unclosed file <_io.TextIOWrapper name=:ResourceWarning"),
)

ROWS = (
    Row(name="by itself", suite="plain.py"),
    Row(name="unittest", suite="with_unittest.py", outcomes={"passed": 7, "failed": 2}),
    *(
        asyncio_row(f"strict, {scope} loops", "asyncio_strict.py", scope)
        for scope in ("function", "class", "module", "package", "session")
    ),
    asyncio_row("auto, function loops", "asyncio_auto.py", "function", "--asyncio-mode=auto"),
    asyncio_row("auto, session loops", "asyncio_auto.py", "session", "--asyncio-mode=auto"),
    *(
        Row(
            name=f"anyio, {backend}",
            packages=("anyio", backend) if backend == "trio" else ("anyio",),
            plugins=("anyio.pytest_plugin",),
            options=("-k", backend),
            suite="on_anyio.py",
            outcomes={"passed": 4, "failed": 1, "deselected": 5},
        )
        for backend in ("asyncio", "trio")
    ),
    Row(
        name="pytest-trio",
        packages=("pytest-trio",),
        plugins=("pytest_trio.plugin",),
        suite="on_trio.py",
        outcomes={"passed": 4, "failed": 1},
    ),
    *(
        Row(
            name=f"pytest-twisted, {reactor} reactor",
            packages=("pytest-twisted",),
            plugins=("pytest_twisted",),
            options=(f"--reactor={reactor}",),
            suite="on_twisted.py",
            outcomes={"passed": 4, "failed": 1},
        )
        for reactor in ("default", "asyncio")
    ),
    Row(
        name="pytest-xdist",
        packages=("pytest-xdist",),
        plugins=("xdist.plugin", "xdist.looponfail"),
        options=("-n", "2"),
        suite="plain.py",
        prints="2 workers [[]6 items[]]",
    ),
    Row(
        name="pytest-randomly",
        packages=("pytest-randomly",),
        plugins=("pytest_randomly",),
        suite="plain.py",
        prints="Using --randomly-seed=*",
    ),
    Row(
        name="pytest-repeat",
        packages=("pytest-repeat",),
        plugins=("pytest_repeat",),
        suite="with_repeat.py",
        outcomes={"passed": 17, "failed": 2},
    ),
    Row(
        name="pytest-rerunfailures",
        packages=("pytest-rerunfailures",),
        plugins=("pytest_rerunfailures",),
        suite="with_reruns.py",
        outcomes={"passed": 4, "failed": 1, "rerun": 3},
    ),
    *(
        Row(
            name=f"pytest-timeout, by {method}",
            packages=("pytest-timeout",),
            plugins=("pytest_timeout",),
            options=("--timeout=30", f"--timeout-method={method}"),
            suite="with_timeout.py",
        )
        for method in ("signal", "thread")
    ),
    Row(
        name="pytest-socket --disable-socket",
        packages=("pytest-socket",),
        plugins=("pytest_socket",),
        options=("--disable-socket",),
        suite="with_socket.py",
    ),
    Row(
        name="pytest-socket --allow-hosts",
        packages=("pytest-socket",),
        plugins=("pytest_socket",),
        options=("--allow-hosts=127.0.0.1", "--allow-unix-socket"),
        suite="with_allowed_hosts.py",
        outcomes={"passed": 6, "failed": 1},
    ),
    Row(
        name="pytest-cov",
        packages=("pytest-cov",),
        plugins=("pytest_cov.plugin",),
        options=("--cov=app", "--cov-branch"),
        suite="plain.py",
        prints="app.py * 100%",
    ),
    Row(
        name="pytest-subprocess",
        packages=("pytest-subprocess",),
        plugins=("pytest_subprocess.fixtures",),
        suite="with_subprocess.py",
    ),
    Row(
        name="pytest-mock",
        packages=("pytest-mock",),
        plugins=("pytest_mock",),
        suite="with_mock.py",
        outcomes={"passed": 6, "failed": 1},
    ),
    Row(
        name="pytest-httpserver",
        packages=("pytest-httpserver",),
        plugins=("pytest_httpserver.pytest_plugin",),
        suite="with_httpserver.py",
        outcomes={"passed": 4, "failed": 1},
    ),
    Row(
        name="hypothesis",
        packages=("hypothesis",),
        plugins=("_hypothesis_pytestplugin",),
        suite="with_hypothesis.py",
        outcomes={"passed": 4, "failed": 1},
    ),
    Row(
        name="pytest-forked",
        packages=("pytest-forked",),
        plugins=("pytest_forked",),
        options=("--forked", *FORKS),
        suite="plain.py",
    ),
    Row(
        name="all that is installed",
        packages=("pytest-asyncio", "anyio", "trio"),
        plugins=None,
        # pytest-twisted runs every test on its reactor: Trio refuses to run there.
        options=("-oasyncio_default_fixture_loop_scope=function", "-p", "no:twisted"),
        suite="everything.py",
        outcomes={"passed": 6, "failed": 1},
    ),
)
