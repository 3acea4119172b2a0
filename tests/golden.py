"""Golden files: the report of a failure as it has to be, without what differs from run to run.

To write them anew, after a change of the texts that is meant::

    ECHOSERVER_GOLDEN=write pytest tests

and look at what git says has changed.
"""

import os
import re
from pathlib import Path


def compare(file: Path, lines: list[str]) -> None:
    """Compare the report of the one failure of a run, as pytest has printed it, with the file."""
    told = _without_chance(lines)
    if os.environ.get("ECHOSERVER_GOLDEN") == "write":
        file.write_text(told, encoding="utf-8")
    assert told == file.read_text(encoding="utf-8")


def _without_chance(lines: list[str]) -> str:
    """The report of the failure, without what differs from run to run."""
    begin = next(at for at, line in enumerate(lines) if re.match(r"=+ FAILURES =+", line))
    end = next(at for at, line in enumerate(lines) if re.match(r"=+ short test summary info =+", line))
    text = "\n".join(line for line in lines[begin:end] if not re.fullmatch(r"[\s~^]*[~^]{3,}[\s~^]*", line)) + "\n"
    for pattern, to in (
        (r"(?<=[0-9\]]):\d{4,5}\b", ":PORT"),
        (r"\bport \d{4,5}\b", "port PORT"),
        (r"\+\d+\.\d{4} s", "+TIME s"),
        (r"(?<=after )[\d.e-]+ s|[\d.e-]+ s(?= ago)", "TIME s"),
        (r"0x[0-9a-f]{6,}", "0xADDRESS"),
        (r"[^\s(]*/python[\d.]*(?= -c)", "python"),
        (r"/\S*/echosrv-\w+/\d+", "/DIRECTORY/1"),
        (r"(?m)^.*s      std(in|out|err) closed\n", ""),  # each when it happens to be
        (r"/\S*/(test_it\.py)", r"\1"),
        (r"/\S*/(pytest_echoserver/\S+), line \d+", r"\1, line N"),
        (r"\(_ssl\.c:\d+\)", "(_ssl.c:N)"),
        (r"(?m)^All traceback entries are hidden.*\n", ""),
        (r"(?m) +$", ""),
        (r"(?m)^([-=_]+) (.*) [-=_]+$", lambda found: f"--- {found[2]} ---"),
    ):
        text = re.sub(pattern, to, text)
    return text
