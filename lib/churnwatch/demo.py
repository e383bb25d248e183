"""One story in local mode: a simulated app, half a year of history, a model, warnings, offers, and what they brought.

What was planted is read from the simulator's truth only here, after the flow has ended, to be compared with what was found.
What is collected here are aggregates: a row a table, run, cause, wave or campaign.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as RichTable

from churnwatch.core import ConfigError, JobFailed
from churnwatch.io.raw import simulate
from churnwatch.io.session import peak_memory_mb, reset_peak_memory, session
from churnwatch.runner import Order, Outcome, Runner
from churnwatch.settings import Settings, load
from churnwatch.settings.terms import ALL, MODEL
from churnwatch.simulate import World

HISTORY, DECISIONS, LOADED, READOUTS = 251, range(252, 255), 267, range(268, 271)
RAW, TRUTH, MARK = Path("raw"), Path("truth"), ".demo"
SHOWN = ("auc", "average_precision", "base_rate", "brier", "calibration_error", "top_decile_lift")


@dataclass
class Story:
    """The steps told so far, with what each took."""

    runner: Runner
    out: Console
    world: World
    steps: list[tuple[str, float, int, int]] = field(default_factory=list)
    rows: int = 0
    proven: bool = False

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Runs ``work`` and notes its wall seconds, the peak memory of driver and JVM in MB, and the rows written."""
        self.out.print(f"[bold]{name}[/bold]")
        self.rows = 0
        reset_peak_memory()
        started = time.monotonic()
        result = work()
        self.steps.append((name, time.monotonic() - started, peak_memory_mb(), self.rows))
        return result

    def tell(self, outcome: Outcome) -> None:
        """One line a job; a refused or failed one with its reason."""
        self.rows += sum(w.rows for w in outcome.written)
        for line in outcome.lines():
            self.out.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)

    def run(self, *jobs: str, first: int, last: int | None = None, every: int | None = None, decide: bool = False) -> None:
        """Runs jobs for the world's days ``first`` .. ``last``."""
        day = self.world.day
        self.runner.run(Order(jobs, day(first), day(last or first), every, decide))


def play(config: str, users: int, sets: Sequence[str]) -> None:
    """Plays the story; raises ConfigError where a warehouse lies that no demo made."""
    settings = load(config, sets)
    _clear(settings)
    out, spark, world = Console(), session(settings, "churnwatch demo"), World(users=users, days=DECISIONS[-1])
    story = Story(Runner(settings, spark), out, world)
    story.runner.on_end = story.tell
    _before(story, spark)
    summary = _after(story, spark)
    for table in (_steps(story), _tables(story), _model(story), _planted(story, spark, summary)):
        out.print(table)
    page = story.runner.store.read(story.runner.tables.report_pages).orderBy(F.desc("day")).first()
    out.print(f"the page: {page['path'] if page else 'was not rendered'}", soft_wrap=True)
    if not story.proven:
        raise JobFailed("the effect that was found does not cover the planted one, or does not exclude 0: see above")


def _clear(settings: Settings) -> None:
    root = Path(settings.storage.root or "")
    if not settings.storage.root or "://" in settings.storage.root:
        raise ConfigError("the demo runs in local mode: storage.root must be a folder here")
    for folder in (root, RAW, TRUTH):
        if folder.exists() and not (root / MARK).exists():
            raise ConfigError(f"{folder} is there and no demo made it: move it away, or run the demo in an empty folder")
    for folder in (RAW, TRUTH, root):
        shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    (root / MARK).touch()


def _before(story: Story, spark: SparkSession) -> None:
    """Half a year of history, a model, and three days of warnings and offers."""
    made = story.step(f"simulate days 1..{DECISIONS[-1]}", lambda: simulate(spark, story.world, RAW, TRUTH))
    story.steps[-1] = (*story.steps[-1][:3], made["rows"])
    story.step(f"load days 1..{HISTORY}, weekly snapshots", lambda: story.run("all", first=1, last=HISTORY, every=7))
    story.step(f"train at {HISTORY}", lambda: story.run("train_model", first=HISTORY))
    _decide(story, DECISIONS)


def _after(story: Story, spark: SparkSession) -> dict[str, Any]:
    """The days in which only the treated behave differently, and the reading of what that brought."""
    actions = story.runner.store.read(story.runner.tables.retention_actions)
    world = story.world.until(READOUTS[-1])
    summary = story.step(
        f"simulate days {DECISIONS[-1] + 1}..{READOUTS[-1]} with the actions",
        lambda: simulate(spark, world, RAW, TRUTH, actions=actions, continue_=True),
    )
    story.steps[-1] = (*story.steps[-1][:3], summary["rows"])
    first = DECISIONS[-1] + 1
    story.step(f"load days {first}..{LOADED}", lambda: story.run("all", first=first, last=LOADED, every=7))
    _decide(story, READOUTS)
    return dict(summary)


def _decide(story: Story, days: range) -> None:
    """Facts of the days in one pass, then the decisions of one day after the other, each as it was known on that day."""
    run = partial(story.run, "all", first=days[0], last=days[-1], decide=True)
    story.step(f"run all for {days[0]}..{days[-1]}", run)


def _steps(story: Story) -> RichTable:
    table = RichTable("step", "seconds", "peak memory, MB", "rows", title="what it took")
    for name, seconds, memory, rows in story.steps:
        table.add_row(name, f"{seconds:.1f}", f"{memory:,}", f"{rows:,}")
    table.add_row("all", f"{sum(s[1] for s in story.steps):.1f}", f"{max(s[2] for s in story.steps):,}", "")
    return table


def _tables(story: Story) -> RichTable:
    table = RichTable("table", "rows", "first day", "last day", title="tables")
    store = story.runner.store
    store.refresh()
    for contract in story.runner.tables:
        if store.exists(contract):
            # one row a table
            row = store.read(contract).agg(F.count(F.lit(1)), F.min("day"), F.max("day")).collect()[0]
            table.add_row(contract.name, f"{row[0]:,}", str(row[1] or ""), str(row[2] or ""))
    return table


def _model(story: Story) -> RichTable:
    table = RichTable("metric", "model", "best recency rule", "difference", title="the model on its test span, 95 % intervals")
    # one row an attempt and algorithm
    for run in story.runner.store.read(story.runner.tables.model_runs).orderBy("day", "at", "algorithm").collect():
        metrics, rule = run["metrics"], run["parameters"].get("rule", "")
        table.add_row(f"{run['day']} {run['outcome']}", f"test {run['spans']['test']}", rule, "")
        for name in SHOWN:
            table.add_row(name, *(_with_interval(metrics, n) for n in (name, f"rule_{name}", f"{name}_minus_rule")))
        for condition in run["conditions"]:
            table.add_row("gate", condition)
    return table


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    return f"{metrics[name]:.4f} [{metrics[f'{name}_low']:.4f}, {metrics[f'{name}_high']:.4f}]"


def _planted(story: Story, spark: SparkSession, summary: dict[str, Any]) -> RichTable:
    table = RichTable("what", "planted", "found", title="planted and found")
    truth = spark.read.parquet(str(TRUTH / "users"))
    for row in (*_churners(story, truth), *_causes(story, truth), *_waves(story, spark), *_effect(story, summary)):
        table.add_row(*row)
    return table


def _churners(story: Story, truth: DataFrame) -> Iterator[tuple[str, str, str]]:
    """Planted leavers around the day, by what they show on it, and how many of them stand in the riskiest tenth.

    Who leaves all of a sudden or with a wave shows nothing before; of the others the decline has begun, or they are away
    already, but not for long enough to count as churned.
    """
    day = story.world.day(DECISIONS[0])
    scores = story.runner.store.read(story.runner.tables.user_scores, f"day = DATE'{day}'")
    leaving = truth.where(F.col("leaves_on").between(F.date_sub(F.lit(day), 14), F.date_add(F.lit(day), 14)))
    plain = ~F.col("sudden") & F.col("wave_day").isNull()
    shows = (
        F.when(F.col("leaves_on") <= F.lit(day), "1 away, not yet counted as churned")
        .when((F.col("decline_from") <= F.lit(day)) & plain, "2 in decline, leave within 14 days")
        .otherwise("3 leave within 14 days, nothing shows yet")
    )
    # three rows at the most
    rows = (
        scores.join(leaving.select("user_id", shows.alias("shows")), "user_id")
        .groupBy("shows")
        .agg(F.count(F.lit(1)).alias("users"), F.count_if(F.col("percentile") >= 0.9).alias("top"))
        .orderBy("shows")
        .collect()
    )
    for row in rows:
        found = f"{row['top']:,} in the riskiest tenth ({row['top'] / row['users']:.0%}; by chance 10%)"
        yield f"users of {day}: {row['shows'][2:]}", f"{row['users']:,}", found


def _causes(story: Story, truth: DataFrame) -> Iterator[tuple[str, str, str]]:
    """How often the cause of the model's warning is the one that was planted."""
    alerts = story.runner.store.read(story.runner.tables.risk_alerts, f"array_contains(signals, '{MODEL}')")
    declining = truth.where((F.col("decline_from") <= F.lit(story.world.day(DECISIONS[-1]))) & ~F.col("sudden"))
    # one row a planted cause
    rows = (
        alerts.select("user_id", F.col("cause").alias("found"))
        .join(declining.select("user_id", "cause"), "user_id")
        .groupBy("cause")
        .agg(F.count(F.lit(1)).alias("n"), F.count_if(F.col("found") == F.col("cause")).alias("same"))
        .orderBy("cause")
        .collect()
    )
    for row in rows:
        yield (
            f"cause {row['cause']}",
            f"{row['n']:,} warned users",
            f"{row['same']:,} with this cause ({row['same'] / row['n']:.0%})",
        )


def _waves(story: Story, spark: SparkSession) -> Iterator[tuple[str, str, str]]:
    """The share of a wave's region that came back, in the week before the wave and in the second week after it."""
    trend = story.runner.store.read(story.runner.tables.activity_trend, "segment = 'region'")
    for wave in spark.read.parquet(str(TRUTH / "waves")).orderBy("day").collect():
        rows = trend.where(F.col("value") == wave["region"]).select("day", "share", "low", "high").collect()
        before = [r for r in rows if (wave["day"] - r["day"]).days == 1]
        after = [r for r in rows if (r["day"] - wave["day"]).days == 9]
        if before and after:
            interval = f"[{after[0]['low']:.1%}, {after[0]['high']:.1%}]"
            text = f"came back {before[0]['share']:.1%} before, {after[0]['share']:.1%} after {interval}"
            yield f"wave of {wave['day']} in {wave['region']}", f"{wave['share']:.0%} leave", text


def _effect(story: Story, summary: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The planted effect on the treated beside the read one, its interval and whether that covers it and excludes 0."""
    last: date = story.world.day(READOUTS[-1])
    lift = story.runner.store.read(story.runner.tables.retention_lift, f"day = DATE'{last}' AND outcome = 'retained'")
    planted = summary.get("planted_effect")
    rows = lift.where(f"segment = '{ALL}' AND NOT interim").collect()
    if not rows:
        yield "treatment effect", str(planted), "no read-out"
    for row in rows:
        covers, apart = planted is not None and row["low"] <= planted <= row["high"], row["low"] > 0 or row["high"] < 0
        story.proven = covers and apart
        answers = ("yes" if covers else "NO", "yes" if apart else "NO")
        text = (
            f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], {row['treated']:,} treated, "
            f"{row['control']:,} held out; covers the planted: {answers[0]}; excludes 0: {answers[1]}"
        )
        yield f"effect of {row['campaign']} on 14-day retention", f"{planted:+.3f}" if planted is not None else "?", text
