"""What the benchmark measures with: CPU of children, tasks of a span of time, bars."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

import eventlog
import rows
import run
import train
import training_rows
from churnwatch.model import tuning
from duck import Duck
from processes import cpu_seconds
from rows import Row
from smallworld import settings
from worlds import World


def test_children_that_ended_count():
    before = cpu_seconds()
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert cpu_seconds() - before > 0.4  # ticks are hundredths


def test_only_tasks_of_the_span_count(tmp_path):
    def ended(launched, written, execution, heap):
        return {
            "Event": "SparkListenerTaskEnd",
            "Task Info": {"Launch Time": launched},
            "Task Metrics": {
                "Shuffle Write Metrics": {"Shuffle Bytes Written": written},
                "Disk Bytes Spilled": 0,
                "Peak Execution Memory": execution,
            },
            "Task Executor Metrics": {"JVMHeapMemory": heap, "JVMOffHeapMemory": 1},
        }

    events = [{"Event": "SparkListenerJobEnd"}, ended(999, 500, 90, 90), ended(1000, 5, 7, 20), ended(1500, 6, 3, 10)]
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
    assert eventlog.tasks(log, 1.0, 1.5) == eventlog.Tasks(11, 0, 7, 21)


def test_bars_are_reached_from_their_own_side_and_small_worlds_are_not_judged():
    assert [Row("s", "w", value, "x", at_least=0.3).met for value in (0.29, 0.3)] == [False, True]
    assert [Row("s", "w", value, "x", at_most=8).met for value in (8, 8.1)] == [True, False]
    assert Row("s", "w", 9, "x", at_most=8, judged=False).met is None


ANSWER = "SELECT DATE '2025-03-10' AS day, 'u' || n AS user_id, n AS orders, 2.5 * n AS spend FROM range(5) AS t(n)"


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        (ANSWER, []),
        (ANSWER.replace("2.5 * n", "2.5 * n + (n = 3)::INT"), ["spend"]),
        # the same values, at other users
        (ANSWER.replace("n AS orders", "4 - n AS orders"), ["orders"]),
        (ANSWER.replace("range(5)", "range(4)"), ["rows", "orders", "spend"]),
        (ANSWER.replace("AS day", "AS day, 1 AS more"), ["more (not computed)"]),
    ],
)
def test_an_answer_that_is_not_the_references_is_told_by_its_columns(tmp_path, stored, wrong):
    duck = Duck(settings(), World(1, 7, 2), tmp_path, 1)
    duck.db.execute(f"CREATE TABLE windows AS {ANSWER}")
    (duck.answers / "windows").mkdir(parents=True)
    duck.db.execute(f"COPY ({stored}) TO '{duck.answers}/windows/one.parquet' (FORMAT parquet)")
    assert duck.differences("windows") == wrong


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A benchmark whose children give numbers at once; ``wrong``: (step, columns) that DuckDB finds wrong in an answer."""
    one = {"seconds": 1.5, "cpu_seconds": 2.5, "shuffle_bytes": 8.0, "peak_execution_bytes": 1.0, "peak_jvm_bytes": 1.0}
    measured = SimpleNamespace(wrong=(None, []), folder=tmp_path, children=[])

    def child(engine, step, world, **more):
        measured.children.append((engine, step))
        names = {"history": ("long", "short"), "write_large": ("replace", "append")}.get(step, (step,))
        variants = {name: {"cold": one, "warm": one, "warm_runs": 1} for name in names}
        wrong = measured.wrong[1] if (engine, step) == ("duckdb", measured.wrong[0]) else []
        return {"variants": variants, "bytes": 10, "events": 100, **({"differences": wrong} if engine == "duckdb" else {})}

    monkeypatch.setattr(run, "_child", child)
    monkeypatch.setattr(run, "OUT", tmp_path)
    return measured


@pytest.mark.parametrize(
    ("group", "step"),
    [
        ("rollup", "rollup"),
        ("scaling", "rollup"),
        ("day", "one_day"),
        ("day", "again"),
        ("windows", "windows"),
        ("history", "rollup"),
        ("writing", "rollup"),
        ("memory", "windows"),
    ],
)
def test_no_time_is_told_of_a_wrong_answer(measured, monkeypatch, capsys, group, step):
    monkeypatch.setenv("BENCH_ONLY", group)
    monkeypatch.setenv("BENCH_FULL", "1")
    measured.wrong = (step, ["spend_cents", "rows"])
    with pytest.raises(SystemExit, match=f"^{step} spark . cores .*: not the reference's answer: spend_cents, rows$"):
        run.main()
    assert capsys.readouterr().out == "" and not (measured.folder / "bench.json").exists()
    measured.wrong = (None, [])
    run.main()
    assert "1.50" in capsys.readouterr().out or group == "memory"


def test_every_answer_of_spark_that_has_a_reference_is_compared(measured):
    measure = run.Measurements()
    for group in rows.GROUPS.values():
        # without a reference, refused within its process, and a comparison with another checkout
        if group not in (rows.warnings, rows.scoring, rows.day_fixed):
            list(group(measure, [5, 10], True))
    spark = [(n, step) for n, (engine, step) in enumerate(measured.children) if engine == "spark" and step in run.CHECKED]
    assert {step for _, step in spark} == set(run.CHECKED)
    assert [measured.children[n + 1] for n, _ in spark] == [("duckdb", step) for _, step in spark]


def test_one_and_two_trials_at_once_try_the_same_points(monkeypatch):
    tried = []

    def trial(sample, algorithm, parameters, conf):
        tried.append(parameters)
        return {"parameters": parameters, "loss": abs(parameters["stepSize"] - 0.2), "found": {}}

    monkeypatch.setattr(tuning, "_trial", trial)
    monkeypatch.setattr(tuning, "inheritable_thread_target", lambda session: lambda target: target)
    found = train.searches(SimpleNamespace(sparkSession=None), settings(model={"seed": 7}), 12)
    assert [one["trials"] for one in (found["tuned"], found["1"], found["2"])] == [12, 12, 12]
    # the cold search, the tuner's, one at once, two at once
    by_search = [sorted(map(str, tried[n : n + 12])) for n in (0, 12, 24, 36)]
    assert len(tried) == 48 and by_search[1] == by_search[2] == by_search[3]
    assert len(set(by_search[1])) == 12


def test_rows_of_training_compare_what_was_measured(monkeypatch):
    found = {
        "fits": {"gbt": {"seconds": 9.0, "auc": 0.81}, "xgboost": {"seconds": 2.0, "auc": 0.805}},
        "search": {
            "tuned": {"seconds": 10.4, "in_trials": 10.0, "trials": 8},
            "1": {"seconds": 10.0},
            "2": {"seconds": 5.0},
        },
    }
    monkeypatch.setattr(training_rows, "find_spec", lambda name: True)
    measure = SimpleNamespace(training=lambda what, **order: found[what])
    speed, less = training_rows.boosting(measure, [], False)
    assert (speed.measured, speed.met, less.met) == (4.5, True, False)
    overhead, threads = training_rows.tuning(measure, [], False)
    assert (round(overhead.measured, 3), overhead.met) == (0.05, True)
    assert (threads.measured, threads.met) == (2.0, True)


def test_the_last_cut_off_is_told_of_real_data_and_of_a_simulation(monkeypatch, tmp_path):
    def found(what, **order):
        told = {"cut_off": "1998-04-01", "column": "orders_90d", "column_auc": 0.66, "auc": 0.65, "lightgbm": 0.64}
        told |= {
            "ours": 0.62,
            "lightgbm_trees": 80,
            "minus_low": -0.03,
            "minus_high": 0.01 if order.get("name") == "cdnow" else -0.01,
        }
        told |= {"auc_minus_column": -0.01, "auc_minus_column_low": -0.03, "auc_minus_column_high": 0.01, "outcome": "refused"}
        return told

    for name in training_rows.REAL:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(training_rows, "DATA", tmp_path)
    rows = list(training_rows.realdata(SimpleNamespace(training=found), [], False))
    met = {row.world.split(",")[0]: row.met for row in rows if row.step == "AUC over the best column"}
    # below the best column: enough for online_retail, whose interval reaches 0
    assert met == {"cdnow": False, "online_retail": True, "simulated app of 3": False}
    assert rows[0].told == "orders_90d 0.6600; interval -0.0300 to +0.0100" and rows[1].told == "refused by the gate"
    assert len(rows) == 9
    plain = {row.world.split(",")[0]: (round(row.measured, 4), row.met) for row in rows if "LightGBM" in row.step}
    # an interval that reaches 0 is enough
    assert plain == {"cdnow": (-0.02, True), "online_retail": (-0.02, False), "simulated app of 3": (-0.02, False)}


def test_rows_of_earlier_runs_are_marked(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "OUT", tmp_path)
    one = {"cold": {"seconds": 1.0, "cpu_seconds": 2.0}, "warm": {"seconds": 1.0, "cpu_seconds": 2.0}}
    both = [Row("a", "w", 1.0, "x", at_least=1), Row("b", "w", 2.0, "x", at_least=1)]
    run._write(both, {"m": {"variants": {"m": one}}}, "2026-01-01 10:00 abc")
    text = (tmp_path / "bench.md").read_text()
    assert "Run of 2026-01-01 10:00 abc, 2 of 2 rows: all in one run." in text and "(*)" not in text
    # what else was found is no part of a row's name
    run._write([replace(both[1], told="other by now")], {}, "2026-01-02 10:00 def")
    text = (tmp_path / "bench.md").read_text()
    assert "Run of 2026-01-02 10:00 def, 1 of 2 rows; the others are of earlier runs (*)." in text
    assert "| a | w | 1.00 x | at least 1 | yes | 2026-01-01 10:00 abc (*) |" in text
    assert "| b (other by now) | w | 2.00 x | at least 1 | yes | 2026-01-02 10:00 def |" in text
    assert "| m | 1.00 | 2.00 | 1.00 | 2.00 |  |  |  | 2026-01-01 10:00 abc |" in text
