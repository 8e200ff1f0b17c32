"""Query strings: the cleaning rule, UTM values, ad references, click ids."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from personalizer.visitor.cleaning import LIMIT, clean_text
from personalizer.visitor.facts import CLICK_KINDS, FACTS
from personalizer.visitor.query import MAX_CLICK_ID, _parse, parse_query
from personalizer.visitor.touch import UTM_NAMES, Touch

CASES = Path(__file__).parent / "cases"


def load_cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["why"]) for case in json.loads((CASES / name).read_text())]


@pytest.mark.parametrize("case", load_cases("cleaning.json"))
def test_cleaning(case: dict[str, str]) -> None:
    assert clean_text(case["text"]) == case["clean"]


@given(st.text())
@example("x" * (LIMIT - 1) + " y")
@example("e" + "\u0301" * 300)
def test_cleaning_is_bounded_safe_and_done_once(text: str) -> None:
    clean = clean_text(text)
    assert len(clean) <= LIMIT
    assert clean_text(clean) == clean
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_no_character_becomes_an_unwanted_one() -> None:
    clean = clean_text("a".join(map(chr, range(0x110000))), limit=10_000_000)
    assert len(clean) > 1_000_000
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("case", load_cases("query.json"))
def test_query(case: dict[str, Any]) -> None:
    query = parse_query(case["query"])
    kind, click_id = case["click"] or ("", "")
    expected = Touch(**case["utm"], click_kind=kind, click_id=click_id, ad_ref=case["ad_ref"] or "")
    assert query.touch == (expected if any(expected) else None)
    assert query.duplicated is case["duplicated"]
    facts = {f"utm.{name}": value for name, value in case["utm"].items()}
    if click_id:
        facts |= {"click.kind": kind, "click.id": click_id}
    assert query.facts == facts


def test_facts_are_of_the_table() -> None:
    query = parse_query("&".join(f"{name}=x" for name in (*UTM_NAMES, *CLICK_KINDS)))
    assert set(query.facts) == {name for name in FACTS if name.startswith(("utm.", "click."))}


@pytest.mark.parametrize("length, known", [(LIMIT, LIMIT), (LIMIT + 1, LIMIT), (8_000, LIMIT)])
def test_long_values_are_cut(length: int, known: int) -> None:
    assert parse_query("utm_term=" + "x" * length).facts == {"utm.term": "x" * known}


@pytest.mark.parametrize("length", [MAX_CLICK_ID, MAX_CLICK_ID + 1])
def test_long_click_ids_are_dropped_not_cut(length: int) -> None:
    assert parse_query("gclid=" + "x" * length).facts.get("click.id") == (
        "x" * length if length <= MAX_CLICK_ID else None
    )


@pytest.mark.parametrize("before, read", [(99, True), (100, False), (100_000, False)])
def test_a_hundred_parameters_are_read(before: int, read: bool) -> None:
    assert (parse_query("x=1&" * before + "utm_source=a").touch is not None) is read


@pytest.mark.parametrize("length, kept", [(200, True), (201, False)])
def test_ad_reference_length(length: int, kept: bool) -> None:
    assert (parse_query("pz=" + "a" * length).touch is not None) is kept


@given(st.lists(st.tuples(st.sampled_from(UTM_NAMES), st.binary(max_size=40)), max_size=8))
def test_decoding_is_werkzeugs(pairs: list[tuple[str, bytes]]) -> None:
    raw = "&".join(f"{name}={''.join(f'%{byte:02x}' for byte in value)}" for name, value in pairs)
    args = Request(EnvironBuilder(query_string=raw).get_environ()).args
    touch = parse_query(raw).touch or Touch()
    assert list(touch[:6]) == [clean_text(args.get(name, "")) for name in UTM_NAMES]


@given(st.text())
def test_any_text_is_answered_with_text_that_can_be_sent_on(raw: str) -> None:
    for prefix in ("", "utm_source=", "gclid=", "pz=", "utm_source=a&utm_source=", "utm%5"):
        for value in parse_query(prefix + raw).facts.values():
            assert isinstance(value, str)
            value.encode()


CLICKS = st.sampled_from(
    ("gclid=x", "gclid=", "gclid", "fbclid=a%2Bb", "gcl%69d=y", "GCLID=z", "xgclid=1", "gclid=%C3%A9", "li_fat_id=1-2")
)
PLAIN = st.sampled_from(("utm_source=a", "utm_source=b", "pz=one.two", "q=gclid", "", "utm_term=c+d", "é=1", "q=1"))


@settings(max_examples=500)
@given(st.lists(st.one_of(CLICKS, PLAIN), max_size=6))
def test_a_link_with_a_click_id_reads_as_if_it_were_never_seen(parts: list[str]) -> None:
    """Links are remembered without their click id; what comes of that is what reading the whole says."""
    raw = "&".join(parts)
    for _ in range(2):
        remembered, whole = parse_query(raw), _parse(raw)
        assert (remembered.touch, remembered.facts) == (whole.touch, whole.facts)
        assert (remembered.last, remembered.first) == (whole.last, whole.first)
        assert remembered.duplicated is whole.duplicated
