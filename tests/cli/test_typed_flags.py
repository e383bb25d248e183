"""What is typed reaches the runner as it was meant: a recorder stands where the runner would be, and no Spark starts."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

import world
from churnwatch.cli import main
from churnwatch.cli.common import typed as name_of
from churnwatch.core import Job, JobFailed
from churnwatch.dictionary import dictionary
from churnwatch.results import RunReport
from churnwatch.runner import Order
from churnwatch.settings import load

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = date(2025, 3, 3), date(2025, 3, 9)
RANGE = ("--from", str(FIRST), "--to", str(LAST))


@pytest.fixture
def orders(monkeypatch):
    """The orders that reach a runner, with how they are to be run."""
    made = []

    def attempt(order):
        made.append(("run", order))
        return RunReport("id", order, (), 0.0)

    recorder = SimpleNamespace(spark=None, attempt=attempt, ledger=SimpleNamespace(runs=lambda first: []))
    monkeypatch.setattr("churnwatch.cli.common.runner_over", lambda settings, **callbacks: recorder)
    monkeypatch.setattr("churnwatch.cli.runner_over", lambda settings: recorder)
    monkeypatch.setattr("churnwatch.upkeep.doctor.check_outputs", lambda runner, steps: [])
    monkeypatch.setattr("churnwatch.upkeep.rebuild_stale", lambda runner, order: made.append(("rebuild_stale", order)) or [])
    return made


@pytest.mark.parametrize(
    ("words", "how", "order"),
    [
        (("all", "--day", str(LAST)), "run", {"first": LAST}),
        (("all", *RANGE), "run", {}),
        (("all", *RANGE, "--every", "6"), "run", {"every": 6}),
        (("all", "--every", *RANGE), "run", {"every": 7}),  # the tests' model.yaml says 7
        (("all", *RANGE, "--every"), "run", {"every": 7}),
        (("all", *RANGE, "--decide"), "run", {"decide": True}),
        (("all", *RANGE, "--dry-run"), "run", {"dry_run": True}),
        (("all", *RANGE, "--resume"), "run", {"resume": True}),
        (("all", *RANGE, "--stale", "--dry-run"), "rebuild_stale", {"dry_run": True}),
        (("score_users", "raise_alerts", *RANGE), "run", {"jobs": ("score_users", "raise_alerts")}),
        (("label_churn", "--only", "silent_7d", *RANGE), "run", {"jobs": ("label_churn:silent_7d",)}),
    ],
)
def test_every_flag_of_run_is_the_runners_own(typed, orders, words, how, order):
    assert typed("run", *words)[0] == 0
    assert orders == [(how, Order(**{"jobs": ("all",), "first": FIRST, "last": LAST, **order}))]


@pytest.mark.case(48)
def test_a_dry_run_names_the_outputs_that_cannot_be_written_and_a_run_does_not_look(typed, orders, monkeypatch):
    found = [(True, "disk"), (False, "table report_pages in /w: not writable: Permission denied")]
    monkeypatch.setattr("churnwatch.upkeep.doctor.check_outputs", lambda runner, steps: found)
    code, _, err = typed("run", "all", *RANGE, "--dry-run")
    assert code == 1 and "outputs of this run are out of reach" in err and "report_pages" in err and "disk" not in err
    assert typed("run", "all", *RANGE)[0] == 0


@pytest.mark.parametrize("words", [("all", *RANGE, "--stale", "--resume"), ("score_users", *RANGE, "--stale")])
def test_what_is_stale_is_found_and_not_named(typed, orders, words):
    code, _, err = typed("run", *words)
    assert code == 2 and "--stale goes with the job all and without --resume" in err and orders == []


def test_the_plan_of_what_is_stale_tells_facts_from_decisions(typed, orders, monkeypatch):
    found = [(Job("build_features", build=dict), (FIRST, LAST)), (Job("score_users", build=dict, mode="daily"), (LAST,))]
    waits = [(FIRST, "log", 3), (LAST, "web", None)]
    monkeypatch.setattr("churnwatch.upkeep.stale", lambda runner: found)
    monkeypatch.setattr("churnwatch.upkeep.waiting", lambda runner: waits)
    code, out, _ = typed("plan", "--stale")
    assert code == 0
    assert out.splitlines() == [
        f"build_features: stale, 2 day(s), {FIRST} .. {LAST}",
        f"score_users: decided on older data, 1 day(s), {LAST} .. {LAST}",
        f"log: 3 row(s) of {FIRST} came too late; run: churnwatch run ingest_events --day {FIRST}",
        f"web: files that were not read of {LAST} came too late; run: churnwatch run ingest_events --day {LAST}",
    ]
    found.clear()
    waits.clear()
    assert typed("plan", "--stale")[1] == "nothing is stale\n"


def test_the_tables_are_told_as_their_page_has_them(typed):
    code, out, _ = typed("tables")
    assert code == 0 and out == dictionary(load(world.CONFIG, ["storage.root=unused", "storage.files=unused"])) + "\n"
    assert "## daily_activity" in out


def test_an_import_of_an_experiment_is_a_job_of_its_day(typed, orders):
    domain = f"domain={ROOT / 'tests' / 'realdata' / 'cookie_cats'}"
    place = {"config": ROOT / "conf" / "local.yaml", "sets": (domain, "storage.input=unused")}
    assert typed("experiment", "import", "gates", "--day", str(LAST), **place)[0] == 0
    assert orders == [("run", Order(("import_experiment:gates",), LAST, LAST))]
    code, _, err = typed("experiment", "import", "gates", **place)
    assert code == 2 and "--day is missing" in err
    code, _, err = typed("experiment", "import", "gate", "--day", str(LAST), **place)
    assert code == 2 and "no such job: 'import_experiment:gate'" in err


def test_a_world_of_planted_rules_is_asked_for_and_goes_without_what_living_worlds_have(typed, orders, monkeypatch):
    seen = []
    monkeypatch.setattr("churnwatch.io.planted.plant", lambda *given: seen.append(given) or {"planted": {"bill_falling": 3}})
    place = {"config": ROOT / "conf" / "local.yaml", "sets": ("domain=telecom",)}
    words = ("simulate", "--plant", "3", "--users", "50", "--days", "40")
    code, out, _ = typed(*words, "--out", "here", **place)
    ((spark, world_, settings, out_, truth),) = seen
    assert code == 0 and '"bill_falling": 3' in out and (spark, out_, truth) == (None, "here", None)
    assert (world_.users_a_rule, world_.usual_users, world_.days, world_.last_day) == (3, 50, 40, date(2025, 2, 14))
    assert world_.planted == settings.planted and settings.domain == "telecom"
    for more in (("--continue",), ("--actions", "retention_actions"), ("--format", "csv")):
        code, _, err = typed(*words, *more, **place)
        assert code == 2 and "--plant goes without" in err
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (JobFailed("one\ntwo\nthree\nfour\nfive\nsix"), ["churnwatch: one", "two", "three", "four", "five", "six"]),
        (ValueError("one\ntwo\nthree\nfour"), ["churnwatch: ValueError: one", "two", "three", "run again with -v for the trace"]),
    ],
)
def test_an_error_is_as_long_as_it_says_a_foreign_one_three_lines_and_its_trace_is_there_for_the_asking(
    typed, monkeypatch, error, lines
):
    def fails(runner):
        raise error

    monkeypatch.setattr("churnwatch.cli.runner_over", lambda settings: None)
    monkeypatch.setattr("churnwatch.upkeep.stale", fails)
    code, _, err = typed("plan", "--stale")
    assert code == 1 and err.splitlines() == lines
    code, _, err = typed("plan", "--stale", "-v")
    assert code == 1 and "Traceback" in err and "in fails" in err and "run again" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--nope"), "No such option: --nope"),
        (("run",), "Missing argument 'jobs'"),
        (("nope",), "No such command 'nope'"),
        (("run", "all", "--day", "2025-02-30"), "Invalid value for '--day'"),
        (("run", "all", "--day"), "requires an argument"),
        (("alerts", "ack"), "Missing argument"),
        (("simulate", "--users", "0"), "Invalid value for '--users'"),
    ],
)
def test_a_command_line_that_cannot_be_read_ends_with_2_and_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    told = capsys.readouterr()
    assert end.value.code == 2 and said in told.err
    assert told.err.startswith("churnwatch: ") and len(told.err.splitlines()) == 1


def test_without_a_word_the_help_is_shown_and_the_code_is_2(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    told = capsys.readouterr()
    assert end.value.code == 2 and "simulate" in told.out and told.err == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("show", "user_scores", "--day", str(LAST)), "churnwatch show user_scores"),
        (("run", "all", *RANGE), "churnwatch run all"),
        (("drill", "--day", str(LAST)), "churnwatch drill"),
    ],
)
def test_spark_is_started_under_the_name_of_what_was_typed(typed, monkeypatch, words, name):
    names = []

    def session(settings, name):
        names.append(name)
        raise JobFailed("no Spark here")

    monkeypatch.setattr("churnwatch.io.session.session", session)
    typed(*words)
    assert names == [name]


def test_a_long_command_lends_its_beginning():
    assert (
        name_of(["alerts", "ack", *["0123456789" * 4] * 3, "--who", "ann"])
        == f"churnwatch alerts ack {'0123456789' * 4} 01234567890123456"
    )
