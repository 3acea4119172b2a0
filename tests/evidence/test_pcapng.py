"""The evidence as pcapng files, read by tshark, which checks all that it can."""

import json
import os
import re
import shutil
import struct
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import Event, PeerTraffic, Traffic, Verdict
from pytest_echoserver._evidence import pcapng
from pytest_echoserver._evidence.timeline import Reading

from ..conftest import Downstream

TSHARK = shutil.which("tshark")
NEEDED = {"frame", "pcap", "pcapng", "raw", "ip", "ipv6", "udp", "tcp", "data", "_ws.expert", "_ws.malformed"}

COMPLAINTS = ("tcp.analysis.flags", "_ws.malformed")
TOLD = "_ws.expert.message"
NO_COMPLAINT = re.compile(
    r"Connection (establish|finish|reset)|This frame \w+ the connection closing"
    r"|Possible traceroute: hop #\d+| attempt #\d+"  # of any datagram to one of 64 ports, from 33,435 on
)
STATUSES = ("ip.checksum.status", "udp.checksum.status", "tcp.checksum.status")
GOOD = "1"
FIELDS = (
    *("frame.interface_name", "frame.interface_description", "frame.comment", "frame.time_epoch"),
    *("ip.src", "ipv6.src", "udp.srcport", "udp.dstport", "udp.payload"),
    *("tcp.stream", "tcp.srcport", "tcp.dstport", "tcp.payload", "tcp.flags", *COMPLAINTS, TOLD, *STATUSES),
)

SUITE = """
    import asyncio
    import json
    import socket
    import ssl

    import pytest

    from pytest_echoserver import DatagramFaults, StreamFaults, Verdict

    def udp(address, *payloads):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(address)
            for payload in payloads:
                client.send(payload)
                client.recv(70_000)

    def to_the_end(sock):
        try:
            while sock.recv(100_000):
                pass
        except ConnectionResetError:
            pass

    def stream(sock, *payloads):
        for payload in payloads:
            sock.sendall(payload)
            came = 0
            while came < len(payload):
                came += len(sock.recv(100_000))

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_udp(peers, host):
        largest = 65_507 if host == "127.0.0.1" else 65_527
        udp(peers.udp_echo(host=host).address, b"hello", b"", bytes(largest), b"odd", b"\\xff\\xff")
        assert False

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_tcp(peers, host):
        peer = peers.tcp_echo(host=host)
        for _ in range(3):
            with socket.create_connection(peer.address, 5) as client:
                stream(client, b"a", b"bc", bytes(300_000))
                client.shutdown(socket.SHUT_WR)
                to_the_end(client)
        assert False

    def test_tls(peers, tls_authority):
        peer = peers.tls_echo()
        with socket.create_connection(peer.address, 5) as plain:
            with tls_authority.client_context().wrap_socket(plain, server_hostname="localhost") as client:
                stream(client, b"secret", b"x" * 50_000)
        assert False

    def test_unix(peers):
        peer = peers.unix_echo()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(peer.address)
                stream(client, b"over a path")
        assert False

    def test_resets(peers):
        peer = peers.tcp()
        with socket.create_connection(peer.address, 5) as client:
            client.sendall(b"to be reset")
            peer.connection.read_exactly(11).result()
            peer.connection.reset().result()
            to_the_end(client)
        other = peers.tcp()
        client = socket.create_connection(other.address, 5)
        client.sendall(b"going")
        other.connection.read_exactly(5).result()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
        client.close()
        assert other.connection.ended.result() == "reset"
        assert False

    def test_a_record_that_begins_in_the_middle(peers):
        peer = peers.tcp_echo()
        with socket.create_connection(peer.address, 5) as client:
            stream(client, b"before")
            peer.clear()
            stream(client, b"after")
        assert False

    def test_datagram_faults(peers):
        peer = peers.udp_echo(
            inbound=[DatagramFaults(duplicate=0.5, delay=0.001, seed=1), lambda packet: None],
            outbound=DatagramFaults(corrupt=0.5, seed=2),
        )
        udp(peer.address, *(b"%d" % number for number in range(20)))
        held = peers.udp_echo(inbound=lambda packet: Verdict(delay=60), name="held")
        late = peers.udp_echo(outbound=lambda packet: Verdict(delay=60), name="late")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"dropped at the end", held.address)
            client.sendto(b"its answer is", late.address)
            late.wait_for(1).result()
        lossy = peers.udp(inbound=lambda packet: Verdict(drop=packet.data == b"lost"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"lost", lossy.address)
            client.sendto(b"not lost", lossy.address)
        lossy.wait_for(1).result()
        assert False

    def test_stream_faults(peers):
        with socket.create_connection(peers.tcp_echo(faults=StreamFaults(reset_after=10)).address, 5) as client:
            client.sendall(b"x" * 20)
            to_the_end(client)
        assert False

    def test_proxies(peers):
        udp(peers.udp_proxy(peers.udp_echo()).address, b"by a proxy")
        with socket.create_connection(peers.tcp_proxy(peers.tcp_echo()).address, 5) as client:
            stream(client, b"by a proxy")
        assert False

    @pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
    def test_stream_harness(stream_harness, kind):
        class Upper(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(data.upper())

        far = stream_harness.connect(Upper, kind=kind)
        far.send(b"say it")
        far.read_exactly(6).result()
        assert False

    def test_datagram_harness(datagram_harness):
        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                self.transport.sendto(data, addr)

        far = datagram_harness.connect(Echo, remote=False)
        far.send(b"here")
        far.next_datagram().result()
        far.send(b"there", source=("127.0.0.2", 0))
        far.next_datagram().result()
        assert False

    def test_of_processes_there_is_none(subprocess_runner):
        subprocess_runner("true").wait().result()
        assert False
"""
CONFTEST = """
    import json
    from pathlib import Path

    KINDS = {"datagram_received": "in", "datagram_sent": "out", "data_received": "in", "data_sent": "out"}

    def pytest_echoserver_traffic(item, traffic):
        told = {}
        for peer in traffic.peers:
            rows = told.setdefault(peer.name, [])
            for event in peer.events:
                args = event.args[1:] if peer.numbered else event.args
                way = KINDS.get(event.name)
                if event.name == "fault" and len(args) == 4 and args[0] == "in" and args[3].drop:
                    way, args = "in", args[1:]
                if way and peer.kind != "protocol":
                    rows.append((way, event.args[0] if peer.numbered else None, args[0].hex()))
        properties = dict(item.user_properties)
        if "echoserver_pcap" in properties:
            Path(properties["echoserver_pcap"] + ".json").write_text(json.dumps(told))
"""


Packets = list[dict[str, str]]
ReadFile = Callable[[Path], Packets]


@pytest.fixture(scope="module")
def by_tshark(tmp_path_factory: pytest.TempPathFactory) -> ReadFile:
    """Reads a file: of each packet the fields that it has."""
    if TSHARK is None:
        pytest.skip("tshark isn't installed")
    # What is above UDP and TCP is what our payloads happen to be, on ports that happen to be some protocol's.
    config = tmp_path_factory.mktemp("tshark")
    environment = {**os.environ, "WIRESHARK_CONFIG_DIR": str(config)}

    def run(*args: str, tshark: str = TSHARK) -> list[str]:
        done = subprocess.run(
            [tshark, *args], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.splitlines()

    known = [line.split("\t")[2] for line in run("-G", "protocols")]
    (config / "disabled_protos").write_text("\n".join(sorted(set(known) - NEEDED)))
    checks = [f"-o{protocol}.check_checksum:TRUE" for protocol in ("ip", "udp", "tcp")]
    fields = [f"-e{name}" for name in FIELDS]

    def read(path: Path) -> Packets:
        lines = run("-r", str(path), "-Tfields", "-Eseparator=\x1f", *checks, *fields)
        return [dict(zip(FIELDS, line.split("\x1f"), strict=True)) for line in lines]

    return read


def test_tshark_reads_all_and_finds_nothing_wrong(downstream: Downstream, by_tshark: ReadFile) -> None:
    downstream.pytester.makeconftest(CONFTEST)
    result = downstream.run_apart(SUITE, "--echoserver-pcap=out")
    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"failed"}, "\n".join(result.outlines[-60:])
    files = sorted((downstream.pytester.path / "out").glob("*.pcapng"))
    assert len(files) == outcomes["failed"] - 1
    for file in files:
        found = by_tshark(file)
        assert found, file
        for packet in found:
            assert not [packet[name] for name in COMPLAINTS if packet[name]], (file.name, packet)
            assert {packet[name] for name in STATUSES} == {"", GOOD}, (file.name, packet)
            assert packet["udp.checksum.status"] + packet["tcp.checksum.status"] == GOOD, (file.name, packet)
            told = packet[TOLD].replace(packet["frame.comment"], "")  # a comment is told of as well
            assert all(NO_COMPLAINT.match(each) for each in told.split(",") if each), (file.name, packet)
        record = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))
        assert _of_record(record, found) == _of_packets(found), file.name


def _of_record(record: dict[str, list[Any]], found: Packets) -> dict[str, list[str]]:
    """The payloads in a record: of datagrams each, of a stream's connection all that went each way."""
    streams = {packet["frame.interface_name"] for packet in found if packet["tcp.stream"]}
    payloads: dict[str, list[str]] = {}
    for name, rows in record.items():
        if not rows:
            continue
        if name not in streams:
            payloads[name] = sorted(data for _, _, data in rows)
            continue
        joined: dict[tuple[Any, str], str] = defaultdict(str)
        for way, number, data in rows:
            joined[number, way] += data
        payloads[name] = sorted(joined.values())
    return payloads


def _of_packets(found: Packets) -> dict[str, list[str]]:
    payloads: dict[str, list[str]] = defaultdict(list)
    joined: dict[tuple[str, str, str, str], str] = defaultdict(str)
    for packet in found:
        name = packet["frame.interface_name"]
        if packet["tcp.stream"]:
            source = packet["ip.src"] + packet["ipv6.src"]
            joined[name, packet["tcp.stream"], source, packet["tcp.srcport"]] += packet["tcp.payload"]
        else:
            payloads[name].append(packet["udp.payload"])
    for (name, *_), data in joined.items():
        if data:
            payloads[name].append(data)
    return {name: sorted(each) for name, each in payloads.items()}


@pytest.mark.parametrize("act", ["close", "send_eof", "nothing"])
def test_who_ends_a_connection_first_sends_the_first_fin(
    downstream: Downstream, by_tshark: ReadFile, act: str
) -> None:
    downstream.run_apart(
        f"""
        import socket

        def test_it(tcp_peer):
            step = tcp_peer.expect(b"bye")
            if {act!r} != "nothing":
                step.{act}()
            with socket.create_connection(tcp_peer.address, 5) as client:
                client.sendall(b"bye")
                if {act!r} == "nothing":
                    client.shutdown(socket.SHUT_WR)
                client.recv(1)
            assert False
        """,
        "--echoserver-pcap=out",
    )
    (file,) = (downstream.pytester.path / "out").iterdir()
    client, *_ = packets = by_tshark(file)
    first = next(packet for packet in packets if int(packet["tcp.flags"], 16) & 1)
    assert (first["tcp.srcport"] == client["tcp.srcport"]) is (act == "nothing")


def test_a_file_says_what_it_is_of_and_what_the_network_did(downstream: Downstream, by_tshark: ReadFile) -> None:
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_decode(data):
            return f"it says {data.decode()}"

        def pytest_echoserver_redact(data):
            return data.replace(b"secret", b"******")
        """
    )
    downstream.run_apart(
        """
        import socket
        import pytest

        @pytest.mark.echoserver(seed=42)
        def test_it(peers):
            peer = peers.udp(name="resolver", inbound=lambda packet: None)
            other = peers.tcp(name="gone")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"my secret", peer.address)
                peer.next_datagram().result()
            assert False
        """,
        "--echoserver-pcap=out",
    )
    (file,) = (downstream.pytester.path / "out").iterdir()
    (packet,) = by_tshark(file)
    assert bytes.fromhex(packet["udp.payload"]) == b"my ******"
    assert packet["frame.interface_name"] == "resolver"
    assert packet["frame.interface_description"].startswith("udp; 127.0.0.1:")
    assert packet["frame.comment"] == "it says my ******"
    assert abs(float(packet["frame.time_epoch"]) - time.time()) < 60
    content = file.read_bytes()
    assert b"::test_it\nseed: 42" in content
    assert b"secret" not in content


def test_no_terminal_obeys_what_tshark_writes_of_it(downstream: Downstream, by_tshark: ReadFile) -> None:
    downstream.pytester.makeconftest("def pytest_echoserver_decode(): return '\\x1b[31m' + '\\u4e2d' * 2_000")
    downstream.run_apart(
        r"""
        def test_it(peers):
            peer = peers.udp(name="\x1b[31m\u202e\udc80")
            peer.send(b"x", peer.address).result()
            peer.wait_for(1).result()
            assert False
        """,
        "--echoserver-pcap=out",
    )
    (file,) = (downstream.pytester.path / "out").iterdir()
    assert b"\x1b[" not in file.read_bytes()  # a port's number, or a checksum, may have the one byte
    sent, _ = by_tshark(file)
    assert sent["frame.interface_name"] == r"\x1b[31m\u202e\udc80"
    assert re.fullmatch(r"\\x1b\[31m\u4e2d+", sent["frame.comment"])


def test_of_all_tests_on_request(downstream: Downstream) -> None:
    suite = """
        def test_passes(udp_peer): pass
        def test_fails(udp_peer): assert False
        def test_has_no_peer(): assert False
    """
    downstream.run(suite, "--echoserver-pcap=failed")
    downstream.run(suite, "--echoserver-pcap=all", "--echoserver-traffic=all")
    downstream.run(suite, "--echoserver-pcap=quiet", "--echoserver-traffic=off")
    here = downstream.pytester.path
    written = {name: sorted(_tests_of(here / name)) for name in ("failed", "all", "quiet")}
    assert written == {"failed": ["fails"], "all": ["fails", "passes"], "quiet": ["fails"]}


def _tests_of(folder: Path) -> list[str]:
    return [
        found[1]
        for file in folder.iterdir()
        if (found := re.search(r"_test_(\w+)-[0-9a-f]{8}\.pcapng$", file.name))
    ]


@pytest.mark.parametrize("options", [("-n2",), ()])
def test_no_name_of_a_test_leads_elsewhere(downstream: Downstream, options: tuple[str, ...]) -> None:
    names = [
        "../../../../tmp/out",
        "/etc/passwd",
        "a" * 300,
        "\x00\x1b",
        "nul",
        "CON",
        "..",
        "ü" * 300,
        "x;rm -rf ~",
        "x y",
    ]
    downstream.run_apart(
        f"""
        import pytest

        @pytest.mark.parametrize("name", {names}, ids=lambda name: name)
        def test_it(udp_peer, name):
            assert False
        """,
        "--echoserver-pcap=deep/er",
        "--junitxml=junit.xml",
        *options,
        plugins=("xdist",) if options else (),
    )
    here = downstream.pytester.path
    written = {str(file.relative_to(here)) for file in here.rglob("*.pcapng")}
    assert len(written) == len(names)
    assert all(re.fullmatch(r"deep/er/[A-Za-z0-9._-]{1,200}\.pcapng", name) for name in written), written
    told = {each.get("value") for each in ElementTree.parse(here / "junit.xml").iter("property")}
    assert told == {str(here / name) for name in written}


def test_what_can_not_be_written_loses_nothing_else(downstream: Downstream) -> None:
    (downstream.pytester.path / "out").write_text("a file")
    result = downstream.run(
        """
        def test_it(udp_peer):
            udp_peer.send(b"hello", udp_peer.address).result()
            udp_peer.next_datagram().result()
            assert False
        """,
        "--echoserver-pcap=out",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*->  b'hello'*", "*no file was written*", "echoserver_pcap: *File exists*"])


def blocks_of(content: bytes) -> list[tuple[int, bytes]]:
    """The blocks of a file: of each its type and its body."""
    found, at = [], 0
    while at < len(content):
        kind, length = struct.unpack_from("=II", content, at)
        assert length % 4 == 0
        assert struct.unpack_from("=I", content, at + length - 4) == (length,)
        found.append((kind, content[at + 8 : at + length - 4]))
        at += length
    return found


ADDRESSES = st.sampled_from(
    [("127.0.0.1", 1), ("::1", 65_535), ("fe80::1%lo", 9), "a path", None, ("no address", 2)]
)
VERDICTS = st.builds(Verdict, drop=st.booleans(), delay=st.floats(0, 9), flip=st.none() | st.integers(0, 99))
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["datagram_received", "datagram_sent"]), st.tuples(st.binary(), ADDRESSES)),
    st.tuples(st.just("fault"), st.tuples(st.sampled_from(["in", "out"]), st.binary(), ADDRESSES, VERDICTS)),
    st.tuples(st.just("rate_limited"), st.tuples(st.sampled_from(["in", "out"]), st.floats(1e-3, 1e9))),
    st.tuples(st.sampled_from(["data_received", "data_sent"]), st.tuples(st.binary())),
    st.tuples(st.sampled_from(["eof_received", "eof_sent", "reset_sent", "start_tls"]), st.just(())),
    st.tuples(st.just("connection_made"), st.tuples(ADDRESSES)),
    st.tuples(
        st.just("connection_lost"), st.tuples(st.sampled_from([None, ConnectionResetError(), OSError("odd")]))
    ),
)


@given(
    st.lists(EVENTS, max_size=20),
    st.sampled_from(["udp", "endpoint", "tcp", "tls", "unix", "stream", "process"]),
    ADDRESSES,
    st.text(),
)
def test_whatever_happened_is_whole_packets_with_right_checksums(
    told: list[tuple[str, Any]], kind: str, address: Any, name: str
) -> None:
    events = [Event(5.0 + at, name, args) for at, (name, args) in enumerate(told)]
    traffic = Traffic(5.0, (PeerTraffic(name, kind, address, events),))
    blocks = blocks_of(b"".join(pcapng.file_of(traffic, Reading(), name)))
    assert blocks[0][0] == pcapng.SECTION
    for _, body in (block for block in blocks if block[0] == pcapng.PACKET):
        _, _, _, size, _ = struct.unpack_from("=IIIII", body)
        _check_packet(body[20 : 20 + size])


def _check_packet(packet: bytes) -> None:
    if packet[0] >> 4 == 4:
        assert _sum_of(packet[:20]) == 0xFFFF
        assert struct.unpack_from("!H", packet, 2) == (len(packet),)
        addresses, protocol, rest = packet[12:20], packet[9], packet[20:]
    else:
        assert struct.unpack_from("!H", packet, 4) == (len(packet) - 40,)
        addresses, protocol, rest = packet[8:40], packet[6], packet[40:]
    assert _sum_of(addresses + struct.pack("!II", protocol, len(rest)) + rest) == 0xFFFF


def _sum_of(data: bytes) -> int:
    """The sum of RFC 1071, word by word."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_a_comment_stands_with_the_bytes_that_it_is_of(by_tshark: ReadFile, tmp_path: Path) -> None:
    events = [Event(1.0, "data_sent", (b"one",)), Event(2.0, "data_received", (b"two",))]
    traffic = Traffic(1.0, (PeerTraffic("stream-1", "stream", None, events),))
    file = tmp_path / "one.pcapng"
    file.write_bytes(b"".join(pcapng.file_of(traffic, Reading(decode=lambda _, data: f"says {data!r}"), "")))
    told = {bytes.fromhex(packet["tcp.payload"]): packet["frame.comment"] for packet in by_tshark(file)}
    assert told == {b"": "", b"one": "says b'one'", b"two": "says b'two'"}


@pytest.mark.parametrize(
    ("kind", "limited", "told"),
    [
        ("udp", ("in", 56_000), b"the way in: at most 56,000 bytes/s; says it"),
        ("stream", ("out", 3, 0.5), b"the way out from byte 3 on: at most 0.5 bytes/s; says it"),
    ],
)
def test_a_rate_is_a_comment_to_the_packet_that_comes_next(
    kind: str, limited: tuple[Any, ...], told: bytes
) -> None:
    name, rest = ("datagram_received", (("127.0.0.1", 9),)) if kind == "udp" else ("data_received", ())
    events = [Event(1.0, "rate_limited", limited), *(Event(2.0, name, (b"one", *rest)) for _ in range(2))]
    traffic = Traffic(1.0, (PeerTraffic("peer", kind, ("127.0.0.1", 25), events),))
    content = b"".join(pcapng.file_of(traffic, Reading(decode=lambda *_: "says it"), ""))
    packets = [body for block, body in blocks_of(content) if block == pcapng.PACKET and b"says it" in body]
    assert [told in body for body in packets] == [True, False]


def test_connections_from_one_port_are_told_apart(by_tshark: ReadFile, tmp_path: Path) -> None:
    events = [
        Event(float(number), name, (number, *args))
        for number in (1, 2, 3)
        for name, *args in [
            ("connection_made", ("127.0.0.1", 40_000)),
            ("data_received", b"hello"),
            ("connection_lost", ConnectionResetError()),
        ]
    ]
    traffic = Traffic(1.0, (PeerTraffic("tcp-1", "tcp", ("127.0.0.1", 25), events, numbered=True),))
    file = tmp_path / "one.pcapng"
    file.write_bytes(b"".join(pcapng.file_of(traffic, Reading(), "")))
    found = by_tshark(file)
    assert [packet["tcp.payload"] for packet in found if packet["tcp.payload"]] == [b"hello".hex()] * 3
    assert not any("retransmission" in packet[TOLD] for packet in found)
