"""Row 8: what visitors notice of a publish, and what a large workspace takes to check and to load.

What enters: sizes. What leaves: `Findings`. Must not: measure by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.figures import Figure, Findings, Say, Sheet, number
from benchmarks.publish import Growth, Publish, Waits, measure_growth, measure_pause, measure_publish
from benchmarks.sizes import Size
from benchmarks.workspace import Bench


def measure_publishing(bench: Bench, size: Size, say: Say) -> Findings:
    """Some publishes under load, and one size. Raises BenchError when one was not served, or not in time."""
    published, pauses = [], []
    for round_number in range(size.publishes):
        folder = bench.folder / f"publish-{round_number}"
        say(f"publishing under load, {round_number + 1} of {size.publishes}")
        published.append(measure_publish(folder, size.published, size.publish_seconds))
        say(f"the hand-over in a worker, {round_number + 1} of {size.publishes}")
        pauses.append(measure_pause(folder, size.published))
    say(f"checking and loading {size.checked.icps:,} ICPs, {size.checked.variants:,} variants")
    (growth,) = measure_growth(bench.folder, (size.checked,))
    return _findings(published, pauses, growth)


def _findings(published: Sequence[Publish], pauses: Sequence[float], growth: Growth) -> Findings:
    added = tuple(max(0.0, one.publishing.p99 - one.quiet.p99) for one in published)
    failed = tuple(float(len(one.failures)) for one in published)
    large = f"{growth.icps:,} ICPs and {growth.variants:,} variants"
    return Findings(
        figures=[
            _most("requests that failed while content was published", failed, 0),
            _most("longest pause of a worker's interpreter at the hand-over, ms", tuple(pauses), 10),
            _most("p99 that publishing adds, ms", added, 10),
            _most(f"CPU seconds to check {large}", (growth.check,), 20),
            _most("CPU seconds to load them as they were kept", (growth.load,), 3),
        ],
        sheets=[_waits_sheet(published), _growth_sheet(growth)],
        rounds={"publish": [asdict(one) for one in published], "pauses": list(pauses), "large": asdict(growth)},
    )


def _most(name: str, values: tuple[float, ...], goal: float) -> Figure:
    return Figure("8", name, values, goal, at_most=True)


def _waits_sheet(published: Sequence[Publish]) -> Sheet:
    lines = []
    for number_of, one in enumerate(published, 1):
        for when, waits in (("before", one.quiet), ("publishing", one.publishing), ("hand-over", one.handover)):
            lines.append((f"{number_of}, {when}", *_of(waits), number(one.seconds), f"{one.load:,}"))
    columns = ("publish", "answers", "p50 ms", "p99 ms", "longest ms", "s until it is live", "requests of the load")
    return Sheet(f"Publishing {published[0].rules:,} rules under load", columns, lines)


def _of(waits: Waits) -> tuple[str, str, str, str]:
    return f"{waits.requests:,}", number(waits.p50), number(waits.p99), number(waits.longest)


def _growth_sheet(growth: Growth) -> Sheet:
    columns = ("ICPs", "variants", "check, CPU s", "load, CPU s", "MB of the process", "MB kept")
    sizes = (f"{growth.icps:,}", f"{growth.variants:,}")
    spent = (number(growth.check), number(growth.load), number(growth.megabytes), number(growth.file))
    return Sheet("A large workspace, its imports included", columns, [(*sizes, *spent)])
