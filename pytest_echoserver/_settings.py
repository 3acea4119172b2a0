"""The settings: marker over fixture over command line over ini over default, read in this one place."""

import importlib.util
import os
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import _deadline

MARKER = "echoserver"
SEED = "echoserver_seed"
LOOP_NAMES = ("asyncio", "uvloop")
TRAFFIC = ("failed", "all", "off")
WIDTH = "echoserver_width"


class Settings:
    """How peers are made and waited for, unless a keyword says otherwise. These are the defaults."""

    # No dataclass nor tuple: to make one takes longer than all else here, in every run.

    timeout: float = 5.0
    host: str = "127.0.0.1"
    loop: str = "asyncio"
    strict: bool = True
    switch_interval: float | None = None
    seed: int = 0
    own_seed: int | None = None
    """A marker's: taken as it is, where the run's is mixed with the test's node id."""
    faults: Any = None
    traffic: str = "failed"
    payload_limit: int = 256
    pcap: Path | None = None
    html: Path | None = None
    width: int = 80
    """Columns of the terminal that the run is shown on."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are not changed: {name}")

    def but(self, given: dict[str, Any]) -> "Settings":
        """The same, with some others."""
        made = Settings()
        made.__dict__.update(self.__dict__, **given)
        return made

    def seed_of(self, node: str | None) -> bytes:
        """What faults are decided from, in a test with this node id, or in what lives longer than one."""
        own = self.seed if self.own_seed is None else self.own_seed
        return str(own).encode() if node is None or self.own_seed is not None else f"{own} {node}".encode()

    def repeat(self, node: str | None) -> str:
        """Tell how to have the same faults again; empty if they are the same anyhow."""
        if self.own_seed is not None:
            return ""
        tests = f" {shlex.quote(node)}" if node else ""
        after = "" if node else ", after the same tests"
        return f"they were decided from the seed {self.seed}: pytest{tests} --echoserver-seed={self.seed}{after}"


_HELP = {
    "timeout": f"Seconds that a wait for captured data may take (default: {Settings.timeout:g}).",
    "host": f"Loopback address to bind peers to (default: {Settings.host}).",
    "loop": f"Event loop that peers live on (default: {Settings.loop}; uvloop needs the extra uvloop).",
    "switch_interval": "Seconds after which a busy thread lets another run, while there are peers, as by "
    "sys.setswitchinterval (default: Python's, 0.005).",
    "seed": "A whole number that faults are decided from (default: another one in each run; a failure tells it).",
    "traffic": "Of which tests the traffic is shown, and written where asked for: those that failed, or all; "
    f"off shows none, and writes that of those that failed (default: {Settings.traffic}).",
    "payload_limit": f"Bytes of a message that a failure's report shows (default: {Settings.payload_limit}).",
    "pcap": "Write a pcapng file of each failed test to this directory, for Wireshark and tshark.",
    "html": "Write a page to this file, with a diagram of the traffic of each failed test.",
}
_METAVARS = {
    "timeout": "SECONDS",
    "host": "ADDRESS",
    "loop": "|".join(LOOP_NAMES),
    "switch_interval": "SECONDS",
    "seed": "NUMBER",
    "traffic": "|".join(TRAFFIC),
    "payload_limit": "BYTES",
    "pcap": "DIR",
    "html": "FILE",
}
PATHS = {"pcap", "html"}
_NUMBERS: dict[str, Any] = {
    "timeout": float | str,
    "switch_interval": float | str,
    "seed": int | str,
    "payload_limit": int | str,
}
"""What pytest is to take in the ini file: text too, so that we tell of what is no number, and not pytest."""
MARKER_LINE = (
    f"{MARKER}(*, host=..., timeout=..., strict=..., seed=..., faults=...): settings of pytest-echoserver for this "
    "test, which come before command line and ini. host: a loopback address to bind its peers to; timeout: seconds "
    "that a wait may take; strict: whether what no script and no rule matches fails the test (default: True) or is "
    "only recorded; seed: a whole number that faults are decided from; faults: what the network does to what "
    "passes, as DatagramFaults(loss=0.1)."
)
_MARKER_KEYWORDS = ("host", "timeout", "strict", "seed", "faults")


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("echoserver", "network peers (pytest-echoserver)")
    for name, text in _HELP.items():
        group.addoption(_option(name), metavar=_METAVARS[name], help=text)
        kind = _NUMBERS.get(name) if pytest.version_tuple >= (9, 2) else None  # before, there are no such types
        parser.addini(f"echoserver_{name}", text, kind, default="")


def of_run(config: pytest.Config) -> Settings:
    """The settings of command line, ini and default.

    Raises:
        pytest.UsageError: one of them isn't what is allowed.
    """
    given: dict[str, Any] = {"width": _width(config)}
    for name in _HELP:
        value, base = config.getoption(_option(name)), config.invocation_params.dir
        if value is None:
            value, base = _in_the_file(config, name), config.rootpath
        if value != "":
            given[name] = base / value if name in PATHS else value
    try:
        for name in given.keys() & {"timeout", "switch_interval"}:
            given[name] = _number(given[name], f"echoserver_{name}")
        given["seed"] = _whole(given["seed"], "echoserver_seed") if "seed" in given else _drawn_seed(config)
        if "host" in given:
            _check_that_it_is_an_address(given["host"])
        if "payload_limit" in given:
            given["payload_limit"] = _whole(given["payload_limit"], "echoserver_payload_limit")
        return _with(Settings(), given, "echoserver_")
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


def of_session(run: Settings, listen_host: object) -> Settings:
    """The settings of what lives longer than a test: those of the fixtures over those of the run.

    Args:
        run: the settings of command line, ini and default.
        listen_host: what the fixture ``echoserver_listen_host`` gives.

    Raises:
        TypeError, ValueError: the fixture gives what isn't allowed.
    """
    return run if listen_host is None else _with(run, {"host": listen_host}, "echoserver_listen_")


def of_test(run: Settings, node: pytest.Item, listen_host: object = None) -> Settings:
    """The settings of a test: those of its markers, the nearest first, over those of the session.

    Raises:
        TypeError, ValueError: a marker or a fixture says what isn't allowed.
    """
    run = of_session(run, listen_host)
    given: dict[str, Any] = {}
    for marker in node.iter_markers(MARKER):
        unknown = sorted(set(marker.kwargs) - set(_MARKER_KEYWORDS))
        if marker.args or unknown:
            what = repr(marker.args[0]) if marker.args else unknown[0]
            allowed = f"{', '.join(_MARKER_KEYWORDS[:-1])} and {_MARKER_KEYWORDS[-1]}"
            raise TypeError(f"the marker {MARKER} takes {allowed} by keyword, not {what}")
        given = {**marker.kwargs, **given}
    if "seed" in given:
        given["own_seed"] = given.pop("seed")
    return _with(run, given, "") if given else run


def share(settings: Settings, workerinput: dict[str, Any]) -> None:
    """Have a worker of pytest-xdist decide faults from the seed of the whole run, and write for its terminal."""
    workerinput[SEED], workerinput[WIDTH] = settings.seed, settings.width


def _width(config: pytest.Config) -> int:
    shared: dict[str, Any] = getattr(config, "workerinput", {})
    return int(shared.get(WIDTH) or shutil.get_terminal_size().columns)


def _drawn_seed(config: pytest.Config) -> int:
    """The seed of this run, where nobody gave one; a worker of pytest-xdist has that of the whole run."""
    shared: dict[str, Any] = getattr(config, "workerinput", {})
    return int(shared[SEED]) if SEED in shared else int.from_bytes(os.urandom(4), "big")


def _with(settings: Settings, given: dict[str, Any], prefix: str) -> Settings:
    checked: dict[str, Any] = {name: _CHECKS[name](value, prefix + name) for name, value in given.items()}
    return settings.but(checked)


def _option(name: str) -> str:
    return f"--echoserver-{name.replace('_', '-')}"


def _in_the_file(config: pytest.Config, name: str) -> Any:
    """What the ini file says: text, or what TOML has numbers as; empty if nothing."""
    try:
        return config.getini(f"echoserver_{name}")
    except TypeError as error:  # of pytest 9.0 and 9.1: in [tool.pytest] it isn't text
        if name not in _NUMBERS:
            raise pytest.UsageError(str(error)) from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated, and there is no other way
            return config.inicfg[f"echoserver_{name}"]


def _number(given: Any, name: str) -> float:
    try:
        return float(str(given))  # True is no number of seconds
    except ValueError:
        raise ValueError(f"{name} must be a number of seconds, not {given!r}") from None


def _whole(given: Any, name: str) -> int:
    try:
        return int(str(given))
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {given!r}") from None


def _check_that_it_is_an_address(host: str) -> None:
    from ._peers.hosts import check_host  # few runs say which, and this module is loaded with the plugin

    try:
        check_host(host, allow_remote=True)
    except ValueError as error:
        raise ValueError(f"echoserver_{error}") from None


def _seed(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name.replace('own_', '')} must be an int, not {value!r}")
    return value


def _faults(value: Any, name: str) -> Any:
    # Whether peers of a kind can have them is checked where they are made.
    if value is None or isinstance(value, (str, bytes, int, float)):
        raise TypeError(
            f"{name} must be DatagramFaults, StreamFaults, or what else faults= of a peer takes, not {value!r}"
        )
    return value


def _interval(value: Any, name: str) -> float:
    # From 2**32 microseconds on the interpreter would take another value.
    if not 1e-6 <= value <= 1_000:
        raise ValueError(f"{name} must be seconds from 0.000001 to 1000, not {value!r}")
    return float(value)


def _host(value: Any, name: str) -> str:
    # Whether it is a loopback address is checked where it is bound.
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string like '127.0.0.1' or '::1', not {value!r}")
    return value


def _loop(value: Any, name: str) -> str:
    if value not in LOOP_NAMES:
        raise ValueError(f"{name} must be {' or '.join(LOOP_NAMES)}, not {value!r}")
    if value == "uvloop" and importlib.util.find_spec("uvloop") is None:
        raise ValueError(f"{name} is uvloop, which isn't installed: pip install 'pytest-echoserver[uvloop]'")
    return str(value)


def _traffic(value: Any, name: str) -> str:
    if value not in TRAFFIC:
        raise ValueError(f"{name} must be {', '.join(TRAFFIC[:-1])} or {TRAFFIC[-1]}, not {value!r}")
    return str(value)


def _payload_limit(value: Any, name: str) -> int:
    if value < 1:
        raise ValueError(f"{name} must be a number of bytes, at least 1, not {value!r}")
    return int(value)


def _as_it_is(value: Any, _: str) -> Any:
    return value


def _strict(value: Any, name: str) -> bool:
    from ._checks import flag  # few markers say so, and this module is loaded with the plugin

    return flag(value, name)


_CHECKS: dict[str, Callable[[Any, str], object]] = {
    "timeout": _deadline.seconds,
    "host": _host,
    "loop": _loop,
    "strict": _strict,
    "switch_interval": _interval,
    "seed": _seed,
    "own_seed": _seed,
    "faults": _faults,
    "traffic": _traffic,
    "payload_limit": _payload_limit,
    "pcap": _as_it_is,
    "html": _as_it_is,
    "width": _as_it_is,
}
