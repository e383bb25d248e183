"""The page's section on lessons, which people write when they close a warning."""

from churnwatch.reports.page.blocks import Block, Column, Note, Section, Table, badge
from churnwatch.reports.page.facts import PageFacts
from churnwatch.reports.page.words import NONE, day_text, plural, rule_title
from churnwatch.settings import Settings
from churnwatch.settings.terms import CHURNED, EXPIRED, FALSE_ALARM, RETAINED

TONES = {RETAINED: "good", CHURNED: "red", FALSE_ALARM: "yellow", EXPIRED: "plain"}


def lessons_section(facts: PageFacts, settings: Settings) -> Section:
    """Lessons of the last 90 days, newest first."""
    if not facts.lessons:
        text = "No warning was closed with a lesson in the last 90 days (churnwatch alerts close --lesson)."
        return Section("lessons", "What was learned", "", [Note(text, "empty")], "Lessons")
    rows = [
        [
            day_text(r["day"]),
            rule_title(r["rule_id"], settings) if r["rule_id"] else NONE,
            badge(r["outcome"].replace("_", " "), TONES[r["outcome"]]) if r["outcome"] else NONE,
            r["lesson"],
            r["who"],
        ]
        for r in facts.lessons
    ]
    columns = [Column("Day"), Column("Warning", text=True), Column("Outcome"), Column("Lesson", text=True), Column("By")]
    blocks: list[Block] = [Table("Lessons of closed warnings, last 90 days", columns, rows)]
    return Section("lessons", "What was learned", f"{plural(len(rows), 'lesson')} from closed warnings.", blocks, "Lessons")
