"""Languages: a variant in another language makes the whole page right, and what it would leave unsaid is named."""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Files
from servers import AT_HOME, EXCLUDED, SOFTWARE_COMPANY, WORKSPACE, Client, Server, decision_of, run_server

from personalizer.content.compile import Content, check_workspace, load_content
from personalizer.content.language import Languages
from personalizer.content.links import ad_links
from personalizer.content.load import load_documents
from personalizer.content.words import Words

Write = Callable[[Files], Path]

LANDING = """\
---
slots: {headline: {type: text, required: true}, text: {type: richtext}, link: {type: url}, form: {type: form}, \
image: {type: image}, people: {type: list, items: {name: {type: text, any_language: true}, says: {type: text}}}}
---
<html lang="{{ page.language }}"><h1>{{ copy.headline }}</h1><p>{{ words.today }} {{ words.with_site }}</p>
{% if copy.form %}<button>{{ copy.form.button }}</button>{% endif %}
{% for link in theme.legal %}<a href="{{ link.url }}">{{ link.label }}</a>{% endfor %}</html>
"""
GERMAN = {name: f"[{name}]" for name in Words.model_fields if name not in ("own", "legal", "footer")}
IN_GERMAN = {"for": {"language": "de"}, "copy": {"headline": "Willkommen"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("languages") / "data") as running:
        yield running


def words_of(text: str) -> set[str]:
    """The fixed words of a page: of each piece of text between tags."""
    return {html.unescape(piece).strip() for piece in re.findall(r">([^<>]+)<", text)}


JAKARTA = "192.0.2.130"
VISITORS = {  # language: the ad, the address, the row, the persona, the headline
    "de": ("q4-cfo.cfo-51-1000.nachmittag", SOFTWARE_COMPANY, "cfo-de", "cfo",
           "Nordlicht Software schließt die Lohn\u00adabrechnung an einem Nachmittag ab"),
    "id": ("social-id.hr-51-1000.slip-gaji", JAKARTA, "hr-director-id", "hr-director",
           "Slip gaji yang dipahami semua orang di perusahaan Anda"),
    "th": ("search-th.payroll-managers.before-pay-day", JAKARTA, "payroll-manager-th", "payroll-manager",
           "ตรวจเงินเดือนของ บริษัทคุณ ให้ตรงก่อนวัน\u2060จ่าย ไม่ใช่หลังจ่าย"),
}  # fmt: skip


def link_of(ad: str) -> str:
    (link,) = [one.try_url for one in ad_links(load_documents(WORKSPACE), "") if f"pz={ad}&" in one.try_url]
    return link


@pytest.mark.parametrize("language", VISITORS)
def test_a_visitor_from_an_ad_gets_the_whole_page_in_their_language(server: Server, language: str) -> None:
    ad, address, row, persona, headline = VISITORS[language]
    visitor = Client(server, address, Accept_Language=f"{language}-XX,{language};q=0.9,en;q=0.5")
    page = visitor.get(link_of(ad))
    assert (page.status, page.mark("row")) == (200, row)
    assert f'<html lang="{language}"' in page.text
    assert f"<h1>{headline}</h1>" in page.text
    assert server.exposures()[decision_of(page.token)]["persona"] == persona
    assert len(gzip.compress(page.body)) <= 14_000
    assert not re.search(r'(?:src|href)="https?://(?!www\.paydesk\.example)', page.text), "no request elsewhere"

    english = {text for _, text in Words() if isinstance(text, str)} | {"(optional)", "Privacy", "Job title"}
    wrong = visitor.post_form("/_pz/form/payroll/form", {"v": row, "email": "x", "phone": "x", "employees": "x"})
    thanks = visitor.get(f"/_pz/thanks/payroll/{row}")
    for shown in (page, wrong, thanks):
        assert f'<html lang="{language}"' in shown.text
        assert words_of(shown.text).isdisjoint(english)
    words = load_content_words(language)
    assert words.error_email in html.unescape(wrong.text)
    assert words.error_tel in html.unescape(wrong.text)
    assert words.not_sent in words_of(wrong.text)
    assert words.back in words_of(thanks.text)


def load_content_words(language: str) -> Words:
    return Languages(load_documents(WORKSPACE)).words(language)


def test_a_form_leads_to_thanks_in_its_own_language(server: Server) -> None:
    answers = {"name": "อรทัย", "email": "a@b.example", "company": "บริษัท", "employees": "51 ถึง 250 คน"}
    visitor = Client(server, AT_HOME, Accept_Language="th")
    sent = visitor.post_form("/_pz/form/payroll/form", {"v": "payroll-manager-th", **answers})
    assert (sent.status, sent.headers["Location"]) == (303, "/_pz/thanks/payroll/payroll-manager-th")
    assert "<h1>ขอบคุณ เราจะตอบกลับภายในหนึ่งวันทำการ</h1>" in visitor.get(sent.headers["Location"]).text
    for nowhere in ("/_pz/thanks/payroll/cfo", "/_pz/thanks/payroll/nothing", "/_pz/thanks/nothing/cfo-de"):
        assert visitor.get(nowhere).status == 404


def test_countries_are_named_in_the_pages_language(server: Server) -> None:
    ad, address, *_ = VISITORS["id"]
    page = Client(server, address, Accept_Language="id").get(link_of(ad))
    assert "Untuk tim HR di Indonesia" in page.text
    thai = Client(server, SOFTWARE_COMPANY, Accept_Language="th").get(link_of(VISITORS["th"][0]))
    assert "สำหรับผู้ดูแลเงินเดือนในเยอรมนี" in thai.text


def test_thai_has_fonts_and_room_for_its_letters(sample_content: Content) -> None:
    pages = {name: one.fill("", "", "", {}).decode() for name, one in sample_content.renderings.ready.items()}
    assert {name for name, page in pages.items() if "Noto Sans Thai" in page} == {
        "payroll/payroll-manager-th",
        "payroll/thanks/payroll-manager-th",
        "unavailable/th",
    }


# --- words ---


def shown_in(content: Content, name: str) -> str:
    return content.renderings.ready[name].fill("", "", "", {}).decode()


def test_words_fall_back_to_the_primary_language_then_to_the_sites_then_to_english(workspace: Write) -> None:
    site: Any = {"site": {"name": "Shop", "hosts": ["www.shop.example"], "language": "de-AT"}}
    files: dict[str, Any] = {
        "templates/landing.html": LANDING,
        "variants/workspace.yaml": site,
        "templates/words/de.yaml": {"today": "Heute", "with_site": "Mit {site}"},
        "templates/words/de-AT.yaml": {"today": "Heuer"},
        "templates/words/th.yaml": {"with_site": "เมื่อใช้ {site}"},
        "variants/pages/home/german.yaml": IN_GERMAN,
        "variants/pages/home/thai.yaml": {"for": {"language": "th"}, "copy": {"headline": "ยินดีต้อนรับ"}},
        "variants/pages/us/page.yaml": {"path": "/us", "language": "en-US", "copy": {"headline": "Welcome"}},
        "variants/pages/us/german.yaml": IN_GERMAN,
    }
    content = load_content(workspace(files))
    assert "<p>Heuer Mit Shop</p>" in shown_in(content, "home/original")
    assert '<html lang="de-AT"><h1>Willkommen</h1><p>Heuer Mit Shop</p>' in shown_in(content, "home/german")
    assert '<html lang="de"><h1>Willkommen</h1><p>Heute Mit Shop</p>' in shown_in(content, "us/german")
    assert "<p>Heuer เมื่อใช้ Shop</p>" in shown_in(content, "home/thai")


def test_without_any_words_pages_say_it_in_english(workspace: Write) -> None:
    content = load_content(workspace({"templates/landing.html": LANDING}))
    assert "<p>Today With Shop</p>" in shown_in(content, "home/original")


def test_a_form_leaves_button_and_thanks_to_the_language(workspace: Write) -> None:
    form = {"fields": [{"name": "email"}]}
    files: dict[str, Any] = {
        "templates/landing.html": LANDING,
        "templates/words/de.yaml": GERMAN,
        "variants/pages/home/page.yaml": {"path": "/home", "copy": {"headline": "Welcome", "form": form}},
        "variants/pages/home/german.yaml": {**IN_GERMAN, "copy": {"headline": "Willkommen", "form": form}},
        "variants/pages/home/own.yaml": {
            "for": {"language": "fr"},
            "copy": {"headline": "Bienvenue", "form": {**form, "button": "Envoyer", "thanks_headline": "Merci"}},
        },
    }
    content = load_content(workspace(files))
    buttons = {name: re.findall("<button>(.*?)<", shown_in(content, f"home/{name}")) for name in ("original", "german")}
    assert buttons == {"original": ["Send"], "german": ["[send]"]}
    assert "Envoyer" in shown_in(content, "home/own")
    thanks = {name: shown_in(content, name) for name in ("home/thanks", "home/thanks/german", "home/thanks/own")}
    assert [re.findall("<h1>(.*?)<", text) for text in thanks.values()] == [["Thank you"], ["[thank_you]"], ["Merci"]]


def test_words_of_ones_own_and_links_of_a_language(workspace: Write) -> None:
    files: dict[str, Any] = {
        "templates/landing.html": LANDING.replace("{{ words.today }}", "{{ words.own.badge }}"),
        "templates/theme.yaml": {"legal": [{"label": "Privacy", "url": "/privacy"}]},
        "templates/words/en.yaml": {"own": {"badge": "New at {site}"}},
        "templates/words/de.yaml": {
            **GERMAN,
            "own": {"badge": "Neu bei {site}"},
            "legal": [{"label": "Datenschutz", "url": "/de/datenschutz"}],
        },
        "variants/pages/home/german.yaml": IN_GERMAN,
    }
    checked = check_workspace(workspace(files))
    assert checked.problems == []
    assert checked.content
    assert "<p>New at Shop " in shown_in(checked.content, "home/original")
    german = shown_in(checked.content, "home/german")
    assert "<p>Neu bei Shop " in german
    assert '<a href="/de/datenschutz">Datenschutz</a>' in german
    assert "Privacy" not in german


# --- what check says ---


def warnings_of(root: Path) -> list[str]:
    problems = check_workspace(root).problems
    assert all(problem.warning for problem in problems)
    return [f"{problem.file.name}: {problem.message}" for problem in problems]


def test_a_language_without_words_or_with_few_is_named(workspace: Write) -> None:
    lacking = {name: text for name, text in GERMAN.items() if name not in ("send", "back")}
    files: dict[str, Any] = {
        "templates/landing.html": LANDING,
        "templates/theme.yaml": {"legal": [{"label": "Privacy", "url": "/privacy"}]},
        "templates/words/en.yaml": {"own": {"badge": "New"}},
        "templates/words/de.yaml": lacking,
        "variants/pages/home/german.yaml": IN_GERMAN,
        "variants/pages/home/french.yaml": {"for": {"language": "fr"}, "copy": {"headline": "Bienvenue"}},
        "variants/pages/home/later.yaml": {"for": {"language": "it"}, "status": "draft", "copy": {"headline": "Ciao"}},
    }
    assert warnings_of(workspace(files)) == [
        "de.yaml: back, legal, own.badge, send not said, so other words stand there.",
        "french.yaml: there is no templates/words/fr.yaml, so buttons and messages of forms are in en.",
    ]


def test_what_a_variant_leaves_in_the_originals_language_is_named(workspace: Write) -> None:
    original = {
        "headline": "Welcome",
        "text": "{{ company.name | **You** }} 12",
        "link": "/elsewhere",
        "image": {"src": "a.svg", "alt": "A picture", "width": 1, "height": 1},
        "people": [{"name": "Ada", "says": "Good"}],
    }
    names = [{"name": "Ada", "says": "5"}]
    files: dict[str, Any] = {
        "templates/landing.html": LANDING,
        "templates/words/de.yaml": GERMAN,
        "templates/assets/a.svg": "<svg/>",
        "variants/pages/home/page.yaml": {"path": "/home", "copy": original},
        "variants/pages/home/german.yaml": IN_GERMAN,
    }
    assert warnings_of(workspace(files)) == [
        "german.yaml: is in de, and takes over image, people in the original's language."
    ]
    files["variants/pages/home/page.yaml"] = {"path": "/home", "copy": {**original, "people": names, "image": None}}
    assert warnings_of(workspace(files)) == []
    files["variants/pages/home/page.yaml"] = {"path": "/home", "language": "de", "copy": original}
    assert warnings_of(workspace(files)) == []


def test_an_arm_speaks_the_language_of_the_row_it_stands_for(workspace: Write) -> None:
    arms = {"german": IN_GERMAN, "other": {"copy": {}}, "english": {"for": {"persona": "cfo"}, "copy": {}}}
    files: dict[str, Any] = {
        "templates/landing.html": LANDING,
        "templates/words/de.yaml": GERMAN,
        "variants/personas/cfo.yaml": {"name": "CFO", "evidence": {}, "match": {"person.title": "CFO"}},
        "variants/experiments/x.yaml": {"page": "home", "arms": list(arms), "goal": "lead"},
        **{f"variants/pages/home/{name}.yaml": arm for name, arm in arms.items()},
    }
    root = workspace(files)
    assert "other.yaml: is in de, and takes over headline in the original's language." in warnings_of(root)
    content = load_content(root)
    languages = {name: re.findall('lang="(.*?)"', shown_in(content, f"home/{name}")) for name in arms}
    assert languages == {"german": ["de"], "other": ["de"], "english": ["en"]}


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("de.yaml", {"optinal": "freiwillig"}, "there is no key `optinal` here"),
        ("de.yaml", {"error_missing": "{lable} fehlt"}, "nothing fills {lable} here; there is label, site"),
        ("de.yaml", {"today": "{label}"}, "nothing fills {label} here; there is site"),
        ("german.yaml", {}, "is not a language"),
        ("de.yml", {}, "is not a language"),
    ],
)
def test_mistakes_in_words_are_named(workspace: Write, name: str, words: Any, said: str) -> None:
    problems = check_workspace(workspace({f"templates/words/{name}": words})).problems
    assert [said in problem.message for problem in problems if not problem.warning] == [True]


def test_every_language_of_the_example_says_all_of_it(sample_root: Path) -> None:
    assert check_workspace(sample_root).problems == []
    assert sorted(path.stem for path in (sample_root / "templates/words").iterdir()) == ["de", "id", "th"]


# --- refused ---


def test_who_is_refused_reads_why_in_their_language(server: Server) -> None:
    heads = {
        "": "Paydesk is not offered where you are",
        "pt-BR,pt;q=0.9": "Paydesk is not offered where you are",
        "de-CH": "Paydesk gibt es an Ihrem Standort nicht",
        "id": "Paydesk tidak tersedia di lokasi Anda",
        "th": "Paydesk ยังไม่ให้บริการในพื้นที่ของคุณ",
    }
    for language, head in heads.items():
        answer = Client(server, EXCLUDED, Accept_Language=language).get("/payroll")
        assert (answer.status, re.findall("<h1>(.*?)</h1>", answer.text)) == (451, [head])
        assert f'<html lang="{language[:2] if head != heads[""] else "en"}"' in answer.text


def test_a_page_in_another_language_refuses_in_it(workspace: Write) -> None:
    files: dict[str, Any] = {
        "templates/unavailable.html": "<html lang='{{ page.language }}'>{{ words.back }}",
        "templates/words/de.yaml": GERMAN,
        "templates/words/de-AT.yaml": {"back": "Retour"},
        "variants/pages/home/page.yaml": {"path": "/home", "language": "de-AT", "copy": {"headline": "Servus"}},
    }
    content = load_content(workspace(files))
    registry = content.registry
    assert registry.unavailable == {"de": "unavailable/de", "en": "unavailable"}
    assert registry.pages["home"].unavailable == "unavailable/de"
    assert content.renderings.ready.keys() >= {"unavailable", "unavailable/de"}
    assert "[back]" in shown_in(content, "unavailable/de")
