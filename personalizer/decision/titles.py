"""Job titles in several languages: what somebody leads, and from how high up.

What enters: a title as people write it. What leaves: roles, a department with a rank. Must not: guess; of a title whose
words are not in the tables nothing is known.

English, German, French, Spanish, Indonesian and Thai. The tables say what titles mean there: an Indonesian *direktur*
sits on the board, a German *Direktor* heads a department.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

CHIEF, VICE, HEAD, MANAGER, STAFF = 5, 4, 3, 2, 1
GENERAL = "general"  # who leads the company: above every department


class Role(NamedTuple):
    """A department, and how high up: `CHIEF` … `STAFF`; 0 where the title does not say."""

    department: str
    rank: int


# A word with * at an end may have more letters there: German writes Finanzvorstand as one word. Thai is found anywhere,
# as it has no spaces.
_DEPARTMENTS: dict[str, str] = {
    "finance": "finance financial treasurer treasury controlling controller fp&a finanz* kaufmännische kaufmännischer "
    "rechnungswesen finances financier financière finanzas financiero financiera keuangan การเงิน",
    "accounting": "accounting accountant bookkeeping buchhalt* comptable comptabilité contable contabilidad akuntansi "
    "akuntan บัญชี",
    "human resources": "hr human people talent personal* rh humaines humanos sdm personalia ทรัพยากรบุคคล บุคคล",
    "payroll": "payroll lohn* entgelt* gehalt* paie nómina nóminas penggajian เงินเดือน",
    "operations": "operations operating operativ* betrieb* opérations operaciones operasional ปฏิบัติการ",
    "information technology": "it information technology edv informatik* informatique sistemas tecnología ti teknologi "
    "ไอที เทคโนโลยีสารสนเทศ สารสนเทศ",
    "marketing": "marketing การตลาด pemasaran",
    "sales": "sales revenue vertrieb* ventes commercial ventas comercial penjualan ขาย",
    "legal": "legal counsel recht* jur* juridique legales hukum กฎหมาย",
    "procurement": "procurement purchasing einkauf* achats compras pengadaan จัดซื้อ",
    "product": "product produkt* produit producto produk ผลิตภัณฑ์",
    GENERAL: "executive founder owner proprietor gründer* inhaber* unternehmensleit* fondateur fondatrice fundador "
    "fundadora propietario propietaria pendiri pemilik ผู้ก่อตั้ง เจ้าของ",
}
_RANKS: dict[int, str] = {
    CHIEF: "chief vorstand* *vorstand *vorständin founder owner proprietor gründer* inhaber* fondateur fondatrice "
    "fundador fundadora propietario propietaria direktur direksi pendiri pemilik ประธานเจ้าหน้าที่ ผู้ก่อตั้ง เจ้าของ",
    VICE: "vp svp evp รองประธาน",
    HEAD: "head director leiter leiterin leitung *leiter *leiterin *leitung direktor direktorin *direktor *direktorin "
    "directeur directrice directora jefe jefa kepala ผู้อำนวยการ หัวหน้า",
    MANAGER: "manager lead *manager *managerin teamleiter* teamleitung* responsable gerente manajer supervisor ผู้จัดการ",
    STAFF: "analyst specialist accountant "
    "bookkeeper clerk buchhalter* sachbearbeit* *buchhalter *buchhalterin referent* comptable contable intern "
    "praktikant* staf staff เจ้าหน้าที่ พนักงาน",
}
_WHOLE: tuple[tuple[str, str, int], ...] = (  # what several words mean together, or letters for them: before the words
    ("vice president", "", VICE),
    ("vicepresidente", "", VICE),
    ("vice président", "", VICE),
    ("managing director", GENERAL, CHIEF),
    ("general manager", GENERAL, CHIEF),
    ("president", GENERAL, CHIEF),
    ("ceo", GENERAL, CHIEF),
    ("geschäftsführer", GENERAL, CHIEF),
    ("geschäftsführerin", GENERAL, CHIEF),
    ("geschäftsführung", GENERAL, CHIEF),
    ("vorstandsvorsitzender", GENERAL, CHIEF),
    ("vorstandsvorsitzende", GENERAL, CHIEF),
    ("directeur général", GENERAL, CHIEF),
    ("directrice générale", GENERAL, CHIEF),
    ("pdg", GENERAL, CHIEF),
    ("gérant", GENERAL, CHIEF),
    ("gérante", GENERAL, CHIEF),
    ("director general", GENERAL, CHIEF),
    ("directora general", GENERAL, CHIEF),
    ("consejero delegado", GENERAL, CHIEF),
    ("consejera delegada", GENERAL, CHIEF),
    ("direktur utama", GENERAL, CHIEF),
    ("กรรมการผู้จัดการ", GENERAL, CHIEF),
    ("ประธานเจ้าหน้าที่บริหาร", GENERAL, CHIEF),
    ("cfo", "finance", CHIEF),
    ("finance director", "finance", CHIEF),  # British: on the board; a director of finance heads a department
    ("kaufmännischer leiter", "finance", CHIEF),
    ("kaufmännische leiterin", "finance", CHIEF),
    ("kaufmännische leitung", "finance", CHIEF),
    ("kaufmännischer geschäftsführer", "finance", CHIEF),
    ("kaufmännische geschäftsführerin", "finance", CHIEF),
    ("daf", "finance", CHIEF),
    ("raf", "finance", MANAGER),
    ("directeur financier", "finance", CHIEF),
    ("directrice financière", "finance", CHIEF),
    ("directeur administratif et financier", "finance", CHIEF),
    ("directrice administrative et financière", "finance", CHIEF),
    ("director financiero", "finance", CHIEF),
    ("directora financiera", "finance", CHIEF),
    ("chro", "human resources", CHIEF),
    ("drh", "human resources", CHIEF),
    ("coo", "operations", CHIEF),
    ("cio", "information technology", CHIEF),
    ("cto", "information technology", CHIEF),
    ("ciso", "information technology", CHIEF),
    ("dsi", "information technology", CHIEF),
    ("cmo", "marketing", CHIEF),
    ("cro", "sales", CHIEF),
    ("clo", "legal", CHIEF),
    ("c-level", "", CHIEF),
    ("c level", "", CHIEF),
)
_DEPUTY = re.compile(r"\b(?:deputy|stellv\w*|vize|adjoint|adjointe|wakil)\b|^รอง")  # one rank below
_ASSISTANT = re.compile(r"\b(?:assistant|assistante|assistent\w*|asistente|asisten)\b|ผู้ช่วย")
_PARTS = re.compile(r"\s*(?:[,/|;+]| & | and | und | et | y | dan |และ)\s*")
_BETWEEN = re.compile(r"[^\w&\u0e00-\u0e7f]+")  # Thai vowels and tones are no word characters


def fold_title(text: str) -> str:
    """Titles and the words of the tables in the same letters: facts arrive in NFKC, which takes Thai SARA AM apart."""
    return unicodedata.normalize("NFKC", text).casefold()


def read_title(title: str) -> tuple[Role, ...]:
    """What somebody with this title leads, or works in; several for `CFO & COO`, none for words that nobody knows."""
    folded = " ".join(fold_title(title).split())
    whole = _read_part(folded)
    parts = [part for part in _PARTS.split(folded) if part]
    roles = dict.fromkeys(role for part in parts if (role := _read_part(part)) and role.department and role.rank)
    if len(roles) > 1:
        return tuple(roles)
    return (whole,) if whole.department or whole.rank else ()


def _read_part(text: str) -> Role:
    words = f" {_BETWEEN.sub(' ', text.replace('.', '')).strip()} "
    department, rank = "", 0
    for phrase, of, level in _WHOLE_FIRST:
        spelled = phrase if _is_thai(phrase) else f" {phrase} "
        if spelled in words:
            words = words.replace(spelled, " ")
            department, rank = of, level
            break
    department = department or _find_department(words)
    rank = rank or _find_rank(words)
    if _ASSISTANT.search(text):
        rank = STAFF
    elif rank != VICE and rank > STAFF and _DEPUTY.search(text):
        rank -= 1
    return Role(department, rank)


def _find_department(words: str) -> str:
    return next((name for name, tests in _DEPARTMENT_WORDS if _any_word(words, tests)), "")


def _find_rank(words: str) -> int:
    """The highest rank that the words name; beside a specialist's word *manager* is no rank."""
    found = [rank for rank, tests in _RANK_WORDS if _any_word(words, tests)]
    highest = max(found, default=0)
    return STAFF if STAFF in found and highest == MANAGER else highest


def _any_word(words: str, tests: tuple[re.Pattern[str], ...]) -> bool:
    for test in tests:  # noqa: SIM110 - a generator costs more than what it goes through
        if test.search(words):
            return True
    return False


def _is_thai(text: str) -> bool:
    return "\u0e00" <= text[0] <= "\u0e7f"


def _word_tests(listed: str) -> tuple[re.Pattern[str], ...]:
    """What finds any of these words: two patterns, for words with spaces around them and for Thai."""
    words = fold_title(listed).split()
    thai = [re.escape(word) for word in words if _is_thai(word)]
    spaced = [
        ("" if word.startswith("*") else "(?<= )")
        + re.escape(word.strip("*"))
        + ("" if word.endswith("*") else "(?= )")
        for word in words
        if not _is_thai(word)
    ]
    return tuple(re.compile("|".join(tests)) for tests in (spaced, thai) if tests)


_WHOLE_FIRST = tuple(
    sorted(((fold_title(phrase), of, level) for phrase, of, level in _WHOLE), key=lambda entry: -len(entry[0]))
)
_DEPARTMENT_WORDS = tuple((name, _word_tests(listed)) for name, listed in _DEPARTMENTS.items())
_RANK_WORDS = tuple((rank, _word_tests(listed)) for rank, listed in _RANKS.items())


def leads_as(roles: tuple[Role, ...], wanted: tuple[Role, ...]) -> bool | None:
    """Whether somebody with `roles` decides what one of `wanted` decides: the same department at least as high up, or
    the whole company. None where their title does not say."""
    verdicts = [_decides(role, one) for role in roles for one in wanted]
    if True in verdicts:
        return True
    return False if verdicts and None not in verdicts else None


def _decides(role: Role, wanted: Role) -> bool | None:
    if not wanted.department or not wanted.rank:
        return None
    if role.department == GENERAL:
        return role.rank >= wanted.rank if role.rank else None
    if not role.department:
        return False if role.rank and role.rank < wanted.rank else None
    if role.department != wanted.department:
        return False
    return role.rank >= wanted.rank if role.rank else None
