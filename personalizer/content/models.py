"""What marketers write: one pydantic model a document, short and long forms, strict about keys.

What enters: plain data from a file. What leaves: checked documents; `personalizer schema` prints their JSON Schema.
Must not: know other documents (references are checked in `lint.py`) or compile anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from personalizer.content.brand import Theme
from personalizer.content.fields import (
    CURRENCY,
    FIELD,
    HOST,
    PRIMARY,
    TEMPLATE,
    Countries,
    Date,
    Document,
    Domain,
    Duration,
    Key,
    Keys,
    Language,
    Money,
    Origins,
    Points,
    Share,
    Text,
    Texts,
    UrlPath,
    WebUrl,
)
from personalizer.content.words import Words

BUILT_IN_GOALS = ("engaged", "cta_click", "phone_click", "lead")

Condition = dict[str, Any]  # compiled and checked by decision/conditions.py, with the fact table at hand


# --- workspace.yaml ---------------------------------------------------------------------------------------------------


class Site(Document):
    name: Text
    hosts: Annotated[list[Annotated[str, StringConstraints(to_lower=True, pattern=HOST)]], Field(min_length=1)]
    language: Language = "en"
    timezone: Text = "UTC"
    currency: Annotated[str, StringConstraints(pattern=CURRENCY)] = "EUR"


class Goal(Document):
    kind: Literal["binary", "count", "revenue", "duration"] = "binary"
    unit: Text | None = None
    window: Duration = 30 * 86_400
    value: Money | None = Field(None, description="worth of one, in the site's currency")
    cost: Money | None = None
    rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="share of visitors expected to reach it")
    once: Literal["unit", "id"] = Field("unit", description="counted once per unit, or once per conversion id")


class Audience(Document):
    name: Text
    relation: Literal["prospect", "target", "customer", "partner", "influencer", "competitor"] = "prospect"


class PrivacyRule(Document):
    when: Condition | None = None
    mode: Literal["persistent", "consent", "storage_free"]


class CustomFact(Document):
    type: Literal["text", "number", "flag"]
    origin: Annotated[Origins, Field(alias="from")] = []


class Derivation(Document):
    when: Condition
    is_: Annotated[str | float | bool, Field(alias="is")]


class Workspace(Document):
    """`workspace.yaml`: the site, its goals, audiences and privacy rules."""

    site: Site
    goals: dict[Key, Goal] = {}
    holdout: Share = 0.2
    audiences: dict[Key, Audience] = {}
    privacy: list[PrivacyRule] = [PrivacyRule(mode="persistent")]
    internal: Annotated[list[str], Field(description="networks that are served and never counted")] = []
    custom: dict[Key, CustomFact] = {}
    derive: dict[str, list[Derivation]] = {}


# --- icps/*.yaml ------------------------------------------------------------------------------------------------------


class Serve(Document):
    """Where `negative` and `excluded` visitors go: exactly one of the three."""

    page: Key | None = None
    variant: Key | None = None
    redirect: WebUrl | None = None


class Business(Document):
    deal_size: Money | None = None
    price_floor: Money | None = None
    points: Points = Field(10, description="for an account that can pay the price floor, where the ICP has `fit`")
    sales_cycle_days: Annotated[int, Field(ge=0)] | None = None


class DecisionMaker(Document):
    titles: Texts
    years: Annotated[float, Field(ge=0)] | None = None
    points: Points = Field(10, description="for a visitor who is one of them, where the ICP has `fit`")


class Criterion(Document):
    when: Condition
    points: Points
    why: Text


class Fit(Document):
    """How good an account is, by seven dimensions."""

    ready: list[Criterion] = []
    willing: list[Criterion] = []
    able: list[Criterion] = []
    success_potential: list[Criterion] = []
    acquisition_efficiency: list[Criterion] = []
    ascension_potential: list[Criterion] = []
    advocacy_potential: list[Criterion] = []


Dimension = Literal[
    "ready",
    "willing",
    "able",
    "success_potential",
    "acquisition_efficiency",
    "ascension_potential",
    "advocacy_potential",
]


class Icp(Document):
    """`icps/<key>.yaml`: which accounts. The short form is a name and a `match`."""

    name: Text
    match: Condition
    kind: Literal["ideal", "negative", "excluded"] = "ideal"
    product: Key | None = None
    market: Literal["b2b", "b2c"] = "b2b"
    priority: int | None = Field(None, description="smaller wins; without it more conditions go first, then the key")
    business: Business | None = None
    decision_maker: DecisionMaker | None = None
    fit: Fit | None = None
    teams: dict[Key, dict[Dimension, float]] = {}
    serve: Serve | None = None
    evidence: Literal["declared", "lookup"] = Field(
        "declared", description="what a negative ICP may act on: declared facts and lists, or look-ups too"
    )
    exploration: Share = 0.0


# --- personas/*.yaml --------------------------------------------------------------------------------------------------


class Evidence(Document):
    status: Literal["researched", "hypothesis"] = "hypothesis"
    sources: Texts = []


class Personal(Document):
    background: Text | None = None
    awareness: Text | None = None
    demographics: dict[str, Any] = {}
    social_habits: Text | None = None


class Team(Document):
    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    constraints: Texts = []


class Professional(Document):
    department: Text | None = None
    seniority: Text | None = None
    years: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    buying_process: Text | None = None
    kpis: Texts = []
    challenges: Texts = []
    goals: Texts = []
    end_goals: Texts = []
    technology: Texts = []
    budget: Text | None = None
    team: Team | None = None


class Empathy(Document):
    motivations: Texts = []
    fears: Texts = []
    pains: Texts = []


class Profile(Document):
    """For people, lint and reports; never a guess about a visitor."""

    personal: Personal = Personal()
    professional: Professional = Professional()
    empathy: Empathy = Empathy()
    tone: Text | None = None
    stages: Texts = []


class Persona(Document):
    """`personas/<key>.yaml`: which people, and how to speak to them. The short form is a name."""

    name: Text
    icps: Keys | None = Field(None, description="default: every ideal ICP")
    match: Condition | None = Field(None, description="besides an ad that declares the persona, which needs no rule")
    priority: int | None = None
    evidence: Evidence | None = None
    profile: Profile = Profile()


# --- campaigns/*.yaml -------------------------------------------------------------------------------------------------


class Utm(Document):
    source: Text | None = None
    medium: Text | None = None
    campaign: Text | None = None
    term: Text | None = None


class Ad(Document):
    key: Key
    content: Text | None = Field(None, description="utm_content that names this ad; default: the key")
    id: Text | None = Field(None, description="utm_id that names this ad")
    headlines: Texts = []


class AdSet(Document):
    """Where platforms put targeting, and therefore where persona and declared facts belong."""

    key: Key
    persona: Key | None = None
    declares: Condition = {}
    countries: Countries = Field([], description="where the platform shows it; for `check`, never a fact")
    ads: list[Ad] = []


class Campaign(Document):
    """`campaigns/<key>.yaml`: campaign → ad sets → ads, and the page they land on."""

    platform: Literal["linkedin", "google", "microsoft", "meta", "tiktok", "x", "email", "other"]
    page: Key
    utm: Utm = Utm()
    audience: Key | None = None
    ad_sets: Annotated[list[AdSet], Field(min_length=1)]
    starts: Date | None = None
    ends: Date | None = None


# --- pages/<page>/*.yaml ----------------------------------------------------------------------------------------------


class PageGoals(Document):
    primary: Key
    secondary: Keys = []


class Page(Document):
    """`pages/<page>/page.yaml`: path, template and the original copy."""

    path: UrlPath
    copy_: Annotated[dict[str, Any], Field(alias="copy")]
    template: Annotated[str, StringConstraints(pattern=TEMPLATE)] = "landing.html"
    product: Key | None = None
    goals: PageGoals | None = None
    holdout: Share | None = None
    index: bool = False
    language: Language | None = Field(None, description="default: the site's")
    visitors_per_month: Annotated[int, Field(gt=0)] | None = None
    retired_paths: list[UrlPath] = []

    def considers(self, product: str | None) -> bool:
        """Whether it considers ICPs of `product`: those of its own and those without one; without its own, all."""
        return self.product is None or product in (None, self.product)


class For(Document):
    """Whom a variant is for; several = all of them."""

    accounts: Key | None = None
    campaign: Key | None = None
    persona: Key | None = None
    icp: Key | None = None
    audience: Key | None = None
    language: Annotated[str, StringConstraints(pattern=PRIMARY)] | None = None
    when: Condition | None = None


class Variant(Document):
    """`pages/<page>/<variant>.yaml`: whom it is for, and only the copy that differs."""

    for_: For | None = Field(None, alias="for", description="absent: only as an arm of an experiment")
    copy_: Annotated[dict[str, Any], Field(alias="copy")]
    status: Literal["draft", "published", "archived"] = "published"
    holdout: Share | None = None
    order: int | None = Field(None, description="smaller goes first, before every row without one")


# --- experiments/*.yaml -----------------------------------------------------------------------------------------------


class Namespace(Document):
    key: Key
    range: Annotated[list[Share], Field(min_length=2, max_length=2)]


class Experiment(Document):
    """`experiments/<key>.yaml`: a random split on one row; the first arm is the baseline."""

    page: Key
    arms: Annotated[list[Key], Field(min_length=2, max_length=26)]
    goal: Key
    smallest_win: Annotated[float, Field(gt=0)] | None = None
    hypothesis: str | None = None
    status: Literal["draft", "running", "stopped"] = "running"
    weights: list[Share] | None = None
    coverage: Share = 1.0
    unit: Literal["visitor", "company"] = "visitor"
    namespace: Namespace | None = None
    guardrails: Keys = []


# --- accounts/*.csv ---------------------------------------------------------------------------------------------------


class Account(Document):
    """One line of `accounts/<list>.csv`: domain,name,tier,relation."""

    domain: Domain
    name: Text | None = None
    tier: Text | None = None
    relation: Literal["prospect", "target", "customer", "partner", "influencer", "competitor"] | None = None


# --- templates/ -------------------------------------------------------------------------------------------------------


class Slot(Document):
    """One slot that a template's front matter declares."""

    type: Literal["text", "richtext", "url", "image", "list", "form", "embed"]
    max: Annotated[int, Field(gt=0)] | None = Field(None, description="characters of a text, items of a list")
    required: bool = False
    items: dict[Key, Slot] | None = Field(None, description="slots of each item of a list")
    any_language: bool = Field(False, description="names and the like: the same in every language")
    help: str | None = None


class FrontMatter(Document):
    """The head of a template or section: its slots, and for a template the sections it is built from."""

    slots: dict[Key, Slot] = {}
    sections: Keys = []


class FormField(Document):
    """One field of a form. Personal ones (name, email, phone, free text) go to the leads table and never into facts."""

    name: Annotated[str, StringConstraints(pattern=FIELD)]
    type: Literal["text", "email", "tel", "number", "select", "textarea", "checkbox"] = "text"
    label: Text | None = Field(None, description="default: the name")
    required: bool = False
    options: Texts = []
    placeholder: Text | None = None
    autocomplete: Text | None = None
    max: Annotated[int, Field(gt=0, le=5000)] = 200


class Form(Document):
    """A lead form in the copy of a page."""

    fields: Annotated[list[FormField], Field(min_length=1, max_length=20)]
    goal: Key | None = None
    thanks: Key = Field("thank-you", description="template of the page shown afterwards, without .html")
    thanks_headline: Text | None = Field(None, description="default: the word `thank_you`")
    thanks_text: Text | None = None
    button: Text | None = Field(None, description="default: the word `send`")
    heading: Text | None = None
    consent: Text | None = Field(None, description="consent wording, kept with each lead")


class Image(Document):
    """An image: a file under assets/ with its words and its size in pixels, so that nothing shifts."""

    src: Text
    alt: str
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Embed(Document):
    """Something of another site, shown in a frame that loads when it is reached."""

    src: WebUrl
    title: Text
    width: Annotated[int, Field(gt=0)] = 16
    height: Annotated[int, Field(gt=0)] = 9


DOCUMENTS: dict[str, type[Document]] = {
    "workspace": Workspace,
    "icp": Icp,
    "persona": Persona,
    "campaign": Campaign,
    "page": Page,
    "variant": Variant,
    "experiment": Experiment,
    "theme": Theme,
    "template": FrontMatter,
    "words": Words,
}
