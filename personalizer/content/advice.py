"""Everything that `check` warns of: the workspace works with it, and perhaps not as it was meant.

What enters: documents, the registry made of them and its rules. What leaves: warnings, noted in the documents. Must
not: find mistakes; a server that starts does not come by here.
"""

from __future__ import annotations

from personalizer.config import Settings
from personalizer.content.landing import lint_landings
from personalizer.content.load import Documents
from personalizer.content.overlap import lint_overlap
from personalizer.content.profiles import lint_evidence, lint_profiles
from personalizer.content.reach import lint_reach
from personalizer.content.rules import Rules
from personalizer.content.sources import lint_sources
from personalizer.content.traffic import lint_traffic
from personalizer.decision.registry import Registry


def advise(documents: Documents, registry: Registry, rules: Rules, settings: Settings | None) -> None:
    """Warn of what may not be meant. With `settings`, also of rules that want for facts there.

    What reads documents together waits until none has a mistake: what had to be left out of one would be missed there.
    """
    lint_evidence(documents)
    if any(not problem.warning for problem in documents.problems):
        return
    lint_reach(documents, registry)
    lint_overlap(documents, registry, rules)
    lint_profiles(documents, registry)
    lint_landings(documents, registry)
    lint_traffic(documents)
    if settings is not None:
        lint_sources(documents, rules, settings)
