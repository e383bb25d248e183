"""The port to raw input: which files are read, as which columns, and what cannot be read."""

import gzip
from datetime import date

import pytest

from churnwatch.core import DataQualityError
from churnwatch.io.sources import Sources
from churnwatch.settings import Source

DAYS = [date(2025, 3, 1), date(2025, 3, 2)]


@pytest.fixture
def read(spark):
    """``read(...)``: the rows of a source made from the keys."""
    port = Sources(spark, None)

    def rows(days=DAYS, **keys):
        return port.rows(Source(**({"name": "s", "map": {"user_id": "u"}} | keys)), days)

    return rows


def test_only_the_files_around_the_days_are_read_and_know_their_day(read, tmp_path):
    for n in (1, 2, 3, 4, 5):
        folder = tmp_path / "a b" / f"day=2025-03-0{n}"
        folder.mkdir(parents=True)
        (folder / "x+y.csv").write_text(f"u,t\n{n},2\n")
    frame = read(format="csv", path=f"{tmp_path}/a b/day={{day}}/*.csv", options={"header": "true"})
    found = {(row["u"], row["_file_day"]) for row in frame.collect()}
    assert found == {(str(n), date(2025, 3, n)) for n in (1, 2, 3)}
    assert frame.columns == ["u", "t", "_file", "_file_day", "_corrupt", "_raw"]


def test_no_file_of_the_days_is_empty_but_no_file_at_all_is_a_fault(read, tmp_path):
    assert read(format="csv", path=f"{tmp_path}/{{day}}.csv").collect() == []
    assert read(format="parquet", path=f"{tmp_path}/{{day}}").columns[0] == "u"
    with pytest.raises(DataQualityError, match="source s: nothing exists at .*all.csv"):
        read(format="csv", path=f"{tmp_path}/all.csv")


@pytest.mark.case(21)
def test_csv_rows_of_another_width_are_broken_and_kept_as_text(read, tmp_path):
    (tmp_path / "x.csv").write_bytes(b'u,t\r\n"a,""b""",2\r\n1,2,3\r\n1\r\n')
    rows = read(format="csv", path=f"{tmp_path}/x.csv", options={"header": "true", "escape": '"'}).collect()
    assert [(row["u"], row["_corrupt"]) for row in rows] == [('a,"b"', None), ("1", "1,2,3"), ("1", "1")]


def test_columns_name_a_csv_without_header_and_rename_one_with(read, tmp_path):
    with gzip.open(tmp_path / "x.csv.gz", "wt") as file:
        file.write("1,2\n")
    assert read(format="csv", path=f"{tmp_path}/x.csv.gz", columns=["u", "t"]).first()["t"] == "2"
    (tmp_path / "y.csv").write_text("User Id,t\n1,2\n")
    named = read(format="csv", path=f"{tmp_path}/y.csv", columns=["u", "t"], options={"header": "true"})
    assert [row["u"] for row in named.collect()] == ["1"]


@pytest.mark.case(20)
def test_csv_files_with_different_headers_are_not_read_as_if_they_were_the_same(read, tmp_path):
    (tmp_path / "2025-03-01.csv").write_text("u,t\n1,2\n")
    (tmp_path / "2025-03-02.csv").write_text("t,more,u\n2,x,1\n")
    # the files of each day are read by their own header; those of one day, and files without a day, must have the same
    rows = read(format="csv", path=f"{tmp_path}/{{day}}.csv", options={"header": "true"}).collect()
    assert [(row["u"], row["t"], row["more"]) for row in rows] == [("1", "2", None), ("1", "2", "x")]
    with pytest.raises(Exception, match="error while reading file .*2025-03-0"):
        read(format="csv", path=f"{tmp_path}/*.csv", options={"header": "true"}).collect()


def test_json_has_the_columns_that_map_and_where_name_and_the_line_itself(read, tmp_path):
    lines = [
        '{"u": 9223372036854775808, "a": {"b": {"c": 0.10}}, "w": "x"}',
        '{"u": "007"} {"u": 1}',
        '{"u": "007"} and more',
        "[1]",
        "",
        '{"u": "é😀}{"}',
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    fields = {"user_id": "u", "amount": "a.b.c * 2", "item_id": "coalesce(z, w)"}
    frame = read(format="json", path=f"{tmp_path}/x.jsonl", map=fields, where="w = 'x'")
    rows = frame.selectExpr("u", "a.b.c", "w", "_corrupt IS NOT NULL AS broken", "_raw").collect()
    assert [tuple(row) for row in rows] == [
        ("9223372036854775808", "0.1", "x", False, lines[0]),
        ("007", None, None, True, lines[1]),
        ("007", None, None, True, lines[2]),
        (None, None, None, True, lines[3]),
        ("é😀}{", None, None, False, lines[5]),
    ]


def test_delta_and_tables_are_read_by_place_and_by_name(spark, read, tmp_path):
    spark.sql("SELECT 'a' AS u").write.format("delta").save(f"{tmp_path}/d")
    assert [tuple(row)[:2] for row in read(format="delta", path=f"{tmp_path}/d").collect()] == [("a", f"{tmp_path}/d")]
    spark.sql("SELECT 'b' AS u").createOrReplaceTempView("raw_input")
    assert [tuple(row)[:2] for row in read(format="table", table="raw_input").collect()] == [("b", "raw_input")]
    with pytest.raises(DataQualityError, match="nothing exists at nowhere"):
        read(format="table", table="nowhere")
