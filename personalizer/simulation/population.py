"""A rates file that fits its workspace.

What enters: a YAML file and the workspace it is about. What leaves: a `Population`; or a SimulationError with every
mistake, its line and what to write instead. Must not: ask a server; what this says is known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from personalizer.content.compile import Content, check_workspace
from personalizer.content.links import AdLink, ad_links
from personalizer.content.load import Documents
from personalizer.content.validate import check_model
from personalizer.content.yaml import KeyPath, Parsed, parse_yaml
from personalizer.errors import ContentError, SimulationError
from personalizer.simulation.rates import Kind, Rate, Rates


@dataclass(frozen=True, slots=True)
class Population:
    """Who comes, and what is true of them. `links` (path and query) and `pages` are in the order of the kinds.

    `goals` are all that anybody may reach, sorted; `repeatable` those that count once per id, not once per unit.
    """

    rates: Rates
    links: Sequence[str]
    pages: Sequence[str]
    goals: Sequence[str]
    repeatable: frozenset[str]
    content: Content

    def rates_of(self, page: str, row: str | None, arm: str, icp: str | None) -> Rate | None:
        """The true rates of whoever first saw this; None when the file says nothing about it."""
        for rate in self.rates.rates:
            if (rate.page, rate.row, rate.arm) == (page, row, arm) and rate.icp in (None, icp):
                return rate
        return None


def load_population(file: Path, workspace: Path) -> Population:
    """Read a rates file for a workspace.

    Raises SimulationError with every mistake of the file, ContentError with those of the workspace.
    """
    checked = check_workspace(workspace)
    if checked.content is None:
        raise ContentError([problem for problem in checked.problems if not problem.warning])
    parsed = _read(file)
    rates = check_model(parsed, parsed.data, Rates) if not parsed.problems else None
    if rates is None:
        raise _mistakes(parsed)
    targets = list(_find_targets(rates, checked.documents, parsed))
    _check_names(rates, checked.content, parsed)
    if parsed.problems:
        raise _mistakes(parsed)
    links, pages = zip(*targets, strict=True)
    goals = sorted({goal for rate in rates.rates for goal in rate.goals})
    known = checked.content.registry.goals
    repeatable = frozenset(goal for goal in goals if known[goal].once == "id")
    return Population(rates, links, pages, goals, repeatable, checked.content)


def _read(file: Path) -> Parsed:
    try:
        return parse_yaml(file.read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise SimulationError(f"{file} cannot be read ({error}). Name a YAML file of rates with --rates.") from error


def _mistakes(parsed: Parsed) -> SimulationError:
    return SimulationError("\n".join(str(problem) for problem in sorted(parsed.problems)))


def _find_targets(rates: Rates, documents: Documents, parsed: Parsed) -> Iterator[tuple[str, str]]:
    """The address (without host) and the page that each kind asks for."""
    ads = {f"{link.campaign}.{link.ad_set}.{link.ad}": link for link in ad_links(documents)}
    paths = {page.doc.path: key for key, page in documents.pages.items()}
    for place, kind in enumerate(rates.kinds):
        link = _link_of(kind, ads)
        page = paths.get(urlsplit(link).path)
        if (kind.ad is None) == (kind.path is None):
            parsed.report(("kinds", place), "needs `ad` or `path`, and not both.", "Say how they come.")
        elif kind.ad is not None and page is None:
            parsed.report(("kinds", place, "ad"), f"there is no ad {kind.ad}.", f"There are {', '.join(ads)}.")
        elif page is None:
            parsed.report(("kinds", place, "path"), f"{link} is no page.", f"The pages are {', '.join(paths)}.")
        else:
            yield link, page


def _link_of(kind: Kind, ads: dict[str, AdLink]) -> str:
    if kind.path is not None:
        return kind.path
    parts = urlsplit(ads[kind.ad].try_url if kind.ad in ads else "")
    return f"{parts.path}?{parts.query}"


def _check_names(rates: Rates, content: Content, parsed: Parsed) -> None:
    registry = content.registry
    known = {
        "row": {row for page in registry.pages.values() for row in page.rows},
        "icp": registry.icps.keys(),
        "persona": registry.personas.keys(),
        "page": registry.pages.keys(),
        "goal": registry.goals.keys(),
    }
    for path, what, name in _named(rates):
        if name is not None and name not in known[what]:
            parsed.report(path, f"there is no {what} {name}.", f"There are {', '.join(sorted(known[what]))}.")
    if not any(rate.goals for rate in rates.rates):
        parsed.report(("rates",), "names no goal, so nobody would do anything.", "Write `goals: {demo_request: 0.05}`.")
    keys = [kind.key for kind in rates.kinds]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            parsed.report(("kinds", place, "key"), f"{key} stands twice.", "Give each kind a key of its own.")


def _named(rates: Rates) -> Iterator[tuple[KeyPath, str, str | None]]:
    """Every name of something of the workspace: where it stands, what it should be, and the name."""
    for place, kind in enumerate(rates.kinds):
        for what in ("row", "icp", "persona"):
            yield ("kinds", place, "expect", what), what, getattr(kind.expect, what)
    for place, rate in enumerate(rates.rates):
        for what in ("page", "row", "icp"):
            yield ("rates", place, what), what, getattr(rate, what)
        for goal in rate.goals:
            yield ("rates", place, "goals", goal), "goal", goal
