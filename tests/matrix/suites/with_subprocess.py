"""pytest-subprocess: programs of the code under test are fakes, those of subprocess_runner are real."""

import subprocess
from contextlib import suppress

from app import SHOUT, Shouter, greet, ping


def version():
    return subprocess.run(["git", "--version"], capture_output=True, check=True).stdout


def test_ping(udp_echo_server, fp):
    fp.register(["git", "--version"], stdout=b"git 7")
    assert version() == b"git 7"
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


def test_greeting(tcp_peer, fp):
    fp.register(["git", "--version"], stdout=b"me")
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, version()) == b"welcome, me\n"


def test_shouter(stream_harness, fp):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


def test_a_real_program_beside_fakes(fp, subprocess_runner):
    fp.register(["git", "--version"], stdout=b"git 7")
    program = subprocess_runner(*SHOUT, stdin=b"hello\n")
    assert version() == b"git 7"
    assert program.wait().result().stdout == b"HELLO\n"


def test_a_real_program_though_there_is_a_fake_of_it(subprocess_runner, fp):
    fp.register([*SHOUT], stdout=b"fake")
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"
    assert subprocess.run(SHOUT, stdout=subprocess.PIPE).stdout == b"fake"


def test_meant_to_fail(tcp_peer, fp):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
