"""Measures, ratios, causes and rules that a stranger's log lends itself to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from churnwatch.begin.columns import KEYWORDS, Column, key, literal, plain, slug, words
from churnwatch.begin.guesses import Guesses, is_counted, property_keys
from churnwatch.begin.known import PURCHASES, RETURNS
from churnwatch.begin.numbers import number_form

MOST_TYPES = 15
MOST_SUMS = 8
# columns of features and scores, and beginnings of their names
TAKEN = frozenset(
    " ".join(
        (
            "slot starts_session user_hash habit indicator",
            "events acts sessions bucket first_time last_time first_act last_act day user_id active_days tenure history",
            "hours bot first_day last_day month active_share longest_gap gap_ratio regularity rfm active_hours margin",
            "probability percentile tier previous_tier value value_cents value_at_risk_cents",
        )
    ).split()
)
DONE = {"done", "success", "complete", "completed", "confirmed", "purchase", "order", "buy", "paid", "transaction", "kauf"}
VIEWS = ("view", "visit", "page", "browse", "catalog", "product", "detail", "pv", "impression")
TROUBLES = ("error", "crash", "fail", "complain", "fault", "timeout", "slow", "bug", "help", "support", "ticket")


@dataclass(frozen=True)
class Kind:
    """A kind of event: how many, with an amount, with a duration."""

    name: str
    events: int
    amounts: int = 0
    durations: int = 0


@dataclass
class Measures:
    """What is proposed: measures (name -> keys and values), ratios, causes -> measures, comments that go beside."""

    measures: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, str] = field(default_factory=dict)
    engagement: list[str] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def plural(name: str) -> str:
    """The name of many, where it is one word: ``order`` is a word of SQL, ``orders`` is none."""
    if "_" in name or name.endswith("s") or not name.isalpha():
        return name
    if name.endswith(("ch", "sh", "x", "z")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else f"{name}s"


def is_purchase(kind: str) -> bool:
    """Whether events of the kind are purchases, by their name."""
    return not is_return(kind) and any(word in PURCHASES for word in _singular(kind))


def is_return(kind: str) -> bool:
    """Whether events of the kind take something back, by their name."""
    return any(word in key(kind) for word in map(key, RETURNS))


def proposed(kinds: Sequence[Kind], guesses: Mapping[str, Guesses]) -> Measures:
    """Counts per kind (the 15 most frequent), sums of money and time, distinct items, sums of counted columns.

    ``guesses``: by source name.
    """
    made = Measures()
    many = len(kinds) > 1
    for kind in kinds[:MOST_TYPES]:
        _count(made, kind, many)
    buys = [k.name for k in kinds if is_purchase(k.name) and k.amounts]
    takes = [k.name for k in kinds if is_return(k.name) and k.amounts]
    fields = {name for guess in guesses.values() for name in guess.fields}
    only: list[str] = []
    if "amount" in fields:
        others = [k.name for k in kinds if k.amounts and k.name not in takes]
        only = (buys or others) if len(buys or others) < sum(k.amounts > 0 for k in kinds) else []
        _sum(made, "spend_cents", "amount_cents", only, "spend, cents" if buys else "amounts, cents")
        made.money.append("spend_cents")
        if takes:
            name = _sum(made, "returned_cents", "amount_cents", takes, "given back, cents")
            made.returns.append(name)
    if "duration_s" in fields:
        made.engagement.append(_sum(made, "duration_ms", "duration_ms", [], "time, ms"))
    if "item_id" in fields:
        made.engagement.append(_distinct(made, "items", "item_id", "different items"))
    orders = [g.fields["session_id"].column for g in guesses.values() if "session_id" in g.fields]
    if any(column and _is_order(column) for column in orders):
        made.engagement.append(_distinct(made, "orders", "session_id", "different orders", only))
    for property_, column in _counted(guesses.values()).items():
        name = slug(column.name, "sum", {*TAKEN, *KEYWORDS, *made.measures})
        form = number_form(column)
        scale, unit = ("1", "") if form and form.whole else ("100", ", hundredths")
        of = f"properties[{literal(property_)}]"
        made.measures[name] = {"kind": "sum", "of": of, "scale": scale, "comment": f"sum of {column.name}{unit}"}
        made.engagement.append(name)
    _ratios(made, kinds)
    return made


def _count(made: Measures, kind: Kind, many: bool) -> None:
    if not many and kind.name == "event":
        return  # `events` counts them
    name = slug(plural(slug(kind.name, "type")), "type", {*TAKEN, *KEYWORDS, *made.measures})
    measure = {"kind": "count"} | ({"where": f"event_type = {literal(kind.name)}"} if many else {})
    made.measures[name] = measure | {"comment": f"{kind.name}, events"}
    made.notes[name] = f"{kind.events:,} events"
    if is_return(kind.name):
        made.returns.append(name)
    elif any(word.startswith(TROUBLES) for word in words(kind.name)):
        made.troubles.append(name)
    else:
        made.engagement.append(name)


def _sum(made: Measures, wanted: str, of: str, kinds: Sequence[str], comment: str) -> str:
    name = slug(wanted, "sum", {*TAKEN, *made.measures})
    made.measures[name] = {"kind": "sum", "of": of} | _of_kinds(kinds) | {"comment": comment}
    return name


def _distinct(made: Measures, wanted: str, of: str, comment: str, kinds: Sequence[str] = ()) -> str:
    name = slug(wanted, "distinct", {*TAKEN, *made.measures})
    made.measures[name] = {"kind": "distinct", "of": of} | _of_kinds(kinds) | {"comment": comment}
    return name


def _of_kinds(kinds: Sequence[str]) -> dict[str, str]:
    return {"where": f"event_type IN ({', '.join(map(literal, kinds))})"} if kinds else {}


def _is_order(column: Column) -> bool:
    return bool({"order", "invoice", "basket", "transaction", "receipt", "bill"} & set(words(column.name))) or key(
        column.name
    ).startswith(("order", "invoice", "transaction", "bestell", "rechnung", "beleg"))


def _counted(guesses: Iterable[Guesses]) -> dict[str, Column]:
    """Properties whose numbers mean something when they are added up, with their columns."""
    found: dict[str, Column] = {}
    for guess in guesses:
        keys = property_keys(guess.spare)
        for column in guess.spare:
            if is_counted(column) and len(found) < MOST_SUMS:
                found.setdefault(keys[column.name], column)
    return found


def _ratios(made: Measures, kinds: Sequence[Kind]) -> None:
    counts = {name: text["where"] for name, text in made.measures.items() if text["kind"] == "count" and "where" in text}
    by_kind = {
        kind.name: n for kind in kinds[:MOST_TYPES] for n, w in counts.items() if w == f"event_type = {literal(kind.name)}"
    }
    buys = {kind: n for kind, n in by_kind.items() if is_purchase(kind)}
    bought = next((n for kind, n in buys.items() if DONE & set(_singular(kind))), next(iter(buys.values()), None))
    seen = next((n for kind, n in by_kind.items() if any(w.startswith(VIEWS) for w in words(kind))), None)
    back = next((n for kind, n in by_kind.items() if is_return(kind)), None)
    if bought and seen and bought != seen:
        made.ratios[slug("conversion", "ratio", {*TAKEN, *made.measures})] = f"{bought} / {seen}"
    if bought and back:
        made.ratios[slug("return_rate", "ratio", {*TAKEN, *made.measures})] = f"{back} / {bought}"


def _singular(kind: str) -> list[str]:
    found = words(kind)
    return [*found, *(word.removesuffix("s") for word in found), key(plain(kind))]


def rules(made: Measures, churn_days: int, windows: Sequence[int], trend: int, counted: str = "events") -> list[dict[str, str]]:
    """A few rules to begin with: half-way into silence, fewer events than before, more taken back, the base stays away.

    ``counted``: the measure that counts acts.
    """
    longest, first = windows[-1], churn_days // 2 + 1
    found = []
    if churn_days >= 4:
        found.append(
            {
                "id": "half_way_silent",
                "title": "silent for more than half of the churn window",
                "when": f"{counted}_days_since BETWEEN {first} AND {churn_days - 1} AND active_days_{longest}d >= 2",
                "level": "orange",
                "cause": "engagement",
                "evidence": f"nothing for {{{counted}_days_since}} days, {{active_days_{longest}d}} active days in {longest}",
            }
        )
    found.append(
        {
            "id": f"{counted}_falling",
            "title": f"{counted} of {trend} days fell to a third",
            "when": f"{counted}_{2 * trend}d >= 6 AND {counted}_trend <= -0.5",
            "level": "yellow",
            "cause": "engagement",
            "evidence": f"{{{counted}_{trend}d}} {counted} in {trend} days, {{{counted}_{2 * trend}d}} in {2 * trend}",
        }
    )
    for cause, names in (("returns", made.returns), ("quality", made.troubles)):
        counts = [name for name in names if made.measures[name]["kind"] == "count"]
        if counts:
            name = counts[0]
            found.append(
                {
                    "id": f"{name}_rising"[:60],
                    "title": f"more {made.measures[name]['comment'].removesuffix(', events')} than before",
                    "when": f"{name}_{trend}d >= 2 AND {name}_trend > 0",
                    "level": "yellow",
                    "cause": cause,
                    "evidence": f"{{{name}_{trend}d}} in {trend} days, {{{name}_{2 * trend}d}} in {2 * trend}",
                }
            )
    found.append(
        {
            "id": "base_stays_away",
            "title": "fewer users come back than usual",
            "scope": "base",
            "when": "high < share_usual - 0.05",
            "level": "orange",
            "cause": "sudden",
            "evidence": "{came_back} of {active} came back: {share}, at most {high}; usual is {share_usual}",
        }
    )
    return found
