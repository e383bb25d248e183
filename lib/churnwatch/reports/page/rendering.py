"""The job render_report: write one self-contained HTML page per day."""

import importlib.resources
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Protocol

from jinja2 import Environment, StrictUndefined, Template

from churnwatch.core.job import Frames
from churnwatch.reports.page.alert_section import alert_quality_section
from churnwatch.reports.page.blocks import Page
from churnwatch.reports.page.data_quality import data_quality_section
from churnwatch.reports.page.effects import causes_section, lift_section
from churnwatch.reports.page.facts import PageFacts, collect_facts
from churnwatch.reports.page.lessons import lessons_section
from churnwatch.reports.page.model_card import model_section
from churnwatch.reports.page.today import cards, changes_section, headline, people_section
from churnwatch.reports.page.trends import cohort_section, trend_section
from churnwatch.reports.page.words import day_text, definition_text
from churnwatch.settings import Settings
from churnwatch.tables import tables

NAME = "report"


class PagesPort(Protocol):
    """The methods of io.pages that the job calls."""

    def write(self, name: str, day: date, html: str) -> tuple[str, str, int]:
        """Write a page; return its path, SHA-256 and size in bytes."""
        ...

    def keyed(self, ids: Iterable[str]) -> dict[str, str]:
        """Keyed hashes of user ids."""
        ...


def render_report(inputs: Frames, days: Sequence[date], pages: PagesPort, settings: Settings) -> Frames:
    """Write the page of O and return its row of ``report_pages``. The same tables give the same bytes."""
    (day,) = days
    facts = collect_facts(inputs, day, settings)
    path, sha256, size = pages.write(NAME, day, page_html(facts, settings, pages.keyed))
    contract = tables(settings).report_pages
    row = (day, NAME, path, sha256, size)
    return {contract.name: inputs["scores"].sparkSession.createDataFrame([row], contract.schema)}


def page_html(facts: PageFacts, settings: Settings, keyed: Callable[[Iterable[str]], Mapping[str, str]]) -> str:
    """The page as HTML, without scripts, network requests and raw user ids."""
    names = keyed([row["user_id"] for row in facts.top_users])
    page = Page(
        title=f"churnwatch {_domain(settings)}: {day_text(facts.day)}",
        domain=_domain(settings),
        day=day_text(facts.day),
        headline=headline(facts, settings),
        cards=cards(facts, settings),
        sections=[
            changes_section(facts, settings),
            people_section(facts, settings, names),
            trend_section(facts, settings),
            cohort_section(facts, settings),
            lift_section(facts, settings),
            alert_quality_section(facts, settings),
            lessons_section(facts, settings),
            causes_section(facts, settings),
            model_section(facts, settings),
            data_quality_section(facts, settings),
        ],
        foot=_foot(settings),
    )
    return _template().render(page=page)


def _foot(settings: Settings) -> list[str]:
    return [
        f"Churn, by the primary definition {settings.churn.primary}: {definition_text(settings.primary)}.",
        f"Days are business days in {settings.clock.time_zone}. Money is in the currency of the source. "
        f"Intervals are 95 % intervals. Groups under {settings.privacy.min_group_size} users are not shown.",
    ]


@cache
def _template() -> Template:
    text = importlib.resources.files("churnwatch.reports.page").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _domain(settings: Settings) -> str:
    """The domain's name, without the folder of its path."""
    return settings.domain.rstrip("/").rpartition("/")[2]
