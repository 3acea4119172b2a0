"""Looks up the IPv4 addresses of a name with dnspython."""

import dns.message
import dns.query
import dns.rdatatype


def addresses(name: str, server: str, port: int) -> list[str]:
    """Ask ``server`` over UDP, and over TCP if the answer doesn't fit into a datagram."""
    query = dns.message.make_query(name, "A")
    answer, _ = dns.query.udp_with_fallback(query, server, port=port, timeout=5)
    return [record.address for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for record in rrset]
