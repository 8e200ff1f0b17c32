"""Phases and weight epochs: two counters an experiment, kept by the engine beside the content.

What enters: the counters file of a data directory and the experiments as written. What leaves: each experiment's phase
and weight epoch, and in words what a publish raises. Must not: be part of the content hash.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from personalizer.errors import DataError

FILE = "experiments.json"


@dataclass(frozen=True, slots=True)
class Counter:
    """One experiment's counters, and the settings under which they were reached."""

    phase: int
    weight_epoch: int
    arms: tuple[str, ...]
    weights: tuple[float, ...]
    coverage: float
    unit: str = "visitor"


@dataclass(frozen=True, slots=True)
class Deal:
    """What an experiment's content says about dealing."""

    arms: tuple[str, ...]
    weights: tuple[float, ...]
    coverage: float
    unit: str = "visitor"


_FILE = TypeAdapter(dict[str, Counter])


def read_counters(data: Path) -> dict[str, Counter]:
    """The counters of a data directory; none when it has no server's file yet."""
    path = data / FILE
    try:
        return _FILE.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Let the server's user read it.") from error
    except ValidationError as error:
        first = error.errors()[0]
        what = " ".join(str(part) for part in (*first["loc"], first["msg"]))
        raise DataError(
            f"{path} is damaged ({what}). Restore it from a backup; without it arms would be dealt anew."
        ) from error


def raise_counters(old: Mapping[str, Counter], deals: Mapping[str, Deal]) -> tuple[dict[str, Counter], list[str]]:
    """New counters and, in words, what was raised. Experiments that left the content keep theirs: they may return."""
    new, changes = dict(old), []
    for key, deal in deals.items():
        before = old.get(key)
        if before is None:
            new[key] = Counter(1, 1, deal.arms, deal.weights, deal.coverage, deal.unit)
        elif (what := _breaks(before, deal)) is not None:
            phase, epoch = before.phase + 1, before.weight_epoch + 1
            new[key] = Counter(phase, epoch, deal.arms, deal.weights, deal.coverage, deal.unit)
            changes.append(f"experiment {key}: {what} changed, so phase {phase} begins and everybody is dealt anew")
        elif (before.weights, before.coverage) != (deal.weights, deal.coverage):
            epoch = before.weight_epoch + 1
            new[key] = Counter(before.phase, epoch, deal.arms, deal.weights, deal.coverage, deal.unit)
            changes.append(
                f"experiment {key}: weights or coverage changed, so weight epoch {epoch} begins; "
                "nobody who saw an arm is dealt anew"
            )
    return new, changes


def _breaks(before: Counter, deal: Deal) -> str | None:
    """What of the change makes a new deal. New weights do where companies are dealt to: no cookie keeps the arm of a
    company, so it could be seen in two arms of one phase. Coverage never moves anybody from arm to arm."""
    if before.arms != deal.arms:
        return "arms"
    if before.unit != deal.unit:
        return "the unit"
    return "weights" if deal.unit == "company" and before.weights != deal.weights else None


def write_counters(data: Path, counters: Mapping[str, Counter]) -> None:
    """Replace the counters file whole, so that a kill leaves the old or the new one."""
    path = data / FILE
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(_FILE.dump_json(dict(counters), indent=1))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
