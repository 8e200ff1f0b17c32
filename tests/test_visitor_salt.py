"""Storage-free ids: the same all day in every process, and nothing of them the next day."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from personalizer.visitor.salt import DAY, Salts

NOON = 20_000 * DAY + DAY // 2
WHO = ("198.51.100.7", "Mozilla/5.0", "www.paydesk.example")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_an_id_has_the_form_of_every_id(tmp_path: Path) -> None:
    visitor, visit = Salts(tmp_path / "salt").daily_id(NOON, *WHO)
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", visitor) and re.fullmatch(r"[A-Za-z0-9_-]{8}", visit)


def test_an_id_stays_all_day_and_over_a_restart(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    first = salts.daily_id(NOON - DAY // 2, *WHO)
    assert salts.daily_id(NOON + DAY // 2 - 1, *WHO) == first
    assert Salts(tmp_path).daily_id(NOON, *WHO) == first


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_another_address_agent_or_host_is_another_visitor(tmp_path: Path, changed: int) -> None:
    salts = Salts(tmp_path)
    other = [part + "x" if at == changed else part for at, part in enumerate(WHO)]
    assert salts.daily_id(NOON, *other) != salts.daily_id(NOON, *WHO)


def test_what_is_hashed_is_kept_apart(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    assert salts.daily_id(NOON, "a", "bc", "d") != salts.daily_id(NOON, "ab", "c", "d")


def test_the_next_day_has_a_new_salt_and_the_old_one_is_gone(tmp_path: Path) -> None:
    salts, other = Salts(tmp_path), Salts(tmp_path)
    today = salts.daily_id(NOON, *WHO)
    assert names(tmp_path) == ["2024-10-04"]
    secret = (tmp_path / "2024-10-04").read_bytes()
    tomorrow = salts.daily_id(NOON + DAY, *WHO)
    assert tomorrow != today
    assert names(tmp_path) == ["2024-10-05"]
    assert (tmp_path / "2024-10-05").read_bytes() != secret
    assert other.daily_id(NOON + DAY, *WHO) == tomorrow
    assert (tmp_path / "2024-10-05").stat().st_mode & 0o777 == 0o600


def test_a_clock_read_before_midnight_does_not_bring_the_old_day_back(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    tomorrow = salts.daily_id(NOON + DAY, *WHO)
    assert salts.daily_id(NOON, *WHO) == tomorrow
    assert names(tmp_path) == ["2024-10-05"]


def test_what_a_killed_process_left_goes_too(tmp_path: Path) -> None:
    (tmp_path / ".2024-10-03.123.abcd").touch()
    Salts(tmp_path).daily_id(NOON, *WHO)
    assert names(tmp_path) == ["2024-10-04"]


def test_a_folder_that_cannot_be_written_costs_no_page(tmp_path: Path) -> None:
    (tmp_path / "salt").touch()
    one, other = Salts(tmp_path / "salt"), Salts(tmp_path / "salt")
    assert one.daily_id(NOON, *WHO) == one.daily_id(NOON + 60, *WHO)
    assert one.daily_id(NOON, *WHO) != other.daily_id(NOON, *WHO)


def test_a_fixed_salt_touches_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "salt"
    first = Salts(folder, fixed=b"x").daily_id(NOON, *WHO)
    assert Salts(folder, fixed=b"x").daily_id(NOON + 9 * DAY, *WHO) == first
    assert not folder.exists()


def _name_when_told(folder: Path, wait: Callable[[], object], put: Callable[[object], None]) -> None:
    salts = Salts(folder)
    for day in range(5):
        wait()
        put((day, salts.daily_id(NOON + day * DAY, *WHO)))


def test_workers_that_race_over_midnight_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_name_when_told, args=(tmp_path, barrier.wait, results.put)) for _ in range(4)]
    for worker in workers:
        worker.start()
    ids = {results.get(timeout=20) for _ in range(4 * 5)}
    for worker in workers:
        worker.join()
    assert len(ids) == 5  # one a day
    assert names(tmp_path) == ["2024-10-08"]
