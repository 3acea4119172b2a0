"""The table of the matrix, in Markdown, from the junit XML that each run of it has left."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """A row that was run, or not, with one Python, pytest and loop.

    Attributes:
        outcomes: how many tests there were, as ``5 passed, 1 failed``; empty if the suite was not run.
        problem: why it was skipped or failed; empty if it did as it should.
    """

    row: str
    neighbours: str
    python: str
    pytest: str
    loop: str
    outcomes: str
    failed: bool
    problem: str

    @property
    def versions(self) -> tuple[str, str]:
        return self.python, self.pytest


def read(files: Iterable[Path]) -> list[Run]:
    runs = []
    for file in files:
        for case in ET.parse(file).iter("testcase"):
            of_case = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
            if "row" in of_case:
                runs.append(_run(case, of_case))
    return runs


def failures(files: Iterable[Path]) -> list[str]:
    """The tests that have failed, those that are no rows among them."""
    return [
        f"{file}: {case.get('name')}"
        for file in files
        for case in ET.parse(file).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def _run(case: ET.Element, of_case: dict[str, str]) -> Run:
    skipped = case.find("skipped")
    failed = [each for kind in ("failure", "error") if (each := case.find(kind)) is not None]
    problems = failed if skipped is None else [skipped]
    return Run(
        **{name: of_case[name] for name in ("row", "neighbours", "python", "pytest", "loop")},
        outcomes=of_case.get("outcomes", ""),
        failed=bool(failed),
        problem="; ".join(each.get("message", "").partition("\n")[0] for each in problems),
    )


def markdown(runs: list[Run]) -> str:
    """A line a row, a column for each Python with each pytest; below it why rows were skipped or failed."""
    versions = sorted({run.versions for run in runs}, key=lambda pair: [_sortable(each) for each in pair])
    notes: list[str] = []
    lines = [
        [
            "row",
            "neighbours",
            "tests (what fails is meant to)",
            *(f"Python {python}, pytest {pytest}" for python, pytest in versions),
        ],
        ["---"] * (3 + len(versions)),
    ]
    for row in dict.fromkeys(run.row for run in runs):
        of_row = [run for run in runs if run.row == row]
        cells = [_cell([run for run in of_row if run.versions == pair], notes) for pair in versions]
        lines.append([row, _merged(run.neighbours for run in of_row), _merged(_done(of_row)), *cells])
    table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    below = "\n".join(f"[{number}] {note}" for number, note in enumerate(notes, 1))
    good = sum(not run.problem for run in runs)
    skipped = sum(bool(run.problem) and not run.failed for run in runs)
    ending = f"{good} ran as they should, {skipped} skipped, {sum(run.failed for run in runs)} failed"
    return "\n\n".join(part for part in (table, below, ending) if part)


def _cell(runs: list[Run], notes: list[str]) -> str:
    """What came of a row with one Python and pytest: the loops that it ran on, and notes on those it didn't."""
    parts = []
    for run in runs:
        state = run.loop
        if run.problem:
            if run.problem not in notes:
                notes.append(run.problem)
            state += f" {'FAILED' if run.failed else 'skipped'} [{notes.index(run.problem) + 1}]"
        parts.append(state)
    return ", ".join(parts) or "not run"


def _done(runs: list[Run]) -> list[str]:
    return [run.outcomes for run in runs if run.outcomes and not run.problem]


def _merged(texts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(text for text in texts if text)) or "-"


def _sortable(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
