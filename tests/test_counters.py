"""Phases and weight epochs: what raises them, and that their file is whole or said to be damaged."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from personalizer.content.compile import Content, apply_counters, deals_of
from personalizer.content.counters import FILE, Counter, Deal, raise_counters, read_counters, write_counters
from personalizer.errors import DataError

DEAL = Deal(("a", "b"), (0.5, 0.5), 1.0)
COUNTER = Counter(3, 7, ("a", "b"), (0.5, 0.5), 1.0)


def test_a_new_experiment_begins_with_phase_and_epoch_1() -> None:
    assert raise_counters({}, {"exp": DEAL}) == ({"exp": Counter(1, 1, ("a", "b"), (0.5, 0.5), 1.0)}, [])


def test_the_same_deal_raises_nothing() -> None:
    assert raise_counters({"exp": COUNTER}, {"exp": DEAL}) == ({"exp": COUNTER}, [])


@pytest.mark.parametrize("arms", [("a", "c"), ("a", "b", "c"), ("b", "a")])
def test_other_arms_begin_a_phase(arms: tuple[str, ...]) -> None:
    deal = Deal(arms, tuple([1 / len(arms)] * len(arms)), 1.0)
    new, [said] = raise_counters({"exp": COUNTER}, {"exp": deal})
    assert new == {"exp": Counter(4, 8, arms, deal.weights, 1.0)}
    assert "phase 4" in said and "dealt anew" in said


@pytest.mark.parametrize("deal", [replace(DEAL, weights=(0.9, 0.1)), replace(DEAL, coverage=0.5)])
def test_other_weights_or_coverage_begin_an_epoch(deal: Deal) -> None:
    new, [said] = raise_counters({"exp": COUNTER}, {"exp": deal})
    assert new == {"exp": Counter(3, 8, deal.arms, deal.weights, deal.coverage)}
    assert "weight epoch 8" in said and "nobody" in said


def test_arms_that_return_begin_another_phase() -> None:
    other, _ = raise_counters({"exp": COUNTER}, {"exp": replace(DEAL, arms=("a", "c"))})
    back, _ = raise_counters(other, {"exp": DEAL})
    assert (back["exp"].phase, back["exp"].weight_epoch) == (5, 9)


def test_an_experiment_that_left_keeps_its_counters() -> None:
    gone, said = raise_counters({"exp": COUNTER}, {})
    assert (gone, said) == ({"exp": COUNTER}, [])
    assert raise_counters(gone, {"exp": DEAL})[0] == {"exp": COUNTER}


def test_old_counters_are_not_changed() -> None:
    old = {"exp": COUNTER}
    raise_counters(old, {"exp": replace(DEAL, arms=("a", "c")), "new": DEAL})
    assert old == {"exp": COUNTER}


def test_the_shipped_experiment_is_counted(sample_content: Content) -> None:
    counters, _ = raise_counters({}, deals_of(sample_content.registry))
    raised = apply_counters(sample_content, {key: replace(one, phase=4) for key, one in counters.items()})
    assert {one.phase for one in sample_content.registry.experiments.values()} == {1}
    assert {one.phase for one in raised.registry.experiments.values()} == {4}
    assert list(counters) == ["payroll-cfo"]


# --- the file ---


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    counters = {"exp": COUNTER, "thirds": Counter(1, 2, ("x", "y", "z"), (1 / 3, 1 / 3, 1 / 3), 0.1)}
    write_counters(tmp_path, counters)
    assert read_counters(tmp_path) == counters
    assert raise_counters(counters, {"thirds": Deal(("x", "y", "z"), tuple([1 / 3] * 3), 0.1)})[1] == []
    assert os.listdir(tmp_path) == [FILE]


def test_a_data_directory_without_the_file_has_none(tmp_path: Path) -> None:
    assert read_counters(tmp_path) == {}


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        '{"exp": 5}',
        '{"exp": {}}',
        '{"exp": {"phase": 1}}',
        json.dumps({"exp": {"phase": 1, "weight_epoch": 1, "arms": 5, "weights": [], "coverage": 1}}),
        json.dumps({"exp": {"phase": "1", "weight_epoch": 1, "arms": ["a"], "weights": [1], "coverage": 1}}),
        json.dumps({"exp": {"phase": 1, "weight_epoch": None, "arms": ["a"], "weights": [1], "coverage": 1}}),
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, damage: str | bytes) -> None:
    """Silently beginning with phase 1 would deal everybody anew."""
    (tmp_path / FILE).write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    with pytest.raises(DataError, match=r"experiments\.json is damaged .*backup"):
        read_counters(tmp_path)


def test_every_cut_of_the_file_is_noticed(tmp_path: Path) -> None:
    write_counters(tmp_path, {"exp": COUNTER})
    whole = (tmp_path / FILE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_counters(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_counters(tmp_path, {"exp": COUNTER})
    (tmp_path / FILE).with_suffix(".new").mkdir()  # where the new one would be written first
    with pytest.raises(OSError):
        write_counters(tmp_path, {"exp": replace(COUNTER, phase=9)})
    assert read_counters(tmp_path) == {"exp": COUNTER}


def test_a_reader_sees_the_old_or_the_new_file(tmp_path: Path) -> None:
    """The file that was opened before a write stays whole: it is replaced, never written into."""
    write_counters(tmp_path, {"exp": COUNTER})
    with (tmp_path / FILE).open() as old:
        write_counters(tmp_path, {"exp": replace(COUNTER, phase=9)})
        assert json.load(old)["exp"]["phase"] == 3
    assert read_counters(tmp_path)["exp"].phase == 9
