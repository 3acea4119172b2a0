"""The evidence as one HTML page, for all tests of a run: a sequence diagram of each, drawn by the page itself.

What was captured is in it as JSON, which no browser takes for markup or script; the page puts it in as text. It
fetches nothing, and its policy lets no script run but its own.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from .._telling import escaped
from .._traffic import Traffic
from .payload import Payload
from .steps import Step, told_address
from .timeline import OF_NONE, Reading, timeline

MOST_STEPS = 2_000
"""Messages of one test that the page has: half from its beginning, half from its end."""
PAYLOAD = 8 * 1024
"""Bytes of a message that the page has, half from its beginning and half from its end."""
LONGEST_MESSAGE = 4_000

Told = dict[str, Any]
"""What the page shows of a test, as it can be written in JSON."""


def told_test(traffic: Traffic, reading: Reading, *, node: str, outcome: str, message: str) -> Told:
    """What the page shows of a test.

    Args:
        reading: how payloads are read.
        node: its id.
        outcome: ``"failed"``, ``"error"``, ``"skipped"`` or ``"passed"``.
        message: why, if it did not pass.
    """
    return {
        "node": escaped(node),
        "outcome": outcome,
        "message": message[:LONGEST_MESSAGE],
        "seed": traffic.seed,
        "repeat": escaped(traffic.repeat),
        "peers": [
            {
                "name": escaped(peer.name),
                "kind": peer.kind,
                "where": told_address(peer.address),
                "detail": escaped(peer.detail),
            }
            for peer in traffic.peers
        ],
        "steps": [_told_step(step) for step in timeline(traffic, MOST_STEPS, reading)],
    }


def page(tests: Sequence[Told]) -> Iterable[str]:
    """The page of these tests, piece by piece."""
    style, script, body = (_part(name) for name in ("page.css", "page.js", "page.html"))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>What the tests' peers saw</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
    )
    index = [{name: told for name, told in test.items() if name != "steps"} for test in tests]
    yield _data("index", index)
    for place, test in enumerate(tests):
        yield _data(f"steps-{place}", test["steps"])
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def frame(test: Told) -> str:
    """The page of one test, as an element of another page, to which it can do nothing."""
    document = escape("".join(page([test])))
    return (
        f'<iframe sandbox="allow-scripts" loading="lazy" title="what the test\'s peers saw" '
        f'style="width: 100%; height: 34rem; border: 0" srcdoc="{document}"></iframe>'
    )


def _told_step(step: Step) -> Told:
    """What there is to a step; what isn't said of it is left out."""
    told = {
        "time": step.time,
        "peer": None if step.peer == OF_NONE else step.peer,
        "what": escaped(step.what),
        "way": step.way,
        "connection": step.connection,
        "other": told_address(step.other),
        "tone": step.tone if step.tone != "plain" else None,
        "target": step.with_target,
        "call": step.is_call,
        "faults": step.faults,
        "lost": step.lost,
        "copies": step.copies if step.copies > 1 else None,
        "decoded": escaped(step.decoded),
        "more": step.stands_for,
        **(_told_payload(step.payload.cut(PAYLOAD)) if step.payload is not None else {}),
    }
    return {name: value for name, value in told.items() if value or name in ("time", "peer", "size")}


def _told_payload(payload: Payload) -> Told:
    return {
        "size": payload.size,
        "begin": b64encode(payload.begin).decode(),
        "end": b64encode(payload.end).decode(),
    }


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    """What a policy (CSP level 3) knows an inline style or script by."""
    return f"sha256-{b64encode(sha256(inline.encode()).digest()).decode()}"


def _data(name: str, value: object) -> str:
    # An element of that type is never run; with "<" written otherwise, nothing in it can end it.
    told = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{told}</script>\n'
