"""Columns that rules may name, by scope; rules that are off; faults of rules, routes and tiers."""

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
# results of the detector of sudden falls, see activity.falls
FALL_COLUMNS = {"expected_share": "double", "fall_z": "double", "fall_p": "double", "fall_because": "string"}
OWN_COLUMNS = {"user_id": "string", "registered_on": "date", "changed_at": "timestamp"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def rule_columns(scope: str, settings: Settings) -> dict[str, str]:
    """Columns that rules of ``scope`` may name, with their SQL types.

    Scope user: features, scores, attributes, the day, and each indicator of all users as ``<indicator>_base``. Scopes group
    and base: the day's row of activity_trend with its usual share, the results of the detector of sudden falls, each
    indicator with ``<indicator>_usual``, and features of context series.
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
    """Column that rules of groups may name: the usual value of ``indicator``."""
    return f"{indicator}_usual"


def base_column(indicator: str) -> str:
    """Column that rules of users may name: the indicator of all users."""
    return f"{indicator}_base"


def absent_columns(rule: Rule, settings: Settings) -> list[str]:
    """Columns that ``rule`` needs and this configuration lacks; with one of them the rule is off.

    It needs those of its key ``needs``. It also needs a placeholder of its texts that any rule or route lists in ``needs``.
    """
    known = rule_columns(rule.scope, settings)
    told = PLACEHOLDER.findall(f"{rule.evidence}{rule.owner or ''}") if rule.scope == "user" else []
    optional = {name for other in settings.rules.rules for name in other.needs}
    optional |= {name for route in settings.owners.routing for name in route.needs}
    asked = dict.fromkeys([*rule.needs, *(name for name in told if name in optional)])
    return [name for name in asked if name not in known]


def absent_of_route(route: Route, settings: Settings) -> list[str]:
    """Columns that ``route`` needs and this configuration lacks; with one of them the route is off."""
    known = rule_columns("user", settings)
    return [name for name in route.needs if name not in known]


def routes_on(settings: Settings) -> list[Route]:
    """Routes of owners.yaml that are on, in order."""
    return [route for route in settings.owners.routing if not absent_of_route(route, settings)]


def rules_on(day: date, settings: Settings) -> list[Rule]:
    """Rules that are on and in force on ``day``, in order."""
    return [rule for rule in settings.rules.rules if rule.valid_on(day) and not absent_columns(rule, settings)]


def named_columns(rule: Rule) -> set[str]:
    """Columns in the rule's condition, evidence and owner."""
    return columns_of(rule.when) | set(PLACEHOLDER.findall(f"{rule.evidence}{rule.owner or ''}"))


def routed_by(settings: Settings) -> set[str]:
    """Columns that the routes of owners.yaml name, of those that are on."""
    return {name for route in routes_on(settings) for name in named_by_route(route)}


def named_by_route(route: Route) -> set[str]:
    """Columns in the route's condition, and its attribute."""
    return (columns_of(route.when) if route.when else set()) | ({route.attribute} if route.attribute else set())


def columns_of(text: str) -> set[str]:
    """Columns in an SQL expression.

    >>> sorted(columns_of("orders_7d > 2 AND plan = 'x'"))
    ['orders_7d', 'plan']
    """
    tree = sqlglot.parse_one(f"SELECT {text}", dialect="spark")
    return {column.parts[0].name for column in tree.find_all(exp.Column)}


def watches_falls(settings: Settings) -> bool:
    """Whether a rule of groups or the base names a result of the detector of sudden falls; else it does not run."""
    return any(rule.scope != "user" and named_columns(rule) & set(FALL_COLUMNS) for rule in settings.rules.rules)


def market_columns(settings: Settings) -> list[str]:
    """Features of context series: the value, and the change where there is one."""
    series = settings.measures.context
    return [name for one in series for name in ((one, f"{one}_change") if series[one].change_days else (one,))]


def market_asked(settings: Settings) -> list[str]:
    """Features of context series that a rule of groups or the base names; others are not read for these rules."""
    named = {name for rule in settings.rules.rules if rule.scope != "user" for name in named_columns(rule)}
    return [name for name in market_columns(settings) if name in named]


def base_indicators(settings: Settings) -> list[str]:
    """Indicators of all users that rules of users name; others are not looked up."""
    named = {name for rule in settings.rules.rules if rule.scope == "user" for name in named_columns(rule)}
    return [one for one in settings.measures.indicators if base_column(one) in named]


def rule_faults(settings: Settings) -> Found:
    """Yield faults of rules.yaml, with the path of the key."""
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
            yield (
                (*path, "needs"),
                f"columns that the rule does not use and that do not exist: {', '.join(idle)}. Hint: remove them from needs",
            )
        yield from known_name((*path, "cause"), "cause", rule.cause, settings.causes.causes)
        yield from known_name((*path, "level"), "level", rule.level, levels)
        if rule.definition is not None:
            yield from known_name((*path, "definition"), "definition", rule.definition, settings.churn.definitions)


def route_faults(settings: Settings) -> Found:
    """Yield faults of the routes of owners.yaml, with the path of the key."""
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
            yield (
                (*path, "needs"),
                f"columns that the route does not use and that do not exist: {', '.join(idle)}. Hint: remove them from needs",
            )


def tier_faults(settings: Settings) -> Found:
    """Yield faults of tiers.yaml that concern other files, with the path of the key."""
    if by := settings.tiers.by:
        yield from known_name(("tiers", "by"), "segment", by, settings.measures.segments)
