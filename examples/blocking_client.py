"""A client on a plain blocking socket: asks, waits, and asks again if no answer comes."""

import socket


def ask(question: bytes, address: tuple[str, int], *, tries: int = 3, timeout: float = 1.0) -> bytes:
    """Give the answer of the UDP server at ``address``.

    Raises:
        TimeoutError: there was none, ``tries`` times.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect(address)
        for _ in range(tries):
            client.send(question)
            try:
                return client.recv(65_535)
            except TimeoutError:
                continue
    raise TimeoutError(f"no answer from {address} in {tries} tries")
