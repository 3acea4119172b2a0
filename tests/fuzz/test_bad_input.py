"""Whatever is passed to a public call: it works, or says at once what is wrong with that."""

import asyncio
import re
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import pytest_echoserver
from pytest_echoserver import (
    CaptureFuture,
    CaptureTimeout,
    DatagramFaults,
    DatagramPeer,
    Process,
    ProcessDied,
    Schedule,
    StreamFaults,
    StreamPeer,
    Verdict,
    strategies,
)
from pytest_echoserver._peers.options import TCPOptions, UDPOptions, UnixOptions

from .awkward import AWKWARD, examples, values

OURS = str(Path(pytest_echoserver.__file__).parent)


class Bench:
    """What there is to call, made when it is asked for and closed after the call."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._fixture = request.getfixturevalue
        self._made = ExitStack()

    def close(self) -> None:
        """Close what the call has made; this must raise nothing, whatever the call was given."""
        self._made.close()

    @property
    def peers(self) -> Any:
        return self._fixture("peers")

    @property
    def stream_harness(self) -> Any:
        return self._fixture("stream_harness")

    @property
    def datagram_harness(self) -> Any:
        return self._fixture("datagram_harness")

    @property
    def run(self) -> Any:
        return self._fixture("subprocess_runner")

    @property
    def authority(self) -> Any:
        return self._fixture("tls_authority")

    def peer(self, kind: str, *args: Any, **options: Any) -> Any:
        peer = self._made.enter_context(getattr(self.peers, kind)(*args, **options))
        if hasattr(peer, "clear"):
            self._made.callback(peer.clear, script=True)
        return peer

    @property
    def udp(self) -> DatagramPeer:
        peer: DatagramPeer = self.peer("udp")
        return peer

    @property
    def tcp(self) -> StreamPeer:
        peer: StreamPeer = self.peer("tcp")
        return peer

    @property
    def lines(self) -> StreamPeer:
        peer: StreamPeer = self.peer("tcp", framing=b"\n")
        return peer

    @property
    def connection(self) -> Any:
        sock, connection = self.stream_harness.pair()
        self._made.enter_context(closing(sock))
        return connection

    @property
    def stream(self) -> Any:
        return self._closed_after(self.stream_harness.connect(asyncio.Protocol))

    def endpoint(self, remote: bool = False) -> Any:
        return self._closed_after(self.datagram_harness.connect(asyncio.DatagramProtocol, remote=remote))

    def harnessed(self, harness: str, factory: Any, **options: Any) -> None:
        self._closed_after(getattr(self, harness).connect(factory, **options))

    def process(self, **options: Any) -> Process:
        process: Process = self.run("cat", **({"stdin": subprocess.PIPE} | options))
        self._made.callback(lambda: process.wait().result())
        self._made.callback(process.kill)
        return process

    def program(self, **options: Any) -> None:
        self.run("true", **({"timeout": 0.2} if "ready" in options else {}), **options).exited.result(5)

    def _closed_after(self, harnessed: Any) -> Any:
        self._made.callback(lambda: harnessed.close().result())
        return harnessed


Call = Callable[..., Any]
CALLS: dict[str, Call] = {}
"""By its name and, in parentheses, that of the argument."""
ALSO: dict[str, tuple[type[BaseException], ...]] = {}
"""What a call may raise beside TypeError and ValueError, as its docstring says."""
WORDS = {
    "answer": "data|answer",
    "argv": "program",
    "behaviour": "handler",
    "ends": "ends|end",
    "env": "environment",
    "extra_env": "environment",
    "inbound": r"faults\[0\]",
    "outbound": r"faults\[1\]",
    "upstream": r"faults\[0\]",
    "downstream": r"faults\[1\]",
    "key": "packet",
    "match": "match|message",
    "bytes": "bytes|match",
    "connection": "bytes|match",
    "pattern": "pattern|predicate|framing",
    "ready": "ready|pattern",
    "protocol": "factory",
    "pty": "columns|lines",
    "source": "host|port",
    "verdicts": "packet",
}
"""What an error may say in the place of the argument's name."""


def add(name: str, call: Call, *also: type[BaseException]) -> None:
    CALLS[name] = call
    ALSO[name] = also


def _peers() -> None:
    options: dict[str, Any] = {"udp": UDPOptions, "tcp": TCPOptions, "unix": UnixOptions, "tls": TCPOptions}
    for kind, known in options.items():
        for option in sorted(known.__optional_keys__):
            also = (OSError,) if option in ("host", "port", "path") else ()
            add(f"peers.{kind}({option})", lambda b, v, k=kind, o=option: b.peer(k, **{o: v}), *also)
        add(f"peers.{kind}(behaviour)", lambda b, v, k=kind: b.peer(k, v))
    of_proxies = ["upstream", "downstream", "faults", "host", "port", "allow_remote", "name", "timeout"]
    for kind in ("udp_proxy", "tcp_proxy"):
        add(f"peers.{kind}(target)", lambda b, v, k=kind: b.peer(k, v))
        for option in of_proxies:
            also = (OSError,) if option in ("host", "port") else ()
            add(
                f"peers.{kind}({option})",
                lambda b, v, k=kind, o=option: b.peer(k, ("127.0.0.1", 9), **{o: v}),
                *also,
            )
    add("peers.tcp_proxy(receive_buffer)", lambda b, v: b.peer("tcp_proxy", ("127.0.0.1", 9), receive_buffer=v))
    for kind in ("refusing", "blackhole"):
        add(f"peers.{kind}(transport)", lambda b, v, k=kind: b.peer(k, v))
        for option in ("host", "port", "name"):
            for transport in ("tcp", "udp"):
                add(
                    f"peers.{kind} by {transport}({option})",
                    lambda b, v, k=kind, t=transport, o=option: b.peer(k, t, **{o: v}),
                    OSError,
                )


def _what_peers_do() -> None:
    add("udp.wait_for(count)", lambda b, v: b.udp.wait_for(v).cancel())
    add("udp.send(data)", lambda b, v: b.udp.send(v, ("127.0.0.1", 9)).exception())
    add("udp.send(to)", lambda b, v: b.udp.send(b"x", v).exception())
    add("udp.expect_silence(seconds)", lambda b, v: b.udp.expect_silence(v).cancel())
    for kind in ("udp", "tcp", "lines"):
        add(f"{kind}.serve(handler)", lambda b, v, k=kind: getattr(b, k).serve(v))
        add(f"{kind}.expect(pattern)", lambda b, v, k=kind: getattr(b, k).expect(v))
        add(f"{kind}.expect(times)", lambda b, v, k=kind: getattr(b, k).expect(b"x", times=v))
        add(f"{kind}.on(pattern)", lambda b, v, k=kind: getattr(b, k).on(v))
        add(f"{kind}.reply(answer)", lambda b, v, k=kind: getattr(b, k).on(b"x").reply(v))
        add(f"{kind}.reply(after)", lambda b, v, k=kind: getattr(b, k).on(b"x").reply(b"x", after=v))
        add(f"{kind}.clear(script)", lambda b, v, k=kind: getattr(b, k).clear(script=v))
        add(f"{kind}.faults(faults)", lambda b, v, k=kind: setattr(getattr(b, k), "faults", v))
        for way in ("faults", "inbound", "outbound"):
            add(f"{kind}.faulty({way})", lambda b, v, k=kind, w=way: faulty(getattr(b, k), w, v))


def faulty(peer: Any, way: str, given: Any) -> None:
    with peer.faulty(**{way: given}):
        pass


def _connections() -> None:
    for kind in ("connection", "stream"):
        add(f"{kind}.read(n)", lambda b, v, k=kind: getattr(b, k).read(v).cancel())
        add(f"{kind}.read_exactly(n)", lambda b, v, k=kind: getattr(b, k).read_exactly(v).cancel())
        add(f"{kind}.read_until(pattern)", lambda b, v, k=kind: getattr(b, k).read_until(v).cancel())
        add(f"{kind}.send(data)", lambda b, v, k=kind: getattr(b, k).send(v))
    add("connection.send(segments)", lambda b, v: b.connection.send(b"xyz", segments=v))
    add("stream.send(segments)", lambda b, v: b.stream.send(b"xyz", segments=v).result())


def _harnesses() -> None:
    for harness, protocol in (
        ("stream_harness", asyncio.Protocol),
        ("datagram_harness", asyncio.DatagramProtocol),
    ):
        add(f"{harness}.connect(factory)", lambda b, v, h=harness: b.harnessed(h, v))
        options = ("kind", "side") if harness == "stream_harness" else ("remote",)
        for option in options:
            add(
                f"{harness}.connect({option})",
                lambda b, v, h=harness, p=protocol, o=option: b.harnessed(h, p, **{o: v}),
            )
            add(
                f"{harness}.connect_here({option})",
                lambda b, v, h=harness, p=protocol, o=option: asyncio.run(connect_here(getattr(b, h), p, **{o: v})),
            )
    for kind, made in (("stream", lambda b: b.stream), ("endpoint", lambda b: b.endpoint())):
        add(f"{kind}.next_call(name)", lambda b, v, m=made: m(b).next_call(v).cancel())
        add(f"{kind}.call(function)", lambda b, v, m=made: m(b).call(v).exception())
    add("stream.start_tls(context)", lambda b, v: v is None or b.stream.start_tls(v))
    add("stream.start_tls(after)", lambda b, v: is_bytes(v) or b.stream.start_tls(after=v))
    add("endpoint.send(data)", lambda b, v: b.endpoint().send(v).exception())
    add("endpoint.send(source)", lambda b, v: b.endpoint().send(b"x", v).exception())
    add("connected endpoint.send(source)", lambda b, v: b.endpoint(remote=True).send(b"x", v).exception())
    add("endpoint.error(exc)", lambda b, v: b.endpoint().error(v).exception())


async def connect_here(harness: Any, factory: Any, **options: Any) -> None:
    harnessed = await harness.connect_here(factory, **options)
    await harnessed.close()


def is_bytes(value: object) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview))


def _programs() -> None:
    for option in ("protocol", "stdin", "stdout", "stderr", "env", "extra_env", "pty", "capture_limit", "timeout"):
        add(f"run({option})", lambda b, v, o=option: b.program(**{o: v}))
    add("run(cwd)", lambda b, v: b.program(cwd=v), OSError)
    late = (ProcessDied, CaptureTimeout, asyncio.IncompleteReadError)
    add("run(ready)", lambda b, v: callable(v) or b.program(ready=v), *late)
    add("run(argv)", lambda b, v: b.run(v, kill_expected=True), FileNotFoundError, PermissionError)
    add("run true(argv)", lambda b, v: b.run("true", v).exited.result(5))
    add("process.read_until(pattern)", lambda b, v: b.process().read_until(v).cancel())
    add("process.read_until(stream)", lambda b, v: b.process().read_until(b"x", v).cancel())
    add("process.write(data)", lambda b, v: b.process().write(v))
    add("process.send_signal(signum)", lambda b, v: b.process().send_signal(v))
    add("process.set_terminal_size(columns)", lambda b, v: b.process(pty=True, stdin=None).set_terminal_size(v, 1))
    add("process.set_terminal_size(lines)", lambda b, v: b.process(pty=True, stdin=None).set_terminal_size(1, v))


def _faults() -> None:
    kinds: dict[str, type[Any]] = {"udp": DatagramFaults, "tcp": StreamFaults}
    for peer, kind in kinds.items():
        for name in kind.__dataclass_fields__:
            add(f"{kind.__name__}({name})", lambda b, v, p=peer, k=kind, n=name: b.peer(p, faults=k(**{n: v})))
    for name in Verdict.__dataclass_fields__:
        add(f"Verdict({name})", lambda b, v, n=name: written_and_read(Schedule({("in", 0, 0): Verdict(**{n: v})})))
    for name in ("message", "match"):
        add(f"DatagramFaults.on({name})", lambda b, v, n=name: DatagramFaults().on(**{n: v}).drop())
    for name in ("bytes", "match", "connection"):
        add(f"StreamFaults.on({name})", lambda b, v, n=name: StreamFaults().on(**{n: v}).reset())
    place = DatagramFaults().on(message=1)
    add("faults.delay(delay)", lambda b, v: place.delay(v))
    add("faults.duplicate(copies)", lambda b, v: place.duplicate(v))
    add("faults.replace(data)", lambda b, v: place.replace(v))
    add("faults.send_from(source)", lambda b, v: place.send_from(v))
    add("faults.send_from(port)", lambda b, v: place.send_from(port=v))
    drop = Verdict(drop=True)
    add("Schedule(verdicts)", lambda b, v: use(b, Schedule(v)))
    add("Schedule(key)", lambda b, v: use(b, Schedule([(v, drop)])))
    add("Schedule(direction)", lambda b, v: use(b, Schedule([((v, 0, 0), drop)])))
    add("Schedule(flow)", lambda b, v: use(b, Schedule([(("in", v, 0), drop)])))
    add("Schedule(verdict)", lambda b, v: use(b, Schedule({("in", 0, 0): v})))
    for name in ("rates", "segments"):
        add(f"Schedule({name})", lambda b, v, n=name: use(b, schedule_of(**{n: v})))
        add(f"Schedule of one({name})", lambda b, v, n=name: use(b, schedule_of(**{n: {"in": v}})))
    add("Schedule.parse(schedule)", lambda b, v: Schedule.parse(v))


def written_and_read(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


def schedule_of(**given: Any) -> Schedule:
    return Schedule(**given)


def use(bench: Bench, schedule: Schedule) -> None:
    written_and_read(schedule)
    bench.peer("udp", faults=schedule)
    bench.peer("tcp", faults=schedule)


def _futures() -> None:
    add("CaptureFuture(what)", lambda b, v: CaptureFuture(v).cancel())
    add("CaptureFuture(timeout)", lambda b, v: asyncio.run(awaited(v)), CaptureTimeout)
    add("CaptureFuture.result(timeout)", lambda b, v: waited_for(v), CaptureTimeout)
    add("CaptureFuture.exception(timeout)", lambda b, v: done().exception(v))


def done() -> CaptureFuture[int]:
    future: CaptureFuture[int] = CaptureFuture()
    future.set_result(1)
    return future


async def awaited(timeout: Any) -> None:
    future: CaptureFuture[int] = CaptureFuture(timeout=timeout)
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await future == 1


def waited_for(timeout: Any) -> None:
    future: CaptureFuture[int] = CaptureFuture()

    def fulfil() -> None:
        if future._claim():
            future.set_result(1)

    thread = threading.Thread(target=fulfil)
    thread.start()
    try:
        assert future.result(timeout) == 1
    finally:
        thread.join()


def _strategies() -> None:
    add("chunkings(data)", lambda b, v: strategies.chunkings(v).validate())
    add("chunkings(most)", lambda b, v: strategies.chunkings(b"abc", most=v).validate())
    add("datagram_schedules(count)", lambda b, v: strategies.datagram_schedules(v).validate())
    for name in ("flows", "directions", "longest_delay"):
        add(
            f"datagram_schedules({name})",
            lambda b, v, n=name: strategies.datagram_schedules(3, **{n: v}).validate(),
        )
    add("stream_faults(length)", lambda b, v: strategies.stream_faults(v).validate())
    for name in ("ends", "longest_delay"):
        add(f"stream_faults({name})", lambda b, v, n=name: strategies.stream_faults(3, **{n: v}).validate())


def _authority() -> None:
    add("tls_authority.server_certificate(name)", lambda b, v: b.authority.server_certificate(v))
    add("tls_authority.client_certificate(name)", lambda b, v: b.authority.client_certificate(v))
    add("tls_authority.server_context(name)", lambda b, v: b.authority.server_context(v))
    add("tls_authority.client_context(certificate)", lambda b, v: b.authority.client_context(v))


for table in (
    _peers,
    _what_peers_do,
    _connections,
    _harnesses,
    _programs,
    _faults,
    _futures,
    _strategies,
    _authority,
):
    table()


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request)
    yield bench
    bench.close()


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_use_is_refused_at_the_call(bench: Bench, name: str) -> None:
    wrong = [told for value in AWKWARD if (told := problem(bench, name, value))]
    assert not wrong, "\n".join(wrong)


@examples(4)
@given(value=values)
@pytest.mark.parametrize("name", CALLS)
def test_so_is_whatever_else_comes_to_mind(bench: Bench, name: str, value: Any) -> None:
    assert problem(bench, name, value) is None


def problem(bench: Bench, name: str, value: Any) -> str | None:
    """What is wrong with how a call took a value; None if it worked, or refused it well."""
    told: str | None = None
    try:
        CALLS[name](bench, value)
    except (TypeError, ValueError) as error:
        told = wrong_with(error, name, value)
    except ALSO[name]:
        pass
    except BaseException as error:  # noqa: BLE001  that is the question
        told = f"raised {error!r}"
    try:
        bench.close()
    except BaseException as error:  # noqa: BLE001
        told = f"raised {error!r} when all was closed"
    return told and f"{name} got {value!r:.100}, and {told}"


def wrong_with(error: Exception, name: str, value: Any) -> str | None:
    *_, last = traceback.extract_tb(error.__traceback__)
    if not last.filename.startswith(OURS):
        return f"left it to {last.filename} to raise {error!r}"
    argument = name[name.index("(") + 1 : -1]
    word = WORDS.get(argument, argument)
    if not (repr(value) in str(error) or re.search(word, str(error))):
        return f"did not say what is wrong: {error!r}"
    return f"said too much: {len(str(error))} characters" if len(str(error)) > 300_000 else None
