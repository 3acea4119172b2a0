"""Measuring variants of one thing side by side: in rounds, interleaved, for their ratios and differences."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from time import perf_counter

Sample = Callable[[int], float]
"""Does the thing so many times, and gives what one time took or needed."""
Variant = Callable[[], AbstractContextManager[Sample]]
"""Sets up one way of doing it for as long as it is measured."""
PARTS = 10
"""A round's sample of calls is taken in so many parts, in turns with those of the others: a machine may be quicker
by half for a while, and that is to be shared by all."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What ``ours`` is to be, in terms of ``rival``: at most, or with ``more`` at least, so many times of it."""

    ours: str
    rival: str
    ratio: float
    more: bool = False

    def figures(self, result: "Result") -> list[float]:
        return result.ratios(self.ours, self.rival)

    def reached(self, figures: Sequence[float]) -> bool:
        ratio = statistics.median(figures)
        return ratio >= self.ratio if self.more else ratio <= self.ratio

    def told(self, _: "Topic") -> str:
        return f"{'at least' if self.more else 'at most'} {self.ratio:g} of {self.rival!r}"

    def told_figure(self, figure: float, _: "Topic") -> str:
        return f"{figure:.2f}"


@dataclass(frozen=True, slots=True)
class Limit:
    """What ``ours`` is to be: at most so many seconds or bytes; with ``over``, so many more than that."""

    ours: str
    most: float
    over: str | None = None

    def figures(self, result: "Result") -> list[float]:
        ours = result.figures[self.ours]
        return ours if self.over is None else [a - b for a, b in zip(ours, result.figures[self.over], strict=True)]

    def reached(self, figures: Sequence[float]) -> bool | None:
        """None if the rounds disagree on a difference: it is small beside what it is the difference of."""
        verdicts = {figure <= self.most for figure in figures}
        if self.over is not None:
            return verdicts.pop() if len(verdicts) == 1 else None
        return statistics.median(figures) <= self.most

    def told(self, topic: "Topic") -> str:
        return f"at most {self.told_figure(self.most, topic)}{'' if self.over is None else f' over {self.over!r}'}"

    def told_figure(self, figure: float, topic: "Topic") -> str:
        unit, per = topic.unit
        return f"{figure * per:,.1f} {unit}"


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to measure: its ways of being done, by name, and what is to be reached.

    Attributes:
        title: what is measured.
        unit: what a sample's figure is told in, and how many of those one of the figure's is.
        variants: each way of doing it; one that can't be had here raises `Unavailable`.
        times: how often a sample does it, at full budget.
        goals: what is to be reached.
        bigger_is_better: whether it is a rate.
    """

    title: str
    unit: tuple[str, float]
    variants: dict[str, Variant]
    times: int
    goals: Sequence[Goal | Limit] = ()
    bigger_is_better: bool = False


@dataclass(slots=True)
class Result:
    """What came of a topic: the figures of each variant by round; they are compared round by round."""

    topic: Topic
    judged: bool
    """Whether the samples were large enough for a verdict."""
    figures: dict[str, list[float]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def ratios(self, ours: str, rival: str) -> list[float]:
        return [a / b for a, b in zip(self.figures[ours], self.figures[rival], strict=True)]

    def of_goal(self, goal: Goal | Limit) -> list[float]:
        """What a goal is about, by round; nothing if one of the variants is missing."""
        try:
            return goal.figures(self)
        except KeyError:
            return []

    def reached(self, goal: Goal | Limit) -> bool | None:
        """Whether that is as good as the goal; None if it can't be told."""
        figures = self.of_goal(goal)
        return goal.reached(figures) if figures and self.judged else None


class Unavailable(Exception):
    """This machine lacks what a variant needs; the text says what."""


def measure(topic: Topic, *, rounds: int, budget: float) -> Result:
    """Measure all variants of a topic in rounds, in turns, and in an order that turns as well.

    Args:
        rounds: how many rounds count; one more, before them, doesn't, unless there is no verdict.
        budget: part of the topic's ``times`` that a sample does; with less than all there is no verdict on goals.
    """
    times = max(1, round(topic.times * budget))
    result = Result(topic, judged=budget >= 1)
    with ExitStack() as stack:
        samples: dict[str, Sample] = {}
        for name, variant in topic.variants.items():
            try:
                samples[name] = stack.enter_context(variant())
            except Unavailable as reason:
                result.unavailable[name] = str(reason)
        result.figures = {name: [] for name in samples}
        for number in range(0 if result.judged else 1, rounds + 1):
            taken = _round(samples, times, number)
            if number:
                for name, figure in taken.items():
                    result.figures[name].append(figure)
    return result


@dataclass(frozen=True, slots=True)
class Calls:
    """A sample of calls: the median time, in seconds, that one takes."""

    function: Callable[[], object]

    def __call__(self, times: int) -> float:
        taken = []
        for _ in range(times):
            before = perf_counter()
            self.function()
            taken.append(perf_counter() - before)
        return statistics.median(taken)


def _round(samples: dict[str, Sample], times: int, number: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in samples}
    parts = min(PARTS, times)
    for part in range(parts):
        for name in _turned(list(samples), number + part):
            sample = samples[name]
            if isinstance(sample, Calls):
                taken[name].append(sample(times // parts))
            elif part == 0:
                taken[name].append(sample(times))
    return {name: statistics.median(figures) for name, figures in taken.items()}


def _turned(names: list[str], number: int) -> Iterator[str]:
    start = number % len(names) if names else 0
    yield from names[start:] + names[:start]
