"""The page's section on the quality of warnings: by rule, level, cause, owner and segment; rules that do not help."""

from collections.abc import Mapping, Sequence
from typing import Any

from churnwatch.reports.alert_quality import CAUSE, CLASS, LEVEL, OWNER, RULE
from churnwatch.reports.page.blocks import Block, Column, Note, Section, Table, axis_of, interval_cell
from churnwatch.reports.page.facts import PageFacts
from churnwatch.reports.page.rule_review import ENOUGH_MATURED, overlapping_rules, unproven_rules
from churnwatch.reports.page.trends import from_when
from churnwatch.reports.page.words import NONE, at_least, cause_title, day_text, percent, percent_range, rule_title, whole
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL

Row = Mapping[str, Any]
NAMED = 10  # rules, and pairs of rules, that the page names


def alert_quality_section(facts: PageFacts, settings: Settings) -> Section:
    """Precision, recall, lift and lead time of rules, levels, causes, owners and segments, on the newest judged day."""
    title = "How good the warnings were"
    by_rule = [r for r in facts.alert_quality if (r["by"] or RULE) == RULE and r["level"] == ALL]
    if not by_rule:
        text = from_when(facts, settings.label_lag_days(settings.churn.primary), "Warnings are judged", "raise_alerts")
        return Section("warned", title, "", [Note(text, "empty")], "Warnings")
    day = day_text(by_rule[0]["day"])
    base = next((r["base_rate"] for r in by_rule), None)
    line = "" if base is None else f"The upright line is the churn rate of all users, {percent(base)}. "
    note = (
        f"{line}Treated users are no false alarms: they are left out, and untreated ones stand for them. Found: of all users "
        "who churned, those with a new or open warning. Lead: how many days before the user counts as churned the warning came; "
        "silent: how many days after the user's last act."
    )
    names = [rule_title(r["rule_id"], settings) for r in by_rule]
    blocks: list[Block] = [_table(f"Warnings of {day}", "Raised by", names, by_rule, base, note, settings)]
    others = [
        r for kind in (LEVEL, CAUSE, OWNER, CLASS, *settings.measures.segments) for r in facts.alert_quality if r["by"] == kind
    ]
    if others:
        titles = [_name(r, settings) for r in others]
        note = "Lift is against the churn rate of the segment where a segment is named, else against that of all users."
        blocks.append(
            _table(f"The same by level, cause, owner and segment, {day}", "Users of", titles, others, base, note, settings)
        )
    blocks += [Note(f"Not judged: {text}.") for text in sorted({r["note"] for r in facts.alert_quality if r["note"]})]
    blocks += [Note(text) for text in _named(facts, settings)]
    lede = f"Warnings of {day} against what users did in the {settings.primary.ahead_days} days after."
    return Section("warned", title, lede, blocks, "Warnings")


def _name(row: Row, settings: Settings) -> str:
    value = cause_title(row["value"], settings) if row["by"] == CAUSE else row["value"]
    return f"{row['by']}: {value}"


def _table(
    caption: str, what: str, names: Sequence[str], rows: Sequence[Row], base: float | None, note: str, settings: Settings
) -> Table:
    few = settings.privacy.min_group_size
    axis = axis_of([v for r in rows if r["matured"] >= few for v in (r["low"], r["high"])] + [base])
    named = zip(names, rows, strict=True)
    ordered = sorted(named, key=lambda n: (n[1]["matured"] < few, -(n[1]["precision"] or 0), n[0]))
    columns = [
        Column(what, text=True),
        Column("Fired", True, "users warned"),
        Column("Judged", True, "not treated"),
        Column("Were right", unit="precision, 95 % interval"),
        Column("Found", True, "of all churners"),
        Column("Lift", True, "× base rate"),
        Column("Lead", True, "days"),
        Column("Silent", True, "days"),
    ]
    return Table(caption, columns, [_cells(name, r, axis, base, few) for name, r in ordered], note)


def _cells(name: str, r: Row, axis: Any, base: float | None, few: int) -> list[Any]:
    # rows written before ``warned`` existed have those of new warnings
    found = percent(r["recall"]) if (r["fired"] if r["warned"] is None else r["warned"]) >= few else NONE
    if r["matured"] < few:
        return [name, at_least(r["fired"], few), f"under {few}", NONE, found, NONE, NONE, NONE]
    text = f"{percent(r['precision'])} ({percent_range(r['low'], r['high'])})"
    return [
        name,
        whole(r["fired"]),
        whole(r["matured"]),
        interval_cell(r["precision"], r["low"], r["high"], axis, base, text),
        found,
        NONE if r["lift"] is None else f"{r['lift']:.1f}",
        NONE if r["lead_days"] is None else f"{r['lead_days']:.1f}",
        NONE if r["silent_days"] is None else f"{r['silent_days']:.1f}",
    ]


def _named(facts: PageFacts, settings: Settings) -> list[str]:
    """Sentences about rules that have not been shown to help, and about rules that nearly always fire together."""
    texts = []
    if useless := unproven_rules(facts.alert_history)[:NAMED]:
        names = "; ".join(
            f"{rule_title(rule, settings)} ({percent(precision)}, at least {percent(low)}; everybody {percent(base)})"
            for rule, precision, low, base in useless
        )
        texts.append(f"Not shown to help, of {ENOUGH_MATURED} judged users or more: {names}.")
    if pairs := overlapping_rules(facts.alert_history, settings.privacy.min_group_size)[:NAMED]:
        names = "; ".join(f"{rule_title(a, settings)} and {rule_title(b, settings)} ({whole(n)} users)" for a, b, n in pairs)
        texts.append(f"Nearly always together, so that one of both would do: {names}.")
    return texts
