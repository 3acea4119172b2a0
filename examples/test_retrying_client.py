import pytest
from retrying_client import ask

from pytest_echoserver import Peers, StreamPeer


@pytest.mark.asyncio
async def test_it_asks_again_after_a_reset(tcp_peer: StreamPeer) -> None:
    tcp_peer.expect(b"how are you?\n").reset()
    tcp_peer.expect(b"how are you?\n").reply(b"fi").close()
    tcp_peer.expect(b"how are you?\n").reply(b"fine\n")
    assert await ask(b"how are you?", tcp_peer.host, tcp_peer.port) == b"fine\n"
    assert len(tcp_peer.connections) == 3


@pytest.mark.asyncio
async def test_it_gives_up_where_nobody_listens(peers: Peers) -> None:
    nobody = peers.refusing("tcp")
    with pytest.raises(ConnectionError, match=r"no answer from .* in 3 tries"):
        await ask(b"how are you?", nobody.host, nobody.port)
