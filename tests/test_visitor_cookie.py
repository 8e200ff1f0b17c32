"""What is signed: the cookie, decision tokens; and the keys, kept in the data directory."""

from __future__ import annotations

import multiprocessing
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalizer.config import load_settings
from personalizer.errors import SettingError, StartError
from personalizer.visitor.cookie import (
    MAX_AGE,
    MAX_COOKIE,
    MAX_GOALS,
    MAX_PAGES,
    OPT_OUT,
    Memory,
    find_cookie,
    read_cookie,
    write_cookie,
)
from personalizer.visitor.declared import Claim, keep_claims
from personalizer.visitor.keys import SIGNATURE_LENGTH, Keys, load_keys, make_decision_token, read_decision_token
from personalizer.visitor.secretfile import read_secret
from personalizer.visitor.touch import MAX_UTM, Touch, first_facts, read_touch, write_first, write_touch

NOW = 1_800_000_000
OLD, NEW = b"o" * 32, b"n" * 40
KEYS = Keys([NEW])
ID = "V_isitor-16chars"


def make_memory() -> Memory:
    return Memory(
        id=ID,
        first_seen=NOW - 90 * 86_400,
        last_seen=NOW - 60,
        visits=3,
        visit="visit-08",
        unit=ID,
        company="nordlicht.example",
        away=12,
        last=write_touch(
            Touch("linkedin", "paid_social", "q4-cfo", "การเงิน", "roi-calc", "7", "li_fat_id", "a1b2-c3", "q4-cfo.x.y")
        ),
        first=write_first(Touch("google", "cpc", "brand")),
        persona="cfo",
        icp="mid-market-saas",
        goals=("engaged", "demo_request"),
        pages=("payroll", "pricing"),
        arms={"payroll-cfo:1": "cfo-roi", "pricing:2": "original"},
    )


def test_what_is_written_is_read() -> None:
    value = write_cookie(make_memory(), KEYS)
    assert re.fullmatch(r"[!#-+\--:<-\[\]-~]+", value) and len(value) <= 500  # RFC 6265's cookie-octets
    assert read_cookie(value, KEYS, NOW) == make_memory()
    fresh = Memory(ID, NOW, NOW, 1, "visit-08", ID)
    assert read_cookie(write_cookie(fresh, KEYS), KEYS, NOW) == fresh


def test_every_changed_character_makes_a_stranger() -> None:
    value = write_cookie(make_memory(), KEYS)
    for at, char in enumerate(value):
        for other in "A_z9" if char not in "A_z9" else "Bb":
            assert read_cookie(value[:at] + other + value[at + 1 :], KEYS, NOW) is None, at
        assert read_cookie(value[:at] + value[at + 1 :], KEYS, NOW) is None, at
        assert read_cookie(value[:at], KEYS, NOW) is None, at


@pytest.mark.parametrize("value", ["", OPT_OUT, "=", "a" * 20, "é" * 100, "\ud800" * 30, "x" * 100_000, "\0" * 60])
def test_garbage_is_a_stranger(value: str) -> None:
    assert read_cookie(value, KEYS, NOW) is None


@given(st.text())
def test_any_text_is_a_stranger(text: str) -> None:
    assert read_cookie(text, KEYS, NOW) is None
    assert (
        read_cookie(text + write_cookie(make_memory(), KEYS), KEYS, NOW) is (None if text else make_memory) or not text
    )
    assert read_decision_token(text, KEYS) is None


@pytest.mark.parametrize(
    "payload", ["1", "2", "!" * 15, "1" + "!" * 15, "2" + "!" * 15, "1" + "!x" * 15, "1!" * 60, "e30"]
)
def test_our_own_signature_over_another_format_is_a_stranger(payload: str) -> None:
    assert read_cookie(payload + KEYS.sign(payload.encode(), b"cookie"), KEYS, NOW) is None


def test_a_signature_for_another_purpose_is_none() -> None:
    payload = write_cookie(make_memory(), KEYS)[:-SIGNATURE_LENGTH]
    assert read_cookie(payload + KEYS.sign(payload.encode(), b"cookie"), KEYS, NOW) == make_memory()
    assert read_cookie(payload + KEYS.sign(payload.encode(), b"decision"), KEYS, NOW) is None


@pytest.mark.parametrize("age, known", [(0, True), (MAX_AGE, True), (MAX_AGE + 1, False), (-86_400, True)])
def test_a_year_old_cookie_is_a_stranger(age: int, known: bool) -> None:
    value = write_cookie(replace(make_memory(), last_seen=NOW - age), KEYS)
    assert (read_cookie(value, KEYS, NOW) is not None) is known


@pytest.mark.parametrize(
    "header, value",
    [
        ("", ""),
        ("pz=abc", "abc"),
        ("a=1; pz=abc; b=2", "abc"),
        ("a=1;pz=abc;b=2", "abc"),
        ("pz=first; pz=second", "first"),
        ("xpz=abc", ""),
        ("a=pz=abc", ""),
        ("pz", ""),
        ("pz=", ""),
        (";;;=;pz=abc", "abc"),
    ],
)
def test_finding_the_cookie(header: str, value: str) -> None:
    assert find_cookie(header) == value


# --- what must not grow -----------------------------------------------------------------------------------------------


def test_what_does_not_fit_goes_in_order() -> None:
    """Arms are added until nothing else is left: each thing goes only when those before it are gone."""
    memory = make_memory()
    memory.pages = tuple(f"page-{n}" for n in range(MAX_PAGES))
    memory.declared = keep_claims("", [Claim("custom.budget", "5000", "f"), Claim("person.title", "CFO", "s")])
    gone: list[str] = []
    for count in range(60):
        memory.arms = {f"experiment-{n:02}:1": "an-arm-with-a-name" for n in range(count)}
        value = write_cookie(memory, KEYS)
        kept = read_cookie(value, KEYS, NOW)
        assert kept and len(value) <= MAX_COOKIE
        missing = [
            name
            for name, lost in (
                ("pages", not kept.pages),
                ("goals", not kept.goals),
                ("first", not kept.first),
                ("declared", not kept.declared),
                ("click", not read_touch(kept.last).click_id),
                ("touch", not kept.last),
                ("arms", len(kept.arms) < count),
            )
            if lost
        ]
        assert missing[: len(gone)] == gone
        gone = missing
        assert kept.pages == memory.pages[MAX_PAGES - len(kept.pages) :]
        assert list(kept.arms.items()) == list(memory.arms.items())[count - len(kept.arms) :]
        assert (kept.id, kept.visit, kept.unit, kept.company) == (memory.id, memory.visit, memory.unit, memory.company)
        assert (kept.persona, kept.icp) == (memory.persona, memory.icp)
    assert gone == ["pages", "goals", "first", "declared", "click", "touch", "arms"]


@given(
    st.lists(st.text(max_size=200), min_size=6, max_size=6),
    st.text(max_size=512).filter(lambda text: text.isprintable()),
    st.lists(st.text("abc-", min_size=1, max_size=64), max_size=30),
)
def test_a_cookie_never_exceeds_its_limit(utm: list[str], click_id: str, keys: list[str]) -> None:
    utm = [text.encode("utf-8", "replace").decode() for text in utm]
    memory = make_memory()
    touch = Touch(*utm, click_kind="gclid", click_id=click_id, ad_ref="x" * 200)
    memory.last, memory.first = write_touch(touch), write_first(touch)
    memory.company = "x" * 60 + ".example"
    memory.persona = memory.icp = "p" * 64
    before = asdict(memory)
    for key in keys:
        memory.add_view(key, None, None)
        memory.add_arm(f"{key}:1", key)
        memory.add_goal(key)
    written = asdict(memory)
    value = write_cookie(memory, KEYS)
    kept = read_cookie(value, KEYS, NOW)
    assert kept and len(value) <= MAX_COOKIE and value.isascii()
    assert asdict(memory) == written and (written == before) is not bool(keys)
    remembered = read_touch(kept.last)
    assert all(len(text.encode()) <= MAX_UTM for text in (*remembered[:6], *first_facts(kept.first).values()))
    assert remembered.click_id in ("", click_id)


def test_utm_values_are_shortened_between_characters() -> None:
    memory = replace(make_memory(), last=write_touch(Touch(term="การเงิน" * 20, source="x" * 200)))
    kept = read_cookie(write_cookie(memory, KEYS), KEYS, NOW)
    assert kept and read_touch(kept.last) == Touch(term=("การเงิน" * 20)[: MAX_UTM // 3], source="x" * MAX_UTM)


def test_remembering() -> None:
    memory = Memory(ID, NOW, NOW, 1, "visit-08", ID)
    arms = memory.arms
    for page, persona, icp, seed, arm in (
        ("payroll", "cfo", "saas", "a:1", "x"),
        ("pricing", None, None, "b:1", "y"),
        ("payroll", "hr", None, "a:1", "z"),
    ):
        memory.add_view(page, persona, icp)
        memory.add_arm(seed, arm)
    assert (memory.pages, memory.persona, memory.icp) == (("pricing", "payroll"), "hr", "saas")
    assert memory.arms == {"a:1": "z", "b:1": "y"} and arms == {}
    for number in range(100):
        memory.add_view(f"page-{number}", None, None)
        memory.add_goal(f"goal-{number}")
        memory.add_goal("again")
    assert memory.pages == tuple(f"page-{number}" for number in range(100 - MAX_PAGES, 100))
    assert len(memory.goals) == MAX_GOALS and memory.goals[-2:] == ("goal-99", "again")


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_rotate_without_losing_anybody() -> None:
    old, both, new = Keys([OLD]), Keys([NEW, OLD]), Keys([NEW])
    value = write_cookie(make_memory(), old)
    assert read_cookie(value, both, NOW) == make_memory()
    assert read_cookie(value, new, NOW) is None
    again = write_cookie(make_memory(), both)
    assert read_cookie(again, new, NOW) == make_memory()
    assert read_cookie(again, old, NOW) is None


@pytest.mark.parametrize("decision_id", [f"{ID}.visit-08", "x", "-_." * 20])
def test_decision_tokens(decision_id: str) -> None:
    token = make_decision_token(decision_id, Keys([OLD]))
    assert token.startswith(f"{decision_id}.") and len(token) == len(decision_id) + 1 + SIGNATURE_LENGTH
    assert read_decision_token(token, Keys([NEW, OLD])) == decision_id
    assert read_decision_token(token, Keys([NEW])) is None
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        assert read_decision_token(token[:at] + other + token[at + 1 :], Keys([OLD])) is None
    assert read_decision_token(token[:-1], Keys([OLD])) is None
    assert read_decision_token(token + "x", Keys([OLD])) is None


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    settings = load_settings({"data": str(tmp_path / "data")}, {})
    value = write_cookie(make_memory(), load_keys(settings))
    secret = tmp_path / "data" / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert read_cookie(value, load_keys(settings), NOW) == make_memory()
    assert [file.name for file in secret.parent.iterdir()] == ["secret"]


def test_a_given_key_needs_no_file(tmp_path: Path) -> None:
    settings = load_settings({"data": str(tmp_path / "data"), "secret_key": f"{'a' * 32},{'b' * 32}"}, {})
    value = write_cookie(make_memory(), Keys([b"b" * 32]))
    assert read_cookie(value, load_keys(settings), NOW) == make_memory()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    read_secret(tmp_path / "secret")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(SettingError, match="can be read by other users. Run `chmod 600"):
        read_secret(tmp_path / "secret")


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("hunter2\n")
    with pytest.raises(SettingError, match="fewer than 32 characters"):
        read_secret(path)


def test_a_secret_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot be made or read"):
        read_secret(tmp_path / "file" / "secret")


def _read_when_told(path: Path, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    results.put(read_secret(path))  # type: ignore[attr-defined]


def test_processes_that_race_agree_on_the_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        barrier, results = context.Barrier(6), context.Queue()
        path = tmp_path / str(attempt) / "secret"
        workers = [context.Process(target=_read_when_told, args=(path, barrier, results)) for _ in range(6)]
        for worker in workers:
            worker.start()
        secrets = {results.get(timeout=20) for _ in workers}
        for worker in workers:
            worker.join()
        assert secrets == {path.read_bytes().strip()}
        assert os.listdir(path.parent) == ["secret"]
