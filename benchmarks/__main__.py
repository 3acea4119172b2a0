"""Measures ours beside its rivals, all in one run, and prints a table a topic."""

import argparse
import os
import sys
from pathlib import Path

from . import report
from .measure import measure
from .topics import topics


def main() -> None:
    found = topics()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topic", nargs="*", help=f"which to measure, of {', '.join(found)} (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=1.0, help="part of each sample to take (default: all)")
    parser.add_argument("--no-pin", action="store_true", help="leave it to the system on which processors to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw a chart there")
    options = parser.parse_args()
    if unknown := set(options.topic) - found.keys():
        parser.error(f"no such topic: {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    if not options.no_pin and hasattr(os, "sched_setaffinity"):
        # On several processors it is luck whether client and server share one, and that alone is a factor of four.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results = []
    for name in options.topic or found:
        results.append(measure(found[name], rounds=options.rounds, budget=options.budget))
        sys.stdout.write(f"{report.table(results[-1])}\n\n")
        sys.stdout.flush()
    if options.json:
        options.json.write_text(report.as_json(results))
    if options.svg:
        options.svg.write_text(report.chart(results))


main()
