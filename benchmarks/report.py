"""What was measured, as a table, as JSON, and as a chart."""

import json
import platform
import statistics
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from .measure import Goal, Limit, Result

LONGEST_BAR = 20
"""Times the first of its topic: a longer bar is cut off, with a gap to say so, lest it makes dots of the others."""


def table(result: Result) -> str:
    """The medians of a topic, each with its ratio to the first variant, and what of its goals was reached."""
    topic = result.topic
    unit, per = topic.unit
    first = next(iter(result.figures))
    lines = [f"{topic.title} [{unit}]"]
    for name in result.figures:
        ratios = result.ratios(name, first)
        lines.append(
            f"  {name:<58} {result.median(name) * per:>12,.1f}   x {statistics.median(ratios):<7.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    lines += [f"  {name:<58} {'not here:':>12} {why}" for name, why in result.unavailable.items()]
    lines += [f"  {_told(result, goal)}" for goal in topic.goals]
    return "\n".join(lines)


def as_json(results: Iterable[Result]) -> str:
    """All figures, in seconds, bytes or calls a second, by topic, variant and round."""
    topics: dict[str, Any] = {
        result.topic.title: {
            "figures": result.figures,
            "goals": {
                f"{goal.ours!r}: {goal.told(result.topic)}": result.reached(goal) for goal in result.topic.goals
            },
        }
        for result in results
    }
    return json.dumps(
        {"python": platform.python_version(), "system": platform.platform(), "topics": topics}, indent=1
    )


def chart(results: Iterable[Result]) -> str:
    """An SVG with a bar for each variant of each topic, as long as its median is beside the topic's others."""
    drawn, y = [], 4
    for name, length, figure, colour in _rows(results):
        if length is None:
            y += 28
            drawn.append(f'<text x="8" y="{y}" font-weight="bold">{escape(name)}</text>')
        else:
            y += 18
            width = max(1, min(length, 1) * 300)
            drawn.append(
                f'<text x="8" y="{y}">{escape(name)}</text>'
                f'<rect x="440" y="{y - 11}" width="{width:.0f}" height="13" fill="{colour}"/>'
                f'<text x="{448 + width:.0f}" y="{y}">{escape(figure)}</text>'
            )
            if length > 1:
                drawn.append(f'<path d="M700 {y + 3}l8 -15" stroke="white" stroke-width="4"/>')
    height = y + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{height}" viewBox="0 0 840 {height}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(drawn)}</svg>\n"
    )


def _rows(results: Iterable[Result]) -> Iterator[tuple[str, float | None, str, str]]:
    for result in results:
        unit, per = result.topic.unit
        better = "more is better" if result.topic.bigger_is_better else "less is better"
        yield f"{result.topic.title} [{unit}], {better}", None, "", ""
        medians = [result.median(name) for name in result.figures]
        longest = min(max(medians), LONGEST_BAR * medians[0])
        for name in result.figures:
            median = result.median(name)
            colour = "#2a7" if name.startswith("pytest-echoserver") else "#bbb"
            yield name, median / longest, f"{median * per:,.1f}", colour


def _told(result: Result, goal: Goal | Limit) -> str:
    told, figures = f"goal: {goal.ours!r} {goal.told(result.topic)}", result.of_goal(goal)
    if not figures:
        return f"{told}: can't be told here"
    verdict = {True: "reached", False: "NOT reached", None: "can't be told from this run"}[result.reached(goal)]
    median, least, most = (
        goal.told_figure(figure, result.topic)
        for figure in (statistics.median(figures), min(figures), max(figures))
    )
    return f"{told}: {verdict}, with {median} ({least} to {most})"
