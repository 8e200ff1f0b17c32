"""What `check` says of personas: evidence, facts in the wrong kind of rule, and pains that no copy speaks of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Files
from test_check_rules import SPOKEN, icp, persona, row, said_of

Write = Callable[[Files], Path]

TITLE = {"person.title": {"contains": "cfo"}}


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (None, "evidence: is missing"),
        ({"status": "researched"}, "evidence.sources: is missing"),
        ({"status": "hypothesis"}, None),
        ({}, None),  # which is a hypothesis
        ({"status": "researched", "sources": ["12 interviews"]}, None),
    ],
)
def test_a_persona_without_evidence_is_named(workspace: Write, evidence: Any, said: str | None) -> None:
    written = {"name": "Robin", "match": TITLE, **({} if evidence is None else {"evidence": evidence})}
    found = said_of(workspace({"variants/personas/cfo.yaml": written}))
    assert found == [] if said is None else found[0].startswith(f"personas/cfo.yaml:1: warning: {said}")
    assert len(found) == (said is not None)


# --- who is the account, how is the person ---


def test_a_fact_of_people_in_an_icp_is_named_where_it_stands(workspace: Write) -> None:
    match = "company.employees: {gte: 1000}\n  any:\n  - person.title: {contains: cfo}\n  - geo.eu: true\n"
    text = f"name: Big\nmatch:\n  {match}"
    [said] = said_of(workspace({"variants/icps/big.yaml": text}))
    assert said.startswith(
        "icps/big.yaml:5: warning: match.any.0.person.title: `person.title` belongs to a persona: an ICP"
    )
    assert "says who" in said and "how to speak" in said


@pytest.mark.parametrize(
    ("file", "document", "said"),
    [
        ("icps/a.yaml", icp({"geo.eu": True}, profile={}), "no key `profile` here. It belongs to a persona."),
        ("icps/a.yaml", icp({"geo.eu": True}, icps=["a"]), "no key `icps` here. It belongs to a persona."),
        ("personas/a.yaml", persona({"geo.eu": True}, business={}), "no key `business` here. It belongs to an ICP."),
        ("personas/a.yaml", persona({"geo.eu": True}, profil={}), "no key `profil` here. Did you mean `profile`?"),
    ],
)
def test_a_key_of_the_other_document_is_sent_there(workspace: Write, file: str, document: Any, said: str) -> None:
    [found] = said_of(workspace({f"variants/{file}": document}))
    assert found.endswith(said)


def test_a_fact_of_companies_in_a_persona_is_named_where_it_stands(workspace: Write) -> None:
    match = {**TITLE, "company.employees": {"gte": 1000}, "not": {"company.industry": "retail"}}
    first, second = said_of(workspace({"variants/personas/cfo.yaml": persona(match)}))
    assert first.startswith(
        "personas/cfo.yaml:1: warning: match.company.employees: `company.employees` belongs to an ICP"
    )
    assert second.startswith("personas/cfo.yaml:1: warning: match.not.company.industry: ")
    assert "`for: {icp: …, persona: …}`" in first


@pytest.mark.parametrize(
    ("market", "fact", "said"),
    [
        ("b2c", "person.age_band", None),
        ("b2c", "person.title", "Ask for it in a persona's `match`."),
        ("b2b", "person.age_band", "Write `market: b2c` if you sell to consumers."),
    ],
)
def test_consumers_are_told_apart_by_what_they_declare(
    workspace: Write, market: str, fact: str, said: str | None
) -> None:
    found = said_of(workspace({"variants/icps/young.yaml": icp({fact: "18-24"}, market=market)}))
    assert found == [] if said is None else said in found[0]


@pytest.mark.parametrize("fact", ["geo.country", "utm.term", "network.kind", "visit.count"])
def test_other_facts_belong_to_both(workspace: Write, fact: str) -> None:
    files = {
        "variants/icps/a.yaml": icp({fact: {"known": True}}),
        "variants/personas/a.yaml": persona({fact: {"known": True}}),
    }
    assert said_of(workspace(files)) == []


# --- pains, fears and goals ---

PROFILE = """\
name: Robin
evidence: {status: hypothesis}
match: {person.title: {contains: cfo}}
profile:
  professional: {goals: [Close by the third working day]}
  empathy:
    fears:
      - A wrong payment to 200 people
    pains:
      - Three days lost each month
"""


def speaking(*texts: str, **more: Any) -> dict[str, Any]:
    """A variant for the persona, with these texts as the paragraphs of its copy."""
    return {"for": {"persona": "cfo", **more}, "copy": {"headline": texts[0], "text": " ".join(texts[1:]) or "Hello"}}


def answered(workspace: Write, **variants: Any) -> list[str]:
    files = {"variants/personas/cfo.yaml": PROFILE, "variants/icps/all.yaml": icp({"geo.eu": True}), **SPOKEN}
    written = {f"variants/pages/home/{name}.yaml": variant for name, variant in variants.items()}
    return [said.partition(" has no block")[0] for said in said_of(workspace({**files, **written}))]


def test_what_no_block_speaks_of_is_named_where_it_stands(workspace: Write) -> None:
    assert answered(workspace, cfo=speaking("Payroll, closed", "Close on the third working day.")) == [
        "personas/cfo.yaml:8: warning: profile.empathy.fears.0: `A wrong payment to 200 people`",
        "personas/cfo.yaml:10: warning: profile.empathy.pains.0: `Three days lost each month`",
    ]


def test_an_answer_in_nearly_the_same_words_counts(workspace: Write) -> None:
    texts = (
        "No month loses three days",
        "You close by the third day.",
        "No wrong payments, not to 200 people, not to one.",
    )
    assert answered(workspace, cfo=speaking(*texts)) == []


def test_several_variants_answer_together_and_drafts_do_not(workspace: Write) -> None:
    one, other = speaking("No month loses three days"), speaking("Close by the third working day", language="en")
    fear = "personas/cfo.yaml:8: warning: profile.empathy.fears.0: `A wrong payment to 200 people`"
    assert answered(workspace, one=one, other=other) == [fear]
    third = {**speaking("A wrong payment to 200 people"), "status": "draft"}
    assert answered(workspace, one=one, other=other, third=third) == [fear]
    assert answered(workspace, one=one, other=other, third={**third, "status": "archived"}) == [fear]
    assert fear not in answered(workspace, one=one, other=other, third={**third, "order": 1, "status": "published"})


def test_what_the_original_says_is_said_to_them_too(workspace: Write) -> None:
    page = {
        "path": "/home",
        "copy": {"headline": "Three days lost each month?", "text": "A wrong payment to 200 people"},
    }
    original = {"variants/pages/home/page.yaml": page, "variants/personas/cfo.yaml": PROFILE}
    files = {**original, "variants/icps/all.yaml": icp({"geo.eu": True})}
    variant = {"for": {"persona": "cfo"}, "copy": {"headline": "Close by the third working day"}}
    [said] = said_of(workspace({**files, "variants/pages/home/cfo.yaml": variant}))
    assert "`Three days lost each month`" in said  # the variant's headline stands in its place


def test_the_other_arms_of_an_experiment_answer_too(workspace: Write) -> None:
    arms = {
        "cfo": speaking("No month loses three days", "Close by the third working day."),
        "b": {"copy": {"headline": "A wrong payment to 200 people"}},
    }
    files = {
        "variants/personas/cfo.yaml": PROFILE,
        "variants/icps/all.yaml": icp({"geo.eu": True}),
        "variants/experiments/x.yaml": {"page": "home", "arms": ["cfo", "b"], "goal": "lead"},
        **{f"variants/pages/home/{name}.yaml": arm for name, arm in arms.items()},
    }
    assert said_of(workspace(files)) == []


@pytest.mark.parametrize("variants", [{}, {"german": speaking("Lohn in einem Nachmittag", language="de")}])
def test_without_copy_in_the_language_of_the_profile_nothing_is_said(workspace: Write, variants: Any) -> None:
    assert answered(workspace, **variants) == []


def test_thai_is_compared_without_spaces(workspace: Write) -> None:
    site = "site: {name: Shop, hosts: [www.shop.example], language: th}\n"
    profile = {"empathy": {"pains": ["เสียเวลาสามวันทุกเดือน", "ไม่มีใครตอบคำถามผู้สอบบัญชีได้"]}}
    files = {
        "variants/workspace.yaml": site,
        "variants/icps/all.yaml": icp({"geo.eu": True}),
        "variants/personas/cfo.yaml": persona(TITLE, profile=profile),
        "variants/pages/home/cfo.yaml": row({"persona": "cfo"}) | {"copy": {"headline": "ไม่เสียเวลาสามวันทุกเดือนอีกต่อไป"}},
        **SPOKEN,
    }
    assert SMALL["variants/workspace.yaml"] != site
    [said] = said_of(workspace(files))
    assert "profile.empathy.pains.1: `ไม่มีใคร" in said
