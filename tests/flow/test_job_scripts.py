"""Scripts for spark-submit: each types the command of its own job, with the options that it was given."""

import runpy
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@pytest.mark.parametrize("script", sorted(JOBS.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_runs_the_job_of_its_name_with_its_options(script, monkeypatch):
    typed = []
    monkeypatch.setattr("churnwatch.cli.main", typed.append)
    monkeypatch.setattr(sys, "argv", [str(script), "--day", "2025-03-01", "--dry-run"])
    runpy.run_path(str(script), run_name="__main__")
    assert typed == [["run", script.stem, "--day", "2025-03-01", "--dry-run"]]
