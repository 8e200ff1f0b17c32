"""Lead forms, without JavaScript: validate, keep what was typed, count the lead, thank.

What enters: a form post. What leaves: 303 to the thank-you page; or the page again, with what is wrong.
Must not: let personal data into an event, a log or a fact; it goes to the leads' own journal, before the event. Facts
are what the workspace asks for in fields that take no free words, and the company of a work e-mail address.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from personalizer.content import models
from personalizer.content.compile import Content
from personalizer.content.custom import ASKED
from personalizer.content.pages import THANKS, FormState
from personalizer.decision.decide import ORIGINAL, decide
from personalizer.edge.limits import MAX_FORM, BodyRefused, is_cross_site, read_body
from personalizer.edge.record import record_conversion, record_refusal
from personalizer.edge.respond import GZIP, HTML, NO_STORE, SECURITY, Response, accepts_gzip, problem
from personalizer.edge.signals import goal_cookie, known_visitor
from personalizer.edge.state import Edge, Environ
from personalizer.errors import JournalRefused
from personalizer.leads.form import Answers, check_answers, make_lead
from personalizer.model import CustomFact
from personalizer.visitor.declared import Claim, form_claims
from personalizer.visitor.keys import make_decision_token, read_decision_token
from personalizer.visitor.read import Reading

HONEYPOT = "pz_hp"


def receive_form(edge: Edge, environ: Environ, page: str, slot: str) -> Response:
    """`POST /_pz/form/<page>/<form>`."""
    now = time.time()
    reading = edge.reader.read(environ, edge.content.registry.site, now, page_view=False)
    if is_cross_site(environ):
        return problem(403, "cross-site", "Forms are sent from this site's own pages.")
    if not edge.form_limit.allows(reading.address, now):
        return problem(
            429, "too-many", "Too many forms from this address. Try again in a minute.", ("Retry-After", "60")
        )
    try:
        typed = _read_fields(environ)
    except BodyRefused as error:
        return error.answer
    shown = f"{page}/{typed.get('v', ORIGINAL)}"
    content = edge.content_of_form(shown, slot)
    form = content.renderings.forms.get((shown, slot))
    if form is None:
        shown = f"{page}/{ORIGINAL}"
        form = content.renderings.forms.get((shown, slot))
    if form is None:
        return problem(404, "no-form", "There is no such form.")
    words = content.renderings.sources[shown].words
    answers, errors = check_answers(form, typed, words)
    if errors:
        return _show_again(edge, content, reading, page, shown, typed.get("d", ""), FormState(answers, errors))
    try:
        return _accept(edge, content, reading, shown, slot, form, answers, typed, now)
    except JournalRefused:
        state = FormState(answers, {form.fields[0].name: words.error_kept})
        return _show_again(edge, content, reading, page, shown, typed.get("d", ""), state, status=503)


def show_thanks(edge: Edge, environ: Environ, page: str, variant: str) -> Response:
    """`GET /_pz/thanks/<page>[/<variant>]`: where a sent form leads."""
    shown = f"{page}/{THANKS}/{variant}" if variant else f"{page}/{THANKS}"
    content = edge.content_of_page(shown)
    rendering = content.renderings.ready.get(shown)
    if rendering is None:
        return problem(404, "no-page", "There is no such page.")
    reading = edge.reader.read(environ, content.registry.site, time.time(), page_view=False)
    facts = decide(content.registry, page, reading.visitor).facts
    headers = [HTML, NO_STORE, *SECURITY, ("Content-Security-Policy", rendering.csp)]
    if accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        return Response(200, rendering.fill_gzip("", "", "", facts), [*headers, GZIP])
    return Response(200, rendering.fill("", "", "", facts), headers)


def _accept(
    edge: Edge,
    content: Content,
    reading: Reading,
    shown: str,
    slot: str,
    form: models.Form,
    answers: Answers,
    typed: Mapping[str, str],
    now: float,
) -> Response:
    """Keep the lead, then count it. Robots that fill the honeypot get the same thanks and are not counted."""
    page, _, variant = shown.partition("/")
    own = f"/{variant}" if f"{page}/{THANKS}/{variant}" in content.renderings.ready else ""
    thanks = Response(303, b"", [("Location", f"/_pz/{THANKS}/{page}{own}"), NO_STORE])
    if typed.get(HONEYPOT):
        edge.events.append(record_refusal("honeypot", now))
        return thanks
    decision_id = read_decision_token(typed.get("d", ""), edge.keys)
    visitor = decision_id.partition(".")[0] if decision_id else known_visitor(reading)
    lead = make_lead(page, slot, form, answers, visitor, now)
    edge.leads.append(lead, durable=True)
    goal = form.goal or "lead"
    site = content.registry.site
    edge.reader.declare(reading.visitor, reading.memory, _claims_of(form, answers, site.custom), site)
    decision = decide(content.registry, page, reading.visitor)
    event = record_conversion(
        goal,
        visitor,
        decision_id,
        now,
        kind="lead",
        lead_id=lead["lead_id"],
        page=page,
        fit=decision.fit,
        failed=decision.failed,
        not_counted=decision.not_counted,
    )
    edge.events.append(event, durable=True)
    return Response(303, b"", [*thanks.headers, *goal_cookie(edge, reading, goal)])


def _claims_of(form: models.Form, answers: Answers, custom: tuple[CustomFact, ...]) -> list[Claim]:
    told = {field.name: answers[field.name] for field in form.fields if field.type in ASKED}
    emails = [answers[field.name] for field in form.fields if field.type == "email"]
    return form_claims(told, emails[0] if emails else "", custom)


def _show_again(
    edge: Edge,
    content: Content,
    reading: Reading,
    page: str,
    shown: str,
    token: str,
    state: FormState,
    status: int = 422,
) -> Response:
    """The page that the visitor was on, with the form as they left it. The address they land on is the form's."""
    renderings = content.renderings
    rendering = renderings.sources[shown].render(renderings.templates, state)
    decision = decide(content.registry, page, reading.visitor)
    known = read_decision_token(token, edge.keys)
    body = rendering.fill(make_decision_token(known, edge.keys) if known else "", "", "", decision.facts)
    return Response(status, body, [HTML, NO_STORE, *SECURITY, ("Content-Security-Policy", rendering.csp)])


# --- fields ---


def _read_fields(environ: Environ) -> dict[str, str]:
    """The first value of each field of an urlencoded form, at most 100 of them."""
    body = read_body(environ, MAX_FORM).decode("utf-8", "replace")
    fields: dict[str, str] = {}
    try:
        for name, value in parse_qsl(body, keep_blank_values=True, max_num_fields=100, errors="replace"):
            fields.setdefault(name, value)
    except ValueError:  # more than 100 fields: no form of ours
        return {}
    return fields
