"""Lift of a real experiment with 90,189 players, as its publishers give it; the file is read in place."""

from datetime import date
from pathlib import Path

import pytest

from churnwatch.runner import Order, Runner
from churnwatch.settings import load

pytestmark = pytest.mark.realdata

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2023, 4, 14)


@pytest.fixture(scope="module")
def read(spark, shared_data, tmp_path_factory):
    """Rows of retention_lift of the whole experiment, by outcome: imported and measured by the two commands' jobs."""
    folder = tmp_path_factory.mktemp("cookie_cats")
    sets = [
        f"storage.root={folder}/tables",
        f"storage.files={folder}/files",
        f"domain={ROOT / 'tests' / 'realdata' / 'cookie_cats'}",
        f"experiments.gates.source.path={shared_data / 'cookie_cats' / 'cookie_cats.csv.gz'}",
    ]
    settings = load(ROOT / "conf" / "local.yaml", sets)
    of = Runner(settings, spark)
    for job in ("import_experiment:gates", "measure_lift"):
        (outcome,) = of.run(Order((job,), DAY, DAY))
        assert outcome.status == "done", outcome.message
    of.store.refresh()
    rows = of.store.read(of.tables.retention_lift).collect()
    assert {(row["campaign"], row["arm"], row["segment"]) for row in rows} == {("gates", "gate_30", "all")}
    return {row["outcome"]: row for row in rows}


@pytest.mark.parametrize(
    ("outcome", "stayed", "difference", "low", "high", "p"),
    [
        ("retention_1", (20_034, 20_119), 0.005905, -0.000582, 0.012393, 0.0744),
        ("retention_7", (8_502, 8_279), 0.008201, 0.003121, 0.013282, 0.00155),
    ],
)
def test_both_outcomes_are_as_published(read, outcome, stayed, difference, low, high, p):
    row = read[outcome]
    assert (row["treated"], row["control"]) == (44_700, 45_489)
    assert (round(row["treated_mean"] * 44_700), round(row["control_mean"] * 45_489)) == stayed
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((difference, low, high), abs=1e-6)
    assert float(f"{row['p']:.3g}") == p and not row["interim"]


def test_rounds_are_a_mean(read):
    row = read["rounds"]
    total = row["treated_mean"] * row["treated"] + row["control_mean"] * row["control"]
    assert total / 90_189 == pytest.approx(51.872, abs=5e-4)
    assert row["incremental_users"] is None and row["low"] < 0 < row["high"]


def test_the_sample_ratio_warns_at_the_limit_in_conf(read):
    assert read["retention_1"]["srm_p"] == pytest.approx(0.0086, abs=5e-5)
    assert all(row["srm_alarm"] for row in read.values())
