"""The code under test of those suites that have no way of their own to talk to a network."""

import asyncio
import socket
import sys

SHOUT = [sys.executable, "-c", "print(input().upper())"]


def ping(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"ping", address)
        return client.recv(100)


def greet(address, name):
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"hello, I am " + name + b"\n")
        return client.recv(100)


class Shouter(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())
