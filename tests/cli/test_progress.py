"""What a person sees while jobs run."""

from datetime import date
from functools import partial
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from churnwatch.core import Job
from churnwatch.io.store import Written
from churnwatch.progress import Progress
from churnwatch.reading import Step
from churnwatch.runner import Outcome

DAY = date(2025, 3, 10)
STEP = Step(Job("label_churn", build=dict, instance="silent_7d"), DAY, (date(2025, 3, 1), date(2025, 3, 2)))
STAGES = {3: (2, 4), 5: (1, 2)}  # tasks done and known


def a_session():
    """A session whose tracker knows of two stages that run, and of one that has just ended."""

    def info(stage):
        return SimpleNamespace(numCompletedTasks=STAGES[stage][0], numTasks=STAGES[stage][1]) if stage in STAGES else None

    tracker = SimpleNamespace(getActiveStageIds=lambda: [3, 4, 5], getStageInfo=info)
    return SimpleNamespace(sparkContext=SimpleNamespace(statusTracker=lambda: tracker))


@pytest.fixture
def shown(monkeypatch):
    """What is shown of a step that runs and ends: on a terminal, or in a file."""

    def made(terminal):
        out = StringIO()
        console = partial(Console, file=out, force_terminal=terminal, width=200, _environ={"TERM": "xterm"})
        monkeypatch.setattr("churnwatch.progress.Console", console)
        with Progress() as progress:
            progress.watch(a_session())
            progress.step_started(STEP)
        during = out.getvalue()
        progress.step_ended(Outcome(STEP, "skipped", message="no [release] :x:"))
        return during, out.getvalue()[len(during) :]

    return made


def test_a_terminal_has_a_live_line_of_the_steps_tasks(shown):
    during, after = shown(terminal=True)
    assert "label_churn:silent_7d 2025-03-10 [##########..........] tasks 3 of 6" in during
    assert "skipped" in after


def test_a_file_has_a_line_a_step_and_nothing_else(shown):
    during, after = shown(terminal=False)
    assert during == ""
    assert after == "label_churn:silent_7d      2025-03-01 .. 2025-03-02 skipped      0.0 s  no [release] :x:\n"


def test_a_line_says_days_seconds_and_rows():
    written = (Written("user_labels", 7, 1234), Written("more", 8, 5))
    done = Outcome(STEP, "done", written, 61.26, message="{}")
    assert done.lines() == ["label_churn:silent_7d      2025-03-01 .. 2025-03-02 done        61.3 s  user_labels 1,234, more 5"]


def test_a_reason_of_many_lines_is_told_whole_and_without_output_days_d_stands():
    nothing = Outcome(Step(STEP.job, DAY, ()), "would run", message="reads a\nadds to b")
    assert nothing.lines() == ["label_churn:silent_7d      2025-03-10               would run    0.0 s  reads a", "    adds to b"]
