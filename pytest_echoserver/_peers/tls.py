"""TLS: a throw-away certificate authority, and what a failed handshake means."""

import os
import ssl
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .._directory import PrivateDirectory
from .._neighbours import real_open
from .._record import Address
from .._telling import told_place

if TYPE_CHECKING:
    from trustme import CA, LeafCert

__tracebackhide__ = True

_Wanted = tuple[str, frozenset[str]]
"""What a certificate is for, and its names."""
DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key as PEM files, for whatever wants paths. Both are gone after the last test.

    Attributes:
        cert_file: the certificate, and after it the authority's: the whole chain.
        key_file: the private key, not encrypted; only this user can read it.
    """

    cert_file: Path
    key_file: Path


class TLSAuthority:
    """A throw-away certificate authority, for TLS that is verified in tests as it is elsewhere.

    It is made when it is first used, once a session, with ECDSA keys (P-256). Its certificates satisfy RFC 5280 as
    strictly as ``ssl.VERIFY_X509_STRICT`` asks for. It needs the extra ``tls``: without it, whatever is called here
    raises ``ModuleNotFoundError`` with the command that installs it.

    Get it from the fixture ``tls_authority``.
    """

    def __init__(self, directory: PrivateDirectory) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        self._ca: CA | None = None
        self._ca_file: Path | None = None
        self._issued: dict[_Wanted, LeafCert] = {}
        self._files: dict[_Wanted, Certificate] = {}

    @property
    def ca_pem(self) -> bytes:
        """The authority's own certificate as PEM, for a client to trust."""
        return self._made().cert_pem.bytes()

    @property
    def ca_file(self) -> Path:
        """The same as a file, for ``ssl.create_default_context(cafile=...)``, ``SSL_CERT_FILE`` and their like."""
        with self._lock:
            if self._ca_file is None:
                self._ca_file = _write(self._directory.path / "ca.pem", self.ca_pem)
            return self._ca_file

    def server_certificate(self, *names: str) -> Certificate:
        """Give a server's certificate as files, for a server that reads files. There is one for each set of names.

        Args:
            names: host names (``"*.example.org"`` too) and IP addresses that clients know the server by; if there
                are none, ``localhost``, ``127.0.0.1`` and ``::1``.

        Raises:
            ModuleNotFoundError: the extra ``tls`` isn't installed.
            TypeError, ValueError: a name is not a string, or can't stand in a certificate.
        """
        return self._as_files("server", *(names or DEFAULT_NAMES))

    def client_certificate(self, name: str) -> Certificate:
        """Give a client's certificate as files. There is one for each name.

        Args:
            name: whom it certifies, as the subject's common name and as an alternative name: a host name
                (``"alice"`` is one), an IP address, or an e-mail address.

        Raises:
            ModuleNotFoundError: the extra ``tls`` isn't installed.
            TypeError, ValueError: the name is not a string, or can't stand in a certificate.
        """
        return self._as_files("client", name)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Make a context for a server with a certificate for ``names``.

        It takes TLS 1.2 and 1.3. It asks clients for a certificate: one that isn't by this authority is refused; to
        present none is fine, unless ``verify_mode`` is set to ``ssl.CERT_REQUIRED``. It is new with every call, and
        the caller's to change.

        Args:
            names: as for `server_certificate`.

        Raises:
            ModuleNotFoundError: the extra ``tls`` isn't installed.
            TypeError, ValueError: a name is not a string, or can't stand in a certificate.
        """
        certificate = self._issue("server", *(names or DEFAULT_NAMES))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        # A client that leaves without having read its session tickets would reset the connection.
        context.num_tickets = 0
        # It reads files alone. This one is gone again, so that no key lies about but for who asks for files.
        with certificate.private_key_and_cert_chain_pem.tempfile(dir=str(self._directory.path)) as file:
            context.load_cert_chain(file)
        return context

    def client_context(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        """Make a context for a client that trusts this authority and no other, and checks the host name.

        It is new with every call, and the caller's to change.

        Args:
            certificate: what the client presents if the server asks for it, as from `client_certificate`.

        Raises:
            ModuleNotFoundError: the extra ``tls`` isn't installed.
            TypeError: ``certificate`` is something else.
        """
        if not (certificate is None or isinstance(certificate, Certificate)):
            raise TypeError(
                f"certificate must be what tls_authority.client_certificate(name) gives, not {certificate!r}"
            )
        context = ssl.create_default_context(cafile=self.ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate.cert_file, certificate.key_file)
        return context

    def _issue(self, kind: str, *names: str) -> "LeafCert":
        for name in names:
            _check_name(name)
        with self._lock:
            wanted = (kind, frozenset(names))
            if wanted not in self._issued:
                self._issued[wanted] = _issued(self._made(), names, names[0] if kind == "client" else None)
            return self._issued[wanted]

    def _as_files(self, kind: str, *names: str) -> Certificate:
        with self._lock:
            leaf, wanted = self._issue(kind, *names), (kind, frozenset(names))
            if wanted not in self._files:
                stem = self._directory.path / f"{kind}-{len(self._files) + 1}"
                chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
                self._files[wanted] = Certificate(
                    cert_file=_write(stem.with_suffix(".pem"), chain + self.ca_pem),
                    key_file=_write(stem.with_suffix(".key"), leaf.private_key_pem.bytes()),
                )
            return self._files[wanted]

    def _made(self) -> "CA":
        with self._lock:
            if self._ca is None:
                self._ca = _new_ca()
            return self._ca


class TLSHandshakeError(ConnectionError):
    """A client and a TLS peer didn't come to terms. Its text says what that usually means, and what to do."""

    __module__ = "pytest_echoserver"


def checked_context(value: object) -> ssl.SSLContext:
    """Give ``value`` back if it is a context for a server.

    Raises:
        TypeError, ValueError: it isn't.
    """
    if not isinstance(value, ssl.SSLContext):
        raise TypeError(f"tls must be True, False or an ssl.SSLContext, not {value!r}")
    if value.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(f"tls must be a context for a server, as of tls_authority.server_context(), not {value!r}")
    return value


def handshake_error(client: Address | None, error: BaseException) -> TLSHandshakeError:
    """Make the error to raise for a handshake that failed on the server's side with ``error``.

    Args:
        client: the address of the client, or None if it is no longer known.
        error: what the event loop raised.
    """
    who = told_place(client) if client else "a client"
    original = str(error) or type(error).__name__
    return TLSHandshakeError(f"TLS handshake with {who} failed: {explain_handshake_failure(error)} ({original})")


def explain_handshake_failure(error: BaseException) -> str:
    """Say what the server-side error of a failed TLS handshake means to who wrote the test, and what to do.

    It goes by the alerts of RFC 8446, section 6.2, and by OpenSSL's reasons (``openssl/sslerr.h``), as event loops
    pass them on.
    """
    if _timed_out(error):
        return _TIMED_OUT
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "it isn't valid")  # OpenSSL's errors have it; others may not
        return f"the server refused the client's certificate: {why}; {_CLIENT_CERTIFICATE}"
    if isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _HUNG_UP
    if isinstance(error, ssl.SSLError):
        return _by_reason(error)
    return _UNKNOWN


_TRUST = "give it tls_authority.client_context(), or have it trust tls_authority.ca_file"
_CLIENT_CERTIFICATE = "give it tls_authority.client_context(tls_authority.client_certificate(name))"
_TIMED_OUT = (
    "the client didn't do its part in time; if it speaks plain text, it may be waiting for an answer: "
    "have it connect with TLS"
)
_HUNG_UP = (
    "the client hung up in the middle of it; some do so, without a word, when they don't trust the certificate: "
    f"then {_TRUST}"
)
_UNKNOWN = "client and server didn't come to terms"
_UNTRUSTED = (
    "the client doesn't trust the server's certificate, or, with some clients, asked for a host name that isn't "
    f"in it: {_TRUST}"
)
_REFUSED = (
    "the client refused the server's certificate; it doesn't say whether it asked for a host name that isn't in it "
    "(name it to tls_authority.server_context(), and have the client ask for that) or doesn't trust it "
    f"({_TRUST})"
)
_NO_VERSION = (
    "client and server have no TLS version in common; compare minimum_version and maximum_version of their contexts"
)
_NO_CIPHER = (
    "client and server have no cipher, curve or signature algorithm in common; the keys of tls_authority are "
    "ECDSA (P-256), so the client must take more than RSA"
)
_PLAIN_TEXT = (
    "the client spoke plain text: have it connect with TLS (https://, ssl=...), or make the peer without TLS"
)
_NO_CERTIFICATE = f"the server demands a certificate, and the client presented none: {_CLIENT_CERTIFICATE}"

# Parts of what is said, since versions of OpenSSL begin differently: "tlsv1 alert", "sslv3 alert", "ssl/tls alert".
_REASONS = {
    "ALERT_UNKNOWN_CA": _UNTRUSTED,
    "ALERT_BAD_CERTIFICATE": _REFUSED,
    "ALERT_CERTIFICATE_": _REFUSED,  # unknown, expired, revoked
    "ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "ALERT_ACCESS_DENIED": _REFUSED,
    "ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "VERSION_TOO_HIGH": _NO_VERSION,
    "INAPPROPRIATE_FALLBACK": _NO_VERSION,
    "ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "ALERT_INSUFFICIENT_SECURITY": _NO_CIPHER,
    "NO_SHARED_": _NO_CIPHER,  # cipher, groups, signature algorithms
    "NO_SUITABLE_": _NO_CIPHER,  # groups, key share, signature algorithm
    "WRONG_VERSION_NUMBER": _PLAIN_TEXT,
    "HTTP_REQUEST": _PLAIN_TEXT,
    "HTTPS_PROXY_REQUEST": _PLAIN_TEXT,
    "UNKNOWN_PROTOCOL": _PLAIN_TEXT,
    "PACKET_LENGTH_TOO_LONG": _PLAIN_TEXT,
    "RECORD_LENGTH_MISMATCH": _PLAIN_TEXT,
    "RECORD_LAYER_FAILURE": _PLAIN_TEXT,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _NO_CERTIFICATE,
    "ALERT_USER_CANCELLED": _HUNG_UP,
}


def _by_reason(error: ssl.SSLError) -> str:
    # Not by its `reason`, which is missing where Python is older than the OpenSSL it runs with.
    said = str(error).upper().replace(" ", "_")
    return next((meaning for part, meaning in _REASONS.items() if part in said), _UNKNOWN)


def _timed_out(error: BaseException) -> bool:
    # Both asyncio and uvloop say it in words alone, with the class that a hang-up has, too.
    in_words = isinstance(error, ConnectionAbortedError) and "is taking longer than" in str(error)
    return in_words or isinstance(error, TimeoutError)


def _new_ca() -> "CA":
    try:
        import trustme
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "TLS needs trustme for its throw-away certificates: pip install 'pytest-echoserver[tls]'",
            name=error.name,
        ) from error
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def _issued(ca: "CA", names: tuple[str, ...], common_name: str | None) -> "LeafCert":
    import trustme

    try:
        return ca.issue_cert(*names, common_name=common_name, key_type=trustme.KeyType.ECDSA)
    except ValueError as error:
        raise ValueError(f"no certificate can be made for {', '.join(map(repr, names))}: {error}") from None


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name must be a string like 'localhost' or '127.0.0.1', not {name!r}")
    # A network, which trustme would take, certifies no host (RFC 5280, section 4.2.1.6).
    if not name or "/" in name:
        raise ValueError(f"a name must be a host name or an IP address, not {name!r}")


def _write(path: Path, content: bytes) -> Path:
    with real_open(path, "wb", opener=partial(os.open, mode=0o600)) as file:
        file.write(content)
    return path
