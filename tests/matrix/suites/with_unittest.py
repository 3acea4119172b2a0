"""unittest's classes: fixtures come in by an autouse one."""

import asyncio
import unittest
from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping


class Peers:
    @pytest.fixture(autouse=True)
    def take_peers(self, udp_echo_server, tcp_peer, stream_harness, subprocess_runner):
        self.echo, self.greeter = udp_echo_server, tcp_peer
        self.harness, self.run_program = stream_harness, subprocess_runner


class TestSync(Peers, unittest.TestCase):
    def test_ping(self):
        self.assertEqual(ping(self.echo.address), b"ping")
        self.assertEqual(self.echo.next_datagram().result().data, b"ping")

    def test_greeting(self):
        self.greeter.expect(b"hello, I am me\n").reply(b"welcome, me\n")
        self.assertEqual(greet(self.greeter.address, b"me"), b"welcome, me\n")

    def test_shouter(self):
        stream = self.harness.connect(Shouter)
        stream.send(b"hello\n", segments=1)
        self.assertEqual(stream.read_until(b"\n").result(), b"HELLO\n")

    def test_shouting_program(self):
        done = self.run_program(*SHOUT, stdin=b"hello\n").wait().result()
        self.assertEqual(done.stdout, b"HELLO\n")

    def test_meant_to_fail(self):
        self.greeter.expect(b"hello, I am you\n").reply(b"welcome, you\n")
        with suppress(ConnectionError):
            greet(self.greeter.address, b"me")


class TestAsync(Peers, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.stream = await self.harness.connect_here(Shouter)
        self.addAsyncCleanup(self.stream.close)

    async def test_ping(self):
        seen = self.echo.next_datagram()
        self.assertEqual(await asyncio.to_thread(ping, self.echo.address), b"ping")
        self.assertEqual((await seen).data, b"ping")

    async def test_shouter(self):
        self.stream.send(b"hello\n", segments=1)
        self.assertEqual(await self.stream.read_until(b"\n"), b"HELLO\n")

    async def test_shouting_program(self):
        done = await self.run_program(*SHOUT, stdin=b"hello\n").wait()
        self.assertEqual(done.stdout, b"HELLO\n")

    async def test_meant_to_fail_async(self):
        self.greeter.expect(b"hello, I am you\n").reply(b"welcome, you\n")
        with suppress(ConnectionError):
            await asyncio.to_thread(greet, self.greeter.address, b"me")
