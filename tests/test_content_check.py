"""`check`: the shipped workspace has no mistake, and of a bad one each is named at once, with file and line."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import SMALL, Files, write_workspace
from hypothesis import given, settings
from hypothesis import strategies as st

from personalizer.cli import cli
from personalizer.content.compile import check_workspace, load_content
from personalizer.decision.registry import Target
from personalizer.errors import ContentError, Problem

Write = Callable[[Files], Path]

# A bad workspace. A line that ends in `#! word` has exactly one mistake, and what is said of it has `word` in it.
PLANTED: dict[str, str] = {
    "variants/workspace.yaml": """
        site:
          name: Shop
          hosts: [www.shop.example]
          timezone: Europe/Berlinn      #! Europe/Berlinn
          currency: euro                #! EUR or USD
        goals:
          demo: {window: 30d}
          visit: {window: 30}           #! duration as 30d
          worth: {value: .inf}          #! finite
        holdout: 1.5                    #! less than or equal to 1
        audiences:
          finance: {name: Finance leaders}
        privacy:
          - {when: {geo.eu: true}, mode: consent}       #! storage_free
          - {when: {geo.eu: 1}, mode: storage_free}     #! true or false
        internal:
          - 203.0.113.1/28              #! host bits
        derive:
          person.title:                 #! cannot be derived
            - {when: {visit.count: 1}, is: x}
          custom.budget:
            - {when: {visit.count: 1}, is: x}           #! not a number
          custom.team:
            - {when: {custom.budgte: 1}, is: small}     #! custom.budget
          custom.other:                 #! cannot be derived
            - {when: {visit.count: 1}, is: x}
        custom:
          budget:
            type: number
            from:
              - url.budget
              - url.utm_source          #! engine's own
              - signed.persona          #! another name
          team: {type: text}
        holdoout: 0.1                   #! `holdout`
    """,
    "variants/icps/big.yaml": """
        name: Big
        priority: 10
        match:
          company.employes: {gte: 1000}         #! `company.employees`
          company.revenue: {gte: a million}     #! not a number
          company.industry: {gte: 5}            #! does not fit
          company.name: {contanis: x}           #! `contains`
          company.relation: {in: [targt]}       #! `target`
          company.tier: [1, 2]                  #! compared with a list
          company.country: NO
          network.kind: {in: []}                #! needs a list
          company.technologies: {has: on}
          visit.count: {between: [5, 2]}        #! [2, 5]
          click.id: x                           #! `click.kind`
          any: {}                               #! needs a list of conditions
    """,
    "variants/icps/also-big.yaml": """
        name: Also big                          # sorted before big, so big is the second with this priority
        priority: 10
        match: {company.employees: {gte: 5000}}
        serve: {page: home}                     #! ideal ICP
    """,
    "variants/icps/small.yaml": """
        name: Small
        kind: negative
        match: {company.employees: {lt: 10}}
        serve:
          page: hom                             #! `home`
    """,
    "variants/icps/nameless.yaml": """
        match: {company.employes: 5}            #! `company.employees`
    """,
    "variants/icps/twice.yaml": """
        name: Twice
        match: {geo.country: DE}
        priority: 20
        match: {geo.country: FR}                #! stands twice
        product: 5                              #! not a text
    """,
    "variants/icps/broken.yaml": """
        name: Broken
        match:
          geo.country: [DE                      # never closed; it shows where the next line has a colon
        priority: 10                            #! is not YAML
    """,
    "variants/icps/date.yaml": """
        name: Date
        match: {geo.country: DE}
        product: 2026-13-01                     #! cannot be read
    """,
    "variants/personas/cfo.yaml": """
        name: Robin
        icps: [bigg]                            #! `big`
        evidence: {status: researched}
        profil: {}                              #! `profile`
    """,
    "variants/personas/broken.yaml": """
        - name: Robin                           #! mapping
    """,
    "variants/campaigns/autumn.yaml": """
        platform: linkdin                       #! 'linkedin'
        page: home
        ad_sets: [{key: one}]
    """,
    "variants/campaigns/spring.yaml": """
        platform: linkedin
        page: hom                               #! `home`
        audience: finanze                       #! `finance`
        utm: {source: linkedin, campaign: 2026} #! not a text
        starts: 2026-03-01
        ends: 2026-02-01                        #! before
        ad_sets:
          - key: finance
            persona: cfoo                       #! `cfo`
            declares:
              company.employees: many           #! not a number
              geo.country: DE                   #! cannot be declared
              any: [{person.title: CFO}]        #! one value
            ads: [{key: a}, {key: a}]           #! there is an ad `a` already
          - key: broken
            persona: broken                     # its own file is reported, not this
    """,
    "variants/campaigns/summer.yaml": """
        platform: google
        page: home
        utm: {source: google, campaign: summer}
        ad_sets: [{key: one, countries: UK, ads: [{key: a}]}]      #! `GB`
    """,
    "variants/campaigns/winter.yaml": """
        platform: google
        page: home
        utm: {source: Google, campaign: Summer} #! campaigns/summer.yaml
        ad_sets: [{key: one, ads: [{key: a}]}]
    """,
    "variants/pages/away/page.yaml": """
        path: /home
        copy: {headline: Away}
    """,
    "variants/pages/empty/page.yaml": """
        path: /empty
        template: landin.html                   #! there is no template
        copy: {}
    """,
    "variants/pages/bare/page.yaml": """
        path: /bare
        copy:                                   #! `headline` is required
          text: Nothing more
    """,
    "variants/pages/home/page.yaml": """
        path: /home                             #! pages/away/page.yaml
        goals: {primary: demoo}                 #! `demo`
        language: klingonisch                   #! en, de
        copy:
          headline: More than sixty characters do not fit into this slot, as you see  #! the slot holds 60
          hedline: Hello                        #! `headline`
          link: javascript:alert(1)             #! https://
          text: |                               #! no fallback
            Dear {{ company.name }}
          form:
            goal: demoo                         #! `demo`
            fields:
              - {name: email, type: e-mail}     #! 'email'
              - {name: size, type: select}      #! options
              - {name: email}                   #! field `email` already
    """,
    "variants/pages/home/cfo.yaml": """
        for: {persona: cfo, accounts: tier-one} #! `tier-1`
        copy:
          headline: "{{ company.nmae | You }}"  #! `company.name`
          link: https://{{ company.domain | x.example }}/go     #! where a link goes
          text: "Dear {{ person.title | you"    #! braces
    """,
    "variants/pages/home/german.yaml": """
        for: {language: deutsch}                #! as en or de, without a country
        copy: {headline: Hallo}
    """,
    "variants/pages/home/tongue.yaml": """
        for: {language: ger}                    #! `de`
        copy: {headline: Hallo}
    """,
    "variants/pages/home/nobody.yaml": """
        copy: {headline: Unseen}                #! nobody would see it
    """,
    "variants/pages/home/wrong-for.yaml": """
        fro: {persona: cfo}                     #! `for`
        copy: {headline: Unseen}
    """,
    "variants/pages/home/cfo-b.yaml": """
        for: {icp: small}                       #! is negative
        copy: {headline: 5}
    """,
    "variants/pages/home/same.yaml": """
        for: {campaign: spring}
        status: draft                           # the same as twin-a, and no mistake: nobody gets it
        copy: {headline: Same}
    """,
    "variants/pages/home/twin-a.yaml": """
        for: {campaign: spring}
        copy: {headline: A}
    """,
    "variants/pages/home/twin-b.yaml": """
        for: {campaign: spring}                 #! pages/home/twin-a.yaml
        copy: {headline: B}
    """,
    "variants/experiments/first.yaml": """
        page: home
        arms: [twin-a, nobdy]                   #! `nobody`
        goal: demo
        weights: [0.5, 0.6]                     #! Let them make 1
    """,
    "variants/experiments/second.yaml": """
        page: home
        arms: [twin-a, twin-b]                  #! experiments/first.yaml
        goal: demo
        namespace: {key: a, range: [0.6, 0.4]}  #! is empty
    """,
    "variants/experiments/third.yaml": """
        page: hom                               #! `home`
        arms: [a, b]
        goal: dem                               #! `demo`
        smallest_win: 0                         #! greater than 0
    """,
    "variants/experiments/stopped.yaml": """
        page: home
        arms: [twin-a, twin-b]                  # no mistake: only one of three on this row runs
        goal: demo
        status: stopped
    """,
    "variants/icp/wrong.yaml": "name: x\n",
    "variants/accounts/tier-1.csv": """
        domain,name,tier,relation
        halden.example,Halden,1,target
        not a domain,Nobody,,
        HALDEN.example,Halden again,1,target
        ostwind.example,Ostwind,1,friend
        a.example,Too,many,target,cells
        www.halden.example,Halden a third time,,
        b.example,"B GmbH,1,target
        c.example,C,1,foe
    """,
    "variants/accounts/tier-2.csv": """
        domain;name
        a.example;A
    """,
    "templates/syntax.html": """
        ---
        slots: {}
        ---
        <p>{% if copy.headline %}
        {{ copy.headline | upper }
        {% endif %}
    """,
    "templates/filter.html": """
        <p>
        {{ copy.headline | upcase }}
    """,
    "templates/unclosed.html": """
        ---
        slots: {}
        <p>
    """,
    "templates/assets/active.svg": '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "templates/assets/prefixed.svg": '<x:svg xmlns:x="http://www.w3.org/2000/svg"><x:script>1</x:script></x:svg>',
    "templates/theme.yaml": """
        logo: logo.svg                          #! assets/logo.svg
        colors:
          brand: red;background:url(x)          #! as #1a2b3c
          accent: "#ffcf3f"
        fonts: {body: "x; } a { b"}             #! commas
        legal: [{label: Privacy, url: "javascript:alert(1)"}]     #! https://
    """,
}

# Mistakes where no comment can stand.
PLANTED_ELSEWHERE = [
    ("variants/icps/big.yaml", 2, "icps/also-big.yaml"),
    ("variants/icps/nameless.yaml", 1, "`name: …`"),
    ("variants/accounts/tier-1.csv", 3, "domain as example.com"),
    ("variants/accounts/tier-1.csv", 4, "line 2"),
    ("variants/accounts/tier-1.csv", 5, "'prospect'"),
    ("variants/accounts/tier-1.csv", 6, "quotes around commas"),
    ("variants/accounts/tier-1.csv", 7, "line 2"),
    ("variants/accounts/tier-1.csv", 8, "cell 2: the quote that opens here is never closed."),
    ("variants/accounts/tier-1.csv", 9, "'prospect'"),
    ("variants/accounts/tier-2.csv", 1, "domain,name,tier,relation"),
    ("variants/icp", 0, "`icps`"),
    ("templates/syntax.html", 5, "unexpected '}'"),
    ("templates/filter.html", 2, "upcase"),
    ("templates/unclosed.html", 1, "front matter"),
    ("templates/assets/active.svg", 0, "active"),
    ("templates/assets/prefixed.svg", 0, "active"),
]


def planted() -> tuple[dict[str, str], list[tuple[str, int, str]]]:
    """The files of the bad workspace, and (file, line, word) of every mistake in them."""
    files = {name: textwrap.dedent(text).lstrip("\n") for name, text in PLANTED.items()}
    mistakes = list(PLANTED_ELSEWHERE)
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if "#!" in line:
                mistakes.append((name, number, line.partition("#!")[2].strip()))
    return files, mistakes


def place(problem: Problem, root: Path) -> str:
    return f"{problem.file.relative_to(root).as_posix()}:{problem.line}"


def test_the_shipped_workspace_is_clean(sample_root: Path) -> None:
    checked = check_workspace(sample_root)
    assert checked.problems == []
    assert checked.content is not None
    assert set(checked.content.registry.pages) == {"payroll", "startup"}


def test_one_check_names_every_mistake_at_its_line_and_nothing_else(workspace: Write) -> None:
    files, mistakes = planted()
    root = workspace(files)
    checked = check_workspace(root)
    assert checked.content is None
    left = {id(problem): problem for problem in checked.problems if not problem.warning}
    missed = []
    for name, line, word in mistakes:
        found = next((p for p in left.values() if place(p, root) == f"{name}:{line}" and word in str(p)), None)
        if found is None:
            missed.append(f"{name}:{line} {word}")
        else:
            del left[id(found)]
    assert missed == []
    assert [str(problem) for problem in left.values()] == []
    assert len(mistakes) > 60


def test_load_content_raises_all_of_it_in_the_order_of_files_and_lines(workspace: Write) -> None:
    root = workspace({"variants/icps/a.yaml": "nam: A\n", "variants/icps/b.yaml": "name: B\nmatch: 5\n"})
    with pytest.raises(ContentError) as raised:
        load_content(root)
    assert [place(problem, root) for problem in raised.value.problems] == [
        "variants/icps/a.yaml:1",  # match is missing
        "variants/icps/a.yaml:1",  # name is missing
        "variants/icps/a.yaml:1",  # there is no key `nam`
        "variants/icps/b.yaml:2",
    ]
    assert str(raised.value).count("\n") == 3


REFERENCES: dict[str, Any] = {
    "persona": "cfoo",
    "countries": ["UK"],
    "declares": {"geo.country": "DE"},
    "ads": [{"key": "a"}, {"key": "a"}],
}


def problems_of(root: Path) -> list[str]:
    return [f"{place(problem, root)} {problem.message} {problem.remedy}" for problem in check_workspace(root).problems]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("cfo.yml", "Name it cfo.yaml. Or: Move it elsewhere, or let its name begin with a dot."),
        ("cfo.yaml~", "Move it elsewhere, or let its name begin with a dot."),
        ("README.md", "Move it elsewhere, or let its name begin with a dot."),
        (".cfo.yaml.swp", None),
    ],
)
def test_what_is_no_document_is_named(workspace: Write, name: str, remedy: str | None) -> None:
    said = problems_of(workspace({f"variants/personas/{name}": "name: X\n"}))
    assert said == ([f"variants/personas/{name}:0 is not read. {remedy}"] if remedy else [])


@pytest.mark.parametrize("part", ["templates/base.html", "templates/landing.html"])
def test_a_template_that_cannot_be_read_is_all_that_is_said(workspace: Write, part: str) -> None:
    """Which slots it would have is not known, so nothing is said of copy that fills others."""
    parts = {
        "templates/base.html": "---\nslots: {title: {type: text}}\n---\n"
        "<title>{{ copy.title }}</title>{% block b %}{% endblock %}",
        "templates/landing.html": "---\nslots: {headline: {type: text}}\n---\n"
        '{% extends "base.html" %}{% block b %}{{ copy.headline }}{% endblock %}',
        "variants/pages/home/page.yaml": "path: /home\ncopy: {headline: Welcome, title: Home, text: 5}\n",
    }
    (one,) = problems_of(workspace(parts))
    assert one.startswith("variants/pages/home/page.yaml:2 the template has no slot `text`.")
    (one,) = problems_of(workspace({**parts, part: parts[part].replace("{% block b %}", "{% blok b %}")}))
    assert one.startswith(f"{part}:4 Encountered unknown tag 'blok'.")


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        ({}, None),
        ({"link": "#top"}, None),
        ({"link": "/elsewhere#form"}, None),
        ({"link": "#form"}, "a link leads to #form, which is not on the page. Fill the slot `form`."),
        ({"text": "[there](#where)"}, "a link leads to #where, which is not on the page. Mend the template."),
    ],
)
def test_a_link_that_leads_nowhere_is_named_once(workspace: Write, copy: dict[str, str], said: str | None) -> None:
    page = {"path": "/home", "copy": {"headline": "Welcome", **copy}}
    variant = {"for": {"language": "en"}, "copy": {"headline": "Hello"}}
    root = workspace({"variants/pages/home/page.yaml": page, "variants/pages/home/en.yaml": variant})
    assert problems_of(root) == ([f"variants/pages/home/page.yaml:1 {said}"] if said else [])


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("company.employees | many", "is not a token: pages do not show this fact. Pages show "),
        ("company.nam | you", "is not a token. Did you mean `company.name`?"),
    ],
)
def test_a_fact_that_no_page_shows_is_no_misspelling(workspace: Write, token: str, said: str) -> None:
    page = {"path": "/home", "copy": {"headline": f"{{{{ {token} }}}}"}}
    (one,) = problems_of(workspace({"variants/pages/home/page.yaml": page}))
    assert said in one


@pytest.mark.parametrize("text", ["site: {name: [\n", "", "goals: {demo: {}}\n", "- site\n", None], ids=repr)
def test_without_a_readable_workspace_file_the_rest_is_checked_and_nothing_false_is_said(
    workspace: Write, text: str | None
) -> None:
    root = workspace(
        {
            "variants/workspace.yaml": text,
            "variants/icps/a.yaml": "name: A\nmatch: {geo.contry: DE}\n",
            "variants/pages/home/page.yaml": "path: /\ngoals: {primary: demo}\ncopy: {headline: Hi}\n",
        }
    )
    first, *others = problems_of(root)
    assert first.startswith("variants/icps/a.yaml:2 there is no fact")
    assert others and all(said.startswith("variants/workspace.yaml:") for said in others), others
    assert check_workspace(root).content is None


def test_a_directory_that_is_no_workspace_is_said_to_be_none(tmp_path: Path) -> None:
    start = "`personalizer init DIR` makes a workspace to start from."
    [empty] = map(str, check_workspace(tmp_path).problems)
    assert empty == f"{tmp_path}: is no workspace: there is no `variants` and no `templates` in {tmp_path}. {start}"
    [absent] = map(str, check_workspace(tmp_path / "nowhere").problems)
    where = tmp_path / "nowhere"
    assert absent == f"{where}: is no workspace: there is no directory {where}. {start}"
    (tmp_path / "templates").mkdir()
    [half] = map(str, check_workspace(tmp_path).problems)
    assert half == f"{tmp_path}/variants: is missing. {start}"


def test_the_directory_looked_in_is_named_and_mistakes_are_counted_apart(
    workspace: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(cli, ["check"]).output
    assert f" in {tmp_path}. " in said and said.endswith("\n1 mistake. Nothing of this would be served.\n")
    persona = "name: Robin\nicps: [big]\n"
    workspace({"variants/icps/a.yaml": "nam: A\n", "variants/personas/cfo.yaml": persona})
    said = CliRunner().invoke(cli, ["check"]).output
    assert said.endswith("\n4 mistakes and 1 warning. Nothing of this would be served.\n")
    assert "personas/cfo.yaml:1: warning: evidence: is missing" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"platform": "linkdin"},
        {"platform": None},
        {"starts": "31.12.2026"},
        {"ad_sets": [{"key": "A B", **REFERENCES}]},
        {"ad_sets": [REFERENCES]},
    ],
    ids=str,
)
def test_a_key_that_cannot_be_used_hides_nothing_of_the_rest(workspace: Write, wrong: dict[str, Any]) -> None:
    right = {"platform": "google", "page": "hom", "audience": "nobody", "ad_sets": [{"key": "one", **REFERENCES}]}
    campaign = {key: value for key, value in {**right, **wrong}.items() if value is not None}
    said = "\n".join(problems_of(workspace({"variants/campaigns/c.yaml": campaign})))
    assert said.count("\n") == 6, said
    for word in ("`hom`", "`nobody`", "`cfoo`", "cannot be declared", "an ad `a` already", "`GB`"):
        assert word in said


def test_what_stands_in_for_a_key_is_not_spoken_of(workspace: Write) -> None:
    ad_sets = [{"key": "A B", "ads": [{"key": "C D"}, {"key": "E F"}]}, {"ads": [{}]}]
    campaign = {"platform": "google", "page": 5, "ad_sets": ad_sets}
    experiment = {"page": "H", "arms": ["a", "b"], "goal": "lead"}
    root = workspace(
        {
            "variants/campaigns/c.yaml": campaign,
            "variants/experiments/x.yaml": experiment,
            "variants/experiments/y.yaml": experiment,
            "variants/pages/home/page.yaml": "path: /\ncopy: {headline: Hi}\n",
            "variants/pages/bad/page.yaml": "path: 5\n",
        }
    )
    said = problems_of(root)
    assert len(said) == 10, said  # page, five keys, two pages of experiments, path and copy
    assert "stands-in" not in "".join(said)


def test_a_file_with_mistakes_is_still_there_for_those_who_name_it(workspace: Write) -> None:
    root = workspace(
        {
            "variants/workspace.yaml": SMALL["variants/workspace.yaml"] + "goals: {demo: {window: 5}}\n",
            "variants/personas/cfo.yaml": "name: [\n",
            "variants/icps/big.yaml": "match: {company.employees: {gte: 1000}}\n",
            "variants/accounts/tier-1.csv": "name\nx\n",
            "templates/other.html": "---\nslots: [\n---\n",
            "variants/pages/home/page.yaml": "path: /\ngoals: {primary: demo}\ncopy: {headline: Hi}\n",
            "variants/pages/home/a.yaml": "for: {persona: cfo}\ncopy: {}\n",
            "variants/pages/home/b.yaml": "for: {icp: big, accounts: tier-1}\ncopy: {}\n",
            "variants/pages/home/c.yaml": "for: [\n",
            "variants/pages/other/page.yaml": "path: /other\ntemplate: other.html\ncopy: {}\n",
            "variants/experiments/one.yaml": "page: home\narms: [a, c]\ngoal: demo\n",
        }
    )
    assert [said.split(" ")[0] for said in problems_of(root)] == [
        "templates/other.html:3",
        "variants/accounts/tier-1.csv:1",
        "variants/icps/big.yaml:1",
        "variants/pages/home/c.yaml:2",
        "variants/personas/cfo.yaml:2",
        "variants/workspace.yaml:3",
    ]


# --- templates and tokens ---


@pytest.mark.parametrize(
    ("markup", "says"),
    [
        ("{{ copy.headlin }}", "there is no slot or key `headlin`; did you mean `headline`? Mend"),
        ("{{ copy.qqq }}", "there is no slot or key `qqq`. Mend"),
        ("{{ site.nam }}", "there is no key `nam`; did you mean `name`? Mend"),
        ("{{ cop.headline }}", "'cop' is undefined. Mend"),
    ],
)
def test_a_template_that_asks_for_what_is_not_there_is_told_what_is(workspace: Write, markup: str, says: str) -> None:
    template = f"---\nslots: {{headline: {{type: text}}}}\n---\n<!doctype html>\n<p>{markup}</p>\n"
    [said] = problems_of(workspace({"templates/landing.html": template}))
    assert said.startswith(f"templates/landing.html:5 cannot be rendered for home/original: {says}")


@pytest.mark.parametrize(
    ("markup", "where"),
    [
        ("<script>say({{ copy.headline }})</script>", "inside <script>"),
        ("<style>a::before { content: {{ copy.headline }} }</style>", "inside <style>"),
        ("<p title={{ copy.headline }}>x</p>", "without quotes"),
        ("<p {{ copy.headline }}>x</p>", "without quotes"),
        ("<p onclick='go({{ copy.headline }})'>x</p>", "attribute onclick"),
        ('<p style="{{ copy.headline }}">x</p>', "attribute style"),
        ('<img srcset="{{ copy.headline }}">', "attribute srcset"),
        ('<iframe srcdoc="{{ copy.headline }}"></iframe>', "attribute srcdoc"),
        ("<!-- {{ copy.headline }} -->", "comment"),
        ('<a href="{{ copy.headline }}">x</a>', "scheme or host of href"),
        ('<a href="https://{{ copy.headline }}/x">x</a>', "scheme or host of href"),
        ('<a href="//{{ copy.headline }}">x</a>', "scheme or host of href"),
        ('<a href="javascript:{{ copy.headline }}">x</a>', "scheme or host of href"),
        ('<form action="{{ copy.headline }}"></form>', "scheme or host of action"),
        ('<svg><a xlink:href="{{ copy.headline }}">x</a></svg>', "scheme or host of xlink:href"),
    ],
)
def test_a_template_may_not_print_a_token_where_it_could_act(workspace: Write, markup: str, where: str) -> None:
    root = workspace(
        {
            "templates/landing.html": SMALL["templates/landing.html"].replace("</body>", markup + "</body>"),
            "variants/pages/home/page.yaml": 'path: /\ncopy:\n  headline: "{{ company.name | You }}"\n',
            "variants/pages/home/a.yaml": "for: {when: {language: de}}\ncopy: {}\n",  # inherits it: said once
        }
    )
    [said] = problems_of(root)
    assert said.startswith("variants/pages/home/page.yaml:3 the token `company.name` stands ")
    assert where in said and "templates/landing.html" in said


def test_tokens_may_stand_in_texts_quoted_attributes_paths_and_queries(workspace: Write) -> None:
    places = '<p title="{{ copy.headline }}"></p><a href="/x/{{ copy.headline }}?y={{ copy.headline }}">z</a>'
    places += '<a href="https://a.example/?q={{ copy.headline }}"></a><textarea>{{ copy.headline }}</textarea>'
    root = workspace(
        {
            "templates/landing.html": SMALL["templates/landing.html"].replace("</body>", places + "</body>"),
            "variants/pages/home/page.yaml": 'path: /\ncopy: {headline: "{{ company.name | You }}"}\n',
        }
    )
    assert problems_of(root) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"sections/a.html": "<p>\n{% include 'sections/a.html' %}"}, "sections/a.html:2 includes itself without end."),
        ({"sections/a.html": "{% include 'sections/b.html' %}", "sections/b.html": "\n{% include 'sections/a.html' %}"},
         "includes itself without end."),
        ({"sections/a.html": "---\nslots: {}\n---\n<p>\n{{ copy.nothing.at.all }}"},
         "sections/a.html:5 cannot be rendered for home/original"),
        ({"sections/a.html": "<p>\n{% if true %}{{ 1 / 0 }}{% endif %}"}, "sections/a.html:2 cannot be rendered"),
        ({"sections/a.html": "<p>\n\n{% include 'sections/none.html' %}"},
         "sections/a.html:3 asks for sections/none.html"),
        ({"sections/a.html": "{{ asset('none.png') }}"}, "there is no file templates/assets/none.png"),
        ({"sections/a.html": "{% for i in range(10000000) %}x{% endfor %}"}, "Range too big"),
        ({"sections/a.html": "{{ ''.__class__.__mro__ }}"}, "unsafe"),
        ({"sections/a.html": "{{ copy.update(headline=1) }}"}, "unsafe"),
        ({"sections/a.html": "{{ " + "9" * 5000 + " }}"}, "sections/a.html:1 cannot be compiled"),
        ({"sections/a.html": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"}, "sections/a.html:1 cannot be compiled"),
        ({"sections/a.html": "{% for x in [] %}" * 40 + "{% endfor %}" * 40}, "sections/a.html:1 cannot be compiled"),
        ({"sections/a.html": "{{ 'x' * 10 ** 13 }}"}, "sections/a.html:1 cannot be rendered"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_rendered_is_named_with_its_line(
    workspace: Write, files: dict[str, str], said: str
) -> None:
    landing = SMALL["templates/landing.html"].replace("</body>", "{% include 'sections/a.html' %}</body>")
    named = {f"templates/{name}": text for name, text in files.items()}
    root = workspace({"templates/landing.html": landing, **named})
    [problem] = problems_of(root)
    assert said in problem
    assert problem.startswith("templates/sections/")


def test_what_stands_outside_the_blocks_of_a_template_is_named(workspace: Write) -> None:
    page = """\
---
slots: {headline: {type: text}}
---
{% extends "frame.html" %}
{# a remark #}
{% set tone = "warm" %}

{% block main %}<h1>{{ copy.headline }}</h1>{% endblock %}

<p>Lost words</p>
{{ tone }}
"""
    frame = "{% set year = 2026 %}" + SMALL["templates/landing.html"].partition("---\n")[2].partition("---\n")[2]
    frame = frame.replace("</body>", "{% block main %}{% endblock %}</body>")
    root = workspace({"templates/landing.html": page, "templates/frame.html": frame})
    where = "templates/landing.html"
    said = "stands outside the blocks and is never shown. Move it into a block."
    assert [problem for problem in problems_of(root) if said in problem] == [f"{where}:10 {said}", f"{where}:11 {said}"]


# --- references that only a visitor would stumble over ---


def refused_to(variant: str) -> dict[str, str]:
    return {
        "variants/icps/small.yaml": f"""\
name: Small
kind: negative
product: x
match: {{company.employees: {{lt: 10}}}}
serve: {{variant: {variant}}}
""",
        "variants/pages/home/page.yaml": "path: /\nproduct: x\ncopy: {headline: Hi}\n",
        "variants/pages/other/page.yaml": "path: /other\nproduct: y\ncopy: {headline: Hi}\n",
        "variants/pages/home/live.yaml": "copy: {headline: Elsewhere}\n",
        "variants/pages/home/draft.yaml": "status: draft\ncopy: {headline: Elsewhere}\n",
    }


def test_a_negative_icp_serves_only_variants_that_are_published(workspace: Write) -> None:
    [said, _unseen] = problems_of(workspace(refused_to("draft")))
    assert said.startswith("variants/icps/small.yaml:5 page home has no published variant `draft`")
    registry = load_content(workspace(refused_to("live"))).registry  # page other has another product
    assert registry.icps["small"].target == Target("variant", "live")


def test_a_stopped_experiment_leaves_its_row_to_the_next(workspace: Write) -> None:
    one = "page: home\narms: [a, b]\ngoal: lead\n"
    variants = {f"variants/pages/home/{key}.yaml": f"for: {{when: {{utm.term: {key}}}}}\ncopy: {{}}" for key in "ab"}
    files = {**variants, "variants/experiments/x.yaml": one, "variants/experiments/y.yaml": one + "status: stopped\n"}
    page = load_content(workspace(files)).registry.pages["home"]
    assert (page.rows["a"].experiment, page.rows["b"].experiment) == ("x", None)


def test_what_cannot_be_read_is_a_mistake_like_others(workspace: Write) -> None:
    root = workspace({"variants/icps/latin.yaml": "# a\nname: Größe\n".encode("latin-1"), "variants/accounts": "x"})
    unreadable = Path("/proc/self/mem")  # opens, and fails to be read, also for root
    (root / "templates/assets").mkdir()
    for name in ("templates/assets/a.png", "variants/icps/a.yaml"):
        (root / name).symlink_to(unreadable)
    expected = [
        "templates/assets/a.png:0 cannot be read",
        "variants/accounts:0 is not part of a workspace",
        "variants/icps/a.yaml:0 cannot be read",
        "variants/icps/latin.yaml:2 is not UTF-8 text",
    ]
    for said, beginning in zip(problems_of(root), expected, strict=True):
        assert said.startswith(beginning)


def test_a_variant_may_not_empty_what_the_template_needs(workspace: Write) -> None:
    variant = "for: {when: {visit.count: 1}}\ncopy:\n  headline: ''\n"
    [said] = problems_of(workspace({"variants/pages/home/a.yaml": variant}))
    assert said.startswith("variants/pages/home/a.yaml:3 the slot `headline` is required")
    inherits = variant.replace("''", "null")  # not said is as the original has it
    assert problems_of(workspace({"variants/pages/home/a.yaml": inherits})) == []


def test_a_retired_path_must_be_free(workspace: Write) -> None:
    root = workspace(
        {
            "variants/pages/home/page.yaml": "path: /home\nretired_paths:\n- /old\n- /other\ncopy: {headline: Hi}\n",
            "variants/pages/other/page.yaml": "path: /other\nretired_paths:\n- /old\ncopy: {headline: Ho}\n",
        }
    )
    assert [place(problem, root) for problem in check_workspace(root).problems] == [
        "variants/pages/home/page.yaml:4",
        "variants/pages/other/page.yaml:3",
    ]


# --- YAML ---


def test_words_that_yaml_once_took_for_booleans_are_words(workspace: Write) -> None:
    root = workspace(
        {
            "variants/icps/norway.yaml": "name: on\nmatch: {geo.country: NO, company.name: {in: [yes, off]}}\n",
            "variants/workspace.yaml": "site: {name: NO, hosts: [a.example]}\n",
        }
    )
    registry = load_content(root).registry
    norway = registry.icps["norway"]
    assert (registry.site_name, norway.name) == ("NO", "on")
    assert norway.match.sentence == "geo.country is no and (company.name is yes or off)"
    assert norway.match.test({"geo.country": "NO", "company.name": "Off"}) is True


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12)),
        "a: &a [*a]\n",
        "a: " + "[" * 5_000 + "]" * 5_000,
        "a: " + "{b: " * 5_000 + "x" + "}" * 5_000,
        "a: !!python/object/apply:os.system [echo]\n",
        "a: !thing x\n",
        "a: 1\n---\nb: 2\n",
        "a: \x00\n",
        "a:\n\t- b\n",
        "a: *missing\n",
        "? [a, b]\n: c\n",
        "%YAML 9.9\n--- a\n",
    ],
    ids=[
        "laughs",
        "recursive",
        "deep list",
        "deep map",
        "python",
        "tag",
        "two",
        "nul",
        "tab",
        "alias",
        "key",
        "version",
    ],
)
def test_yaml_that_is_no_document_is_refused_quickly(workspace: Write, text: str) -> None:
    root = workspace({"variants/icps/evil.yaml": text})
    begun = time.process_time()
    checked = check_workspace(root)
    assert time.process_time() - begun < 1.5  # without its limit the deep list takes 2.4, and the laughs for ever
    assert checked.content is None
    assert checked.problems and {problem.file.name for problem in checked.problems} == {"evil.yaml"}


@given(st.data())
@settings(max_examples=25)
def test_check_never_raises_for_what_stands_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Pieces of files are cut out or replaced: the result is problems or content, not an exception."""
    files, _ = planted()
    good = {name: text for name, text in {**SMALL, **files}.items() if isinstance(text, str)}
    name = data.draw(st.sampled_from(sorted(good)))
    text = good[name]
    cut = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    new = data.draw(
        st.one_of(st.text(max_size=8), st.sampled_from(["null", "[]", "{}", "5", ".inf", "true", "{{", "'"]))
    )
    root = write_workspace(tmp_path_factory.mktemp("fuzz"), {name: text[: cut[0]] + new + text[cut[1] :]})
    checked = check_workspace(root)
    assert (checked.content is None) == any(not problem.warning for problem in checked.problems)


# --- the revision ---


def test_the_revision_names_the_content(tmp_path: Path) -> None:
    def revision(name: str, files: Files) -> str:
        return load_content(write_workspace(tmp_path / name, files)).registry.revision

    first = revision("a", {})
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert revision("b", {}) == first
    changed = {
        revision("c", {"variants/pages/home/page.yaml": "path: /home\ncopy: {headline: Welcome!}\n"}),
        revision("d", {"templates/assets/a.txt": "x"}),
        revision("e", {"templates/assets/b.txt": "x"}),
        revision("f", {"templates/unavailable.html": "<h1>Nowhere</h1>"}),
    }
    assert len(changed | {first}) == 5
