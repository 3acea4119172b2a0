"""pytest-twisted: every test runs on the reactor, so what waits for a peer waits in a thread."""

from contextlib import suppress

import pytest_twisted
from app import SHOUT, Shouter
from twisted.internet import defer, error, reactor
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver


class Greeter(LineReceiver):
    delimiter = b"\n"

    def __init__(self, name):
        self.name = name
        self.answer = defer.Deferred()

    def connectionMade(self):
        self.sendLine(b"hello, I am " + self.name)

    def lineReceived(self, line):
        self.answer.callback(line)

    def connectionLost(self, reason):
        if not self.answer.called:
            self.answer.errback(reason)


class Pinger(DatagramProtocol):
    def __init__(self, address):
        self.address = address
        self.answer = defer.Deferred()

    def startProtocol(self):
        self.transport.connect(*self.address)
        reactor.callLater(0, self.transport.write, b"ping")

    def datagramReceived(self, data, addr):
        self.answer.callback(data)


async def greet(address, name):
    greeter = await connectProtocol(HostnameEndpoint(reactor, *address), Greeter(name))
    try:
        return await greeter.answer
    finally:
        greeter.transport.loseConnection()


@pytest_twisted.async_yield_fixture
async def pinger(udp_echo_server):
    pinger = Pinger(udp_echo_server.address)
    port = reactor.listenUDP(0, pinger, interface="127.0.0.1")
    yield pinger
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_ping(udp_echo_server, pinger):
    seen = udp_echo_server.next_datagram()
    assert (await deferToThread(seen.result)).data == b"ping"
    assert await pinger.answer == b"ping"


@pytest_twisted.inlineCallbacks
def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    answer = yield defer.ensureDeferred(greet(tcp_peer.address, b"me"))
    assert answer == b"welcome, me"


@pytest_twisted.ensureDeferred
async def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert await deferToThread(stream.read_until(b"\n").result) == b"HELLO\n"


@pytest_twisted.ensureDeferred
async def test_shouting_program(subprocess_runner):
    done = await deferToThread(subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result)
    assert (done.returncode, done.stdout) == (0, b"HELLO\n")


@pytest_twisted.ensureDeferred
async def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(error.ConnectionLost):
        await greet(tcp_peer.address, b"me")
