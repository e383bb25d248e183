"""Ids, properties and currencies: what is read, what is refused, and for which reason."""

from datetime import date, timedelta

import pytest
from ingestworld import MAP, NO_GATE, Ingest, json_source, settings, write_lines
from pydantic import ValidationError

from churnwatch.core import DataQualityError
from churnwatch.settings.check import cross_faults
from churnwatch.settings.money import Money

DAY = date(2025, 3, 12)
BEFORE = DAY - timedelta(days=1)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}

BLANK = ["u1", " u1 ", "\u2003u1\u00a0", "\ufeffu1\u200b", "\tu1\u3000\u0085", "\u2028u1\u205f"]
OTHERS = ["U1", "17", "17.0", "17.00", "7", "007", "1.5", "0", "-1"]
NOBODY = ["null", "NULL", " None ", "undefined", "(not set)", "Guest", "[object Object]", "00000000-0000-0000-0000-000000000000"]
IDS = [*BLANK, *OTHERS, *NOBODY]

GOOD_PROPERTIES = [None, "", "  ", "null", "{}", '{"a": 1, "b": {"c": 2}}', ' {"a": "}{"} ']
BAD_PROPERTIES = ['{"a": 1', "not json", '"a"', "[1, 2]", '{"a": 1} and more', "7"]

# currency, amount -> cents in EUR, or the reasons
PAID = [
    ("EUR", "19.99", 1999),
    ("eur ", "19.99", 1999),
    (None, "1.005", 101),
    ("USD", "10.00", 900),
    ("JPY", "900", 540),
    ("GBP", "10.00", ["other_currency"]),
    ("EURO", "1", ["other_currency"]),
    ("GBP", None, None),
    ("USD", "ten", ["bad_amount"]),
    ("USD", "9e14", 81_000_000_000_000_000),
    ("BTC", "9e14", ["amount_too_large"]),
]
RATES = [
    ("2025-03-01", "fx_usd", 0.8),
    ("2025-03-12", "fx_USD", 0.9),
    ("2025-03-13", "fx_usd", 5),
    ("2025-03-10", "fx_jpy", 0.006),
]
RATES += [("2025-03-10", "fx_btc", 80_000), ("2025-03-10", "fx_gbp", 0), ("2025-03-10", "price", 3)]


def rates_source(folder):
    fields = {"day": "day", "scope": "'base'", "name": "name", "value": "value"}
    return {"name": "market", "format": "json", "path": f"{folder}/market.jsonl", "map": fields}


@pytest.fixture(scope="module")
def ingested(spark, tmp_path_factory):
    """One ingest of a source per point: events and rejects by source, users, consents, and the gate's counts."""
    folder = tmp_path_factory.mktemp("fields")
    by_id = [GOOD | {"user_id": one, "item_id": str(n)} for n, one in enumerate(IDS)]
    write_lines(folder / f"plain_{DAY}.jsonl", by_id)
    write_lines(folder / f"folded_{DAY}.jsonl", by_id)
    texts = enumerate([*GOOD_PROPERTIES, *BAD_PROPERTIES])
    write_lines(folder / f"props_{DAY}.jsonl", [GOOD | {"p": text, "item_id": str(n)} for n, text in texts])
    paid = [GOOD | {"c": code, "amount": amount, "item_id": str(n)} for n, (code, amount, _) in enumerate(PAID)]
    write_lines(folder / f"paid_{DAY}.jsonl", [*paid, GOOD | {"event_time": f"{BEFORE} 10:00:00", "c": "USD", "amount": "10.00"}])
    write_lines(folder / "market.jsonl", [{"day": day, "name": name, "value": value} for day, name, value in RATES])
    write_lines(folder / "users.jsonl", [{"u": one} for one in IDS])
    write_lines(folder / "consents.jsonl", [{"u": one, "c": "\u00a0mail "} for one in IDS])
    spark.sql("SELECT * FROM VALUES (17850.0D), (1.5D), (12345678901.0D), (NULL) AS t(u)").write.parquet(f"{folder}/typed")
    ids = {"fold_case": True, "strip_decimal_zero": True}
    typed = {"user_id": "u", "event_time": f"'{DAY} 10:00:00'", "event_type": "'x'"}
    sources = [
        json_source(folder, "plain"),
        json_source(folder, "folded", ids=ids),
        json_source(folder, "props", map=MAP | {"properties": "p"}),
        json_source(folder, "paid", map=MAP | {"currency": "c"}),
        {"name": "typed", "format": "parquet", "path": f"{folder}/typed", "map": typed, "ids": ids},
    ]
    state = {"format": "json", "ids": ids}
    conf = settings(
        *sources,
        users=state | {"name": "users", "path": f"{folder}/users.jsonl", "map": {"user_id": "u"}},
        consents=state
        | {
            "name": "consents",
            "path": f"{folder}/consents.jsonl",
            "map": {"user_id": "u", "channel": "c", "purpose": "'contact'", "granted": "true"},
        },
        context=rates_source(folder),
        money={"currency": "EUR"},
    )
    ingest = Ingest(spark, conf)
    counts = ingest.run(BEFORE, DAY)
    return ingest, counts


def events_of(ingested, source):
    return {row["item_id"]: row for row in ingested[0].events if row["source"] == source and row["day"] == DAY}


@pytest.mark.case(24)
def test_blanks_at_the_ends_of_an_id_do_not_count_and_nothing_else_is_changed(ingested):
    found = events_of(ingested, "plain")
    assert [found[str(n)]["user_id"] for n in range(len(BLANK))] == ["u1"] * len(BLANK)
    assert {row["user_id"] for row in found.values()} == {"u1", *OTHERS}


def test_a_source_may_fold_case_and_strip_decimal_zeros(ingested):
    folded = {"u1", "17", "7", "007", "1.5", "0", "-1"}
    assert {row["user_id"] for row in events_of(ingested, "folded").values()} == folded
    assert {row["user_id"] for row in ingested[0].events if row["source"] == "typed"} == {"17850", "1.5", "12345678901"}
    # so that they join
    assert {row["user_id"] for row in ingested[0].users} == folded
    assert {(row["user_id"], row["channel"]) for row in ingested[0].consents} == {(user, "mail") for user in folded}


@pytest.mark.case(23)
def test_ids_of_nobody_are_refused_as_no_user(ingested):
    ingest, counts = ingested
    refused = [row for row in ingest.rejected_events if row["source"] == "plain"]
    assert len(refused) == len(NOBODY) and {tuple(row["reasons"]) for row in refused} == {("no_user",)}
    for name in ("plain", "folded", "users", "consents"):
        assert counts[name]["rejected"] == len(NOBODY)
        assert counts[name]["read"] == sum(counts[name][v] for v in ("accepted", "duplicate", "rejected", "outside_days"))


def test_zero_and_minus_one_are_nobody_where_the_list_says_so():
    conf = settings(json_source("."), users=None)
    assert "0" not in conf.sources.nobody and "-1" not in conf.sources.nobody
    listed = conf.sources.model_validate({"events": [], "nobody": [None, 0, -1, "x"]})
    assert listed.nobody == ["null", "0", "-1", "x"]


def test_rows_of_nobody_have_a_gate_of_their_own(spark, tmp_path):
    rows = [GOOD | {"user_id": f"u{n}"} for n in range(20)] + [GOOD | {"user_id": "0", "item_id": str(n)} for n in range(9)]
    write_lines(tmp_path / f"log_{DAY}.jsonl", [*rows, GOOD | {"user_id": None}, GOOD | {"user_id": "0", "event_type": ""}])
    sources = {"events": [json_source(tmp_path)], "nobody": ["0"]}

    def gated(rejected, nobody):
        quality = NO_GATE | {"max_rejected_share": rejected, "max_nobody_share": nobody}
        conf = settings(quality=quality)
        return Ingest(spark, conf.model_copy(update={"sources": conf.sources.model_validate(sources)}))

    # of 31 rows 9 have no fault but their user; of the 22 others two are refused
    assert gated(0.1, 0.3).run(DAY)["log"]["rejected"] == 11
    with pytest.raises(DataQualityError, match=r"log: 29.0% of rows have a user id that stands for nobody.*allows 28.0%"):
        gated(0.1, 0.28).run(DAY)
    with pytest.raises(DataQualityError, match=r"log: 9.1% of rows refused"):
        gated(0.09, 0.3).run(DAY)


def test_properties_that_are_no_json_object_are_refused(ingested):
    accepted = set(events_of(ingested, "props"))
    assert accepted == {str(n) for n in range(len(GOOD_PROPERTIES))}
    assert events_of(ingested, "props")["5"]["properties"] == {"a": "1", "b": '{"c":2}'}
    refused = [row["reasons"] for row in ingested[0].rejected_events if row["source"] == "props"]
    assert refused == [["bad_properties"]] * len(BAD_PROPERTIES)


def test_amounts_in_other_currencies_are_converted_as_of_the_day_or_refused(ingested):
    found = {n: row["amount_cents"] for n, row in events_of(ingested, "paid").items()}
    assert found == {str(n): cents for n, (_, _, cents) in enumerate(PAID) if not isinstance(cents, list)}
    refused = sorted(row["reasons"] for row in ingested[0].rejected_events if row["source"] == "paid")
    assert refused == sorted(reasons for _, _, reasons in PAID if isinstance(reasons, list))
    (day_before,) = (row for row in ingested[0].events if row["source"] == "paid" and row["day"] == BEFORE)
    assert day_before["amount_cents"] == 800


def test_a_rate_that_was_published_before_the_days_is_in_force(spark, tmp_path):
    write_lines(tmp_path / "market.jsonl", [{"day": "2025-03-01", "name": "fx_usd", "value": 0.5}])
    write_lines(tmp_path / f"log_{DAY}.jsonl", [GOOD | {"c": "USD", "amount": "3"}])
    conf = settings(json_source(tmp_path, map=MAP | {"currency": "c"}), context=rates_source(tmp_path), money={"currency": "KWD"})
    ingest = Ingest(spark, conf)
    ingest.run(date(2025, 3, 1))
    write_lines(tmp_path / "market.jsonl", [])  # stored once, it is known
    ingest.run(DAY)
    assert [row["amount_cents"] for row in ingest.events] == [1500]  # a Kuwaiti dinar has 1,000 fils


def test_minor_units_are_those_of_iso_4217():
    digits = {code: Money(currency=code).minor_digits for code in ("EUR", "JPY", "KWD", "CLF")}
    assert digits == {"EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4} and Money().minor_digits == 2
    with pytest.raises(ValidationError, match="ISO 4217"):
        Money(currency="Euro")


def test_a_mapped_currency_needs_the_domains_own():
    conf = settings(json_source(".", map=MAP | {"currency": "c"}), measures={"segments": []})
    assert cross_faults(conf) == [
        (
            ("sources", "events", 0, "map", "currency"),
            "needs the domain's own currency. Hint: a file money.yaml with `currency: EUR`",
        )
    ]
