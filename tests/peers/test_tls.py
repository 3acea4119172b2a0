"""The throw-away certificate authority, and what is said of a handshake that failed: with real ones."""

import asyncio
import pickle
import socket
import ssl
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pytest_echoserver
from pytest_echoserver import Certificate, ScriptMismatch, StreamPeer, TLSAuthority, TLSHandshakeError
from pytest_echoserver._directory import PrivateDirectory
from pytest_echoserver._engine import LOOPS
from pytest_echoserver._peers import tls
from pytest_echoserver._peers.tls import explain_handshake_failure, handshake_error

from ..conftest import EITHER_LOOP, Downstream

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NAMES = ("localhost", "127.0.0.1", "::1")


def other_authority() -> Iterator[TLSAuthority]:
    directory = PrivateDirectory()
    yield TLSAuthority(directory)
    directory.close()


fresh = pytest.fixture(other_authority, name="fresh")
stranger = pytest.fixture(other_authority, name="stranger")


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


def converse(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Have a client shake hands and talk with a server over TCP; give the server's end, closed by whoever asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        listener.settimeout(5)
        reply = threads.submit(ask, listener.getsockname(), client, host)
        accepted, _ = listener.accept()
        accepted.settimeout(5)
        served = server.wrap_socket(accepted, server_side=True)
        served.sendall(served.recv(10).upper())
        assert reply.result(5) == b"PING"
        return served


def ask(address: tuple[str, int], context: ssl.SSLContext, host: str) -> bytes:
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as client,
    ):
        client.sendall(b"ping")
        return client.recv(10)


# The authority


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize("host", NAMES)
def test_client_and_server_verify_and_talk(tls_authority: TLSAuthority, host: str, version: ssl.TLSVersion) -> None:
    client = only(version, tls_authority.client_context())
    with converse(tls_authority.server_context(), client, host) as served:
        assert served.version() == version.name.replace("_", ".")
        assert served.getpeercert() is None


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_they_do_so_under_asyncio(tls_authority: TLSAuthority, host: str) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async with asyncio.timeout(5):
        server = await asyncio.start_server(shout, host, 0, ssl=tls_authority.server_context())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(host, port, ssl=tls_authority.client_context())
        writer.write(b"ping\n")
        assert await reader.read() == b"PING\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


def test_a_client_that_only_reads_the_file_verifies_as_strictly_as_openssl_can(tls_authority: TLSAuthority) -> None:
    client = ssl.create_default_context(cafile=tls_authority.ca_file)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13
    with converse(tls_authority.server_context("example.org"), client, "example.org"):
        pass


def test_a_server_that_only_reads_files_is_verified(tls_authority: TLSAuthority) -> None:
    certificate = tls_authority.server_certificate("*.example.org")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.cert_file, certificate.key_file)
    with converse(server, tls_authority.client_context(), "www.example.org"):
        pass


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize("name", ["alice", "alice@example.org", "127.0.0.1"])
def test_a_server_sees_who_the_client_is(tls_authority: TLSAuthority, name: str, version: ssl.TLSVersion) -> None:
    client = only(version, tls_authority.client_context(tls_authority.client_certificate(name)))
    server = tls_authority.server_context()
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    with converse(server, client, "localhost") as served:
        seen: dict[str, Any] | None = served.getpeercert()
        assert seen is not None
        assert (("commonName", name),) in seen["subject"]
        assert [alternative for _, alternative in seen["subjectAltName"]] == [name]


def test_contexts_are_as_they_are_promised(tls_authority: TLSAuthority) -> None:
    server, client = tls_authority.server_context(), tls_authority.client_context()
    assert (server.verify_mode, server.minimum_version) == (ssl.CERT_OPTIONAL, V1_2)
    assert (client.verify_mode, client.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert client.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(tls_authority.ca_pem.decode())]


def test_a_context_is_the_callers_to_change(tls_authority: TLSAuthority) -> None:
    tls_authority.server_context().verify_mode = ssl.CERT_NONE
    assert tls_authority.server_context().verify_mode == ssl.CERT_OPTIONAL


def test_a_certificate_file_has_the_whole_chain(tls_authority: TLSAuthority) -> None:
    certificate = tls_authority.server_certificate()
    chain = certificate.cert_file.read_bytes()
    assert chain.count(b"BEGIN CERTIFICATE") == 2
    assert chain.endswith(tls_authority.ca_pem)
    assert tls_authority.ca_file.read_bytes() == tls_authority.ca_pem
    assert b"BEGIN EC PRIVATE KEY" in certificate.key_file.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_only_this_user_can_read_a_key(tls_authority: TLSAuthority) -> None:
    for certificate in (tls_authority.server_certificate(), tls_authority.client_certificate("alice")):
        assert stat.S_IMODE(certificate.key_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(certificate.key_file.parent.stat().st_mode) == 0o700


def test_a_context_leaves_no_key_in_a_file(fresh: TLSAuthority) -> None:
    fresh.client_context()
    fresh.server_context("example.org")
    assert {path.name for path in fresh.ca_file.parent.iterdir()} <= {"ca.pem", "lock"}
    key = fresh.server_certificate("example.org").key_file
    assert key in fresh.ca_file.parent.iterdir()


def test_there_is_one_certificate_for_each_set_of_names(tls_authority: TLSAuthority) -> None:
    default = tls_authority.server_certificate()
    assert default is tls_authority.server_certificate(*reversed(NAMES))
    assert default != tls_authority.server_certificate("localhost")
    assert tls_authority.server_certificate("localhost") != tls_authority.client_certificate("localhost")
    assert tls_authority.client_certificate("bob") is tls_authority.client_certificate("bob")
    assert tls_authority.client_certificate("bob") != tls_authority.client_certificate("carol")


def test_threads_get_the_same_authority(fresh: TLSAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    both_make = threading.Barrier(2)
    new_ca = tls._new_ca

    def at_once() -> Any:
        with suppress(threading.BrokenBarrierError):  # as it should be: there is no second one
            both_make.wait(0.1)
        return new_ca()

    monkeypatch.setattr(tls, "_new_ca", at_once)
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(fresh.server_certificate) for _ in range(2))
    assert first.result() is second.result()
    assert both_make.broken


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        (3, TypeError, "a name must be a string like 'localhost' or '127.0.0.1', not 3"),
        (b"localhost", TypeError, r"a name must be a string .*, not b'localhost'"),
        (["a", "b"], TypeError, r"a name must be a string .*, not \['a', 'b'\]"),
        ("", ValueError, "a name must be a host name or an IP address, not ''"),
        ("10.0.0.0/8", ValueError, "a name must be a host name or an IP address, not '10.0.0.0/8'"),
        ("my host", ValueError, "no certificate can be made for .*'my host': Codepoint U"),
        ("a..b", ValueError, r"no certificate can be made for .*'a\.\.b': Empty Label"),
    ],
)
def test_a_bad_name_is_an_error_at_the_call(
    tls_authority: TLSAuthority, name: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        tls_authority.server_context("localhost", name)
    with pytest.raises(error, match=says):
        tls_authority.server_certificate("localhost", name)
    with pytest.raises(error, match=says):
        tls_authority.client_certificate(name)


def test_a_common_name_that_is_too_long_is_an_error_at_the_call(tls_authority: TLSAuthority) -> None:
    with pytest.raises(ValueError, match=r"^no certificate can be made for 'x{63}\.x': .* 64"):
        tls_authority.client_certificate("x" * 63 + ".x")


def test_a_client_presents_a_certificate_and_nothing_else(tls_authority: TLSAuthority) -> None:
    with pytest.raises(TypeError, match=r"must be what .*client_certificate\(name\) gives, not 'alice'"):
        tls_authority.client_context("alice")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


USES: list[Callable[[TLSAuthority], object]] = [
    lambda authority: authority.ca_pem,
    lambda authority: authority.ca_file,
    lambda authority: authority.client_context(),
    lambda authority: authority.server_context(),
    lambda authority: authority.server_certificate(),
    lambda authority: authority.client_certificate("alice"),
]


@pytest.mark.parametrize("use", USES)
def test_without_the_extra_it_says_how_to_install_it(
    fresh: TLSAuthority, monkeypatch: pytest.MonkeyPatch, use: Callable[[TLSAuthority], object]
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pytest-echoserver\[tls\]'$") as caught:
        use(fresh)
    assert caught.value.name == "trustme"


def test_nothing_is_loaded_before_it_is_used_and_nothing_left_at_the_end(
    downstream: Downstream, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("TMPDIR", str(temporary))
    result = downstream.run_apart(
        """
        import pathlib, sys, tempfile

        used = []

        def test_first(tls_authority):
            assert not {"trustme", "cryptography"} & set(sys.modules)
            used.append(tls_authority.ca_pem)
            assert "trustme" in sys.modules
            assert not list(pathlib.Path(tempfile.gettempdir()).glob("echosrv-*"))

        def test_second(tls_authority):
            assert used == [tls_authority.ca_file.read_bytes()]
            assert tls_authority.server_certificate().key_file.exists()
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=2)
    assert not list(temporary.glob("echosrv-*"))


# Handshakes that fail

Client = Callable[[socket.socket], object]


async def shake_hands(accepted: socket.socket, context: ssl.SSLContext, patience: float) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(
        asyncio.Protocol, accepted, ssl=context, ssl_handshake_timeout=patience
    )


@pytest.fixture(params=EITHER_LOOP)
def explained(request: pytest.FixtureRequest) -> Callable[[ssl.SSLContext, Client], str]:
    """Has a client fail in shaking hands with a server of asyncio or uvloop, and explains that."""

    def explain(context: ssl.SSLContext, client: Client, patience: float = 5) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
            listener.settimeout(5)
            done = threads.submit(meet, listener.getsockname(), client)
            accepted, _ = listener.accept()
            with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner, pytest.raises(OSError) as caught:
                runner.run(shake_hands(accepted, context, patience))
            done.result(5)
        return explain_handshake_failure(caught.value)

    return explain


Explained = Callable[..., str]


def meet(address: tuple[str, int], client: Client) -> None:
    # What the client makes of the failure is its own affair.
    with socket.create_connection(address, timeout=5) as plain, suppress(OSError):
        client(plain)


def speaks_tls(context: ssl.SSLContext, host: str = "localhost") -> Client:
    def client(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_hostname=host) as wrapped:
            wrapped.recv(1)

    return client


def sends(data: bytes) -> Client:
    def client(plain: socket.socket) -> None:
        plain.sendall(data)
        plain.recv(1)

    return client


def sends_and_hangs_up(data: bytes) -> Client:
    return lambda plain: plain.sendall(data)


def sends_and_resets(data: bytes) -> Client:
    def client(plain: socket.socket) -> None:
        plain.sendall(data)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return client


def hello() -> bytes:
    """The first thing that a TLS client says."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(heard, said, server_hostname="localhost").do_handshake()
    return said.read()


TRUST = "give it tls_authority.client_context(), or have it trust tls_authority.ca_file"


@pytest.mark.parametrize("version", [V1_2, V1_3])
@pytest.mark.parametrize("trusts", ["nobody", "somebody else"])
def test_a_client_without_trust_is_told_whom_to_trust(
    explained: Explained, tls_authority: TLSAuthority, stranger: TLSAuthority, version: ssl.TLSVersion, trusts: str
) -> None:
    context = ssl.create_default_context() if trusts == "nobody" else stranger.client_context()
    says = explained(tls_authority.server_context(), speaks_tls(only(version, context)))
    assert says.startswith("the client doesn't trust the server's certificate, or, with some clients, asked for a")
    assert says.endswith(TRUST)


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_client_that_asks_for_another_host_is_told_both_causes(
    explained: Explained, tls_authority: TLSAuthority, version: ssl.TLSVersion
) -> None:
    client = speaks_tls(only(version, tls_authority.client_context()), "example.org")
    says = explained(tls_authority.server_context(), client)
    assert "whether it asked for a host name that isn't in it (name it to tls_authority.server_context()" in says
    assert TRUST in says


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_certificate_by_somebody_else_is_refused_and_that_is_told(
    explained: Explained, tls_authority: TLSAuthority, stranger: TLSAuthority, version: ssl.TLSVersion
) -> None:
    client = only(version, tls_authority.client_context(stranger.client_certificate("mallory")))
    assert explained(tls_authority.server_context(), speaks_tls(client)) == (
        "the server refused the client's certificate: self-signed certificate in certificate chain; "
        "give it tls_authority.client_context(tls_authority.client_certificate(name))"
    )


@pytest.mark.parametrize("version", [V1_2, V1_3])
def test_a_certificate_that_is_demanded_and_not_presented(
    explained: Explained, tls_authority: TLSAuthority, version: ssl.TLSVersion
) -> None:
    server = tls_authority.server_context()
    server.verify_mode = ssl.CERT_REQUIRED
    assert explained(server, speaks_tls(only(version, tls_authority.client_context()))) == (
        "the server demands a certificate, and the client presented none: "
        "give it tls_authority.client_context(tls_authority.client_certificate(name))"
    )


@pytest.mark.parametrize(("servers", "clients"), [(V1_2, V1_3), (V1_3, V1_2)])
def test_no_version_in_common(
    explained: Explained, tls_authority: TLSAuthority, servers: ssl.TLSVersion, clients: ssl.TLSVersion
) -> None:
    server = only(servers, tls_authority.server_context())
    says = explained(server, speaks_tls(only(clients, tls_authority.client_context())))
    assert says.startswith("client and server have no TLS version in common; compare minimum_version and")


def test_a_client_of_an_old_version(explained: Explained, tls_authority: TLSAuthority) -> None:
    client = tls_authority.client_context()
    client.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it would not even try
    with pytest.deprecated_call():
        client.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.deprecated_call():
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    says = explained(tls_authority.server_context(), speaks_tls(client))
    assert says.startswith("client and server have no TLS version in common")


def test_a_client_that_only_takes_rsa(explained: Explained, tls_authority: TLSAuthority) -> None:
    client = only(V1_2, tls_authority.client_context())
    client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    says = explained(tls_authority.server_context(), speaks_tls(client))
    assert says.startswith("client and server have no cipher, curve or signature algorithm in common")
    assert says.endswith("ECDSA (P-256), so the client must take more than RSA")


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO me.example.org\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        bytes(20),
        b"\x80" + bytes(20),
        b"\x16\x03\x01\xff\xff" + bytes(20),
    ],
)
def test_a_client_that_speaks_plain_text(explained: Explained, tls_authority: TLSAuthority, data: bytes) -> None:
    says = explained(tls_authority.server_context(), sends(data))
    assert says.startswith("the client spoke plain text: have it connect with TLS")


@pytest.mark.parametrize("data", [b"", b"hi\n"])
def test_a_client_that_waits(explained: Explained, tls_authority: TLSAuthority, data: bytes) -> None:
    says = explained(tls_authority.server_context(), sends(data), patience=0.1)
    assert says.startswith("the client didn't do its part in time; if it speaks plain text, it may be waiting")


@pytest.mark.parametrize("ends", [sends_and_hangs_up, sends_and_resets])
@pytest.mark.parametrize("data", [b"", b"hi\n", hello()[:50], hello()], ids=["no", "text", "half", "whole"])
def test_a_client_that_hangs_up(
    explained: Explained, tls_authority: TLSAuthority, ends: Callable[[bytes], Client], data: bytes
) -> None:
    says = explained(tls_authority.server_context(), ends(data))
    assert says.startswith("the client hung up in the middle of it; some do so, without a word, when they don't")


@pytest.mark.parametrize("alert", ["certificate unknown", "bad certificate", "certificate expired"])
@pytest.mark.parametrize("version", ["sslv3", "tlsv1", "ssl/tls"])
def test_alerts_are_known_by_their_text_in_every_version_of_openssl(version: str, alert: str) -> None:
    error = ssl.SSLError(1, f"[SSL] {version} alert {alert} (_ssl.c:1020)")
    assert explain_handshake_failure(error).startswith("the client refused the server's certificate")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TimeoutError(), "the client didn't do its part in time"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "the client hung up"),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed"), "the client hung up"),
        (BrokenPipeError(), "the client hung up"),
        (ssl.SSLError(1, "[SSL] tlsv1 alert protocol version"), "client and server have no TLS version in common"),
        (ssl.SSLError(1, "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE]"), "client and server have no cipher, curve or"),
        (
            ssl.SSLCertVerificationError(1, "no more"),
            "the server refused the client's certificate: it isn't valid;",
        ),
        (ssl.SSLError(1, "[SSL: BAD_EXTENSION] bad extension"), "client and server didn't come to terms"),
        (ValueError("what else"), "client and server didn't come to terms"),
    ],
)
def test_what_else_there_is(error: Exception, says: str) -> None:
    assert explain_handshake_failure(error).startswith(says)


def test_the_error_names_the_client_the_meaning_and_the_original() -> None:
    original = ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1020)")
    error = handshake_error(("127.0.0.1", 50_000), original)
    assert str(error).startswith(
        "TLS handshake with 127.0.0.1 port 50000 failed: client and server have no cipher, curve or signature"
    )
    assert str(error).endswith(" ([SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1020))")


def test_an_original_without_text_is_named_by_its_class() -> None:
    error = handshake_error(None, ConnectionResetError())
    assert str(error).startswith("TLS handshake with a client failed: the client hung up")
    assert str(error).endswith(" (ConnectionResetError)")


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(TLSHandshakeError("a text")))
    assert isinstance(error, ConnectionError)
    assert (type(error), str(error)) == (TLSHandshakeError, "a text")


def test_the_types_are_public() -> None:
    assert {"Certificate", "TLSAuthority", "TLSHandshakeError"} <= set(pytest_echoserver.__all__)
    assert Certificate(Path("a"), Path("b")) == Certificate(cert_file=Path("a"), key_file=Path("b"))


@pytest.mark.parametrize("closed", [False, True])
def test_a_handshake_that_was_to_fail_and_has_not_is_told(downstream: Downstream, closed: bool) -> None:
    result = downstream.run(
        f"""
        import pytest

        def test_it(tls_peer):
            failure = tls_peer.expect_handshake_failure()
            if {closed}:
                tls_peer.close()
                with pytest.raises(RuntimeError, match="was closed while this was awaited"):
                    failure.result()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ScriptMismatch: tls-1 *: 1 TLS handshake was expected to fail, and has not"])


def test_a_handshake_that_was_to_fail_is_missing_though_the_wait_ran_out(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        def test_it(tls_peer):
            failure = tls_peer.expect_handshake_failure()
            with pytest.raises(TimeoutError):
                failure.result(0)

        def test_withdrawn(tls_peer):
            assert tls_peer.expect_handshake_failure().cancel()

        def test_cleared(tls_peer):
            failure = tls_peer.expect_handshake_failure()
            tls_peer.clear(script=True)
            with pytest.raises(RuntimeError, match="was cleared while this was awaited"):
                failure.result()
        """
    )
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["*ScriptMismatch: tls-1 *: 1 TLS handshake was expected to fail, and has not"])


def test_one_that_fails_later_than_it_was_waited_for_is_excused(tls_peer: StreamPeer) -> None:
    failure = tls_peer.expect_handshake_failure()
    with pytest.raises(TimeoutError):
        failure.result(0)
    with socket.create_connection(tls_peer.address, 5) as client:
        client.sendall(b"no TLS at all")
        while client.recv(1000):
            pass
    tls_peer.verify()


def test_one_that_is_waited_for_is_excused_before_one_whose_wait_ran_out(tls_peer: StreamPeer) -> None:
    first = tls_peer.expect_handshake_failure()
    with pytest.raises(TimeoutError):
        first.result(0)
    second = tls_peer.expect_handshake_failure()
    with socket.create_connection(tls_peer.address, 5) as client:
        client.sendall(b"no TLS at all")
        while client.recv(1000):
            pass
    assert isinstance(second.result(), ssl.SSLError)
    with pytest.raises(ScriptMismatch, match="1 TLS handshake was expected to fail, and has not"):
        tls_peer.verify()


def test_a_handshake_that_failed_is_no_reset(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_it(tls_peer):
            with socket.create_connection(tls_peer.address, 5) as client:
                client.sendall(b"no TLS at all")
                while client.recv(1000):
                    pass
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*!!  #1  handshake failed: *"])
    result.stdout.no_fnmatch_line("*#1  reset*")


def test_the_first_peers_may_be_made_by_several_threads(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import socket
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier

        def test_it(peers, request):
            at_once = Barrier(4)

            def make(_):
                at_once.wait()
                return peers.tls_echo()

            with ThreadPoolExecutor(4) as pool:
                made = list(pool.map(make, range(4)))
            context = request.getfixturevalue("tls_authority").client_context()
            for peer in made:
                with socket.create_connection(peer.address) as raw:
                    with context.wrap_socket(raw, server_hostname="localhost") as client:
                        client.sendall(b"x")
                        assert client.recv(1) == b"x"
        """
    )
    result.assert_outcomes(passed=1)
