"""What one person does: look, come back, convert, in the order of their plan; and the ledger's line about it.

What enters: a plan and an open connection. What leaves: a line in a ledger. Must not: learn from the server anything
but the row and the arm it shows, and the tokens that a browser would hand back.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from personalizer.decision.decide import ORIGINAL
from personalizer.errors import SimulationError
from personalizer.simulation.client import Browser, Connection, Form, Page
from personalizer.simulation.ledger import Cell, Ledger
from personalizer.simulation.plan import Plan
from personalizer.simulation.population import Population
from personalizer.simulation.preflight import check_page

LEAD = "lead"  # what every form counts for, beside its own goal


class Visit:
    """One person's visit. `name` makes their conversion ids their own, also among several simulations."""

    def __init__(self, connection: Connection, population: Population, plan: Plan, ledger: Ledger, name: str) -> None:
        self._browser = Browser(connection, plan.address, plan.agent, plan.kind.headers)
        self._population = population
        self._plan = plan
        self._ledger = ledger
        self._name = name
        self._views = 0
        self._reached: set[str] = set()

    def run(self) -> None:
        """Everything the plan says, and the ledger's line. Raises SimulationError where the server does otherwise."""
        plan = self._plan
        if plan.asks_head:
            self._browser.look(plan.link)
        first = self._view(plan.link)
        check_page(plan.kind, plan.address, first)
        if not plan.late:
            self._confirm(first)
        for _ in range(plan.reloads):
            self._reload(first)
        self._convert(first)
        if plan.late:
            self._confirm(first)
        if plan.returns:
            self._confirm(self._view(plan.link.partition("?")[0]))
        self._write_down(first)

    def _write_down(self, first: Page) -> None:
        plan, expect = self._plan, self._plan.kind.expect
        cell = Cell(plan.page, first.row, first.arm, expect.icp, expect.persona)
        if not plan.kind.counted:
            self._ledger.leave_out("internal", self._views, self._reached)
        elif plan.unseen:
            self._ledger.leave_out("unseen", self._views, self._reached, cell)
        else:
            self._ledger.count(cell, self._views, self._reached)

    def _view(self, link: str) -> Page:
        self._views += 1
        self._ledger.sent_views += 1
        return self._browser.open(link)

    def _reload(self, first: Page) -> None:
        again = self._view(self._plan.link)
        if (again.row, again.arm) != (first.row, first.arm):
            raise SimulationError(
                f"{self._plan.kind.key}: a reload showed row {again.row}, arm {again.arm} "
                f"after row {first.row}, arm {first.arm}. A visitor's page must stay."
            )
        self._confirm(again)

    def _confirm(self, page: Page) -> None:
        if self._plan.unseen:
            return
        if self._plan.noscript:
            self._browser.fetch(page.seen_pixel)
        else:
            self._browser.beacon(page)

    # --- goals ---

    def _convert(self, page: Page) -> None:
        plan = self._plan
        rates = self._population.rates_of(plan.page, page.row, page.arm, plan.kind.expect.icp)
        if rates is None:
            raise SimulationError(
                f"{plan.kind.key}: the rates file has no rates for page {plan.page}, row {page.row or 'none'}, "
                f"arm {page.arm}. Add them below `rates`."
            )
        for goal, rate in rates.goals.items():
            if plan.luck[goal] < rate:
                self._reach(goal, page)

    def _reach(self, goal: str, page: Page) -> None:
        form = page.form() if self._plan.by_form else None
        if form is not None and goal in self._goals_of(form):
            self._submit(form)
        else:
            self._send(goal, page)

    def _submit(self, form: Form) -> None:
        """The form; sent once more by those who repeat themselves."""
        for _ in range(2 if self._plan.repeats else 1):
            self._browser.submit(form)
            self._note(*self._goals_of(form))

    def _goals_of(self, form: Form) -> frozenset[str]:
        """What a form counts for, by the workspace."""
        page, slot = form.action.removeprefix("/_pz/form/").split("/")
        declared = self._population.content.renderings.forms.get((f"{page}/{form.fields.get('v', ORIGINAL)}", slot))
        if declared is None:
            raise SimulationError(f"The workspace has no form {form.action}. Name the server's own with --workspace.")
        return frozenset((declared.goal or LEAD, LEAD))

    def _send(self, goal: str, page: Page) -> None:
        """A conversion that a script sends; by some twice with one id, by some once more without any."""
        plan = self._plan
        named = {} if plan.by_cookie else {"d": page.decision}
        own_id = {"id": f"{self._name}-{goal}"} if plan.replays else {}
        for _ in range(2 if plan.replays else 1):
            self._send_once(goal, {**named, **own_id})
        if plan.repeats and goal not in self._population.repeatable:
            self._send_once(goal, named)

    def _send_once(self, goal: str, more: Mapping[str, str]) -> None:
        if self._plan.noscript:
            self._browser.fetch(f"/_pz/convert.gif?{urlencode({'goal': goal, **more})}")
        else:
            self._browser.convert(goal, **more)
        self._note(goal)

    def _note(self, *goals: str) -> None:
        self._ledger.note_conversions(*goals)
        self._reached.update(goals)


def send_bot(connection: Connection, plan: Plan, ledger: Ledger) -> None:
    """A crawler that follows the link, runs scripts, and sets off a goal."""
    assert plan.bot is not None
    browser = Browser(connection, plan.address, plan.bot, {})
    page = browser.open(plan.link)
    browser.beacon(page)
    browser.convert(plan.others_goal, d=page.decision)
    ledger.sent_views += 1
    ledger.note_conversions(plan.others_goal)
    ledger.leave_out("bots", 1, [plan.others_goal])


def send_stranger(connection: Connection, plan: Plan, ledger: Ledger) -> None:
    """A conversion by somebody who was never here."""
    assert plan.stranger is not None
    Browser(connection, plan.stranger, plan.agent, {}).convert(plan.others_goal)
    ledger.note_conversions(plan.others_goal)
    ledger.leave_out("orphans", 0, [plan.others_goal])
