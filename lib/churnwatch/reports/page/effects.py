"""The page's sections on lift, and on causes and profile of churned users."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from churnwatch.reports.page.blocks import Block, Column, Note, Section, Table, axis_of, badge, interval_cell
from churnwatch.reports.page.facts import PageFacts, Rows
from churnwatch.reports.page.trends import from_when
from churnwatch.reports.page.words import (
    cause_title,
    chance,
    day_text,
    fixed,
    measure_value,
    money,
    number,
    percent,
    percent_range,
    plural,
    points,
    signed,
    whole,
)
from churnwatch.settings import Settings
from churnwatch.settings.feature_words import measure_title
from churnwatch.settings.terms import ALL

PROFILE_ROWS = 15
NO_BREAK = "\u00a0"


def lift_section(facts: PageFacts, settings: Settings) -> Section:
    """Treated against held out, by campaign and outcome, with intervals; interim readings and broken shares marked."""
    title, few = "What retention work brought", settings.privacy.min_group_size
    shown = [r for r in facts.lift if min(r["treated"], r["control"]) >= few and r["difference"] is not None]
    if not shown:
        what = "Lift begins on the day after users were first assigned to an offer or held out"
        if facts.lift:
            what = f"Fewer than {few} users of an arm have an outcome yet; lift is shown from that number on"
        return Section("lift", title, "", [*_alarms(facts.lift), Note(f"{what}.", "empty")], "Lift")
    blocks: list[Block] = [*_alarms(facts.lift)]
    rates = [r for r in shown if _is_rate(r, settings)]
    means = [r for r in shown if not _is_rate(r, settings)]
    blocks += [_lift_table(rates, settings, True)] if rates else []
    blocks += [
        _lift_table([r for r in means if r["outcome"] == o], settings, False) for o in sorted({r["outcome"] for r in means})
    ]
    hidden = len(facts.lift) - len(shown)
    if hidden:
        blocks.append(Note(f"{plural(hidden, 'comparison')} with fewer than {few} users in an arm not shown."))
    return Section("lift", title, _lift_lede(shown, settings), blocks, "Lift")


def _is_rate(row: Mapping[str, Any], settings: Settings) -> bool:
    outcome = settings.offers.outcomes.get(row["outcome"])
    return outcome.label is not None if outcome else row["incremental_users"] is not None


def _in_cents(row: Mapping[str, Any], settings: Settings) -> bool:
    outcome = settings.offers.outcomes.get(row["outcome"])
    return str(outcome.measure if outcome else row["outcome"]).endswith("_cents")


def _lift_lede(rows: Rows, settings: Settings) -> str:
    totals = [r for r in rows if r["segment"] == ALL]
    sentences = []
    for r in totals[:2]:
        rate = _is_rate(r, settings)
        effect = f"{_difference(r, rate, settings)} ({_range(r, rate, settings)})"
        sentences.append(f"{r['campaign']}, {r['outcome']}: {effect}, which {_verdict(r)}.")
    return " ".join(sentences)


def _verdict(r: Mapping[str, Any]) -> str:
    if r["srm_alarm"]:
        return "proves nothing: the arms are not as large as planned"
    if r["interim"]:
        return "is interim and may still turn"
    return "shows an effect" if r["low"] > 0 or r["high"] < 0 else "does not show an effect"


def _alarms(rows: Rows) -> list[Block]:
    names = sorted({r["campaign"] for r in rows if r["srm_alarm"]})
    return [
        Note(
            f"{name}: the arms are not as large as planned (sample-ratio check, p {chance(_smallest(rows, name))}). "
            "Something assigned, lost or counted users differently: do not trust its lift before that is found.",
            "alarm",
        )
        for name in names
    ]


def _smallest(rows: Rows, campaign: str) -> float | None:
    whole = [r for r in rows if r["campaign"] == campaign and r["segment"] == ALL]
    return min((r[p] for r in whole for p in ("srm_p", "srm_outcome_p", "srm_day_p") if r[p] is not None), default=None)


def _difference(r: Mapping[str, Any], rate: bool, settings: Settings) -> str:
    if rate:
        return points(r["difference"])
    return ("+" if r["difference"] > 0 else "") + _mean(r, r["difference"], settings)


def _range(r: Mapping[str, Any], rate: bool, settings: Settings) -> str:
    if rate:
        return f"{r['low'] * 100:+.1f} to {r['high'] * 100:+.1f}".replace("-", "−")
    return " to ".join(_mean(r, r[end], settings) for end in ("low", "high"))


def _mean(r: Mapping[str, Any], value: float | None, settings: Settings) -> str:
    return money(value, settings) if _in_cents(r, settings) else number(value)


def _signed_money(cents: int | None, settings: Settings) -> str:
    return ("+" if cents and cents > 0 else "") + money(cents, settings)


def _lift_table(rows: Rows, settings: Settings, rate: bool) -> Table:
    axis = axis_of([r[k] for r in rows for k in ("low", "high")])
    ordered = sorted(rows, key=lambda r: (r["campaign"], r["outcome"], r["arm"], r["segment"] != ALL, r["segment"], r["value"]))

    def mean(r: Mapping[str, Any], which: str) -> str:
        value = r[f"{which}_mean"]
        shown = percent(value) if rate else _mean(r, value, settings)
        return f"{shown} of {whole(r[which])}" if rate else f"{shown}, n {whole(r[which])}"

    body = []
    for r in ordered:
        head = r["segment"] == ALL
        text = f"{_difference(r, rate, settings).removesuffix(' points')} ({_range(r, rate, settings)})"
        body.append(
            [
                Markup("<strong>{}</strong><br>{}, {}").format(r["campaign"], r["outcome"], r["arm"]) if head else "",
                "all" if head else f"{r['segment']}: {r['value']}".replace(" ", NO_BREAK),
                mean(r, "treated"),
                mean(r, "control"),
                interval_cell(r["difference"], r["low"], r["high"], axis, 0.0, text),
                _state(r),
                signed(r["incremental_users"]) if rate else _signed_money(r["incremental_cents"], settings),
                money(r["cost_cents"], settings),
            ]
        )
    columns = [
        Column("Campaign", unit="outcome, arm"),
        Column("Users"),
        Column("Treated", True, "rate of users" if rate else "mean"),
        Column("Held out", True, "rate of users" if rate else "mean"),
        Column("Difference", unit="percentage points, 95 % interval" if rate else "95 % interval"),
        Column("State", unit="q: p for many looks"),
        Column("Gain", True, "extra users" if rate else "money"),
        Column("Cost", True, "money"),
    ]
    note = "Everybody counts in the arm that chance gave them. An interim reading may still turn: it carries no p."
    caption = "Treated against held out" if rate else f"Treated against held out: {rows[0]['outcome']}"
    return Table(f"{caption}, reading of {day_text(rows[0]['day'])}", columns, body, note)


def _proof(r: Mapping[str, Any]) -> str:
    if r["p"] is None:
        return ""
    return f"p {chance(r['p'])}" + (f", q {chance(r['q'])}" if r["q"] is not None else "")


def _state(r: Mapping[str, Any]) -> Markup:
    words = [badge("interim", "yellow") if r["interim"] else badge("final", "good")]
    words += [badge("arms off", "red")] if r["srm_alarm"] else []
    words += [] if r["randomised"] else [badge("association", "orange")]
    return Markup("{}<br><small class=n>{}</small>").format(Markup(" ").join(words), _proof(r))


def causes_section(facts: PageFacts, settings: Settings) -> Section:
    """Causes of users who then churned, and how churned users had differed: associations."""
    title = "What churned users had in common"
    blocks = [*_cause_table(facts.causes, settings), *_profile_table(facts.profile, settings)]
    if not blocks:
        text = from_when(facts, settings.label_lag_days(settings.churn.primary), "Causes and profile are known", "score_users")
        return Section("causes", title, "", [Note(text, "empty")], "Causes")
    lede = "Associations, not proof: what goes with churn need not bring it about. Only the lift above tests what works."
    return Section("causes", title, lede, blocks, "Causes")


def _cause_table(rows: Rows, settings: Settings) -> list[Block]:
    shown = [r for r in rows if r["users"] >= settings.privacy.min_group_size and r["share"] is not None]
    if not shown:
        return []
    axis = axis_of([r[k] for r in shown for k in ("low", "high")])
    body = [
        [
            cause_title(r["cause"], settings),
            whole(r["users"]),
            whole(r["churned"]),
            interval_cell(
                r["share"], r["low"], r["high"], axis, None, f"{percent(r['share'])} ({percent_range(r['low'], r['high'])})"
            ),
            percent(r["rate"]),
        ]
        for r in sorted(shown, key=lambda r: (-r["churned"], r["cause"]))
    ]
    columns = [Column("Cause", text=True), Column("Users", True), Column("Churned", True, "users")]
    columns += [Column("Share of all churned", unit="95 % interval"), Column("Churn rate", True, "with this cause")]
    return [Table(f"Causes, users scored on {day_text(shown[0]['day'])}", columns, body)]


def _profile_table(rows: Rows, settings: Settings) -> list[Block]:
    known = [r for r in rows if r["effect"] is not None and r["low"] is not None]
    if not known:
        return []
    strongest = sorted(known, key=lambda r: (-abs(r["effect"]), r["measure"]))[:PROFILE_ROWS]
    axis = axis_of([r[k] for r in strongest for k in ("low", "high")])
    body = [
        [
            measure_title(r["measure"], settings),
            measure_value(r["measure"], r["churned_mean"], settings),
            measure_value(r["measure"], r["stayed_mean"], settings),
            interval_cell(
                r["effect"],
                r["low"],
                r["high"],
                axis,
                0.0,
                f"{fixed(r['effect'])} ({fixed(r['low'])} to {fixed(r['high'])})",
            ),
        ]
        for r in strongest
    ]
    columns = [Column("Measure", text=True), Column("Churned", True, "mean"), Column("Stayed", True, "mean")]
    columns.append(Column("Difference", unit="in standard deviations, 95 % interval"))
    note = f"The {len(strongest)} largest of {len(known)} measures. 0.2 is small, 0.5 medium, 0.8 large (Cohen)."
    return [Table(f"How churned users differed, users of {day_text(strongest[0]['day'])}", columns, body, note)]
