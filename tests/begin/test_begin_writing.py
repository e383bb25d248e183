"""What is written for a log: files that load, with a reason beside each guess, whatever the names in it."""

from dataclasses import replace
from datetime import date

import yaml

from churnwatch.begin import config_text, file_texts, summary_lines
from churnwatch.begin.act_kinds import guess_acts, happens_to_users
from churnwatch.begin.domain_files import Domain, ProposedSource
from churnwatch.begin.guesses import Guesses
from churnwatch.begin.key_fields import guess_fields, sample_facts
from churnwatch.begin.measuring import Kind, proposed, rules
from churnwatch.begin.proposal import with_ids
from churnwatch.begin.return_curve import ChurnWindow, Point, fit_scale
from churnwatch.begin.texts import text_layout
from churnwatch.settings import Ids, load

KINDS = [Kind("page view", 900), Kind("order", 60, amounts=60), Kind("it's", 50), Kind("refund", 9, amounts=9), Kind("加入", 5)]
KINDS += [Kind("values", 4), Kind("events", 3), Kind("Order", 2, amounts=1), Kind("error", 1)]


def a_domain():
    lines = [
        "user,time,event,amount,order id,n_clicks,n clicks",
        *(f"u{n % 12},2024-01-{n % 28 + 1:02d},x{n % 3},1.5,{n % 30},{n},{n % 7}" for n in range(60)),
    ]
    layout = text_layout(lines)
    found = guess_fields(layout, sample_facts(layout))
    assert isinstance(found, Guesses)
    source = ProposedSource("log", layout, "{storage.input}/a: b #1.csv", "one file", found, "event", "event: kinds")
    return Domain(
        name="shop",
        sources=[source],
        kinds=KINDS,
        acts=guess_acts([kind.name for kind in KINDS]),
        measures=proposed(KINDS, {"log": found}),
        curve=[Point(7, 100, 40), Point(14, 100, 9)],
        churn=ChurnWindow(14, "9.0% return"),
        churn_kinds=[kind.name for kind in KINDS if kind.name != "refund"],
        scale=fit_scale(14, 200, 0),
        first=date(2024, 1, 1),
        last=date(2024, 7, 18),
        users=12,
        settle_days=0,
        settle_reason="one file",
        rejected_share=0.05,
        rejected_reason="0.00%",
    )


def test_a_proposed_domain_loads_whatever_the_names_in_the_log(tmp_path):
    domain = a_domain()
    (tmp_path / "shop").mkdir()
    for name, text in file_texts(domain).items():
        (tmp_path / "shop" / name).write_text(text, encoding="utf-8")
    config = tmp_path / "shop.yaml"
    config.write_text(config_text(domain, str(tmp_path / "w"), "/data/in", {"spark.master": "local[*]"}), encoding="utf-8")
    settings = load(config)
    assert settings.sources.events[0].path == "/data/in/a: b #1.csv"
    assert settings.primary.events == domain.churn_kinds
    assert settings.measures.acts == [kind.name for kind in KINDS if kind.name != "refund"]
    assert settings.measures.measures["it_s"].where == "event_type = 'it\\'s'"
    assert {"page_view", "orders", "refunds", "values_2", "events_2", "orders_2", "errors"} <= set(settings.measures.measures)
    assert settings.measures.measures["spend_cents"].where == "event_type IN ('order', 'Order')"
    assert settings.measures.ratios == {"conversion": "orders / page_view", "return_rate": "refunds / orders"}
    # two columns whose names differ in their separator alone have two keys: a map with one twice stops Spark
    assert "'n_clicks', n_clicks, 'n_clicks_2', `n clicks`" in settings.sources.events[0].map["properties"]
    assert [rule.id for rule in settings.rules.rules] == [
        *("half_way_silent", "acts_falling", "refunds_rising", "errors_rising", "base_stays_away"),
    ]


def test_a_log_of_which_nothing_can_be_measured_becomes_a_domain_that_loads(tmp_path):
    domain = replace(a_domain(), measures=proposed([Kind("event", 10)], {}))
    (tmp_path / "shop").mkdir()
    for name, text in file_texts(domain).items():
        (tmp_path / "shop" / name).write_text(text, encoding="utf-8")
    config = tmp_path / "shop.yaml"
    config.write_text(config_text(domain, str(tmp_path / "w"), "/data/in", {}), encoding="utf-8")
    assert load(config).measures.measures == {}


def test_every_guess_has_its_reason_on_its_line():
    written = file_texts(a_domain())["sources.yaml"]
    mapped = yaml.safe_load(written)["events"][0]["map"]
    lines = written.splitlines()
    assert [name for name in mapped if not any(line.strip().startswith(f"{name}:") and "    # " in line for line in lines)] == []
    assert "#   page view: 900" in lines


def test_the_next_commands_are_told_with_the_days_of_the_log():
    told = "\n".join(summary_lines(a_domain(), "shop", "shop.yaml"))
    assert "run all --config shop.yaml --from 2024-01-01 --to 2024-07-18 --every" in told
    assert "train_model" in told


def test_one_kind_called_event_is_counted_by_events_alone():
    made = proposed([Kind("event", 10)], {})
    assert made.measures == {}
    assert [rule["id"] for rule in rules(made, 3, (1, 7, 14, 30), 7)] == ["events_falling", "base_stays_away"]


def counted(**counts):
    """Counts of a log of 1,000 rows whose users are words."""
    none = ("no_user", "nobody", "whole_ids", "decimal_ids", "negative_ids", "zero_ids", "minus_one_ids")
    return {"rows": 1000, **dict.fromkeys(none, 0), **counts}


def test_ids_that_a_tool_read_as_numbers_lose_their_decimal_zero():
    source = a_domain().sources[0]
    assert not with_ids(source, counted()).ids.strip_decimal_zero
    # some files have 17850, others 17850.0
    assert with_ids(source, counted(whole_ids=990, decimal_ids=400)).ids.strip_decimal_zero
    # a name such as v1.0 among names is one
    assert not with_ids(source, counted(whole_ids=10, decimal_ids=10)).ids.strip_decimal_zero


def test_zero_and_minus_one_are_nobody_beside_ids_of_another_kind():
    source = a_domain().sources[0]
    few = {"zero_ids": 40, "minus_one_ids": 40}
    assert with_ids(source, counted(**few)).nobody == ("0", "-1")
    assert with_ids(source, counted(whole_ids=920, **few)).nobody == ("-1",)
    assert with_ids(source, counted(whole_ids=920, negative_ids=5, **few)).nobody == ()
    domain = replace(a_domain(), sources=[replace(source, nobody=("0",), ids=Ids(strip_decimal_zero=True), decimal_ids=7)])
    text = file_texts(domain)["sources.yaml"]
    assert "ids: {strip_decimal_zero: true}    # 7 rows" in text
    read = yaml.safe_load(text)
    assert {"null", "guest", "0"} < set(read["nobody"])


def test_bills_messages_and_refunds_are_no_acts():
    no_acts = ["bill", "Invoice Created", "email_sent", "Email Delivered", "push_notification", "refund", "chargeback", "shipped"]
    acts = ["email_opened", "bill_paid", "message_sent", "sms", "page view", "return", "cancel", "view_invoice", "加入"]
    assert [kind for kind in no_acts + acts if happens_to_users(kind)] == no_acts
    made = guess_acts(["order", "email_sent"])
    assert made.kinds == ("order",) and "not email_sent: " in made.reason


def test_a_log_without_an_act_keeps_all_its_kinds_and_says_so(tmp_path):
    """A log of bills alone: whoever was billed is all that is known."""
    domain = replace(a_domain(), acts=guess_acts(["bill", "refund"]))
    texts = file_texts(domain)
    assert "although bill, refund may happen without the user: the log has no other event type" in texts["measures.yaml"]
    assert "acts" not in yaml.safe_load(texts["measures.yaml"]) and "acts_" not in texts["rules.yaml"]
    assert any("the log has no other event type" in line for line in summary_lines(domain, "shop", "shop.yaml"))
    only_acts = file_texts(replace(a_domain(), acts=guess_acts(["order", "view"])))["measures.yaml"]
    assert "# acts: every event is an act: no event type is a bill" in only_acts
