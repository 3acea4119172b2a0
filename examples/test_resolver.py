import dns.flags
import dns.message
import dns.rrset
from resolver import addresses

from pytest_echoserver import Connection, Datagram, DatagramPeer, Peers


def answer_to(query: bytes, *found: str, truncated: bool = False) -> bytes:
    question = dns.message.from_wire(query)
    answer = dns.message.make_response(question)
    if truncated:
        answer.flags |= dns.flags.TC
    answer.answer = [dns.rrset.from_text(question.question[0].name, 60, "IN", "A", *found)] if found else []
    return answer.to_wire()


def test_it_gives_what_the_server_says(udp_peer: DatagramPeer) -> None:
    @udp_peer.serve
    def name_server(datagram: Datagram) -> bytes:
        return answer_to(datagram.data, "192.0.2.1", "192.0.2.2")

    assert set(addresses("example.org", udp_peer.host, udp_peer.port)) == {"192.0.2.1", "192.0.2.2"}


def test_what_is_too_long_for_a_datagram_is_asked_for_over_tcp(peers: Peers, reserved_port: int) -> None:
    async def name_server(connection: Connection) -> None:
        length = int.from_bytes(await connection.read_exactly(2))
        answer = answer_to(await connection.read_exactly(length), "192.0.2.1")
        connection.send(len(answer).to_bytes(2) + answer, segments=1)  # a resolver has to cope with that

    udp = peers.udp(lambda datagram: answer_to(datagram.data, truncated=True), port=reserved_port)
    tcp = peers.tcp(name_server, port=reserved_port)
    assert addresses("example.org", udp.host, udp.port) == ["192.0.2.1"]
    assert len(udp.received) == len(tcp.connections) == 1
