"""The page: self-contained, right numbers, no raw id, good on the first days."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from churnwatch.io.pages import Pages
from churnwatch.reports import rendered
from churnwatch.settings import load
from reportworld import DAY, ago, frames, full, run

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"
VOID = {"meta", "br", "link", "img", "hr", "input"}


def settings_in(folder):
    """The app domain with its files under ``folder``."""
    return load(CONF, [f"storage.files={folder}"])


def page_of(spark, folder, rows):
    """The page of ``rows`` through the real port, and its row of report_pages."""
    settings = settings_in(folder)
    out = rendered(frames(spark, settings, rows), (DAY,), Pages(spark, settings, "run"), settings)
    (row,) = out["report_pages"].collect()
    return Path(row["path"]).read_text(encoding="utf-8"), row


class Parsed(HTMLParser):
    """Tags, attributes and visible text of a page; counts tags that were not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self.open, self.faults = [], [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture(scope="module")
def full_page(spark, tmp_path_factory):
    """The page of a rich day, its row, its rows of input."""
    folder = tmp_path_factory.mktemp("full")
    rows = full(settings_in(folder), users=400)
    rows["alerts"][-1]["evidence"] = "612 <b>of</b> 1,104"
    return *page_of(spark, folder, rows), rows, folder


@pytest.fixture(scope="module")
def empty_page(spark, tmp_path_factory):
    """The page of a first day: one ingest, nothing else."""
    from datetime import datetime

    rows = {"runs": [run(ago(3), "ingest_events", "done", datetime(2025, 9, 27, 3), '{"read": 10, "accepted": 10}')]}
    rows["runs"].append(
        run(DAY, "train_model", "refused", datetime(2025, 9, 28, 3), "too little history: works from 2026-01-05 on")
    )
    rows["runs"].append(run(DAY, "score_users", "skipped", datetime(2025, 9, 28, 4), "no model was released by 2025-09-27"))
    return page_of(spark, tmp_path_factory.mktemp("empty"), rows)[0]


@pytest.mark.parametrize("which", ["full_page", "empty_page"])
def test_the_page_needs_nothing_but_itself(which, request):
    found = request.getfixturevalue(which)
    html = found if isinstance(found, str) else found[0]
    page = Parsed(html)
    assert not page.faults and not page.open
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert [v for n, v in page.attributes if n in ("src", "href", "xlink:href", "action") and not v.startswith("#")] == []
    assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html


def test_every_link_leads_to_a_part_of_the_page(full_page):
    attributes = Parsed(full_page[0]).attributes
    anchors = [v for n, v in attributes if n == "id"]
    assert len(anchors) == len(set(anchors)) == 10
    assert {v for n, v in attributes if n == "href"} == {f"#{a}" for a in anchors}


def test_the_first_screen_says_day_scored_at_risk_and_value(full_page):
    html, _, rows, _ = full_page
    risky = [r for r in rows["scores"] if r["day"] == DAY and r["tier"] in ("critical", "high")]
    text, cents = Parsed(html).text, sum(r["value_at_risk_cents"] for r in risky)
    assert len(risky) == 60
    assert (
        f"60 of 400 scored users (15.0 %) are at risk, as many as the day before, with {cents / 100:,.0f} of value at stake."
        in text
    )
    assert "27 Sep 2025" in text and "The cause named most: use and interest are falling." in text


def test_no_raw_user_id_is_on_the_page_but_its_keyed_hash_is(full_page, spark):
    html, _, rows, folder = full_page
    risky = [r for r in rows["scores"] if r["day"] == DAY and r["tier"] in ("critical", "high")]
    top = max(risky, key=lambda r: (r["value_at_risk_cents"], r["probability"]))["user_id"]
    assert "raw-user" not in html
    assert Pages(spark, settings_in(folder), "r").keyed([top])[top][:12] in html


def test_groups_below_the_smallest_size_are_not_shown(full_page):
    text = Parsed(full_page[0]).text
    assert "region: north" in text and "region: isle" not in text  # 1,600 and 7 users
    assert "the price page is read again and again under 10 under 10" in text  # 9 warnings, 6 of them judged
    assert "1 comparison with fewer than 10 users in an arm not shown." in text


def test_lift_is_shown_with_its_interval_and_its_doubts(full_page):
    text = Parsed(full_page[0]).text
    assert "autumn_wave, retained: +20.1 points (+13.3 to +26.9), which shows an effect." in text
    assert "october_care: the arms are not as large as planned (sample-ratio check, p 0.003)." in text
    assert "interim" in text and "p < 0.001" in text


def test_unfinished_periods_are_marked(full_page):
    html = full_page[0]
    assert html.count('class="cell s8 open"') == 1  # September's own month
    assert html.count(' open"') == 8  # one a cohort


def test_the_model_stands_beside_base_rate_and_best_rule(full_page):
    text = Parsed(full_page[0]).text
    assert "AUC 0.872 0.861 to 0.883" in text and "AUC of the best recency rule 0.811" in text and "Base rate 14.2 %" in text
    assert "Calibration on the test span" in text and "said 0.5 %" in text


def test_what_was_said_and_seen_since_is_told_by_tenth_and_segment(full_page):
    text = Parsed(full_page[0]).text
    part = text[text.index("Were probabilities honest?") :]
    assert part.index("tenth: 2 610") < part.index("tenth: 10 610") < part.index("region: north 900 16.1 % 17.2 %")
    assert "<few>" not in text


def test_the_model_card_stands_on_the_page(full_page):
    text = Parsed(full_page[0]).text
    assert "auc 0.8500, 0.8600, 0.8700 0.8610 0.0120 0.8310 .. 0.8910" in text  # rolling origins
    assert "region = north 1,600 14.0% 15.0% 0.866" in text and "tenure_days constant" in text
    assert "tree 8 0.3" in text and "which went to the gate: failed" in text  # algorithms side by side
    # that another algorithm was worse is no refused training
    assert "was not released" not in text


def test_rules_that_do_not_help_or_say_the_same_are_named(full_page):
    text = Parsed(full_page[0]).text
    assert "Not shown to help, of 100 judged users or more: the price page is read again and again (16.7 %, at least" in text
    assert (
        "Nearly always together, so that one of both would do: crashes and slow pages and no log-in for a week (39 users)" in text
    )
    assert "region: north" in text and "owner: retention" in text


def test_data_quality_counts_rejects_and_ingests(full_page):
    html, _, rows, _ = full_page
    text = Parsed(html).text
    no_user = sum("no user" in r["reasons"] for r in rows["rejected"])
    assert f"app_events no user {no_user}" in text and "12,840" in text
    assert "train_model refused too little history: training works from 2025-10-12 on" in text


def test_lessons_of_closed_warnings_are_listed_once_and_newest_first(full_page, empty_page):
    text = Parsed(full_page[0]).text
    assert "2 lessons from closed warnings" in text and text.count("crashes of <one> test device eva") == 1
    assert text.index("call before noon") < text.index("crashes of <one>") and "false alarm" in text
    assert "No warning was closed with a lesson" in Parsed(empty_page).text


def test_the_same_tables_give_the_same_bytes(full_page, spark, tmp_path):
    html, row, rows, folder = full_page
    again, second = page_of(spark, folder, {alias: list(reversed(given)) for alias, given in rows.items()})
    assert again == html and second == row


def test_first_days_say_from_when_there_will_be_something(empty_page):
    text = Parsed(empty_page).text
    assert "Nobody was scored on 27 Sep 2025: no model was released by 2025-09-27." in text
    assert "The churn rate silent_14d is known from 10 Oct 2025 on: 16 days after the first day that was loaded." in text
    assert "No model yet: too little history: works from 2026-01-05 on" in text
    assert "Warnings are judged from 16 days after the first day with warnings on" in text
    assert "None" not in text and "nan" not in text.lower().split()


def test_texts_from_tables_cannot_break_out_of_the_page(full_page):
    assert "612 &lt;b&gt;of&lt;/b&gt; 1,104" in full_page[0]


@pytest.mark.processes
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_never_scrolls_sideways(full_page, tmp_path, width):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("NO BROWSER: chromium is not installed, the page was not looked at")
    told = (
        "<script>const d = document.documentElement; document.title = `scroll ${d.scrollWidth - d.clientWidth}`</script></body>"
    )
    page = tmp_path / "page.html"
    page.write_text(full_page[0].replace("</body>", told), encoding="utf-8")
    quiet = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-quic")
    found = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", *(f"--{q}" for q in quiet)]
        + [f"--user-data-dir={tmp_path}/profile", f"--window-size={width},900", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "<title>scroll 0</title>" in found
