"""What rules may speak of: columns by scope and type; rules that are off; faults of rules and tiers."""

import re
from datetime import date

import sqlglot
from sqlglot import expressions as exp

from churnwatch.settings.faults import Found, KeyPath, condition_faults, known_name
from churnwatch.settings.names import feature_names, text_names
from churnwatch.settings.owners import Route
from churnwatch.settings.root import Settings
from churnwatch.settings.rules import Rule

SCORE_COLUMNS = {
    "margin": "double",
    "probability": "double",
    "percentile": "double",
    "tier": "string",
    "previous_tier": "string",
    "value_cents": "bigint",
    "value_at_risk_cents": "bigint",
}
TREND_COLUMNS = {
    "segment": "string",
    "value": "string",
    "active": "bigint",
    "came_back": "bigint",
    "share": "double",
    "low": "double",
    "high": "double",
    "share_usual": "double",
    "rate_primary": "double",
}
# of the detector of sudden falls, see activity.falls
FALL_COLUMNS = {"expected_share": "double", "fall_z": "double", "fall_p": "double", "fall_because": "string"}
OWN_COLUMNS = {"user_id": "string", "registered_on": "date", "changed_at": "timestamp"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def rule_columns(scope: str, settings: Settings) -> dict[str, str]:
    """Columns that rules of ``scope`` may name, with their SQL types.

    Of users: features, scores, attributes, the day, and every indicator of the whole base as ``<indicator>_base``. Of groups
    and the base: the day's row of activity_trend, what is usual, what the detector of sudden falls finds, every indicator by
    its name, with ``<name>_usual``, and the series of the market as features have them.
    """
    if scope != "user":
        indicators = [name for one in settings.measures.indicators for name in (one, usual_column(one))]
        return TREND_COLUMNS | FALL_COLUMNS | dict.fromkeys([*indicators, *market_columns(settings)], "double")
    attributes = list(settings.sources.users.map) if settings.sources.users else []
    return (
        {name: OWN_COLUMNS.get(name, "string") for name in attributes}
        | SCORE_COLUMNS
        | dict.fromkeys(text_names(settings), "string")
        | dict.fromkeys(feature_names(settings), "double")
        | dict.fromkeys(map(base_column, settings.measures.indicators), "double")
        | {"day": "date"}
    )


def usual_column(indicator: str) -> str:
    """Column that group rules may name: what is usual of ``indicator``."""
    return f"{indicator}_usual"


def base_column(indicator: str) -> str:
    """Column that user rules may name: the indicator of the whole base."""
    return f"{indicator}_base"


def absent_columns(rule: Rule, settings: Settings) -> list[str]:
    """Columns that ``rule`` needs and that this configuration does not have: with one the rule is off.

    What its texts tell of a user counts as needed where some rule or route says that not every operator has it.
    """
    known = rule_columns(rule.scope, settings)
    told = PLACEHOLDER.findall(f"{rule.evidence}{rule.owner or ''}") if rule.scope == "user" else []
    optional = {name for other in settings.rules.rules for name in other.needs}
    optional |= {name for route in settings.owners.routing for name in route.needs}
    asked = dict.fromkeys([*rule.needs, *(name for name in told if name in optional)])
    return [name for name in asked if name not in known]


def absent_of_route(route: Route, settings: Settings) -> list[str]:
    """Columns that ``route`` needs and that this configuration does not have: with one the route is off."""
    known = rule_columns("user", settings)
    return [name for name in route.needs if name not in known]


def routes_on(settings: Settings) -> list[Route]:
    """Routes of owners.yaml whose columns are there, in order."""
    return [route for route in settings.owners.routing if not absent_of_route(route, settings)]


def rules_on(day: date, settings: Settings) -> list[Rule]:
    """Rules in force on ``day`` whose columns are there, in order."""
    return [rule for rule in settings.rules.rules if rule.valid_on(day) and not absent_columns(rule, settings)]


def named_columns(rule: Rule) -> set[str]:
    """Every column that the rule names: in its condition, its evidence and its owner."""
    return columns_of(rule.when) | set(PLACEHOLDER.findall(f"{rule.evidence}{rule.owner or ''}"))


def routed_by(settings: Settings) -> set[str]:
    """Every column that the routes of owners.yaml which are on name."""
    return {name for route in routes_on(settings) for name in named_by_route(route)}


def named_by_route(route: Route) -> set[str]:
    """Every column that the route names: in its condition, and the attribute that names the owner."""
    return (columns_of(route.when) if route.when else set()) | ({route.attribute} if route.attribute else set())


def columns_of(text: str) -> set[str]:
    """Columns that an SQL expression names.

    >>> sorted(columns_of("orders_7d > 2 AND plan = 'x'"))
    ['orders_7d', 'plan']
    """
    tree = sqlglot.parse_one(f"SELECT {text}", dialect="spark")
    return {column.parts[0].name for column in tree.find_all(exp.Column)}


def watches_falls(settings: Settings) -> bool:
    """Whether a rule of groups or the base speaks of sudden falls: the detector runs for no other reason."""
    return any(rule.scope != "user" and named_columns(rule) & set(FALL_COLUMNS) for rule in settings.rules.rules)


def market_columns(settings: Settings) -> list[str]:
    """Features of ``context``, and how they changed: the same of all users of a scope."""
    series = settings.measures.context
    return [name for one in series for name in ((one, f"{one}_change") if series[one].change_days else (one,))]


def market_asked(settings: Settings) -> list[str]:
    """Features of ``context`` that a rule of groups or the base speaks of: the series are read for no other reason."""
    named = {name for rule in settings.rules.rules if rule.scope != "user" for name in named_columns(rule)}
    return [name for name in market_columns(settings) if name in named]


def base_indicators(settings: Settings) -> list[str]:
    """Indicators of the base that rules of users speak of: others are not looked up."""
    named = {name for rule in settings.rules.rules if rule.scope == "user" for name in named_columns(rule)}
    return [one for one in settings.measures.indicators if base_column(one) in named]


def rule_faults(settings: Settings) -> Found:
    """Faults of rules.yaml, with the key's path."""
    levels = [level.name for level in settings.tiers.levels]
    for index, rule in enumerate(settings.rules.rules):
        path: KeyPath = ("rules", "rules", index)
        absent = absent_columns(rule, settings)
        columns = rule_columns(rule.scope, settings) | dict.fromkeys(absent, "string")
        faults = list(condition_faults((*path, "when"), rule.when, columns))
        yield from faults
        for key in ("evidence", "owner"):
            for name in PLACEHOLDER.findall(getattr(rule, key) or ""):
                # evidence goes into messages, which never hold a raw user id
                yield from known_name((*path, key), "placeholder", name, [c for c in columns if c != "user_id"])
        if not faults and (idle := sorted(set(absent) - named_columns(rule))):
            yield (*path, "needs"), f"columns that the rule does not name, and that are not there: {', '.join(idle)}"
        yield from known_name((*path, "cause"), "cause", rule.cause, settings.causes.causes)
        yield from known_name((*path, "level"), "level", rule.level, levels)


def route_faults(settings: Settings) -> Found:
    """Faults of the routes of owners.yaml, with the key's path."""
    attributes = list(settings.sources.users.map) if settings.sources.users else []
    for index, route in enumerate(settings.owners.routing):
        path: KeyPath = ("owners", "routing", index)
        absent = absent_of_route(route, settings)
        columns = rule_columns("user", settings) | dict.fromkeys(absent, "string")
        faults = list(condition_faults((*path, "when"), route.when, columns)) if route.when else []
        yield from faults
        if route.attribute:
            known = [name for name in (*attributes, *absent) if name not in OWN_COLUMNS]
            yield from known_name((*path, "attribute"), "attribute", route.attribute, known)
        if not faults and (idle := sorted(set(absent) - named_by_route(route))):
            yield (*path, "needs"), f"columns that the route does not name, and that are not there: {', '.join(idle)}"


def tier_faults(settings: Settings) -> Found:
    """Faults of tiers.yaml that need other files, with the key's path."""
    if by := settings.tiers.by:
        yield from known_name(("tiers", "by"), "segment", by, settings.measures.segments)
