"""A file that is truncated or vanishes while it is read stops the step, and is named."""

import gzip
import json
from datetime import date

import pytest
from ingestworld import Ingest, json_source, settings, write_lines

from churnwatch.core import DataQualityError
from churnwatch.io.file_errors import files_named

DAY = date(2025, 3, 12)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}


@pytest.mark.case(22)
def test_truncated_and_vanished_files_are_named(spark, tmp_path):
    lines = "".join(json.dumps(GOOD | {"item_id": str(n)}) + "\n" for n in range(20_000)).encode()
    (tmp_path / f"zipped_{DAY}.jsonl.gz").write_bytes(gzip.compress(lines)[:-2000])
    spark.range(1000).selectExpr("CAST(id AS STRING) AS user_id", "'2025-03-12 10:00:00' AS t").coalesce(1).write.parquet(
        f"{tmp_path}/typed"
    )
    (part,) = (tmp_path / "typed").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-500])
    zipped = json_source(tmp_path, "zipped", path=f"{tmp_path}/zipped_{{day}}.jsonl.gz")
    fields = {"user_id": "user_id", "event_time": "t", "event_type": "'x'"}
    typed = {"name": "typed", "format": "parquet", "path": f"{tmp_path}/typed", "map": fields}
    for source, file in ((zipped, f"{tmp_path}/zipped_{DAY}.jsonl.gz"), (typed, part)):
        with pytest.raises(DataQualityError) as stopped, files_named("ingest_events 2025-03-12"):
            Ingest(spark, settings(source)).run(DAY)
        text = str(stopped.value)
        assert text.startswith(f"ingest_events 2025-03-12: the file {file} is truncated or damaged (") and "Hint" in text, text
    write_lines(tmp_path / "gone.jsonl", [GOOD])
    frame = spark.read.text(f"{tmp_path}/gone.jsonl")
    (tmp_path / "gone.jsonl").unlink()
    with pytest.raises(DataQualityError, match=f"the file {tmp_path}/gone.jsonl vanished while it was read"), files_named("x"):
        frame.collect()
