"""The page's first screen, and its sections on changes since yesterday and on users at risk."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from churnwatch.reports.page.blocks import Block, Card, Column, Note, Section, Table, badge, bar, lines
from churnwatch.reports.page.facts import PageFacts, Rows, at_risk_tiers
from churnwatch.reports.page.words import (
    NONE,
    at_least,
    cause_title,
    day_text,
    evidence_texts,
    money,
    percent,
    plural,
    reason_texts,
    rule_title,
    signed,
    whole,
)
from churnwatch.settings import Settings
from churnwatch.settings.feature_words import measure_title
from churnwatch.settings.terms import (
    ALL,
    CONTROL,
    GLOBAL_CONTROL,
    LEAST_IMPROVEMENT,
    LEVELS,
    MODEL,
    OFFER,
    REFUSED,
    SKIPPED,
    UNKNOWN,
)

FIRST_USERS = 8  # further ones are folded away
ID_DIGITS = 12  # of the keyed hash: enough to find a user again, short enough to read
ARMS = {OFFER: "gets the offer", CONTROL: "held out (campaign)", GLOBAL_CONTROL: "held out (everywhere)"}


def users_of(rows: Rows, day: date, tiers: Sequence[str] | None = None) -> int:
    """Scored users of ``day``, of ``tiers`` or of all."""
    return sum(r["users"] for r in rows if r["day"] == day and (tiers is None or r["tier"] in tiers))


def headline(facts: PageFacts, settings: Settings) -> str:
    """One sentence made of the day's numbers."""
    day, risky = facts.day, at_risk_tiers(settings)
    total, at_risk = users_of(facts.tiers, day), users_of(facts.tiers, day, risky)
    if not total:
        warned = facts.warned_users[0]["users"] if facts.warned_users else 0
        rules = f" Rules warned of {plural(warned, 'user')}." if warned else ""
        return f"Nobody was scored on {day_text(day)}: {no_scores_because(facts)}.{rules}"
    cents = _at_risk_cents(facts, day, risky)
    value = f", with {money(cents, settings)} of value at stake" if cents else ""
    before = users_of(facts.tiers, day - timedelta(days=1), risky)
    change = f", {_against(at_risk - before)} the day before" if users_of(facts.tiers, day - timedelta(days=1)) else ""
    cause = _main_cause(facts, settings)
    why = f" The cause named most: {cause}." if cause else ""
    return f"{whole(at_risk)} of {whole(total)} scored users ({percent(at_risk / total)}) are at risk{change}{value}.{why}"


def _against(change: int) -> str:
    if not change:
        return "as many as"
    return f"{whole(abs(change))} {'more' if change > 0 else 'fewer'} than"


def no_scores_because(facts: PageFacts) -> str:
    """Why there are no scores: the message of score_users or train_model, or a plain sentence without one."""
    for job in ("score_users", "train_model"):
        said = [r for r in facts.runs if r["job"] == job and r["day"] == facts.day and r["status"] in (SKIPPED, REFUSED)]
        if said and said[-1]["message"]:
            return str(said[-1]["message"]).rstrip(".")
    return "scores begin on the day after the first model is released"


def cards(facts: PageFacts, settings: Settings) -> list[Card]:
    """The numbers of the first screen."""
    day, risky = facts.day, at_risk_tiers(settings)
    yesterday = day - timedelta(days=1)
    total, at_risk = users_of(facts.tiers, day), users_of(facts.tiers, day, risky)
    scored_before = users_of(facts.tiers, yesterday)
    came_up = sum(r["users"] for r in facts.tiers if r["day"] == day and r["tier"] in risky and r["previous_tier"] not in risky)
    went_down = sum(r["users"] for r in facts.tiers if r["day"] == day and r["tier"] not in risky and r["previous_tier"] in risky)
    change = at_risk - users_of(facts.tiers, yesterday, risky)
    made = [
        Card(
            "Users scored",
            whole(total) if total else NONE,
            f"{signed(total - scored_before)} since yesterday" if scored_before else "",
        ),
        Card(
            "At risk",
            whole(at_risk) if total else NONE,
            f"{percent(at_risk / total)} of scored" + (f", {signed(change)} since yesterday" if scored_before else "")
            if total
            else "",
            "alarm" if at_risk else "",
        ),
        Card(
            "Value at risk",
            money(_at_risk_cents(facts, day, risky), settings) if total else NONE,
            "risk × worth of users at risk, currency of the source" if total else "",
        ),
        Card("Newly at risk", whole(came_up) if total else NONE, f"{whole(went_down)} left the tiers at risk" if total else ""),
    ]
    warned = facts.warned_users[0] if facts.warned_users else {"users": 0, "new": 0}
    made.append(
        Card("Users warned", whole(warned["users"]), f"today, {whole(warned['new'])} of them for the first time in 7 days")
    )
    base = [r for r in facts.trend if r["segment"] == ALL and r["share"] is not None]
    if base:
        last = max(base, key=lambda r: r["day"])
        made.append(Card("Came back", percent(last["share"]), f"this week, of {plural(last['active'], 'user')} active last week"))
    return made


def changes_section(facts: PageFacts, settings: Settings) -> Section:
    """What changed since yesterday: tiers, new warnings, planned actions."""
    blocks: list[Block] = [_tier_table(facts, settings)] if users_of(facts.tiers, facts.day) else []
    blocks += (
        [_warning_table(facts, settings)] if facts.warnings else [Note("No warning was raised in the last 7 days.", "empty")]
    )
    if facts.group_warnings:
        blocks.append(_group_table(facts, settings))
    blocks += _action_blocks(facts, settings)
    total = sum(r["raised"] for r in facts.warnings if r["day"] == facts.day)
    before = sum(r["raised"] for r in facts.warnings if r["day"] == facts.day - timedelta(days=1))
    lede = f"{plural(total, 'warning')} today, {whole(before)} the day before."
    return Section("changes", "What changed since yesterday", lede, blocks, "Changes")


def people_section(facts: PageFacts, settings: Settings, names: Mapping[str, str]) -> Section:
    """Who is at risk and why: causes by tier, and the users with the most value at risk; ``names``: keyed hashes."""
    if not users_of(facts.tiers, facts.day):
        text = f"There is no list yet: {no_scores_because(facts)}."
        return Section("people", "Who is at risk, and why", "", [Note(text, "empty")], "Who and why")
    blocks: list[Block] = [*_cause_blocks(facts, settings)]
    if facts.top_users:
        blocks += _user_tables(facts, settings, names)
    lede = (
        "A cause is named where a rule says so, or where its symptoms lie far above what is usual for so much use; else the "
        "general one. Reasons are what moved the score most: associations that the model found, no proof."
    )
    return Section("people", "Who is at risk, and why", lede, blocks, "Who and why")


def _at_risk_cents(facts: PageFacts, day: date, risky: Sequence[str]) -> int:
    return sum(r["at_risk_cents"] or 0 for r in facts.tiers if r["day"] == day and r["tier"] in risky)


def _main_cause(facts: PageFacts, settings: Settings) -> str | None:
    users = _by_cause(facts)
    known = {cause: n for cause, (n, _) in users.items() if cause != UNKNOWN and n >= settings.privacy.min_group_size}
    return cause_title(min(known, key=lambda c: (-known[c], c)), settings) if known else None


def _by_cause(facts: PageFacts) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for row in facts.risk_causes:
        users, cents = sums.get(row["cause"], (0, 0))
        sums[row["cause"]] = users + row["users"], cents + (row["at_risk_cents"] or 0)
    return sums


def _tier_table(facts: PageFacts, settings: Settings) -> Table:
    day, yesterday, few = facts.day, facts.day - timedelta(days=1), settings.privacy.min_group_size
    order = [tier.name for tier in settings.tiers.tiers]
    total, rows = users_of(facts.tiers, day), []
    for tier in order:
        now, before = users_of(facts.tiers, day, [tier]), users_of(facts.tiers, yesterday, [tier])
        came = [r for r in facts.tiers if r["day"] == day and r["tier"] == tier and r["previous_tier"] not in (None, tier)]
        up = sum(r["users"] for r in came if order.index(r["previous_tier"]) > order.index(tier)) if _known(came, order) else None
        down = (
            sum(r["users"] for r in came if order.index(r["previous_tier"]) < order.index(tier)) if _known(came, order) else None
        )
        if 0 < now < few:
            rows.append([_tier(tier, settings), f"under {few}", NONE, NONE, NONE, NONE])
            continue
        change = signed(now - before) if users_of(facts.tiers, yesterday) else NONE
        cents = _at_risk_cents(facts, day, [tier])
        rows.append(
            [
                _tier(tier, settings),
                bar(now / total, f"{whole(now)} ({percent(now / total)})"),
                change,
                whole(up),
                whole(down),
                money(cents, settings),
            ]
        )
    columns = [
        Column("Tier"),
        Column("Users", unit="share of scored"),
        Column("Since yesterday", True, "users"),
        Column("Came up", True, "from a lower tier"),
        Column("Came down", True, "from a higher tier"),
        Column("Value at risk", True, "currency of the source"),
    ]
    return Table("Risk tiers today", columns, rows)


def _known(rows: Rows, order: Sequence[str]) -> bool:
    return all(r["previous_tier"] in order for r in rows)


def _tier(name: str, settings: Settings) -> Markup:
    level = next((tier.level for tier in settings.tiers.tiers if tier.name == name), None)
    return badge(name, level or "plain")


def _warning_table(facts: PageFacts, settings: Settings) -> Table:
    keys = sorted(
        {(r["level"], r["rule_id"], r["scope"]) for r in facts.warnings},
        key=lambda k: (-LEVELS.index(k[0]), k[1] != MODEL, k[1], k[2]),
    )
    counts = {(r["level"], r["rule_id"], r["scope"], r["day"]): r["raised"] for r in facts.warnings}
    rows = []
    for level, rule, scope in keys:
        today = counts.get((level, rule, scope, facts.day), 0)
        before = counts.get((level, rule, scope, facts.day - timedelta(days=1)), 0)
        week = sum(n for (*key, _), n in counts.items() if tuple(key) == (level, rule, scope))
        few = settings.privacy.min_group_size if scope == "user" else 0
        counted = [at_least(n, few) for n in (today, before, week)]
        rows.append([badge(level, level), rule_title(rule, settings), scope, *counted])
    columns = [Column("Level"), Column("Raised by", text=True), Column("About a")]
    columns += [Column("Today", True, "warnings"), Column("Yesterday", True, "warnings"), Column("7 days", True, "warnings")]
    note = "A warning that was raised pauses for its cool-down, so that a day counts what is new."
    return Table("Warnings by level and rule", columns, rows, note)


def _group_table(facts: PageFacts, settings: Settings) -> Table:
    rows = [
        [
            day_text(r["day"]),
            badge(r["level"], r["level"]),
            rule_title(r["rule_id"], settings),
            "the whole base" if r["segment"] == ALL else f"{r['segment']}: {r['value']}",
            r["evidence"],
            r["owner"],
            day_text(r["due_on"]),
        ]
        for r in facts.group_warnings
    ]
    names = ("Day", "Level", "Warning", "Group", "Evidence", "Owner", "Act by")
    columns = [Column(n, text=n in ("Warning", "Evidence")) for n in names]
    return Table("Warnings of groups and of the whole base, last 7 days", columns, rows)


def _action_blocks(facts: PageFacts, settings: Settings) -> list[Block]:
    if not facts.actions:
        text = (
            "No retention action was planned today." if settings.offers.campaigns else "No campaign is configured in offers.yaml."
        )
        return [Note(text, "empty")]
    few = settings.privacy.min_group_size
    rows = []
    for r in sorted(
        facts.actions,
        key=lambda r: (r["campaign"], r["arm"] is None, r["arm"] != OFFER, -r["users"], r["suppressed_because"] or ""),
    ):
        what = ARMS.get(r["arm"], r["arm"]) if r["arm"] else f"no contact: {r['suppressed_because']}"
        if r["users"] < few:
            rows.append([r["campaign"], what, f"under {few}", NONE, NONE])
            continue
        offered = r["arm"] == OFFER
        rows.append(
            [
                r["campaign"],
                what,
                whole(r["users"]),
                money(r["cost_cents"], settings) if offered else NONE,
                money(r["expected_cents"], settings) if offered else NONE,
            ]
        )
    columns = [Column("Campaign"), Column("What happens", text=True), Column("Users", True)]
    columns += [Column("Cost", True, "currency of the source"), Column("Expected gain", True, "after cost")]
    note = "Held-out users get nothing: they show what would have happened anyway."
    return [Table("Retention actions planned today", columns, rows, note)]


def _cause_blocks(facts: PageFacts, settings: Settings) -> list[Block]:
    few, sums = settings.privacy.min_group_size, _by_cause(facts)
    total = sum(n for n, _ in sums.values())
    if not total:
        return [Note("Nobody is in a tier at risk today.", "empty")]
    tiers = [tier for tier in at_risk_tiers(settings)]
    per_tier = {(r["cause"], r["tier"]): r["users"] for r in facts.risk_causes}
    rows: list[list[Any]] = []
    for cause in sorted(sums, key=lambda c: (-sums[c][0], c)):
        users, cents = sums[cause]
        if users < few:
            continue
        cells = [per_tier.get((cause, tier), 0) for tier in tiers]
        shown = [at_least(n, few) for n in cells]
        rows.append(
            [
                cause_title(cause, settings),
                bar(users / total, f"{whole(users)} ({percent(users / total)})"),
                *shown,
                money(cents, settings),
            ]
        )
    hidden = sum(1 for n, _ in sums.values() if n < few)
    columns = [Column("Cause", text=True), Column("Users at risk", unit="share of those at risk")]
    columns += [*(Column(tier, True, "users") for tier in tiers), Column("Value at risk", True, "currency of the source")]
    note = f"{plural(hidden, 'cause')} with fewer than {few} users not shown." if hidden else ""
    return [Table("Why they are at risk", columns, rows, note)]


def _user_tables(facts: PageFacts, settings: Settings, names: Mapping[str, str]) -> list[Table]:
    warned: dict[str, list[str]] = {}
    for r in facts.top_warnings:
        warned.setdefault(r["user_id"], []).append(rule_title(r["rule_id"], settings))
    rows = [
        [
            names[r["user_id"]][:ID_DIGITS],
            _tier_and_before(r, settings),
            percent(r["probability"], 0),
            money(r["value_cents"], settings),
            money(r["value_at_risk_cents"], settings),
            lines(_cause_texts(r, settings)),
            lines(reason_texts(r["reasons"], settings)),
            lines(sorted(set(warned.get(r["user_id"], [])))) or NONE,
        ]
        for r in facts.top_users
    ]
    columns = [
        Column("User", unit="keyed hash"),
        Column("Tier"),
        Column("Risk", True, "of churn"),
        Column("Worth", True, "value"),
        Column("At risk", True, "risk × worth"),
        Column("Cause", unit="with its evidence", text=True),
        Column("Strongest reasons", unit="↑ raises the risk, ↓ lowers it"),
        Column("Warned today by"),
    ]
    note = "Keyed hashes stand for user ids; worth and value at risk are in the currency of the source."
    caption = f"The {plural(len(rows), 'user')} with the most value at risk"
    first, rest = rows[:FIRST_USERS], rows[FIRST_USERS:]
    tables = [Table(caption, columns, first, note, classes="users")]
    return tables + [Table(f"The next {len(rest)}", columns, rest, classes="users", folded=True)] if rest else tables


def _cause_texts(user: Mapping[str, Any], settings: Settings) -> list[str]:
    """The cause, the rule that named it or its symptoms, and the measure whose usual value would lower the risk most."""
    texts = [cause_title(user["cause"], settings)]
    if user["cause_rule"]:
        texts.append(f"rule: {rule_title(user['cause_rule'], settings)}")
    texts += evidence_texts(user["evidence"] or [], settings)
    best = user["improvement"]
    if best and user["probability"] - best["probability"] >= LEAST_IMPROVEMENT:
        title = measure_title(best["measure"], settings)
        texts.append(f"with usual {title} the risk would be {percent(best['probability'], 0)}")
    return texts


def _tier_and_before(row: Mapping[str, Any], settings: Settings) -> object:
    before = row["previous_tier"]
    if before == row["tier"]:
        return _tier(row["tier"], settings)
    return lines([_tier(row["tier"], settings), f"was {before}" if before else "new"])
