"""Commands about warnings reach what does their work as they were meant: it is replaced, and no Spark starts."""

import json
from datetime import date
from importlib import import_module
from types import SimpleNamespace

import pytest

from churnwatch.core import DataQualityError
from churnwatch.drill import Milestone, Report, Wave
from churnwatch.reports.rule_trial import RuleOverlap, RulePrecision
from churnwatch.rulebook import Trial
from churnwatch.runner import Order
from churnwatch.settings import load
from churnwatch.tables import tables
from world import CONFIG

# the package has the command groups under these names
ALERTS, RULES = (import_module(f"churnwatch.cli.{name}") for name in ("alerts", "rules"))
DAY = date(2025, 3, 9)
WARNING = {
    **dict.fromkeys(("rule_id", "state_by", "outcome", "state_note")),
    **{"alert_id": "a1", "day": DAY, "level": "red", "about": "u7", "owner": "head", "due_on": DAY, "state": "open"},
}


class Rows:
    """A frame of so many rows as are asked for."""

    def __init__(self, rows):
        self._rows = rows

    def agg(self, _):
        return Rows([[DAY]])

    def limit(self, count):
        return Rows(self._rows[:count])

    def collect(self):
        return self._rows


@pytest.fixture
def asked(monkeypatch):
    """What ``alerts list`` reads and asks for."""
    made = []

    def read(table, since=None):
        made.append((table.name, since))
        return Rows([])

    def listed(alerts, events, only, late_on):
        made.append(({name: value for name, value in only.items() if value is not None}, late_on))
        return Rows([WARNING | {"alert_id": f"a{n}"} for n in range(3)])

    contracts = tables(load(CONFIG, ["storage.root=unused", "storage.files=unused"]))
    runner = SimpleNamespace(tables=contracts, store=SimpleNamespace(read=read))
    monkeypatch.setattr(ALERTS, "runner_over", lambda settings: runner)
    monkeypatch.setattr("churnwatch.alerts.list_alerts", listed)
    return made


@pytest.mark.parametrize(
    ("words", "only", "late_on"),
    [
        ((), {}, None),
        (("--owner", "head", "--state", "open", "--level", "red"), {"owner": "head", "state": "open", "level": "red"}, None),
        (("--day", "2025-03-05"), {"day": date(2025, 3, 5)}, None),
        # overdue: at the newest day's end, or at that of the day
        (("--overdue",), {}, DAY),
        (("--overdue", "--day", "2025-03-05", "--owner", "head"), {"owner": "head"}, date(2025, 3, 5)),
    ],
)
def test_warnings_are_listed_by_owner_state_level_and_what_is_overdue(typed, asked, words, only, late_on):
    code, out, _ = typed("alerts", "list", *words, "--rows", "2")
    assert code == 0 and asked[-1] == (only, late_on)
    assert "a0" in out and "a2" not in out and "2 warning(s); there are more, see --rows" in out
    # what is older than 28 days and 28 more is over and not read
    until = date(2025, 3, 5) if "--day" in words else DAY
    since = f"day >= DATE'{date.fromordinal(until.toordinal() - 56)}'"
    assert asked[-3:-1] == [("risk_alerts", since), ("alert_events", since)]


@pytest.fixture
def orders(monkeypatch):
    """Orders that reach the runner."""
    made = []
    monkeypatch.setattr(ALERTS, "run_order", lambda settings, order: made.append(order))
    return made


def written(tmp_path):
    """Lines of the inbox of DAY, without their instants."""
    files = (tmp_path / "inbox" / "alert_events" / str(DAY)).glob("*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert all(line.pop("at") for line in lines)
    return lines


def test_closing_writes_outcome_and_lesson_of_every_warning_and_runs_the_job(typed, orders, tmp_path):
    sets = ("storage.root=unused", f"storage.files={tmp_path}")
    words = ("--who", "eva", "--outcome", "retained", "--lesson", "call earlier", "--note", "spoke", "--day", str(DAY))
    assert typed("alerts", "close", "a1", "a2", *words, sets=sets)[0] == 0
    assert orders == [Order(("record_alert_events",), DAY, DAY)]
    said = {"who": "eva", "action": "closed", "outcome": "retained", "lesson": "call earlier", "note": "spoke"}
    assert written(tmp_path) == [{"alert_id": "a1", **said}, {"alert_id": "a2", **said}]
    code, _, err = typed("alerts", "close", "a1", "--who", "eva", "--outcome", "saved", "--day", str(DAY), sets=sets)
    assert code == 2 and "outcome 'saved' is not one of" in err
    code, _, err = typed("alerts", "ack", "a1", "--who", "eva", sets=sets)
    assert code == 2 and "--day is missing" in err and len(orders) == 1


def test_a_file_of_actions_is_put_into_the_inbox_line_by_line_and_leaves_it_when_refused(typed, orders, tmp_path, monkeypatch):
    file = tmp_path / "calls.csv"
    file.write_text("alert_id,action,who,outcome\na1,close,eva,churned\na2,ack,ann,\n")
    words = ("alerts", "record", str(file), "--day", str(DAY))
    assert typed(*words, sets=("storage.root=unused", f"storage.files={tmp_path}"))[0] == 0
    assert orders == [Order(("record_alert_events",), DAY, DAY)]
    told = [(line["alert_id"], line["action"], line["who"], line.get("outcome"), line["place"]) for line in written(tmp_path)]
    assert told == [("a1", "closed", "eva", "churned", "calls.csv:2"), ("a2", "acknowledged", "ann", None, "calls.csv:3")]

    def refuses(settings, order):
        raise DataQualityError("alert_events: warnings that do not exist: a1")

    monkeypatch.setattr(ALERTS, "run_order", refuses)
    assert typed(*words, sets=("storage.root=unused", f"storage.files={tmp_path}"))[0] == 3
    assert len(written(tmp_path)) == 2


def test_a_trial_of_rules_is_shown_with_counts_overlaps_and_past_precision(typed, monkeypatch):
    agreed = [
        RuleOverlap("", "", 1000),
        RuleOverlap("crashes", "crashes", 120),
        RuleOverlap("quiet", "quiet", 60),
        RuleOverlap("crashes", "quiet", 30),
    ]
    trial = Trial(
        DAY,
        agreed,
        {},
        {"crashes": RulePrecision(400, 0.25, 0.21, 0.29)},
        {"": RulePrecision(9, 0.1, 0, 1), "quiet": RulePrecision(50, 0.5, 0.4, 0.6)},
        DAY,
    )
    seen = []
    monkeypatch.setattr(RULES, "runner_over", lambda settings: "runner")
    monkeypatch.setattr("churnwatch.rulebook.tried", lambda *given: seen.append(given) or trial)
    one = "{id: crashes, title: t, when: events_7d > 3, level: orange, cause: engagement}"
    half = "{id: half, title: h, when: events_7d > 3 AND balance > 1, needs: [balance], level: orange, cause: engagement}"
    rules = f"[{one}, {half}]"
    sets = ("storage.root=unused", "storage.files=unused", f"rules.rules={rules}")
    code, out, err = typed("rules", "test", "--day", str(DAY), sets=sets)
    assert code == 0, err
    assert seen == [("runner", DAY, None)]
    shown = [line.replace("│", " ").split() for line in out.splitlines() if "│" in line]
    assert ["crashes", "orange", "120", "12.00%", "25.0%", "(21.0%", "to", "29.0%)", "400"] in shown
    assert ["quiet", "60", "6.00%", "50.0%", "(40.0%", "to", "60.0%)", "*", "50"] in shown
    assert ["crashes", "quiet", "30", "25%", "50%"] in shown  # 30 of 120, and of 60
    assert "off: half (h): there is no column balance" in out
    assert typed("rules", "test", "--day", str(DAY), "--rule", "quiet", sets=sets)[0] == 0
    assert seen[-1] == ("runner", DAY, "quiet")
    assert typed("rules", "test", sets=sets)[0] == 2


@pytest.mark.parametrize("reached", [DAY, None])
def test_a_drill_plays_the_wave_that_was_typed_and_ends_by_whether_every_step_was_reached(typed, monkeypatch, reached):
    seen = []

    class Drill:
        def __init__(self, settings, spark, wave, on_end):
            seen.append(wave)

        def run(self):
            return Report(seen[-1], 100, [Milestone("found", reached, 1.5)])

    monkeypatch.setattr("churnwatch.drill.Drill", Drill)
    monkeypatch.setattr("churnwatch.io.session.session", lambda settings, name: None)
    code, out, _ = typed("drill", "--day", str(DAY), "--segment", "region=south", "--share", "0.4", "--days", "5")
    assert seen == [Wave(date(2025, 3, 5), DAY, 0.4, "region", "south")]
    assert code == (0 if reached else 1)
    assert "planted: 40% of region=south" in out and (f"day 5 ({DAY}), 1.5 min" if reached else "not reached") in out
    assert typed("drill", "--day", str(DAY))[0] == code and seen[-1].segment is None
    code, _, err = typed("drill", "--day", str(DAY), "--segment", "south")
    assert code == 2 and "is not segment=value" in err
    assert typed("drill")[0] == 2
