"""``churnwatch init`` as it is typed: from a stranger's files to a domain with which the log is read."""

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow import parquet
from pyspark.sql import functions as F

from churnwatch.cli import main
from churnwatch.core import day_range
from churnwatch.events import classify_rows
from churnwatch.io.sources import Sources
from churnwatch.settings import load

CONFIG = Path(__file__).resolve().parents[1] / "conf" / "test.yaml"
START = datetime(2024, 1, 1, 9, 0)


@pytest.fixture
def typed(spark, tmp_path, capsys):
    """Types a command of ``churnwatch`` with the folder of the test; gives its exit code, what it printed, and its errors."""

    def ended(*words, config=CONFIG):
        told = [*words, "--config", str(config), "--set", f"storage.root={tmp_path}/w", "--set", f"storage.files={tmp_path}/w"]
        with pytest.raises(SystemExit) as end:
            main(told)
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err

    return ended


def orders():
    """A German shop: 20 customers with an order every third day, the last ten of them only in January; the 7th gives back."""
    lines = ["Kundennummer;Bestelldatum;Artikel;Menge;Gesamtpreis"]
    for day in range(90):
        for user in range(day % 3, 20, 3):
            if user < 10 or day < 30:
                time, pieces = START + timedelta(days=day, minutes=user), -1 if user == 7 and day == 31 else 2
                lines.append(f"K{user:03d};{time:%d.%m.%Y %H:%M};Schraube {user % 4};{pieces};{pieces * 10},50 €")
    return [*lines, ";05.02.2024 10:00;Schraube 1;1;5,25 €", "K001;irgendwann;Schraube 1;1;5,25 €"]


def test_a_strangers_orders_become_a_domain_that_reads_them(typed, spark, tmp_path):
    lines = orders()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bestellungen.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, out, err = typed("init", "--from", str(tmp_path / "in"), "--out", str(tmp_path / "shop"))
    assert (code, err) == (0, "")
    assert "churnwatch run all --config" in out and "2024-01-01 .. 2024-03-30" in out

    settings = load(tmp_path / "shop.yaml")
    source = settings.sources.events[0]
    assert source.path == str(tmp_path / "in" / "bestellungen.csv")
    assert (source.options["sep"], source.map["user_id"], source.where) == (";", "Kundennummer", None)
    assert set(settings.measures.measures) == {"purchases", "returns", "spend_cents", "returned_cents", "items", "menge"}
    assert settings.primary.events == ["purchase"]
    written = (tmp_path / "shop" / "sources.yaml").read_text(encoding="utf-8")
    assert "# Bestelldatum: day first, such as 01.01.2024 09:00; 1 of" in written
    assert "with a decimal comma and the sign €" in written
    assert "1 rows below zero are called returns" in written
    assert "silent for" in (tmp_path / "shop" / "churn.yaml").read_text(encoding="utf-8")

    days = day_range(START.date(), START.date() + timedelta(days=89))
    judged = classify_rows({"users": spark.range(1)}, days, Sources(spark, settings), settings)["events"]
    found = judged.groupBy("verdict", "event_type", "reasons").agg(
        F.count("*").alias("rows"), F.sum("amount_cents").alias("cents")
    )
    counts = {(row["verdict"], row["event_type"] or row["reasons"][0]): (row["rows"], row["cents"]) for row in found.collect()}
    pieces = [int(line.split(";")[3]) for line in lines[1:-2]]
    assert counts == {
        ("accepted", "purchase"): (pieces.count(2), 2050 * pieces.count(2)),
        ("accepted", "return"): (1, -1050),
        ("rejected", "no_user"): (1, None),
        ("rejected", "no_time"): (1, None),
    }

    before = (tmp_path / "shop.yaml").read_text(encoding="utf-8")
    code, _, err = typed("init", "--from", str(tmp_path / "in"), "--out", str(tmp_path / "shop"))
    assert code == 2 and "is not overwritten" in err
    assert (tmp_path / "shop.yaml").read_text(encoding="utf-8") == before


def test_what_is_no_log_of_events_is_refused_and_nothing_is_written(typed, tmp_path):
    table = ["userid,version,rounds,retained", *(f"{n},{['gate_30', 'gate_40'][n % 2]},{n % 9},{n % 3 == 0}" for n in range(80))]
    (tmp_path / "cats.csv").write_text("\n".join(table), encoding="utf-8")
    code, _, err = typed("init", "--from", str(tmp_path / "cats.csv"), "--out", str(tmp_path / "cats"))
    assert code == 3 and not (tmp_path / "cats").exists() and not (tmp_path / "cats.yaml").exists()
    assert "userid: no user: every row has another value (80 in 80 rows)" in err and "'gate_30' is no time" in err
    assert "experiments.yaml" in err
    code, _, err = typed("init", "--from", str(tmp_path / "nothing"), "--out", str(tmp_path / "cats"))
    assert code == 2 and "nothing exists at" in err


def test_folders_of_parquet_and_of_delta_are_read_in_the_zone_that_a_column_tells(typed, tmp_path):
    times = [START + timedelta(hours=17 * n) for n in range(60)]
    users, zone = [f"u{n % 12}" for n in range(60)], ["Asia/Tokyo"] * 60
    visits = pa.table({"user_id": users, "ts": times, "event": [["visit", "search"][n % 2] for n in range(60)], "tz": zone})
    for part in (0, 1):
        (tmp_path / "lake" / f"part={part}").mkdir(parents=True)
        parquet.write_table(visits.slice(30 * part, 30), tmp_path / "lake" / f"part={part}" / "data.parquet")
    write_deltalake(tmp_path / "orders", pa.table({"customer_id": users, "order_date": times, "total": [1.5] * 60, "tz": zone}))
    lake, orders_ = str(tmp_path / "lake"), str(tmp_path / "orders")
    code, _, err = typed("init", "--from", lake, "--from", orders_, "--out", str(tmp_path / "shop"))
    assert (code, err) == (0, "")
    settings = load(tmp_path / "shop.yaml")
    found = {source.format: (source.path, source.time_zone, source.map["user_id"]) for source in settings.sources.events}
    assert found == {
        "parquet": (f"{lake}/*/*", "Asia/Tokyo", "user_id"),
        "delta": (orders_, "Asia/Tokyo", "customer_id"),
    }
    assert settings.clock.time_zone == "Asia/Tokyo"
    assert "tz says so in every row" in (tmp_path / "shop.yaml").read_text(encoding="utf-8")
