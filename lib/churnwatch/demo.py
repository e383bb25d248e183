"""One story in local mode: a simulated app, 251 days of history, a model, warnings, offers, and what they brought.

The simulator's truth is read here only, after the last job has ended, to be compared with what was found. What is collected
are aggregates: a row per table, model run, cause, wave or campaign.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as RichTable

from churnwatch.core import ConfigError, DataQualityError, JobFailed
from churnwatch.io.raw import simulate
from churnwatch.io.session import peak_memory_mb, reset_peak_memory
from churnwatch.settings import Settings
from churnwatch.settings.terms import UNKNOWN
from churnwatch.simulate import World
from churnwatch.warehouse import Warehouse
from churnwatch.warehouse import open as open_warehouse

# day numbers of the world: a model is trained on HISTORY, offers are made on DECIDED, and read on the last day of READ, when all
# outcomes are known. On the days of READ labels are built without gaps: those of all days of DECIDED become known on them
HISTORY, DECIDED, READ = 251, range(252, 255), range(268, 271)
LABEL = ("label_churn", "measure_churn", "classify_losses")
DECIDE = ("score_users", "raise_alerts", "plan_retention", "write_messages", "send_messages")
REPORT = ("judge_alerts", "measure_lift", "explain_churn", "render_report")
RAW, TRUTH, MARK = Path("raw"), Path("truth"), ".demo"
YOUNG, YOUNG_DAYS = "(just begun)", 7
METRICS = ("auc", "average_precision", "base_rate", "brier", "calibration_error", "top_decile_lift")
STEPS = 7


@dataclass
class Found:
    """What was planted beside what was found; shares and points are fractions, intervals are 95 %."""

    users: int
    events: int
    model: Mapping[str, float]
    leavers: Sequence[Row]
    causes: Sequence[Row]
    waves: Sequence[Mapping[str, Any]]
    planted: float | None
    effects: Sequence[Row]
    page: str
    general: str | None

    @property
    def proven(self) -> bool:
        """Whether the interval of each effect covers the planted one and excludes 0."""
        return bool(self.effects) and all(self.covers(row) and excludes_zero(row) for row in self.effects)

    def named(self, cause: str) -> tuple[int, int, int]:
        """Warned users in decline: with ``cause`` planted, with it found, and with both."""
        rows = [row for row in self.causes if row["planted"] not in (None, YOUNG)]
        planted, found = ([row for row in rows if row[side] == cause] for side in ("planted", "found"))
        return (
            *(sum(row["users"] for row in part) for part in (planted, found)),
            sum(row["users"] for row in planted if row in found),
        )

    def covers(self, effect: Row) -> bool:
        """Whether the interval of ``effect`` covers the planted one."""
        return self.planted is not None and effect["low"] <= self.planted <= effect["high"]


@dataclass
class Story:
    """The steps of the demo, with what each took: seconds, peak memory in MB, rows written."""

    warehouse: Warehouse
    world: World
    verbose: bool
    steps: list[tuple[str, float, int, int]] = field(default_factory=list)

    def step(self, name: str, work: Callable[[], int]) -> None:
        """Run ``work``, which returns the rows that it wrote, and print what it took."""
        print(f"{len(self.steps) + 1}/{STEPS} {name:<58}", end="\n" if self.verbose else "", flush=True)
        reset_peak_memory()
        started = time.monotonic()
        rows = work()
        seconds = time.monotonic() - started
        self.steps.append((name, seconds, peak_memory_mb(), rows))
        print(f"{seconds:6.0f} s", flush=True)

    def run(self, jobs: str | Sequence[str], first: int, last: int, every: int | None = None) -> int:
        """Run jobs for the world's days ``first`` .. ``last``; return the rows that they wrote."""
        day = self.world.day
        outcomes = self.warehouse.run(jobs, first=day(first), day=day(last), every=every, quiet=not self.verbose)
        return sum(written.rows for outcome in outcomes for written in outcome.written)


def play(config: str, users: int, sets: Sequence[str], verbose: bool = False) -> None:
    """Play the story and print what was planted beside what was found; ``verbose``: every step and all numbers too.

    Raises ConfigError where a warehouse lies that no demo made, JobFailed where the planted effect was not found.
    """
    warehouse = open_warehouse(config, sets)
    _clear(warehouse.settings)
    story = Story(warehouse, World(users=users, days=DECIDED[-1]), verbose)
    simulated = _before(story)
    simulated = {**_after(story), "rows": simulated["rows"]}
    found = _found(story, simulated)
    if verbose:
        for table in (_steps(story), _tables(story), _model(story), _leavers_and_causes(found)):
            Console().print(table)
    print("\n".join(["", *summary(found, config)]))
    if not found.proven:
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


def _before(story: Story) -> dict[str, Any]:
    """History, a model, and three days of warnings and offers; returns the simulator's summary.

    All days are loaded in one pass: the runner hands each job only what was known on its day.
    """
    simulated: dict[str, Any] = {}

    def write() -> int:
        simulated.update(simulate(story.warehouse.spark, story.world, RAW, TRUTH))
        return int(simulated["rows"])

    story.step(f"simulate days 1 to {DECIDED[-1]}", write)
    last = DECIDED[-1]
    story.step(f"load days 1 to {last}, with a snapshot every 8 days", lambda: story.run("all", 1, last, every=0))
    story.step(f"train a model on day {HISTORY}", lambda: story.run("train_model", HISTORY, HISTORY))
    days = f"days {DECIDED[0]} to {DECIDED[-1]}"
    story.step(f"score, warn and make offers on {days}", lambda: _decided(story, DECIDED[0], last))
    return simulated


def _after(story: Story) -> dict[str, Any]:
    """The days in which only treated users behave differently, and what that brought; returns the simulator's summary."""
    actions = story.warehouse.read("retention_actions")
    world, simulated = story.world.until(READ[-1]), {}

    def write() -> int:
        simulated.update(simulate(story.warehouse.spark, world, RAW, TRUTH, actions=actions, continue_=True))
        return int(simulated["rows"])

    first, last = DECIDED[-1] + 1, READ[-1]
    story.step(f"simulate days {first} to {last}: users with an offer stay longer", write)
    story.step(f"load days {first} to {last}", lambda: story.run("all", first, last, every=0) + story.run(LABEL, READ[0], last))
    story.step(
        f"decide on days {READ[0]} to {last}, measure what the offers brought",
        lambda: _decided(story, READ[0], last) + story.run(REPORT, last, last),
    )
    return simulated


def _decided(story: Story, first: int, last: int) -> int:
    """Features of the days ``first`` .. ``last``, which may be no snapshots, then the decisions of one day after the other, and
    the assignments that were decided."""
    rows = story.run("build_features", first, last) + story.run(DECIDE, first, last)
    return rows + story.run("record_assignments", first, last)


# --- what was found ------------------------------------------------------------------------------------------------------


def _found(story: Story, simulated: Mapping[str, Any]) -> Found:
    warehouse, world, truth = story.warehouse, story.world, story.warehouse.spark.read.parquet(str(TRUTH / "users"))
    model = warehouse.read("model_runs").where("outcome = 'released'").orderBy(F.desc("at")).limit(1).collect()
    page = warehouse.read("report_pages").orderBy(F.desc("day")).limit(1).collect()
    return Found(
        users=world.users,
        events=simulated["rows"],
        model=model[0]["metrics"] if model else {},
        leavers=_leavers(story, truth),
        causes=_causes(story, truth),
        waves=list(_waves(story)),
        planted=simulated.get("planted_effect"),
        effects=_effects(story),
        page=page[0]["path"] if page else "was not rendered",
        general=warehouse.settings.causes.general,
    )


def _leavers(story: Story, truth: DataFrame) -> Sequence[Row]:
    """Planted leavers around the first decided day: ``shows``, ``users``, ``top`` of them in the riskiest tenth.

    ``shows``: "quiet" (left within the last 14 days, not yet counted as churned), "declining" or "no sign yet" (both leave
    within the next 14 days). Users who leave suddenly or with a wave show no sign before.
    At most three rows, the largest share first.
    """
    day = story.world.day(DECIDED[0])
    scores = story.warehouse.read("user_scores", day=day)
    leaving = truth.where(F.col("leaves_on").between(F.date_sub(F.lit(day), 14), F.date_add(F.lit(day), 14)))
    plain = ~F.col("sudden") & F.col("wave_day").isNull()
    shows = (
        F.when(F.col("leaves_on") <= F.lit(day), "quiet")
        .when((F.col("decline_from") <= F.lit(day)) & plain, "declining")
        .otherwise("no sign yet")
    )
    return (
        scores.join(leaving.select("user_id", shows.alias("shows")), "user_id")
        .groupBy("shows")
        .agg(F.count(F.lit(1)).alias("users"), F.count_if(F.col("percentile") >= 0.9).alias("top"))
        .orderBy(F.desc(F.col("top") / F.col("users")))
        .collect()
    )


def _causes(story: Story, truth: DataFrame) -> Sequence[Row]:
    """Count users whom the model warned of on the decided days: rows of ``planted``, ``found`` (of the newest warning) and
    ``users``.

    ``planted`` is null for users who are not in decline: no decline is planted, they leave suddenly, or they have come back.
    YOUNG: the decline began less than YOUNG_DAYS days before the warning, when there is little to see.
    """
    first, last = story.world.day(DECIDED[0]), story.world.day(DECIDED[-1])
    alerts = story.warehouse.read("risk_alerts").where("array_contains(signals, 'model')")
    newest = (
        alerts.where(F.col("day").between(first, last))
        .groupBy("user_id")
        .agg(F.max_by("cause", "day").alias("found"), F.max("day").alias("day"))
    )
    away = F.coalesce(F.col("returns_on") > F.col("day"), F.lit(True))
    declining = (F.col("decline_from") <= F.col("day")) & ~F.col("sudden") & away
    begun = F.date_diff(F.col("day"), F.col("decline_from")) >= YOUNG_DAYS
    planted = F.when(declining, F.when(begun, F.col("cause")).otherwise(YOUNG))
    # one row a user on both sides: the join keeps the grain
    return (
        newest.join(truth.select("user_id", "cause", "sudden", "decline_from", "returns_on"), "user_id")
        .groupBy(planted.alias("planted"), F.coalesce("found", F.lit(UNKNOWN)).alias("found"))
        .agg(F.count(F.lit(1)).alias("users"))
        .orderBy("planted", "found")
        .collect()
    )


def _waves(story: Story) -> Iterator[dict[str, Any]]:
    """Each planted wave with the share of its region that came back, the week before and the second week after it."""
    waves = story.warehouse.spark.read.parquet(str(TRUTH / "waves")).orderBy("day").collect()
    trend = story.warehouse.read("activity_trend").where("segment = 'region'")
    rows = trend.where(F.col("value").isin([wave["region"] for wave in waves])).select("value", "day", "share").collect()
    shares = {(row["value"], row["day"]): row["share"] for row in rows}
    days = sorted({row["day"] for row in rows})
    for wave in waves:
        before = [day for day in days if (wave["day"] - day).days == 1]
        after = [day for day in days if (day - wave["day"]).days == 9]
        if before and after:
            region = wave["region"]
            yield {**wave.asDict(), "before": shares[region, before[0]], "after": shares[region, after[0]]}


def _effects(story: Story) -> Sequence[Row]:
    """The final reading of retention of each campaign: treated minus held out, with its interval."""
    try:
        lift = story.warehouse.read("retention_lift", day=story.world.day(READ[-1]))
    except DataQualityError:
        return []
    return lift.where("outcome = 'retained' AND segment = 'all' AND NOT interim").orderBy("campaign").collect()


def excludes_zero(effect: Row) -> bool:
    """Whether the interval of ``effect`` lies on one side of 0."""
    return effect["low"] > 0 or effect["high"] < 0


# --- for people ----------------------------------------------------------------------------------------------------------


def summary(found: Found, config: str) -> list[str]:
    """What was planted beside what was found, in lines of at most 80 columns (the path of the page may be longer)."""
    metrics = found.model
    lines = [
        "What was planted, and what was found (95 % intervals)",
        f"  history  {found.users:,} users, {found.events:,} events",
    ]
    if metrics:
        rule = f"the best simple rule has {metrics['rule_auc']:.3f}"
        lines.append(f"  model    AUC {metrics['auc']:.3f} [{metrics['auc_low']:.3f}, {metrics['auc_high']:.3f}]; {rule}")
    if found.leavers:
        shares = ", ".join(f"{row['shows']} {row['top'] / row['users']:.0%}" for row in found.leavers)
        lines.append(f"  leavers  in the riskiest tenth: {shares}")
    lines += _cause_lines(found)
    for wave in found.waves:
        came_back = f"{wave['before']:.0%} came back before, {wave['after']:.0%} after"
        lines.append(f"  wave     {wave['day']}: {wave['share']:.0%} of {wave['region']} leave; {came_back}")
    for row in found.effects:
        planted = "?" if found.planted is None else f"{100 * found.planted:+.1f}"
        points = f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
        lines.append(f"  offers   planted {planted} points of retention, found {points}:")
        covers, apart = ("yes" if is_so else "NO" for is_so in (found.covers(row), excludes_zero(row)))
        counts = f"{row['treated']:,} treated, {row['control']:,} held out"
        lines.append(f"           {counts}; covers the planted: {covers}; excludes 0: {apart}")
    if not found.effects:
        lines.append("  offers   no reading of their effect")
    return [
        *lines,
        f"  page     {found.page}",
        f'  more     churnwatch.open("{config}") in Python; all numbers: --verbose',
    ]


def _cause_lines(found: Found) -> list[str]:
    """Recall and precision by cause, and of the specific causes; how many of all warned users have the general one."""
    counts = {cause: found.named(cause) for cause in sorted({row["planted"] for row in found.causes} - {None, YOUNG})}
    if not counts:
        return []
    warned, young = (sum(row["users"] for row in found.causes if not only or row["planted"] == YOUNG) for only in (False, True))
    recall = sum(both / planted for planted, _, both in counts.values()) / len(counts)
    specific = [count for cause, count in counts.items() if cause != found.general]
    named, right = sum(count[1] for count in specific), sum(count[2] for count in specific)
    general = sum(row["users"] for row in found.causes if row["found"] == found.general)
    users = sum(count[0] for count in counts.values())
    by_cause = [
        f"{cause} {_share(both, planted)} / {_share(both, by_name)}" for cause, (planted, by_name, both) in counts.items()
    ]
    texts = [
        f"of {users:,} warned users in decline (and {young:,} who just began): recall {recall:.0%} on average,",
        f"{_share(right, named)} of {named:,} specific causes right; {found.general or UNKNOWN} is named for",
        f"{_share(general, warned)} of all {warned:,} warned. Recall / precision: {', '.join(by_cause)}",
    ]
    return wrap(" ".join(texts), 80, initial_indent="  causes   ", subsequent_indent=" " * 11)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"


def _steps(story: Story) -> RichTable:
    table = RichTable("step", "seconds", "peak MB", "rows", title="what it took")
    for name, seconds, memory, rows in story.steps:
        table.add_row(name, f"{seconds:.1f}", f"{memory:,}", f"{rows:,}")
    table.add_row("all", f"{sum(s[1] for s in story.steps):.1f}", f"{max(s[2] for s in story.steps):,}", "")
    return table


def _tables(story: Story) -> RichTable:
    table = RichTable("table", "rows", "first day", "last day", title="tables")
    for row in story.warehouse.tables().itertuples():
        table.add_row(row.table, f"{row.rows:,}", str(row.first_day or ""), str(row.last_day or ""))
    return table


def _model(story: Story) -> RichTable:
    table = RichTable("metric", "model", "best rule", "difference", title="the model on its test span, 95 % intervals")
    # one row per attempt and algorithm
    for run in story.warehouse.read("model_runs").orderBy("day", "at", "algorithm").collect():
        metrics, rule = run["metrics"], run["parameters"].get("rule", "")
        table.add_row(f"{run['day']} {run['outcome']}", f"test {run['spans']['test']}", rule, "")
        for name in METRICS:
            table.add_row(name, *(_with_interval(metrics, n) for n in (name, f"rule_{name}", f"{name}_minus_rule")))
        for condition in run["conditions"]:
            table.add_row("gate", condition)
    return table


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"


def _leavers_and_causes(found: Found) -> RichTable:
    table = RichTable("planted", "users", "found", title="leavers and causes")
    for row in found.leavers:
        table.add_row(f"leavers, {row['shows']}", f"{row['users']:,}", f"{row['top']:,} in the riskiest tenth (by chance 10 %)")
    for row in found.causes:
        table.add_row(f"cause {row['planted'] or 'none: not in decline'}", f"{row['users']:,}", f"warned with {row['found']}")
    return table
