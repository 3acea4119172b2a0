"""A name server for real clients of DNS."""

import dns.message
import dns.rrset

from pytest_echoserver import Datagram


def answer(datagram: Datagram) -> bytes:
    """What a name server says to a question."""
    query = dns.message.from_wire(datagram.data)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
    return response.to_wire()
