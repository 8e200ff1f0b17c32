"""What `check` says of rules that nobody meets, that others take everybody from, or that only a key decides between."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Files
from test_languages import GERMAN

from personalizer.content import overlap
from personalizer.content.compile import check_workspace, load_content
from personalizer.content.rules import find_rules
from personalizer.errors import ContentError

Write = Callable[[Files], Path]

# Any words will do: what is missing of a language is test_languages' matter.
SPOKEN: Files = {f"templates/words/{language}.yaml": GERMAN for language in ("de", "fr", "th")}


def said_of(root: Path) -> list[str]:
    """Place, key, level and words of every problem."""
    return [str(problem).replace(f"{root}/variants/", "") for problem in check_workspace(root).problems]


def icp(match: Any, **more: Any) -> dict[str, Any]:
    return {"name": "Some", "match": match, **more}


def persona(match: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": "Some", "evidence": {"status": "hypothesis"}, **({"match": match} if match else {}), **more}


def campaign(*personas: str, **more: Any) -> dict[str, Any]:
    sets = [{"key": f"s{place}", "persona": key} for place, key in enumerate(personas)]
    return {"platform": "google", "page": "home", "ad_sets": sets or [{"key": "all"}], **more}


def row(whom: Any, **more: Any) -> dict[str, Any]:
    return {"for": whom, "copy": {"headline": "Welcome"}, **more}


# --- never true: a mistake ---


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"icps/a.yaml": icp({"company.employees": {"gte": 100, "lt": 100}})}, "icps/a.yaml:1: match: "),
        (
            {"icps/a.yaml": icp({"geo.country": "DE", "not": {"geo.country": {"in": ["DE", "AT"]}}})},
            "icps/a.yaml:1: match",
        ),
        (
            {"personas/a.yaml": persona({"person.title": {"in": ["cfo"], "contains": "head"}})},
            "personas/a.yaml:1: match",
        ),
        ({"pages/home/a.yaml": row({"language": "de", "when": {"language": "fr"}})}, "pages/home/a.yaml:1: for: "),
    ],
)
def test_a_rule_that_can_never_be_true_is_a_mistake(workspace: Write, files: Files, place: str) -> None:
    root = workspace({**SPOKEN, **{f"variants/{name}": document for name, document in files.items()}})
    [said] = said_of(root)
    assert said.startswith(place) and "can never be true" in said and "Change or remove one" in said
    with pytest.raises(ContentError, match="never be true"):
        load_content(root)


@pytest.mark.parametrize(
    "match",
    [
        {"company.employees": {"gte": 100, "lte": 100}},
        {"geo.country": "DE", "not": {"geo.country": {"in": ["CH", "AT"]}}},
        {"company.technologies": {"has": "sap"}, "not": {"company.technologies": {"has": "datev"}}},
        {"company.name": {"contains": "a", "starts_with": "b"}},
    ],
)
def test_a_rule_that_few_meet_is_none(workspace: Write, match: Any) -> None:
    assert said_of(workspace({"variants/icps/a.yaml": icp(match)})) == []


def test_a_mistake_in_a_rule_is_said_once(workspace: Write) -> None:
    """A misspelt fact is left out of the rule that is checked on; what is left of that proves nothing."""
    broken = icp({"company.employes": 5, "geo.country": "DE"})
    root = workspace({"variants/icps/a.yaml": broken, "variants/icps/b.yaml": icp({"geo.country": "DE"})})
    [said] = said_of(root)
    assert "there is no fact `company.employes`" in said


# --- ICPs ---

SOFTWARE, BIG = {"company.industry": "software"}, {"company.employees": {"gte": 1000}}


def test_an_icp_whose_visitors_an_earlier_one_takes_is_named_with_it(workspace: Write) -> None:
    root = workspace(
        {
            "variants/icps/all-software.yaml": icp({"company.industry": {"in": ["software", "internet"]}}, priority=1),
            "variants/icps/big-software.yaml": icp({**SOFTWARE, **BIG}),
        }
    )
    [said] = said_of(root)
    assert said.startswith("icps/big-software.yaml:1: warning: match: is never matched: ICP all-software goes first")
    assert check_workspace(root).content is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (icp({**SOFTWARE, **BIG}), icp(SOFTWARE)),  # the narrow one goes first: it has more conditions
        (icp(SOFTWARE, priority=1, product="x"), icp({**SOFTWARE, **BIG})),  # on the page of product y it is alone
        (icp(SOFTWARE, priority=1), icp(BIG, priority=2)),
        (icp(SOFTWARE), icp({"company.industry": "retail"})),
        (icp({"not": {"geo.eu": True}}), icp({"geo.eu": True, "geo.country": "DE"})),
        (icp(SOFTWARE, kind="negative"), icp({**SOFTWARE, **BIG})),  # it acts on what proves something only
        (icp(SOFTWARE, kind="negative"), icp({**SOFTWARE, **BIG}, kind="negative", evidence="lookup", priority=2)),
        (icp(SOFTWARE, kind="negative", serve={"page": "x"}), icp(BIG, kind="negative", serve={"page": "x"})),
    ],
)  # fmt: skip
def test_icps_that_do_not_take_from_each_other_are_fine(workspace: Write, first: Any, second: Any) -> None:
    pages = {
        f"variants/pages/{key}/page.yaml": {"path": f"/{key}", "product": key, "copy": {"headline": "Hi"}}
        for key in "xy"
    }
    assert said_of(workspace({"variants/icps/a.yaml": first, "variants/icps/b.yaml": second, **pages})) == []


def test_an_excluded_icp_takes_from_all_others(workspace: Write) -> None:
    files = {
        "variants/icps/brazil.yaml": icp({"geo.country": "BR"}, kind="excluded"),
        "variants/icps/sao-paulo.yaml": icp({"geo.country": "BR", "geo.city": "São Paulo"}, priority=1),
    }
    [said] = said_of(workspace(files))
    assert said.startswith(
        "icps/sao-paulo.yaml:1: warning: match: is never matched: ICP brazil is excluded, goes first"
    )


def test_icps_of_equal_rank_that_overlap_want_a_priority(workspace: Write) -> None:
    files = {"variants/icps/a.yaml": icp(SOFTWARE), "variants/icps/b.yaml": icp(BIG), "variants/icps/c.yaml": icp(BIG)}
    *_, said = said_of(workspace(files))
    assert said.startswith("icps/c.yaml:1: warning: match: is never matched: ICP b goes first")
    files["variants/icps/c.yaml"] = icp({"geo.eu": True})
    first, second = said_of(workspace(files))
    assert first.startswith("icps/b.yaml:1: warning: match: ICP a may match the same visitors, and only the key")
    assert second.startswith("icps/c.yaml:1: warning: match: ICP a and 1 more may match") and "`priority`" in second


def test_an_icp_that_no_page_considers_is_named(workspace: Write) -> None:
    page = {"path": "/home", "product": "payroll", "copy": {"headline": "Hi"}}
    files = {"variants/pages/home/page.yaml": page, "variants/icps/a.yaml": icp(BIG, product="wages")}
    [said] = said_of(workspace(files))
    assert said.startswith("icps/a.yaml:1: warning: product: no page is for product wages")
    assert said_of(workspace({**files, "variants/icps/a.yaml": icp(BIG, product="payroll")})) == []
    assert said_of(workspace({**files, "variants/icps/a.yaml": icp(BIG)})) == []


# --- personas ---


def test_a_persona_that_an_earlier_one_hides_is_named_with_it(workspace: Write) -> None:
    files = {
        "variants/icps/big.yaml": icp(BIG),
        "variants/icps/small.yaml": icp({"company.employees": {"lt": 1000}}),
        "variants/personas/finance.yaml": persona({"person.title": {"contains": ["finance", "cfo"]}}, priority=1),
        "variants/personas/head.yaml": persona({"person.title": {"contains": "head of finance"}}, priority=2),
    }
    [said] = said_of(workspace(files))
    assert said.startswith("personas/head.yaml:1: warning: match: is never found: persona finance goes first")
    elsewhere = persona({"person.title": {"contains": ["finance", "cfo"]}}, priority=1, icps=["big"])
    assert said_of(workspace({**files, "variants/personas/finance.yaml": elsewhere})) == []


def test_personas_of_equal_rank_that_overlap_want_a_priority(workspace: Write) -> None:
    files = {
        "variants/icps/big.yaml": icp(BIG),
        "variants/personas/cfo.yaml": persona({"person.title": {"contains": "cfo"}}),
        "variants/personas/cash.yaml": persona({"utm.term": {"contains": "cash"}}),
    }
    [said] = said_of(workspace(files))
    assert said.startswith("personas/cfo.yaml:1: warning: match: persona cash may match the same visitors")
    titled = {key: persona({"person.title": key}) for key in ("cfo", "cash")}
    assert said_of(workspace(files | {f"variants/personas/{key}.yaml": one for key, one in titled.items()})) == []


def test_a_persona_that_nobody_is_taken_for_is_named(workspace: Write) -> None:
    files = {"variants/icps/big.yaml": icp(BIG), "variants/personas/cfo.yaml": persona()}
    [said] = said_of(workspace(files))
    assert said.startswith("personas/cfo.yaml:1: warning: has no `match`, and no ad set names it")
    assert said_of(workspace({**files, "variants/campaigns/c.yaml": campaign("cfo")})) == []


# --- rows ---

LISTS = {
    "variants/accounts/tier-1.csv": "domain\nhalden.example\nostwind.example\n",
    "variants/accounts/tier-2.csv": "domain\nferrum.example\n",
    "variants/accounts/energy.csv": "domain\nostwind.example\n",
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"when": {"device.type": "mobile"}}, {"when": {"geo.country": "DE"}}),
        ({"when": {"geo.country": {"in": ["DE", "AT"]}}}, {"when": {"geo.country": {"in": ["DE", "CH"]}}}),
        ({"accounts": "energy"}, {"accounts": "tier-1"}),
        ({"audience": "finance", "when": {"geo.eu": True}}, {"audience": "finance", "when": {"device.type": "mobile"}}),
    ],
)
def test_rows_of_equal_rank_that_are_not_provably_apart_are_named(workspace: Write, one: Any, other: Any) -> None:
    site = "site: {name: Shop, hosts: [www.shop.example]}\naudiences: {finance: {name: Finance}, hr: {name: HR}}\n"
    files = {"variants/workspace.yaml": site, "variants/campaigns/c.yaml": campaign(audience="finance"), **LISTS}
    rows = {"variants/pages/home/a.yaml": row(one), "variants/pages/home/b.yaml": row(other)}
    [said] = said_of(workspace({**files, **rows}))
    assert said.startswith("pages/home/b.yaml:1: warning: for: row a may match the same visitors, and only the key")
    ordered = {**rows, "variants/pages/home/b.yaml": row(other, order=1)}
    assert said_of(workspace({**files, **ordered})) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"when": {"geo.country": "DE"}}, {"when": {"geo.country": "AT"}}),
        ({"language": "de"}, {"language": "fr"}),
        ({"accounts": "tier-1"}, {"accounts": "tier-2"}),
        ({"campaign": "c"}, {"campaign": "d"}),
        ({"audience": "finance"}, {"audience": "hr"}),
        ({"audience": "finance"}, {"audience": "finance", "language": "de"}),
        ({"audience": "finance"}, {"campaign": "d"}),
    ],
)
def test_rows_that_are_apart_or_of_another_rank_are_fine(workspace: Write, one: Any, other: Any) -> None:
    site = "site: {name: Shop, hosts: [www.shop.example]}\naudiences: {finance: {name: Finance}, hr: {name: HR}}\n"
    files = {
        "variants/workspace.yaml": site,
        "variants/campaigns/c.yaml": campaign(audience="finance"),
        "variants/campaigns/d.yaml": campaign(audience="hr"),
        "variants/pages/home/a.yaml": row(one),
        "variants/pages/home/b.yaml": row(other),
        **LISTS,
        **SPOKEN,
    }
    assert said_of(workspace(files)) == []


def test_lists_are_not_apart_where_an_ad_may_declare_one(workspace: Write) -> None:
    declares = {"ad_sets": [{"key": "a", "declares": {"company.lists": {"has_all": ["tier-1", "tier-2"]}}}]}
    rows = {f"variants/pages/home/{key}.yaml": row({"accounts": f"tier-{key}"}) for key in "12"}
    [said] = said_of(workspace({**LISTS, **rows, "variants/campaigns/c.yaml": campaign(**declares)}))
    assert "row 1 may match" in said


def test_a_row_that_an_earlier_one_hides_is_named_with_it(workspace: Write) -> None:
    site = "site: {name: Shop, hosts: [www.shop.example]}\naudiences: {finance: {name: Finance}}\n"
    files = {
        "variants/workspace.yaml": site,
        "variants/campaigns/c.yaml": campaign(audience="finance"),
        "variants/pages/home/everybody.yaml": row({"audience": "finance"}, order=1),
        "variants/pages/home/of-campaign.yaml": row({"campaign": "c"}),  # whose audience that is
        "variants/pages/home/german.yaml": row({"language": "de"}),
        **SPOKEN,
    }
    [said] = said_of(workspace(files))
    assert said.startswith(
        "pages/home/of-campaign.yaml:1: warning: for: is never shown: row everybody of home goes first"
    )
    files["variants/pages/home/everybody.yaml"] = row({"audience": "finance", "when": {"geo.eu": True}}, order=1)
    assert said_of(workspace(files)) == []


@pytest.mark.parametrize(
    ("whom", "said", "mistake"),
    [
        ({"persona": "cfo", "icp": "small"}, "for.icp: persona cfo does not belong to ICP small", True),
        ({"icp": "wages"}, "for.icp: page home is for product payroll, and ICP wages for wages", True),
        ({"audience": "nobody"}, "for.audience: no campaign has the audience nobody", False),
        ({"persona": "clerk"}, "for.persona: persona clerk belongs to no ICP that page home considers", False),
        ({"accounts": "empty"}, "for.accounts: account list empty has no company", False),
    ],
)
def test_a_row_that_nobody_comes_to_is_named(workspace: Write, whom: Any, said: str, mistake: bool) -> None:
    files = {
        "variants/workspace.yaml": "site: {name: S, hosts: [a.example]}\naudiences: {nobody: {name: N}}\n",
        "variants/pages/home/page.yaml": {"path": "/home", "product": "payroll", "copy": {"headline": "Hi"}},
        "variants/pages/other/page.yaml": {"path": "/other", "product": "wages", "copy": {"headline": "Hi"}},
        "variants/icps/big.yaml": icp(BIG, product="payroll"),
        "variants/icps/small.yaml": icp({"company.employees": {"lt": 1000}}),
        "variants/icps/wages.yaml": icp({"geo.eu": True}, product="wages", priority=1),
        "variants/personas/cfo.yaml": persona({"person.title": "CFO"}, icps=["big"]),
        "variants/personas/clerk.yaml": persona({"person.title": "Clerk"}, icps=["wages"]),
        "variants/accounts/empty.csv": "domain\n",
    }
    level = "" if mistake else "warning: "
    [found] = said_of(workspace({**files, "variants/pages/home/a.yaml": row(whom)}))
    assert found.startswith(f"pages/home/a.yaml:1: {level}{said}")


@pytest.mark.parametrize(
    "whom",
    [
        {"persona": "cfo", "icp": "big"},
        {"icp": "small"},
        {"audience": "some"},
        {"persona": "clerk"},
        {"accounts": "tier-1"},
    ],
)
def test_a_row_that_somebody_comes_to_is_fine(workspace: Write, whom: Any) -> None:
    files = {
        "variants/workspace.yaml": "site: {name: S, hosts: [a.example]}\naudiences: {some: {name: N}}\n",
        "variants/pages/home/page.yaml": {"path": "/home", "product": "payroll", "copy": {"headline": "Hi"}},
        "variants/icps/big.yaml": icp(BIG, product="payroll"),
        "variants/icps/small.yaml": icp({"company.employees": {"lt": 1000}}),
        "variants/personas/cfo.yaml": persona({"person.title": "CFO"}, icps=["big"]),
        "variants/personas/clerk.yaml": persona(icps=[]),  # an ad declares it, and is believed whatever the ICP
        "variants/campaigns/c.yaml": campaign("clerk", audience="some"),
        **LISTS,
    }
    assert said_of(workspace({**files, "variants/pages/home/a.yaml": row(whom)})) == []


# --- many ---


def test_many_rules_are_compared_within_bounds_and_that_is_said(
    workspace: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MOST_PAIRS", 40)
    files = {f"variants/icps/i{n}.yaml": icp({"company.name": {"contains": f"n{n:02}"}}, priority=n) for n in range(20)}
    [said] = said_of(workspace(files))
    assert said.startswith("icps: warning: has too many rules: only 40 pairs were compared.")


def test_a_thousand_icps_and_rows_that_values_tell_apart_cost_little(workspace: Write) -> None:
    files: dict[str, Any] = {}
    for number in range(1_000):
        match = {"company.industry": f"i{number % 50}", "geo.city": f"c{number // 50}"}
        files[f"variants/icps/i{number}.yaml"] = icp({**match, **BIG})
        files[f"variants/pages/home/r{number}.yaml"] = row({"icp": f"i{number}"})
    root = workspace(files)
    checked = check_workspace(root)
    assert checked.problems == [] and checked.content is not None
    rules = find_rules(checked.documents, checked.content.registry)
    begun = time.process_time()
    overlap.lint_overlap(checked.documents, checked.content.registry, rules)
    assert time.process_time() - begun < 1  # a thousand with a thousand, twice, would take many
