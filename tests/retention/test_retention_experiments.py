"""An outside experiment's table becomes units, or is refused with every fault."""

from datetime import date

import pytest
from chispa import assert_df_equality

from churnwatch.core import DataQualityError
from churnwatch.retention import experiment_predicate, import_experiment

DAY = date(2025, 5, 1)
EXPERIMENT = {
    "source": {
        "name": "trial",
        "format": "csv",
        "path": "x",
        "map": {"unit": "id", "arm": "lower(version)", "stratum": "country", "day": "seen"},
    },
    "outcomes": {"stayed": "stayed = 'TRUE'", "minutes": "minutes"},
    "covariates": {"minutes": "minutes_before"},
    "control": "old",
    "shares": {"old": 0.5, "new": 0.5},
    "day": "2025-02-01",
}
COLUMNS = ("id", "version", "country", "seen", "stayed", "minutes", "minutes_before")


class Rows:
    """A source port over rows in memory."""

    def __init__(self, spark, rows) -> None:
        schema = ", ".join(f"{name} string" for name in (*COLUMNS, "_corrupt"))
        self._frame = spark.createDataFrame([(*row, None) if len(row) == len(COLUMNS) else row for row in rows], schema)

    def rows(self, source, days):
        """The rows, whatever is asked for."""
        return self._frame


def test_units_are_mapped_and_what_is_no_number_is_null(spark, frames, make_settings):
    rows = [
        ("1", "OLD", "at", "2025-01-03", "TRUE", "7.5", "3"),
        (" 2 ", "New", "", "soon", "FALSE", "many", "NaN"),
        ("3", "new", None, None, None, None, None),
    ]
    settings = make_settings(experiments={"trial": EXPERIMENT})
    found = import_experiment({}, (DAY,), Rows(spark, rows), settings, "trial")["experiment_units"]
    start = {"day": date(2025, 2, 1), "arm": "new"}
    expected = frames.units(
        {
            "unit": "1",
            "arm": "old",
            "stratum": "at",
            "day": date(2025, 1, 3),
            "outcomes": {"stayed": 1.0, "minutes": 7.5},
            "covariates": {"minutes": 3.0},
        },
        {"unit": "2", "outcomes": {"stayed": 0.0, "minutes": None}, "covariates": {"minutes": None}} | start,
        {"unit": "3", "outcomes": {"stayed": None, "minutes": None}, "covariates": {"minutes": None}} | start,
    ).drop("until")
    assert_df_equality(found.orderBy("unit"), expected.orderBy("unit"), ignore_nullable=True, ignore_metadata=True)


def test_every_fault_is_told_with_its_count(spark, make_settings):
    good = ("at", "2025-01-03", "TRUE", "1", "1")
    rows = [
        ("1", "old", *good),
        ("1", "new", *good),
        ("1", "new", *good),
        ("2", "blue", *good),
        ("3", None, *good),
        ("", "old", *good),
    ]
    rows.append((*[None] * len(COLUMNS), "{broken"))
    with pytest.raises(DataQualityError) as told:
        import_experiment({}, (DAY,), Rows(spark, rows), make_settings(experiments={"trial": EXPERIMENT}), "trial")
    message = str(told.value)
    assert "1 of 7 rows cannot be read" in message
    assert "1 rows have no unit" in message
    assert "2 rows have an arm that is not in shares (for one, blue)" in message
    assert "1 units have 3 rows" in message


def test_an_import_replaces_the_whole_experiment_and_no_other():
    assert experiment_predicate((DAY,), "trial") == {"experiment_units": "experiment = 'trial'"}
