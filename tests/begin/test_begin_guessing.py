"""Guesses about strangers' logs, from first lines alone: which column is what, how times and numbers are read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from churnwatch.begin.columns import Column, literal, quoted, slug
from churnwatch.begin.guesses import Facts, Filled, Guesses, NoLog, rank
from churnwatch.begin.key_fields import guess_fields, sample_facts
from churnwatch.begin.numbers import number_form
from churnwatch.begin.texts import day_pattern, text_layout
from churnwatch.begin.times import time_forms
from churnwatch.core import DataQualityError

START = datetime(2024, 1, 20, 9, 30, tzinfo=UTC)
ROWS = [(n, n % 12, START + timedelta(hours=7 * n)) for n in range(60)]  # row, user, time: 12 users, 5 events each


def log(header, line, rows=ROWS):
    """Lines of a file: ``header`` (None: none), and ``line`` of (row, user, time)."""
    return [*([header] if header else []), *(line(*row) for row in rows)]


def fields(lines):
    """Field -> SQL of what is guessed from ``lines`` alone."""
    layout = text_layout(lines)
    found = guess_fields(layout, sample_facts(layout))
    assert isinstance(found, Guesses), found.lines()
    return {name: guess.sql for name, guess in found.fields.items()}


def local(column, pattern):
    return f"CAST(try_to_timestamp(trim({column}), '{pattern}') AS TIMESTAMP_NTZ)"


def epoch(time, factor):
    return int(time.timestamp() * factor)


STRANGERS = {
    "click stream": (
        log("client_id,event,timestamp", lambda n, u, t: f"2194838{u},{['main', 'cart'][n % 2]},{t:%Y-%m-%d %H:%M:%S}.273932"),
        {"user_id": "client_id", "event_time": "`timestamp`", "event_type": "`event`"},
    ),
    "milliseconds": (
        log(
            "timestamp,visitorid,event,itemid,transactionid",
            lambda n, u, t: f"{epoch(t, 1000)},{u + 7000},{['view', 'addtocart'][n % 2]},{n % 9 + 100},",
        ),
        {
            "user_id": "visitorid",
            "event_time": "try_cast(try_cast(`timestamp` AS DECIMAL(26,6)) / 1000 AS TIMESTAMP)",
            "event_type": "`event`",
            "item_id": "itemid",
        },
    ),
    "invoices": (
        log(
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            lambda n, u, t: (
                f'{n // 2},{n % 7}A,"SET, ""RED""",{n % 5 - 1},{t.month}/{t.day}/{t:%Y} {t.hour}:{t:%M},2.5{n % 9},{u}.0,UK'
            ),
        ),
        {
            "user_id": "CustomerID",
            "event_time": local("InvoiceDate", "M/d/yyyy H:mm"),
            "amount": "try_cast(Quantity AS DECIMAL(18,3)) * try_cast(UnitPrice AS DECIMAL(18,4))",
            "item_id": "StockCode",
            "session_id": "InvoiceNo",
        },
    ),
    "German orders": (
        log(
            "Bestellnr;Kundennummer;Bestelldatum;Artikel;Gesamtpreis",
            lambda n, u, t: f"{n};K{u:03d};{t:%d.%m.%Y %H:%M};Schraube {n % 7};{n % 50 + 1},{n % 90 + 10} €",
        ),
        {
            "user_id": "Kundennummer",
            "event_time": local("Bestelldatum", "d.M.yyyy H:mm"),
            "amount": "replace(regexp_replace(Gesamtpreis, '[^0-9,-]', ''), ',', '.')",
            "item_id": "Artikel",
            "session_id": "Bestellnr",
        },
    ),
    "quoted, American": (
        log(
            '"Customer ID","Order Date","Total"',
            lambda n, u, t: f'"C-{u}","{t:%m/%d/%Y %I:%M:%S %p}","$1,{n + 100}.50"',
        ),
        {
            "user_id": "`Customer ID`",
            "event_time": local("`Order Date`", "M/d/yyyy h:mm[:ss] a"),
            "amount": "regexp_replace(Total, '[^0-9.-]', '')",
        },
    ),
    "listening": (
        log("msno,date,num_25,total_secs", lambda n, u, t: f"{u:044x}=,{t:%Y%m%d},{n % 4},{n * 3.25}"),
        {"user_id": "msno", "event_time": local("`date`", "yyyyMMdd"), "duration_s": "total_secs"},
    ),
    "date and clock apart, tabs": (
        log("uid\tdate\ttime\taction", lambda n, u, t: f"{u}\t{t:%Y-%m-%d}\t{t:%H:%M}\t{['open', 'buy'][n % 2]}"),
        {"user_id": "uid", "event_time": "concat(left(trim(`date`), 10), ' ', trim(`time`))", "event_type": "action"},
    ),
    "no header": (
        log(None, lambda n, u, t: f"{u + 500},{epoch(t, 1)},{['view', 'buy'][n % 2]},{n % 9},{n}.90"),
        {
            "user_id": "column_1",
            "event_time": "try_cast(try_cast(column_2 AS DECIMAL(26,6)) AS TIMESTAMP)",
            "event_type": "column_3",
            "amount": "column_5",
        },
    ),
    "blanks": (
        log(" customer_id  date number_of_cds  dollar_value", lambda n, u, t: f" {u:05d} {t:%Y%m%d}  {n % 3 + 1}   {n}.77"),
        {
            "user_id": "get(split(trim(line), ' +'), 0)",
            "event_time": local("get(split(trim(line), ' +'), 1)", "yyyyMMdd"),
            "amount": "get(split(trim(line), ' +'), 3)",
        },
    ),
    "JSON with objects inside": (
        log(
            None,
            lambda n, u, t: json.dumps(
                {"when": t.isoformat(), "user": {"id": f"u{u}"}, "type": ["view", "buy"][n % 2], "visit": {"ms": n * 900}}
            ),
        ),
        {"user_id": "`user`.id", "event_time": "`when`", "event_type": "`type`"},
    ),
    "order times among other times": (
        log(
            "order_id,customer_unique_id,order_purchase_timestamp,order_delivered_date,payment_value",
            lambda n, u, t: f"o{n},{u:032x},{t:%Y-%m-%d %H:%M:%S},{t + timedelta(days=9):%Y-%m-%d},{n}.99",
        ),
        {
            "user_id": "customer_unique_id",
            "event_time": "order_purchase_timestamp",
            "amount": "payment_value",
            "session_id": "order_id",
        },
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_who_when_and_what_are_found(name):
    lines, expected = STRANGERS[name]
    found = fields(lines)
    assert {key: found.get(key) for key in expected} == expected


def test_reading_options_fit_the_file():
    german = text_layout(STRANGERS["German orders"][0])
    assert (german.options["sep"], german.options["header"], german.given) == (";", "true", None)
    bare = text_layout(STRANGERS["no header"][0])
    assert (bare.options["header"], bare.given) == ("false", tuple(f"column_{n}" for n in range(1, 6)))
    blanks = text_layout(STRANGERS["blanks"][0])
    assert (blanks.options, blanks.given) == ({"header": "true", "sep": "\u0001"}, ("line",))
    nulls = text_layout(log("user,time,item", lambda n, u, t: f"{u},{t:%Y-%m-%d},{'NULL' if n % 2 else n}"))
    assert nulls.options["nullValue"] == "NULL" and nulls.columns[2].values[1] == ""
    index = text_layout(log(",user,time", lambda n, u, t: f"{n},{u},{t:%Y-%m-%d}"))
    assert index.given == ("column_1", "user", "time")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("user_id", "user_id"),
        ("referrer_user_id", "user_id"),
        ("purchaseAmount", "amount"),
        ("session.user.id", "user_id"),
        ("SalesChannelId", "channel"),
        ("payment_type", None),
    ],
)
def test_names_are_known_also_where_words_stand_around_them(name, right):
    assert {field for field in ("user_id", "event_type", "amount", "channel") if rank(field, name) is not None} == {right} - {
        None
    }


def test_the_events_own_time_is_taken_and_not_a_delivery_or_an_expiry():
    lines = log(
        "msno,membership_expire_date,t_dat,registration_init_time,referrer_user_id",
        lambda n, u, t: f"{u}x,{t + timedelta(days=30):%Y%m%d},{t:%Y-%m-%d},{t - timedelta(days=9):%Y%m%d},{u + 3}",
    )
    assert {name: sql for name, sql in fields(lines).items() if name in ("user_id", "event_time")} == {
        "user_id": "msno",
        "event_time": "t_dat",
    }


def test_inches_are_no_quotes():
    layout = text_layout(log("user\ttime\titem", lambda n, u, t: f'{u}\t{t:%Y-%m-%d}\tpipe {n}"'))
    assert layout.options == {"header": "true", "sep": "\t", "quote": ""} and layout.columns[2].values[0] == 'pipe 0"'


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["2019-10-01 00:00:00+00"], "c"),
        (["2024-02-03T10:00:00+02:00"], "c"),
        (["2019-10-01 00:00:00 UTC"], "c"),
        (["1706692800"], "try_cast(try_cast(c AS DECIMAL(26,6)) AS TIMESTAMP)"),
        (["1706692800.25"], "try_cast(try_cast(c AS DECIMAL(26,6)) AS TIMESTAMP)"),
        (["20240131093000"], local("c", "yyyyMMddHHmmss")),
        (["31/01/2024", "01/02/2024"], local("c", "d/M/yyyy")),
        (["01/31/24 9:05", "02/01/24 9:05"], local("c", "M/d/yy H:mm")),
        (["2024/01/31 09:30:00,123"], local("c", "yyyy/M/d H:mm[:ss][,SSSSSSSSS]")),
        (["31-Jan-2024"], local("c", "d-MMM-yyyy")),
        (["31/Jan/2024:09:30:00 +0100"], "try_to_timestamp(trim(c), 'd/MMM/yyyy:H:mm:ss Z')"),
        (["1.2.2024", "1.2.2024 10:00"], local("c", "d.M.yyyy[ H:mm]")),
    ],
)
def test_a_time_is_read_in_its_own_form(values, read):
    assert time_forms(Column("t", "c", tuple(values)))[0].sql == read


@pytest.mark.parametrize("value", ["12345", "2.55", "gate_30", "TRUE", "10:30", "2024-13-40", "219483890", "9999999999999", ""])
def test_what_is_no_time_is_none(value):
    assert time_forms(Column("t", "c", (value,))) == []


def test_day_and_month_are_told_apart_by_all_rows():
    layout = text_layout(log("user,date", lambda n, u, t: f"{u},{n % 12 + 1:02d}/{n % 11 + 1:02d}/2024"))
    day_first, month_first = (form.sql for form in time_forms(layout.columns[1]))
    columns = {"user": Filled(60, 12), "date": Filled(60, 50)}
    for counts, right in (({day_first: 40, month_first: 60}, month_first), ({day_first: 60, month_first: 40}, day_first)):
        assert guess_fields(layout, Facts(60, columns, counts)).fields["event_time"].sql == right
    unclear = guess_fields(layout, Facts(60, columns, {day_first: 60, month_first: 60})).fields["event_time"]
    assert unclear.sql == day_first and "other way round" in unclear.reason


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1", "-2.50", ".5"], "c"),
        (["1.234,56", "7,00"], "replace(regexp_replace(c, '[^0-9,-]', ''), ',', '.')"),
        (["1,234", "12"], "regexp_replace(c, '[^0-9.-]', '')"),
        (["$1,234.50", "$2.00"], "regexp_replace(c, '[^0-9.-]', '')"),
        (["12.50 EUR"], "regexp_replace(c, '[^0-9.-]', '')"),
    ],
)
def test_money_is_read_with_its_marks(values, read):
    assert number_form(Column("n", "c", tuple(values))).sql == read


@pytest.mark.parametrize("value", ["A12", "2024-01-01", "1-2", "red"])
def test_what_is_no_number_is_none(value):
    assert number_form(Column("n", "c", (value,))) is None


def test_an_experiments_table_is_refused_column_by_column():
    lines = [
        "userid,version,sum_rounds,retained",
        *(f"{n},{['gate_30', 'gate_40'][n % 2]},{n % 31 * 9},{n % 3 == 0}" for n in range(60)),
    ]
    layout = text_layout(lines)
    facts = sample_facts(layout)
    facts = Facts(60, {**facts.columns, "userid": Filled(60, 60, exact=True)})
    found = guess_fields(layout, facts)
    assert isinstance(found, NoLog) and found.lacks == ("the user", "the time")
    told = "\n".join(found.lines())
    assert "userid: no user: every row has another value (60 in 60 rows)" in told
    assert "version: no user: it has 2 value(s) in all; no time: 'gate_30' is no time" in told
    assert "experiments.yaml" in told


def test_an_id_that_differs_in_every_row_is_the_events_and_never_the_users():
    lines = log("id,user_id,created_at,kind", lambda n, u, t: f"e{n},{u},{t:%Y-%m-%d %H:%M:%S},{['a', 'b'][n % 2]}")
    layout = text_layout(lines)
    counted = {**sample_facts(layout).columns, "id": Filled(60, 60, exact=True)}
    found = guess_fields(layout, Facts(60, counted)).fields
    assert (found["event_id"].sql, found["user_id"].sql) == ("id", "user_id")
    # one repeat, and it is no event's id: rows that share one would be dropped as duplicates
    assert "event_id" not in guess_fields(layout, Facts(60, {**counted, "id": Filled(60, 59, exact=True)})).fields


def test_who_somebody_is_stays_out_of_the_properties():
    lines = log("user,time,firstName,level,userAgent", lambda n, u, t: f"{u},{t:%Y-%m-%d},N{u},{['paid', 'free'][n % 2]},M{u}")
    layout = text_layout(lines)
    found = guess_fields(layout, sample_facts(layout))
    assert [column.name for column in found.spare] == ["level"]
    assert found.left_out == dict.fromkeys(["firstName", "userAgent"], "it identifies a person")


@pytest.mark.parametrize(
    ("lines", "said"), [([], "empty"), (["[", '{"a": 1},', "]"], "JSON lines"), (["hello", "world"], "neither")]
)
def test_a_file_without_columns_is_told(lines, said):
    with pytest.raises(DataQualityError, match=said):
        text_layout(lines)


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["/d/log.csv"], "/d/log.csv"),
        (["/d/day=2024-01-01/p-1.parquet", "/d/day=2024-01-02/p-2.parquet"], "/d/day={day}"),
        (["/d/e_2024-01-01.csv.gz", "/d/e_2024-01-02.csv.gz"], "/d/e_{day}.csv.gz"),
        (["/d/2024-01-01-a.csv", "/d/2024-01-01-b.csv", "/d/2024-01-02-a.csv"], "/d/{day}*.csv"),
        (["/d/2019-Oct.csv", "/d/2019-Nov.csv"], "/d/2019-*.csv"),
        (["/d/e20240101.csv", "/d/e20240102.csv"], "/d/e*.csv"),
        (["/d/2024/01/a.json", "/d/2024/02/a.json"], "/d/2024/*/*"),
    ],
)
def test_the_pattern_of_files_finds_them(files, path):
    assert day_pattern(files)[0] == path


def test_names_fit_settings_and_sql():
    assert [slug("Add to Cart", "x"), slug("7th", "type"), slug("加入", "type"), slug("a", "x", ["a", "a_2"])] == [
        *("add_to_cart", "type_7th", "type", "a_3"),
    ]
    assert [quoted("a_1"), quoted("date"), quoted("Customer ID"), quoted("a`b")] == ["a_1", "`date`", "`Customer ID`", "`a``b`"]
    assert literal("it's") == "'it\\'s'"
