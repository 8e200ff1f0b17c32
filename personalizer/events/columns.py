"""The column table: one flat, versioned row an event. The lake's schema and its docs follow from it.

What enters: the fact table. What leaves: `COLUMNS` and `LEAD_COLUMNS`, in lake order. Must not: open anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from personalizer.model import FactType
from personalizer.visitor.facts import FACTS


class ColumnType(StrEnum):
    """How a column is stored in the lake. In the journal every value is JSON: TIME is µs since 1970 (UTC)."""

    TEXT = "string"
    INT = "long"
    NUMBER = "double"
    FLAG = "boolean"
    TIME = "timestamp"
    DAY = "date"  # the partition: the UTC day of `ts`, added by the collector
    LIST = "array<string>"
    RANGE = "struct<low: double, high: double>"  # an exact number has low = high


C = ColumnType


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type, and meaning for a reader of the lake. `fact` names the fact that it holds, if any."""

    name: str
    type: ColumnType
    meaning: str
    fact: str = ""


KINDS = ("exposure", "seen", "engaged", "click", "scroll", "conversion", "lead", "outcome", "refused")

_EVENT = (
    Column("day", C.DAY, "UTC day of `ts`; the table's partition"),
    Column("event_id", C.TEXT, "`<writer>-<generation>-<ordinal>`: unique for ever"),
    Column("kind", C.TEXT, f"one of {' '.join(KINDS)}"),
    Column("ts", C.TIME, "when the server received it, UTC"),
    Column("client_ts", C.TIME, "what the client's clock said; never used for order"),
    Column("writer", C.TEXT, "the process that wrote it: node id and number"),
    Column("generation", C.INT, "the journal file it was written to"),
    Column("ordinal", C.INT, "its place in that file, from 1"),
    Column("revision", C.TEXT, "prefix of the content hash that decided"),
    Column("decision_id", C.TEXT, "names one decision: what `seen` and conversions refer to"),
    Column("visitor", C.TEXT, "visitor id"),
    Column("unit", C.TEXT, "who is dealt to: the visitor, or in an experiment of companies a domain; null for nobody"),
    Column("visit", C.TEXT, "visit: views less than 30 minutes apart"),
    Column("page", C.TEXT, "key of the page asked for"),
    Column("row", C.TEXT, "row of its who-gets-what table; also for those held out"),
    Column("variant", C.TEXT, "variant shown; null is the original"),
    Column("icp", C.TEXT, "ICP, frozen in reports at the first exposure"),
    Column("persona", C.TEXT, "persona inside it"),
    Column("experiment", C.TEXT, "experiment of the row; null when the unit did not take part"),
    Column("phase", C.INT, "its phase: a new deal of the arms"),
    Column("weight_epoch", C.INT, "its weight epoch: a change that re-deals nobody"),
    Column("arm", C.TEXT, "arm dealt"),
    Column("sticky", C.FLAG, "whether the arm came from the cookie"),
    Column("sticky_arms", C.LIST, "the arms that the cookie carried, as `experiment:phase=arm`"),
    Column("propensity", C.NUMBER, "probability of what was shown, given the facts"),
    Column("holdout", C.TEXT, "`in`: held out, saw the original; `out`: personalized; null: nobody is held out"),
    Column("explored", C.FLAG, "served in spite of a negative ICP, to measure what turning away costs"),
    Column("fit", C.NUMBER, "fit score of the ICP"),
    Column("failed", C.LIST, "criteria of the ICP that the account fails"),
    Column("reasons", C.LIST, "why each step ended as it did"),
    Column("refused_reason", C.TEXT, "why an event was refused (kind `refused`)"),
    Column("not_counted", C.TEXT, "why the event is kept and never counted: bot, internal, …"),
    Column("goal", C.TEXT, "goal reached (conversion, lead, outcome)"),
    Column("value", C.INT, "its value in minor units of `currency`"),
    Column("currency", C.TEXT, "ISO 4217 code"),
    Column("conversion_id", C.TEXT, "sender's id; the same id counts once"),
    Column("lead_id", C.TEXT, "names the lead in the leads table"),
    Column("consent", C.TEXT, "privacy mode under which it was kept"),
)

_FACT_COLUMN = {
    FactType.TEXT: C.TEXT,
    FactType.NUMBER: C.NUMBER,
    FactType.RANGE: C.RANGE,
    FactType.FLAG: C.FLAG,
    FactType.LIST: C.LIST,
}

COLUMNS: tuple[Column, ...] = (
    _EVENT
    + tuple(
        Column(fact.column, _FACT_COLUMN[fact.type], f"fact `{fact.name}`: {fact.meaning}", fact.name)
        for fact in FACTS.values()
    )
    + (Column("custom", C.TEXT, 'custom facts, a JSON object, as `{"budget": 5000}`'),)
)

LEAD_COLUMNS: tuple[Column, ...] = (
    Column("day", C.DAY, "UTC day of `ts`; the table's partition"),
    Column("lead_id", C.TEXT, "names the lead; the `lead` event carries it too"),
    Column("ts", C.TIME, "when the form was received, UTC"),
    Column("writer", C.TEXT, "the process that wrote it"),
    Column("generation", C.INT, "the journal file it was written to"),
    Column("ordinal", C.INT, "its place in that file, from 1"),
    Column("visitor", C.TEXT, "visitor id"),
    Column("page", C.TEXT, "page of the form"),
    Column("form", C.TEXT, "key of the form"),
    Column("fields", C.TEXT, "what was typed, as a JSON object"),
    Column("consent_text", C.TEXT, "the consent wording shown beside the form"),
)
