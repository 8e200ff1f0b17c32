"""What `check` and `doctor` say of rules that want for facts where they are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Files
from test_check_ads import ads
from test_check_rules import icp, persona, row

from personalizer.cli import cli
from personalizer.config import load_settings
from personalizer.content.compile import check_workspace

Write = Callable[[Files], Path]

ALL = {f"geo_{name}": "sample" for name in ("city", "asn", "connection", "anonymous")} | {"companies": "sample"}
WITHOUT_COMPANIES = {name: value for name, value in ALL.items() if name != "companies"}


def warned(root: Path, settings: dict[str, str]) -> list[str]:
    found = check_workspace(root, load_settings(settings, environ={})).problems
    return [
        str(problem).replace(f"{root}/variants/", "") for problem in found if "cannot be true here" in problem.message
    ]


@pytest.mark.parametrize(
    ("match", "settings", "said"),
    [
        ({"company.employees": {"gte": 10}}, WITHOUT_COMPANIES, "`company.employees`. Set PERSONALIZER_COMPANIES"),
        ({"geo.country": "DE"}, {"companies": "sample"}, "`geo.country`. Set PERSONALIZER_GEO_CITY"),
        ({"network.asn": 64496}, {"geo_city": "sample"}, "`network.asn`. Set PERSONALIZER_GEO_ASN"),
        ({"company.employees": {"gte": 10}}, ALL, None),
        ({"company.employees": {"gte": 10}}, {}, None),  # no place that serves: nobody knows what will be set there
        ({"any": [{"company.employees": {"gte": 10}}, {"geo.country": "DE"}]}, WITHOUT_COMPANIES, None),
        (
            {"all": [{"company.employees": {"gte": 10}}, {"geo.country": "DE"}]},
            WITHOUT_COMPANIES,
            "`company.employees`",
        ),
        ({"company.employees": {"known": False}}, WITHOUT_COMPANIES, None),
        ({"not": {"company.employees": {"gte": 10}}}, WITHOUT_COMPANIES, "`company.employees`"),
        ({"utm.term": "payroll", "language": "de"}, WITHOUT_COMPANIES, None),
        ({"company.lists": {"has": "tier-1"}}, WITHOUT_COMPANIES, "`company.lists`"),
    ],
)
def test_a_rule_that_wants_for_facts_is_named(
    workspace: Write, match: Any, settings: dict[str, str], said: str | None
) -> None:
    found = warned(workspace({"variants/icps/a.yaml": icp(match)}), settings)
    assert len(found) == (said is not None)
    assert said is None or (
        found[0].startswith("icps/a.yaml:1: warning: match: cannot be true here") and said in found[0]
    )


def test_personas_and_rows_want_for_facts_too(workspace: Write) -> None:
    files = {
        "variants/personas/a.yaml": persona({"company.industry": "retail", "person.title": "CFO"}),
        "variants/pages/home/a.yaml": row({"when": {"company.technologies": {"has": "sap"}}}),
    }
    first, second = warned(workspace(files), WITHOUT_COMPANIES)
    assert first.startswith("pages/home/a.yaml:1: warning: for: ") and "`company.technologies`" in first
    assert second.startswith("personas/a.yaml:1: warning: match: ") and "`company.industry`" in second


def test_an_ad_may_tell_what_no_file_does(workspace: Write) -> None:
    files = {"variants/icps/a.yaml": icp({"company.employees": {"gte": 10}, "company.industry": "retail"})}
    declared = {"company.employees": {"gte": 51}}
    [said] = warned(workspace({**files, "variants/campaigns/c.yaml": ads(declares=declared)}), WITHOUT_COMPANIES)
    assert "`company.industry`" in said
    both = {**declared, "company.industry": "retail"}
    assert warned(workspace({**files, "variants/campaigns/c.yaml": ads(declares=both)}), WITHOUT_COMPANIES) == []


def test_account_lists_tell_something_once_the_domain_is_known(workspace: Write) -> None:
    files = {
        "variants/accounts/tier-1.csv": "domain,tier\nhalden.example,1\n",
        "variants/pages/home/a.yaml": row({"accounts": "tier-1"}),
        "variants/icps/a.yaml": icp({"company.tier": "1"}),
    }
    assert len(warned(workspace(files), WITHOUT_COMPANIES)) == 2
    assert warned(workspace(files), ALL) == []
    domain = {"variants/campaigns/c.yaml": ads(declares={"company.domain": "halden.example"})}
    assert warned(workspace({**files, **domain}), WITHOUT_COMPANIES) == []


def test_the_shipped_workspace_has_what_it_asks_for(sample_root: Path) -> None:
    assert check_workspace(sample_root, load_settings(ALL, environ={})).problems == []
    # Ads declare the rest, and no domain for the account lists.
    customers, tier_1 = warned(sample_root, WITHOUT_COMPANIES)
    assert customers.startswith("pages/payroll/customers.yaml:2: warning: for: cannot be true here")
    assert tier_1.startswith("pages/payroll/tier-1.yaml:1: warning: for: cannot be true here")


def test_check_reads_the_settings_and_doctor_says_which_icps_rest_on_ads(workspace: Write, tmp_path: Path) -> None:
    root = workspace({"variants/icps/a.yaml": icp({"company.employees": {"gte": 10}})})
    environment = {"PERSONALIZER_GEO_CITY": "sample"}
    ran = CliRunner().invoke(cli, ["check", str(root), "--data", str(tmp_path)], env=environment)
    assert ran.exit_code == 0
    assert (
        "cannot be true here" in ran.output
        and "1 ICP, 0 personas, 0 campaigns, 0 experiments: 1 warning." in ran.output
    )
    told = (
        CliRunner().invoke(cli, ["doctor", "--workspace", str(root), "--data", str(tmp_path)], env=environment).output
    )
    assert "PERSONALIZER_COMPANIES is not set, so these ICPs match only through ads or lists: a." in told
    assert "PERSONALIZER_GEO_CITY is not set" not in told
