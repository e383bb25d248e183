"""Checks across keys and files: names that must exist, expressions that must parse."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import expressions as exp

from churnwatch.settings.attributes import PREFIX
from churnwatch.settings.faults import Found, KeyPath, fraction_faults, known_name, nearest, sql_faults
from churnwatch.settings.measures import VALUED
from churnwatch.settings.names import (
    base_measures,
    category_columns,
    feature_names,
    features_with_measure,
    last_day_column,
    measure_names,
    summed_measures,
    text_names,
)
from churnwatch.settings.root import Settings
from churnwatch.settings.rule_columns import PLACEHOLDER, TREND_COLUMNS, route_faults, rule_faults, tier_faults
from churnwatch.settings.sources import Source, lossy_options
from churnwatch.settings.terms import ALL, BASE_SCOPE, COHORT, TENURE

EVENT_COLUMNS = {
    "day": "date",
    "event_id": "string",
    "user_id": "string",
    "event_time": "timestamp",
    "event_type": "string",
    "amount_cents": "bigint",
    "duration_ms": "bigint",
    "item_id": "string",
    "session_id": "string",
    "channel": "string",
    "properties": "map<string, string>",
    "source": "string",
}

SCALE_HINT = "cast it to bigint where it is whole, or set scale, such as 1000 for kilobytes of megabytes"


@dataclass(frozen=True)
class Fault:
    """A fault of the configuration, and its file and line."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def cross_faults(settings: Settings) -> list[tuple[KeyPath, str]]:
    """Faults that concern several keys or files, with the path of the key to change."""
    return [
        *_spark_faults(settings),
        *_source_faults(settings),
        *_measure_faults(settings),
        *_indicator_faults(settings),
        *_signal_faults(settings),
        *_definition_faults(settings),
        *rule_faults(settings),
        *tier_faults(settings),
        *_cause_faults(settings),
        *route_faults(settings),
        *_destination_faults(settings),
        *_offer_faults(settings),
        *_experiment_faults(settings),
    ]


def _spark_faults(settings: Settings) -> Found:
    for text in lossy_options({name: value for name, value in settings.spark.items() if name.startswith("spark.sql.files.")}):
        name = text.partition(":")[0]
        yield ("spark", name), f"{text} would leave out rows of damaged or vanished files without a word. Hint: remove it"


def _source_faults(settings: Settings) -> Found:
    sources = settings.sources
    groups: list[tuple[str, int | None, Source]] = [("events", i, s) for i, s in enumerate(sources.events)]
    for kind in ("users", "consents", "context"):
        if source := getattr(sources, kind):
            groups.append((kind, None, source))
    for kind, index, source in groups:
        path: KeyPath = ("sources", kind) if index is None else ("sources", kind, index)
        for field, text in source.map.items():
            yield from sql_faults((*path, "map", field), text, None)
        if kind == "events" and "currency" in source.map and settings.money.currency is None:
            yield (*path, "map", "currency"), "needs the domain's own currency. Hint: a file money.yaml with `currency: EUR`"
        if source.where:
            yield from sql_faults((*path, "where"), source.where, None)
    names: list[str] = []
    for kind, index, source in groups:
        path = ("sources", kind, "name") if index is None else ("sources", kind, index, "name")
        if source.name in names:
            yield path, f"source name {source.name!r} is given twice. Hint: give each source a name of its own"
        names.append(source.name)
    required = {
        "users": ["user_id"],
        "consents": ["user_id", "channel", "purpose", "granted"],
        "context": ["day", "scope", "name", "value"],
    }
    for kind, fields in required.items():
        source = getattr(sources, kind)
        if source and (missing := [f for f in fields if f not in source.map]):
            yield ("sources", kind, "map"), f"map lacks {', '.join(missing)}"


def _measure_faults(settings: Settings) -> Found:
    m = settings.measures
    reserved = {
        "events",
        "acts",
        "sessions",
        "bucket",
        "slot",
        "starts_session",
        "user_hash",
        "first_time",
        "last_time",
        "first_act",
        "last_act",
        "hours",
        "bot",
        "day",
        "user_id",
        "active_days",
        "active_hours",
        "active_share",
        "habit",
        "first_day",
        "last_day",
        "tenure",
        "history",
    } | {last_day_column(name) for name in m.measures}
    for name, measure in m.measures.items():
        path: KeyPath = ("measures", "measures", name)
        if name in reserved or name.startswith(("def_", "active_def_", PREFIX)):
            yield path, f"measure name {name!r} is reserved. Hint: choose another name"
        faults = [
            fault
            for key in ("of", "where")
            if (text := getattr(measure, key))
            for fault in sql_faults((*path, key), text, EVENT_COLUMNS)
        ]
        yield from faults
        if not faults and measure.of and measure.kind in VALUED and measure.scale is None:
            yield from fraction_faults((*path, "of"), measure.of, EVENT_COLUMNS, SCALE_HINT)
    known = [*base_measures(settings), *measure_names(settings)]
    for name, text in m.ratios.items():
        if name in known:
            yield ("measures", "ratios", name), f"ratio {name!r} has the name of a measure. Hint: choose another name"
        yield from sql_faults(("measures", "ratios", name), text, [*known, "active_days"])
    if (types := _event_types(settings)) is not None:
        for index, name in enumerate(m.acts or []):
            yield from known_name(("measures", "acts", index), "event type", name, types)
    attributes = _attributes(settings)
    for index, name in enumerate(m.segments):
        if name in (ALL, TENURE, COHORT, BASE_SCOPE):
            yield (
                ("measures", "segments", index),
                f"segment name {name!r} is reserved. Hint: map the attribute under another name in sources.yaml",
            )
        yield from known_name(("measures", "segments", index), "segment", name, attributes)
    for name in m.attributes:
        yield from known_name(("measures", "attributes", name), "attribute", name, attributes)
    for index, name in enumerate(m.sensitive_allowed):
        yield from known_name(("measures", "sensitive_allowed", index), "attribute", name, m.attributes)
    yield from sql_faults(("model", "value"), settings.model.value, feature_names(settings))


def _indicator_faults(settings: Settings) -> Found:
    known = [*summed_measures(settings), "active_days"]
    for name, indicator in settings.measures.indicators.items():
        for key in ("of", "per"):
            path: KeyPath = ("measures", "indicators", name, key)
            faults = list(sql_faults(path, text := getattr(indicator, key), known))
            yield from faults
            if not faults and sqlglot.parse_one(text, dialect="spark").find(exp.Div, exp.IntDiv, exp.Mod):
                yield path, f"{text!r} divides. Hint: put the divisor into the key per"
            elif not faults:
                hint = f"multiply {'per' if key == 'of' else 'of'} by a whole number instead"
                yield from fraction_faults(path, text, dict.fromkeys(known, "bigint"), hint)


def _signal_faults(settings: Settings) -> Found:
    m = settings.measures
    summed, measures = summed_measures(settings), [*base_measures(settings), *measure_names(settings)]
    seen = [name for name in measures if name != "sessions"]
    lists = {
        "slopes": (m.slopes or [], "summed measure", summed),
        "rates": (m.rates, "summed measure", summed),
        "shifts": (m.shifts, "distinct measure", [name for name, one in m.measures.items() if one.kind == "distinct"]),
        "months_of": (m.months_of, "measure", measures),
    }
    for key, (names, what, known) in lists.items():
        for index, name in enumerate(names):
            yield from known_name(("measures", key, index), what, name, known)
    if m.rfm:
        for part, known in (("recency", seen), ("frequency", measures), ("monetary", measures)):
            yield from known_name(("measures", "rfm", part), "measure", getattr(m.rfm, part), known)
    for name, series in m.context.items():
        yield from known_name(("measures", "context", name, "scope"), "scope", series.scope, [BASE_SCOPE, *m.segments])
        if name in TREND_COLUMNS or name in m.indicators:
            yield (
                ("measures", "context", name),
                f"{name!r} is already a column that rules of groups may name. Hint: choose another name",
            )
    if m.context and not settings.sources.context:
        yield (
            ("measures", "context"),
            "no source of context is configured. Hint: add context to sources.yaml, or remove these features",
        )
    columns = feature_names(settings) + text_names(settings)
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        key = "context" if name.removesuffix("_change") in m.context else "measures"
        yield ("measures", key), f"two features would be named {name!r}. Hint: rename one of the measures"


def _definition_faults(settings: Settings) -> Found:
    types = _event_types(settings)
    attributes = _attributes(settings)
    for name, definition in settings.churn.definitions.items():
        path: KeyPath = ("churn", "definitions", name)
        for key in ("events", "renewed_by", "active_events"):
            named = getattr(definition, key)
            for index, event_type in enumerate(named if isinstance(named, list) else []):
                if types is not None:
                    yield from known_name((*path, key, index), "event type", event_type, types)
        users = settings.sources.users
        if definition.takes_registered and not (users and "registered_on" in users.map):
            yield (
                (*path, "active_events"),
                "no source says when users registered. Hint: map registered_on of users in sources.yaml",
            )
        if definition.measure:
            yield from known_name((*path, "measure"), "summed measure", definition.measure, summed_measures(settings))
        if definition.attribute:
            yield from known_name((*path, "attribute"), "attribute", definition.attribute, attributes)
    for number, rule in enumerate(settings.churn.losses):
        here: KeyPath = ("churn", "losses", number)
        if rule.attribute:
            yield from known_name((*here, "attribute"), "attribute", rule.attribute, attributes)
        for index, cause in enumerate(rule.causes):
            yield from known_name((*here, "causes", index), "cause", cause, settings.causes.causes)


def _attributes(settings: Settings) -> list[str]:
    users = settings.sources.users
    return [k for k in users.map if k not in ("user_id", "registered_on", "changed_at")] if users else []


def _event_types(settings: Settings) -> list[str] | None:
    lists = [source.event_types for source in settings.sources.events]
    return None if None in lists else sorted({t for types in lists for t in types or []})


def _cause_faults(settings: Settings) -> Found:
    known = dict.fromkeys([*(measure for _, measure in features_with_measure(settings)), *category_columns(settings)])
    summed, causes = summed_measures(settings), settings.causes
    for name, cause in causes.causes.items():
        for index, measure in enumerate(cause.measures):
            yield from known_name(("causes", "causes", name, "measures", index), "measure", measure, known)
        for index, measure in enumerate(cause.symptoms):
            if measure in known:
                yield from known_name(("causes", "causes", name, "symptoms", index), "summed measure", measure, summed)
    for index, days in enumerate(causes.windows_days or []):
        if days not in settings.measures.windows_days:
            windows = ", ".join(map(str, settings.measures.windows_days))
            yield (
                ("causes", "windows_days", index),
                f"{days} is none of windows_days in measures.yaml: {windows}. Hint: take one of these",
            )


def _destination_faults(settings: Settings) -> Found:
    """Receivers and channels without a destination. Owners whom an attribute names are only known when a message is sent."""
    if settings.sending.kind != "network":
        return
    known, own = settings.sending.destinations, settings.owners.destinations
    for name, destination in own.items():
        yield from known_name(("owners", "owners", name, "destination"), "destination", destination, known)
    settled = {*known, *own}
    for path, name in _owners_by_name(settings):
        if name not in settled:
            yield (
                path,
                f"owner {name!r} has no destination in sending.destinations: nobody gets the messages{nearest(name, known)}",
            )
        settled.add(name)
    if operators := settings.sending.operators:
        yield from known_name(("sending", "operators"), "destination", operators, known)
    for c, campaign in enumerate(settings.offers.campaigns):
        for o, offer in enumerate(campaign.offers):
            if offer.channel not in settings.sending.gateways:
                yield (
                    ("offers", "campaigns", c, "offers", o, "channel"),
                    f"channel {offer.channel!r} has no gateway: nobody would send the offer. "
                    f"Hint: sending.gateways: {{{offer.channel}: DESTINATION}} names a destination of kind json",
                )


def _owners_by_name(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Every owner that the configuration names, with the path of the key."""
    owners = settings.owners
    for name, owner in owners.owners.items():
        yield ("owners", "owners", name), name
        if owner.superior:
            yield ("owners", "owners", name, "superior"), owner.superior
    if owners.superior_of_others:
        yield ("owners", "superior_of_others"), owners.superior_of_others
    for index, route in enumerate(owners.routing):
        if route.owner:
            yield ("owners", "routing", index), route.owner
    if owners.groups:
        yield ("owners", "groups"), owners.groups
    for index, level in enumerate(settings.tiers.levels):
        yield ("tiers", "levels", index), level.owner
    for index, rule in enumerate(settings.rules.rules):
        if rule.owner and not PLACEHOLDER.search(rule.owner):
            yield ("rules", "rules", index), rule.owner


def _offer_faults(settings: Settings) -> Found:
    tiers = [tier.name for tier in settings.tiers.tiers]
    for c, campaign in enumerate(settings.offers.campaigns):
        path: KeyPath = ("offers", "campaigns", c)
        for t, tier in enumerate(campaign.tiers):
            yield from known_name((*path, "tiers", t), "tier", tier, tiers)
        for o, offer in enumerate(campaign.offers):
            for k, cause in enumerate(offer.causes):
                yield from known_name((*path, "offers", o, "causes", k), "cause", cause, settings.causes.causes)
    if zone := settings.offers.time_zone_attribute:
        yield from known_name(("offers", "time_zone_attribute"), "attribute", zone, _attributes(settings))
    for name, outcome in settings.offers.outcomes.items():
        here: KeyPath = ("offers", "outcomes", name)
        if outcome.label:
            yield from known_name((*here, "label"), "definition", outcome.label, ["primary", *settings.churn.definitions])
        if outcome.measure:
            yield from known_name((*here, "measure"), "summed measure", outcome.measure, summed_measures(settings))
    yield from _maturity_faults(settings)


def _maturity_faults(settings: Settings) -> Found:
    if not settings.offers.campaigns:
        return
    known = {"primary", None, *settings.churn.definitions}
    lags = {n: settings.outcome_lag_days(o) for n, o in settings.offers.outcomes.items() if o.label in known}
    view = settings.offers.campaign_max_days
    for name, lag in lags.items():
        if lag > view:
            yield (
                ("offers", "outcomes", name),
                f"outcome {name!r} is known after {lag} days, campaign_max_days is {view}. Hint: raise campaign_max_days",
            )
    for index, campaign in enumerate(settings.offers.campaigns):
        if campaign.from_day and campaign.until_day and lags:
            needed = (campaign.until_day - campaign.from_day).days + max(lags.values())
            if needed > view:
                text = f"from_day to the read-out are {needed} days, campaign_max_days is {view}. Hint: raise campaign_max_days"
                yield ("offers", "campaigns", index, "until_day"), text


def _experiment_faults(settings: Settings) -> Found:
    for name, experiment in settings.experiments.items():
        path: KeyPath = ("experiments", name)
        for field, text in experiment.source.map.items():
            yield from sql_faults((*path, "source", "map", field), text, None)
        if experiment.source.where:
            yield from sql_faults((*path, "source", "where"), experiment.source.where, None)
        for key in ("outcomes", "covariates"):
            for field, text in getattr(experiment, key).items():
                yield from sql_faults((*path, key, field), text, None)
