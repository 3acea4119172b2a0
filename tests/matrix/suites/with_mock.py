"""pytest-mock: spies and patches on the code under test, and on what programs are started by."""

import os
import signal
import subprocess
from contextlib import suppress

import app


def test_ping(udp_echo_server, mocker):
    spy = mocker.spy(app, "ping")
    assert app.ping(udp_echo_server.address) == b"ping"
    spy.assert_called_once_with(udp_echo_server.address)
    assert udp_echo_server.next_datagram().result().data == b"ping"


def test_greeting(tcp_peer, mocker):
    mocker.patch("socket.gethostname", return_value="me")
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert app.greet(tcp_peer.address, app.socket.gethostname().encode()) == b"welcome, me\n"


def test_shouter(stream_harness, mocker):
    spy = mocker.spy(app.Shouter, "data_received")
    stream = stream_harness.connect(app.Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"
    assert spy.call_count == 6


def test_a_real_program_beside_a_mocked_one(subprocess_runner, mocker):
    popen = mocker.patch("subprocess.Popen")
    popen.return_value.__enter__.return_value.communicate.return_value = (b"mocked", b"")
    popen.return_value.__enter__.return_value.poll.return_value = 0
    assert subprocess.run(["git"], stdout=subprocess.PIPE).stdout == b"mocked"
    assert subprocess_runner(*app.SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"
    assert subprocess.Popen is popen


def test_a_peer_beside_mocked_sleeps(tcp_peer, mocker):
    mocked = [mocker.patch("asyncio.sleep"), mocker.patch("time.sleep")]
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n", after=0.01)
    assert app.greet(tcp_peer.address, b"me") == b"welcome, me\n"
    tcp_peer.verify()
    assert not any(sleep.called for sleep in mocked)


def test_a_signal_beside_a_mocked_kill(subprocess_runner, mocker):
    kill = mocker.patch("os.kill")
    program = subprocess_runner(*app.SHOUT, stdin=subprocess.PIPE)
    os.kill(program.pid, signal.SIGKILL)
    program.terminate()
    assert program.exited.result() == -signal.SIGTERM
    kill.assert_called_once_with(program.pid, signal.SIGKILL)


def test_meant_to_fail(tcp_peer, mocker):
    mocker.patch("app.sys")
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        app.greet(tcp_peer.address, b"me")
