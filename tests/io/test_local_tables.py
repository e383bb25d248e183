"""Tables in local folders: read by the files that their logs name, and by Delta where a log says what only Delta knows."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import ArrayType, StructType

from churnwatch.core import Table, column
from churnwatch.io.local_tables import table_files
from churnwatch.io.store import Store
from frames import frame
from smallworld import settings

SCHEMA = StructType([column("day", "date", "day"), column("n", "long", "number")])
MADE = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": {"schemaString": SCHEMA.json()}}]
MAY = [date(2025, 5, day) for day in range(1, 32)]


def added(name, low=None, high=None, **partition):
    stats = {"minValues": {"day": low}, "maxValues": {"day": high}} if low else {"numRecords": 1}
    return {"add": {"path": name, "partitionValues": partition, "stats": json.dumps(stats)}}


@pytest.fixture
def log(tmp_path):
    """Writes commits: lists of actions, by version."""

    def write(commits):
        (tmp_path / "_delta_log").mkdir(exist_ok=True)
        for version, actions in commits.items():
            (tmp_path / "_delta_log" / f"{version:020}.json").write_text("\n".join(map(json.dumps, actions)))
        return str(tmp_path)

    return write


def test_files_of_a_version_are_those_added_and_not_removed_up_to_it(log):
    path = log({0: MADE, 1: [added("a"), added("b%20c")], 2: [{"remove": {"path": "a"}}, added("d")], 3: [added("e")]})
    assert [sorted(table_files(path, version).files) for version in range(4)] == [
        [],
        ["a", "b c"],
        ["b c", "d"],
        ["b c", "d", "e"],
    ]
    first = table_files(path, 1)
    assert table_files(path, 3, first) == table_files(path, 3)
    assert table_files(path, 0, first) == table_files(path, 0), "an older version is read from the beginning"
    assert table_files(path, 3).schema == SCHEMA
    assert table_files(path, 4) is None, "there is no such commit"


def test_files_are_chosen_by_their_partition_or_by_their_smallest_and_largest_day(log):
    commit = [
        added("of the 3rd", day="2025-05-03"),
        added("without a day", day=None),
        added("2nd to 5th", "2025-05-02", "2025-05-05"),
        added("without statistics"),
    ]
    found = table_files(log({0: MADE, 1: commit}), 1)
    unknown = ["without a day", "without statistics"]
    assert found.holding(MAY[4], MAY[6]) == ["2nd to 5th", *unknown], "the first day is in"
    assert found.holding(None, MAY[1]) == ["2nd to 5th", *unknown], "the last day is in"
    assert found.holding(None, MAY[2]) == ["2nd to 5th", "of the 3rd", *unknown]
    assert found.holding(MAY[5], None) == unknown
    assert len(found.holding(MAY[5], None, MAY[30])) == 4, "without statistics of ``at`` a file may have newer rows"
    assert len(found.holding(None, None)) == 4


def test_files_with_rows_that_were_written_later_are_chosen_too(log):
    files = {
        "old day, written late": ("2025-05-01", "2025-05-20T10:00:00.000Z"),
        "old": ("2025-05-02", "2025-05-03T23:59:59.999Z"),
    }
    commit = [
        {
            "add": {
                "path": name,
                "partitionValues": {},
                "stats": json.dumps({k: {"day": day, "at": at} for k in ("minValues", "maxValues")}),
            }
        }
        for name, (day, at) in files.items()
    ]
    found = table_files(log({0: MADE, 1: commit}), 1)
    assert found.holding(MAY[9], None) == []
    assert found.holding(MAY[9], None, MAY[7]) == ["old day, written late"]


def test_a_log_is_read_from_its_newest_checkpoint_on(log, tmp_path):
    path = log({2: [added("c")]})
    add = [None, None, {"path": "b", "partitionValues": [("day", "2025-05-03")], "stats": None}]
    kind = pa.struct([("path", pa.string()), ("partitionValues", pa.map_(pa.string(), pa.string())), ("stats", pa.string())])
    rows = {
        "protocol": [{"minReaderVersion": 1}, None, None],
        "metaData": [None, {"schemaString": SCHEMA.json()}, None],
        "add": pa.array(add, kind),
    }
    pq.write_table(pa.table(rows), tmp_path / "_delta_log" / f"{1:020}.checkpoint.parquet")
    # Hadoop's checksum, and a checkpoint that is being written
    for hidden in (f".{1:020}.checkpoint.parquet.crc", f".{2:020}.checkpoint.parquet.7c.tmp"):
        (tmp_path / "_delta_log" / hidden).touch()
    assert table_files(path, 2).files == {"b": (MAY[2], MAY[2], None), "c": (None, None, None)}
    assert table_files(path, 2).schema == SCHEMA
    pq.write_table(pa.table(rows), tmp_path / "_delta_log" / f"{2:020}.checkpoint.0000000001.0000000002.parquet")
    assert table_files(path, 2) is None


@pytest.mark.parametrize(
    "action",
    [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}},
        added("file:/elsewhere/of/a/clone"),
        added("/elsewhere/of/a/clone"),
    ],
)
def test_what_only_delta_knows_is_left_to_delta(log, action):
    assert table_files(log({0: MADE, 1: [action]}), 1) is None


TABLE = Table(
    name="counted",
    comment="counted",
    schema=StructType(
        [
            column("day", "date", "day", nullable=False),
            column("user_id", "string", "user"),
            column("kind", "string", "kind"),
            column("seen", ArrayType(StructType().add("at", "timestamp").add("n", "integer")), "seen"),
        ]
    ),
    keys=("day", "user_id"),
    partitions=("day", "kind"),
)


def test_the_files_of_a_table_have_the_rows_and_the_types_that_delta_reads(spark, tmp_path):
    store = Store(spark, settings(storage={"root": str(tmp_path / "shop, the other"), "files": str(tmp_path)}))
    plain = Store(spark, settings(storage={"root": str(tmp_path / "shop"), "files": str(tmp_path)}))
    for of in (store, plain):
        of.create([TABLE])
        for day in (1, 2, 3, 2):
            rows = [(MAY[day - 1], f"u{n}", kind, [(None, n)]) for n, kind in enumerate(["a", "b c/d%", None, "7"])]
            of.replace(TABLE, frame(spark, rows, TABLE.schema), f"day = DATE'{MAY[day - 1]}'", {})
    where = f"day >= DATE'{MAY[1]}' AND kind IS NOT NULL"
    jobs = spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs
    before = jobs()
    found = plain.read(TABLE, where, MAY[1])
    found._jdf.queryExecution().executedPlan()
    assert jobs() == before, "no Spark job finds the files"
    delta = spark.sql(f"SELECT * FROM {plain.sql_name(TABLE)} VERSION AS OF {plain.version(TABLE)} WHERE {where}")
    assert found.dtypes == delta.dtypes
    assert sorted(found.collect()) == sorted(delta.collect()) and found.count() == 6
    assert len(found.inputFiles()) == 8, "files of other days are not opened"
    # a folder whose name reads as a pattern is left to Delta
    assert sorted(store.read(TABLE, where, MAY[1]).collect()) == sorted(delta.collect())
    for file in (tmp_path / "shop").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(Exception, match="FILE_NOT_EXIST|does not exist"):
        plain.read(TABLE, where).collect()

    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, plain.path(TABLE))
    log.checkpoint()
    checked = table_files(plain.path(TABLE), plain.version(TABLE))
    assert checked is not None and sorted(checked.files) == sorted(plain_files(plain.path(TABLE), plain.version(TABLE)))


def plain_files(path, version):
    """The files of ``version`` by the commits alone."""
    return table_files(path, version, table_files(path, 0)).files
