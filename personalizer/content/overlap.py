"""Rules that stand in each other's way: what an earlier one always takes, and whom only the key decides about.

What enters: documents, the registry and their rules. What leaves: warnings, noted in the documents. Must not: warn of
what is not proven (but for rows of equal rank, which should be provably apart), or compare without bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from personalizer.content.load import Documents
from personalizer.content.order import precedence, row_rank
from personalizer.content.pairs import Pairs
from personalizer.content.proof import Rule, disjoint, implies
from personalizer.content.rules import Rules
from personalizer.decision.registry import Icp, Page, Registry

MOST_PAIRS = 100_000  # of ICPs, of personas, and of the rows of all pages; some seconds

Judge = Callable[[str, str], str | None]  # of two keys, the earlier first: `shadows`, `overlaps`, or neither


def lint_overlap(documents: Documents, registry: Registry, rules: Rules) -> None:
    """Warn of ICPs, personas and rows that are never reached, or overlap with others of equal rank."""
    _lint_icps(documents, registry, rules.icps)
    _lint_personas(documents, registry, rules.personas)
    domains = _list_domains(documents)
    for page in registry.pages.values():
        _lint_rows(documents, page, rules.rows, domains, MOST_PAIRS // len(registry.pages))


# --- ICPs ---

_TURN = {"excluded": 0, "negative": 1, "ideal": 2}


def _lint_icps(documents: Documents, registry: Registry, rules: Mapping[str, Rule]) -> None:
    products = {icp.product for icp in registry.icps.values()}
    considered = {product: frozenset(_pages_of(documents, product)) for product in products}
    pages = {key: considered[registry.icps[key].product] for key in rules}
    ranks = {key: precedence(documents.icps[key].doc.priority, registry.icps[key].match, "") for key in rules}
    turns = sorted((key for key in rules if pages[key]), key=lambda key: _turn(registry.icps[key]))

    def judge(first: str, second: str) -> str | None:
        one, other = registry.icps[first], registry.icps[second]
        if one.kind == "negative" and (other.kind == "ideal" or one.lookup != other.lookup):
            return None  # what is no evidence does not turn anybody away
        if _within(pages[second], pages[first]) and implies(rules[second], rules[first]):
            return "shadows"
        if ranks[first] != ranks[second] or one.kind != other.kind or _same_end(one, other):
            return None
        if pages[first].isdisjoint(pages[second]) or disjoint(rules[first], rules[second]):
            return None
        return "overlaps"

    for key, (shadow, overlaps) in _compare(documents, "icps", turns, rules, judge, MOST_PAIRS).items():
        icp = documents.icps[key]
        if shadow is not None:
            kind = registry.icps[shadow].kind
            who = f"ICP {shadow}" if kind == icp.doc.kind else f"ICP {shadow} is {kind},"
            what = f"is never matched: {who} goes first and matches everybody whom this one does."
            icp.warn(("match",), what, "Narrow that one, or remove this.")
        elif overlaps:
            icp.warn(("match",), _say_overlap("ICP", overlaps), "Give one of them a `priority`.")


def _turn(icp: Icp) -> tuple[int, int]:
    return _TURN[icp.kind], icp.order


def _pages_of(documents: Documents, product: str | None) -> Iterable[str]:
    return (key for key, page in documents.pages.items() if page.doc.considers(product))


def _same_end(one: Icp, other: Icp) -> bool:
    """Whether it does not matter which of two refuses a visitor."""
    return one.kind != "ideal" and one.target == other.target


# --- personas ---


def _lint_personas(documents: Documents, registry: Registry, rules: Mapping[str, Rule]) -> None:
    ideal = {icps: frozenset(_ideal_icps(registry, icps)) for icps in {registry.personas[key].icps for key in rules}}
    reached = {key: ideal[registry.personas[key].icps] for key in rules}
    ranks = {key: precedence(documents.personas[key].doc.priority, registry.personas[key].match, "") for key in rules}
    turns = sorted((key for key in rules if reached[key]), key=lambda key: registry.personas[key].order)

    def judge(first: str, second: str) -> str | None:
        if _within(reached[second], reached[first]) and implies(rules[second], rules[first]):
            return "shadows"
        if ranks[first] != ranks[second] or reached[first].isdisjoint(reached[second]):
            return None
        return None if disjoint(rules[first], rules[second]) else "overlaps"

    for key, (shadow, overlaps) in _compare(documents, "personas", turns, rules, judge, MOST_PAIRS).items():
        persona = documents.personas[key]
        if shadow is not None:
            what = f"is never found: persona {shadow} goes first and matches everybody whom this one does."
            persona.warn(("match",), what, "Narrow that one, or give this one a smaller `priority`.")
        elif overlaps:
            persona.warn(("match",), _say_overlap("persona", overlaps), "Give one of them a `priority`.")


def _ideal_icps(registry: Registry, icps: Iterable[str]) -> Iterable[str]:
    return (key for key in icps if key in registry.icps and registry.icps[key].kind == "ideal")


# --- rows ---


def _lint_rows(
    documents: Documents,
    page: Page,
    rules: Mapping[tuple[str, str], Rule],
    domains: Mapping[str, frozenset[str]],
    most: int,
) -> None:
    own = {name: rules[(page.key, name)] for name in page.rows if (page.key, name) in rules}
    ranks = {name: row_rank("", documents.variants[(page.key, name)].doc) for name in own}

    def judge(first: str, second: str) -> str | None:
        one, other = page.rows[first], page.rows[second]
        if documents.variants[(page.key, first)].doc.for_ == documents.variants[(page.key, second)].doc.for_:
            return None  # that is reported as a mistake
        if implies(own[second], own[first]):
            return "shadows"
        if ranks[first] != ranks[second] or _apart(domains, one.accounts, other.accounts):
            return None
        return None if disjoint(own[first], own[second]) else "overlaps"

    where = f"pages/{page.key}"
    for name, (shadow, overlaps) in _compare(documents, where, list(own), own, judge, most).items():
        variant = documents.variants[(page.key, name)]
        if shadow is not None:
            what = f"is never shown: row {shadow} of {page.key} goes first and admits everybody whom this one does."
            variant.warn(("for",), what, "Narrow that one, or give this one a smaller `order`.")
        elif overlaps:
            variant.warn(
                ("for",), _say_overlap("row", overlaps), "Make them exclude each other, or give one an `order`."
            )


def _list_domains(documents: Documents) -> dict[str, frozenset[str]]:
    """The companies of each account list; nothing if an ad may declare that its visitors are on a list."""
    declared = (ad_set.declares for one in documents.campaigns.values() for ad_set in one.doc.ad_sets)
    if any("company.lists" in claims for claims in declared):
        return {}
    return {key: frozenset(line.account.domain for line in lines) for key, lines in documents.accounts.items()}


def _apart(domains: Mapping[str, frozenset[str]], one: str | None, other: str | None) -> bool:
    """Whether two account lists have no company in common."""
    if one is None or other is None or one not in domains or other not in domains:
        return False
    return domains[one].isdisjoint(domains[other])


# --- all of them ---


def _compare(
    documents: Documents,
    folder: str,
    turns: Sequence[str],
    rules: Mapping[str, Rule],
    judge: Judge,
    most: int,
) -> dict[str, tuple[str | None, list[str]]]:
    """By key what stands in its way: the rule that takes everybody, and those of equal rank that may take some."""
    found: dict[str, tuple[str | None, list[str]]] = {}
    pairs = Pairs([rules[key] for key in turns], most)
    for one, other in pairs:
        first, second = turns[one], turns[other]
        verdict = judge(first, second)
        if verdict is None:
            continue
        shadow, overlaps = found.setdefault(second, (None, []))
        if verdict == "overlaps":
            overlaps.append(first)
        elif shadow is None:
            found[second] = (first, overlaps)
    if pairs.more:
        path = documents.root / "variants" / folder
        remedy = "Give rules more equalities that tell them apart; they need not be compared then."
        documents.report(path, f"has too many rules: only {most:,} pairs were compared.", remedy, warning=True)
    return found


def _within(some: frozenset[str], all_: frozenset[str]) -> bool:
    return some is all_ or some <= all_  # most share one set of thousands


def _say_overlap(kind: str, others: list[str]) -> str:
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{kind} {others[0]}{more} may match the same visitors, and only the key decides which goes first."
