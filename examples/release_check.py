"""Asks a server over HTTPS what the latest release is, with the standard library."""

import json
import ssl
from contextlib import closing
from http.client import HTTPSConnection


def latest(host: str, port: int, trust: ssl.SSLContext) -> str:
    with closing(HTTPSConnection(host, port, timeout=5, context=trust)) as server:
        server.request("GET", "/latest")
        return str(json.load(server.getresponse())["version"])
