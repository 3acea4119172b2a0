from typing import Any


class TLSHandshakeError(ConnectionError): ...


def handshake_error(peername: Any, who: str, error: BaseException) -> TLSHandshakeError:
    return TLSHandshakeError(f"TLS handshake with {peername} on {who} failed: {error!r}")


def checked_context(value: object) -> Any:
    import ssl

    assert isinstance(value, ssl.SSLContext)
    return value
