"""Settings: three layers, and every fault at once with its file and line."""

import shutil
from pathlib import Path

import pytest

from churnwatch.core import ConfigError
from churnwatch.io.logs import spark_settings
from churnwatch.settings import load
from churnwatch.settings.rule_columns import absent_columns, routed_by, routes_on

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def conf(tmp_path):
    """A copy of the app's configuration to spoil."""
    shutil.copytree(ROOT / "conf" / "domains" / "app", tmp_path / "domains" / "app")
    shutil.copy(ROOT / "conf" / "local.yaml", tmp_path / "local.yaml")

    def edit(file, old, new):
        path = tmp_path / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))
        return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if new.splitlines()[0] in line)

    edit.path = tmp_path / "local.yaml"
    return edit


def faults(path, *sets):
    with pytest.raises(ConfigError) as error:
        load(path, sets)
    return str(error.value)


@pytest.mark.case(39)
def test_ten_faults_are_all_named_with_file_and_line(conf):
    app = "domains/app"
    lines = {
        "settle_dais": ("local.yaml", conf("local.yaml", "settle_days: 2", "settle_dais: 2")),
        "not_a_number": ("local.yaml", conf("local.yaml", "session_gap_minutes: 30", "session_gap_minutes: not_a_number")),
        "max_rejected_share": ("local.yaml", conf("local.yaml", "max_rejected_share: 0.05", "max_rejected_share: 1.5")),
        "primry": ("churn.yaml", conf(f"{app}/churn.yaml", "primary: ", "primry: ")),
        "horizon_days": ("churn.yaml", conf(f"{app}/churn.yaml", "horizon_days: 14", "horizon_days: 0")),
        "averages": ("measures.yaml", conf(f"{app}/measures.yaml", "kind: count", "kind: averages")),
        "trend_dayz": ("measures.yaml", conf(f"{app}/measures.yaml", "trend_days:", "trend_dayz:")),
        "top_shares": ("tiers.yaml", conf(f"{app}/tiers.yaml", "top_share:", "top_shares:")),
        "purple": ("rules.yaml", conf(f"{app}/rules.yaml", "level: ", "level: purple #")),
        "avro": ("sources.yaml", conf(f"{app}/sources.yaml", "format: parquet", "format: avro")),
    }
    text = faults(conf.path)
    missing = [
        (word, file, line)
        for word, (file, line) in lines.items()
        if not any(f"{file}:{line}: " in row and (word in row) for row in text.splitlines())
    ]
    assert missing == [], text
    assert "did you mean 'settle_days'?" in text


@pytest.mark.case(39)
def test_names_that_do_not_exist_are_named_with_the_nearest_that_does(conf):
    conf("domains/app/measures.yaml", "segments: [region", "segments: [regio")
    line = conf("domains/app/measures.yaml", "ratios: {", "ratios: {x: loginz / logins, ")
    text = faults(conf.path)
    assert "segment 'regio' is not known; did you mean 'region'?" in text
    assert f"measures.yaml:{line}: column 'loginz' is not known; did you mean 'logins'?" in text


def test_definitions_of_churn_are_checked_against_their_kind_and_the_measures(conf):
    app = "domains/app/churn.yaml"
    line = (
        conf(
            app,
            "definitions:",
            "definitions:\n  less: {kind: drop, before_days: 7, keep_share: 0.5, events: [use], horizon_days: 7}",
        )
        + 1
    )
    text = faults(conf.path)
    assert f"churn.yaml:{line}: churn.definitions.less: kind drop lacks measure; kind drop lacks min_before" in text
    assert "kind drop has no events (it has measure, before_days, min_before, keep_share, min_before_days)" in text
    conf(app, "events: [use]", "measure: use_minutes, min_before: 60")
    assert f"churn.yaml:{line}: summed measure 'use_minutes' is not known; did you mean 'use_ms'?" in faults(conf.path)


def test_what_makes_a_user_eligible_is_known_and_fits_the_kind(conf):
    silent = "horizon_days: 9, active_within_days: 9"
    wrong = {
        "event type 'logins' is not known; did you mean 'login'?": f"{{{silent}, active_events: [logins]}}",
        "kind inactivity lacks active_within_days": "{horizon_days: 9, active_events: acts}",
        "kind inactivity has no active_within_days": f"{{{silent}, active_events: registered}}",
        "kind event cannot take registered users": f"{{kind: event, events: [cancel], {silent}, active_events: registered}}",
        "kind gap has no active_events": f"{{kind: gap, {silent}, min_active_days: 2, times: 2, active_events: acts}}",
    }
    found = {what: what in faults(conf.path, f"churn.definitions.one={one}") for what, one in wrong.items()}
    assert found == dict.fromkeys(wrong, True)
    assert load(conf.path, ["churn.definitions.one={horizon_days: 9, active_events: registered}"])
    conf("domains/app/sources.yaml", "registered_on: registered_on", "since: registered_on")
    text = faults(conf.path, "churn.definitions.one={horizon_days: 9, active_events: registered}")
    assert "no source says when users registered. Hint: map registered_on of users in sources.yaml" in text


def test_measures_and_indicators_that_mean_nothing_are_told(conf):
    wrong = {
        "kind transition needs from, to or both": "measures.measures.path={kind: transition, of: item_id}",
        "kind transition needs of": "measures.measures.path={kind: transition, from: home}",
        "from and to belong to kind transition, not to last": "measures.measures.path={kind: last, of: item_id, to: pay}",
        "measures.bots.events_a_day": "measures.bots.events_a_day=0",
        "measures.bots.hours_a_day": "measures.bots.hours_a_day=25",
        "measure name 'hours' is reserved": "measures.measures.hours={kind: count}",
        "measure name 'orders_last_day' is reserved": "measures.measures.orders_last_day={kind: count}",
        "measure name 'acts' is reserved": "measures.measures.acts={kind: count}",
        "event type 'logins' is not known; did you mean 'login'?": "measures.acts=[logins]",
        "measures.acts": "measures.acts=[]",
        "is of type double: its fractions would be rounded away": "measures.measures.h={kind: sum, of: duration_ms / 2}",
        "is of type string: its fractions": "measures.measures.stars={kind: last, of: \"properties['stars']\"}",
        "scale belongs to the kinds sum, min, max, last, not to count": "measures.measures.n={kind: count, scale: 10}",
        "rounded away. Hint: multiply per by a whole number": "measures.indicators.v={of: orders * 0.5D}",
        "column 'order' is not known; did you mean 'orders'?": "measures.indicators.value={of: order}",
        "'spend_cents / orders' divides. Hint": "measures.indicators.v={of: spend_cents / orders}",
    }
    assert {what: what in faults(conf.path, one) for what, one in wrong.items()} == dict.fromkeys(wrong, True)


def test_families_of_features_name_what_is_there(conf):
    cuts = ", ".join(f"{part}_cuts: [1, 2, 3, 4]" for part in ("recency", "frequency", "monetary"))
    # of a key that is there twice the later counts
    signals = f"""rates: [functions]
shifts: [logins, functionz]
months_of: [loginz]
rfm: {{recency: sessions, frequency: orders, monetary: spend_cents, window_days: 60, {cuts}}}
context: {{logins_7d: {{name: price, scope: plans}}}}"""
    conf("domains/app/measures.yaml", "# more families of features", f"{signals}\n#")
    text = faults(conf.path)
    for fault in (
        "summed measure 'functions' is not known",
        "distinct measure 'logins' is not known; did you mean 'functions'?",
        "measure 'loginz' is not known; did you mean 'logins'?",
        "measure 'sessions' is not known",
        "scope 'plans' is not known; did you mean 'plan'?",
        "two features would be named 'logins_7d'",
    ):
        assert fault in text, text


@pytest.mark.parametrize(
    "value, what",
    [
        ("(select 1)", "subqueries are refused"),
        ("reflect('java.lang.Runtime', 'x')", "function reflect is refused"),
        ("java_method('a', 'b')", "function java_method is refused"),
        ("events_7d +", "is not Spark SQL"),
    ],
)
def test_dangerous_and_broken_expressions_are_refused(conf, value, what):
    assert what in faults(conf.path, f"model.value={value}")


def test_a_later_layer_wins_and_references_are_resolved(conf, monkeypatch):
    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    settings = load(
        conf.path,
        [
            "storage.files=/data/files",
            "model.max_evals=3",
            "sending.smtp.host=localhost",
            "sending.smtp.password=${MAIL_PASSWORD}",
            "spark.spark.executor.memory=8g",
        ],
    )
    assert settings.mlflow.tracking_uri == "sqlite:////data/files/mlflow.db"
    assert settings.mlflow.model == "churnwatch-app"
    assert settings.model.max_evals == 3
    assert settings.sending.smtp.password == "secret"
    assert settings.spark["spark.executor.memory"] == "8g"


def test_relative_paths_of_jars_start_at_the_folder_of_the_configuration(conf, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    line = next(line for line in conf.path.read_text().splitlines() if "spark.jars" in line)
    conf("local.yaml", line, "  spark.jars: ../one.jar, /lib/two.jar,hdfs://place/three.jar")
    given = f"{tmp_path.parent}/one.jar,/lib/two.jar,hdfs://place/three.jar"
    assert load(conf.path).spark["spark.jars"] == spark_settings(conf.path)["spark.jars"] == given


def test_a_secret_that_is_not_set_is_a_fault(conf, monkeypatch):
    monkeypatch.delenv("NO_SUCH_NAME", raising=False)
    assert "environment variable NO_SUCH_NAME is not set" in faults(conf.path, "mlflow.experiment=${NO_SUCH_NAME}")


def test_a_key_that_stands_twice_and_broken_yaml_are_named(conf):
    line = conf("local.yaml", "clock:", "clock: {time_zone: UTC}\nclock:") + 1
    assert f"local.yaml:{line}: key 'clock' is given twice" in faults(conf.path)
    conf.path.write_text("domain: [app")
    assert "is not YAML" in faults(conf.path)


RULE_FAULTS = {
    "when: logins_7d + 1": "is of type double, but a condition is true or false: 'logins_7d + 1'",
    "when: loginz_7d > 1": "column 'loginz_7d' is not known; did you mean 'logins_7d'?",
    "when: avg(logins_7d) > 3": "uses an aggregate",
    "when: 'logins_7d > 1, true'": "is more than one expression",
    "when: region": "is of type string, but a condition is true or false",
    "when: (SELECT true)": "subqueries are refused",
    "when: \"java_method('java.lang.Runtime', 'x') = 'y'\"": "function java_method is refused",
    "when: logins_7d > 1, evidence: '{login_7d}'": "placeholder 'login_7d' is not known; did you mean 'logins_7d'?",
    "when: logins_7d > 1, owner: '{managr}'": "placeholder 'managr' is not known",
    "when: logins_7d > 1, evidence: '{user_id}'": "placeholder 'user_id' is not known",
    "when: logins_7d > 1, needs: [manager]": "columns that the rule does not use and that do not exist: manager",
    "when: logins_7d > 1, valid_from: 2026-02-01, valid_to: 2026-01-31": "valid_to 2026-01-31 is before valid_from 2026-02-01",
    "when: logins_7d > 1, scope: base": "column 'logins_7d' is not known",
    "when: conversion < conversion_usul, scope: group": "column 'conversion_usul' is not known; did you mean 'conversion_usual'?",
}


@pytest.mark.parametrize(("wrong", "said"), RULE_FAULTS.items())
def test_a_rule_that_cannot_be_is_told_with_file_and_line(conf, wrong, said):
    line = conf("domains/app/rules.yaml", "rules:\n", f"rules:\n  - {{id: wrong, title: t, level: red, cause: price, {wrong}}}\n")
    text = faults(conf.path)
    assert f"rules.yaml:{line + 1}: " in text and said in text, text
    assert text.startswith("1 fault(s)")


def test_a_rule_whose_facts_are_absent_is_off_and_no_fault(conf):
    rule = "{id: facts, title: t, level: red, cause: price, when: balance < 5 AND open_need, needs: [balance, open_need]}"
    conf("domains/app/rules.yaml", "rules:\n", f"rules:\n  - {rule}\n")
    settings = load(conf.path)
    assert absent_columns(settings.rules.rules[0], settings) == ["balance", "open_need"]


def test_a_rule_whose_text_tells_of_an_absent_fact_is_off_like_those_that_need_it(conf):
    rule = "{{id: {}, title: t, level: red, cause: price, when: logins_7d > 1, {}}}"
    rules = [rule.format("told", "evidence: 'product {product}'"), rule.format("mine", "owner: '{manager}'")]
    fact = "{id: fact, title: t, level: red, cause: price, when: product = 'x', needs: [product]}"
    conf("domains/app/rules.yaml", "rules:\n", "rules:\n" + "".join(f"  - {one}\n" for one in (*rules, fact)))
    # nobody says that there may be no manager
    assert "placeholder 'manager' is not known" in faults(conf.path)
    conf("domains/app/owners.yaml", "owners:", "routing: [{attribute: manager, needs: [manager]}]\nowners:")
    settings = load(conf.path)
    assert [absent_columns(one, settings) for one in settings.rules.rules[:3]] == [["product"], ["manager"], ["product"]]


def test_a_route_whose_facts_are_absent_is_off_and_its_other_names_are_looked_at(conf):
    text = "routing: [{when: \"class = 'A'\", attribute: manager, needs: [class, manager]}, {owner: sales}]\nowners:"
    conf("domains/app/owners.yaml", "owners:", text)
    settings = load(conf.path)
    assert [route.owner for route in routes_on(settings)] == ["sales"] and routed_by(settings) == set()
    conf("domains/app/owners.yaml", "needs: [class, manager]", "needs: [class, maneger]")
    told = faults(conf.path)
    assert "attribute 'manager' is not known; did you mean 'maneger'?" in told
    assert "columns that the route does not use and that do not exist: maneger" in told


@pytest.mark.parametrize("facts", [("manager",), ("class", "class_level", "manager"), ("balance",)])
def test_an_operator_without_a_fact_starts_with_fewer_rules(conf, facts):
    shutil.copytree(ROOT / "conf" / "domains" / "telecom", conf.path.parent / "domains" / "telecom")
    for fact in facts:
        conf("domains/telecom/sources.yaml", f"    {fact}: {fact}", f"    # {fact}")
    settings = load(conf.path, ["domain=telecom"])
    off = {rule.id for rule in settings.rules.rules if absent_columns(rule, settings)}
    wanted = {"manager": set(), "class": {"key_account_below_class", "key_account_need"}, "balance": {"prepaid_running_out"}}
    assert off == wanted[facts[0]]
    assert len(routes_on(settings)) == (0 if "manager" in facts else 1)


def test_a_rule_names_a_definition_and_a_kind_of_churn_that_exist(conf):
    old = "    cause: competitor\n    class: competitor\n"
    conf("domains/app/rules.yaml", old, "    cause: competitor\n    definition: silent_40d\n    class: rival\n")
    text = faults(conf.path)
    assert "class" in text and "'short', 'long' or 'competitor'" in text
    conf("domains/app/rules.yaml", "    class: rival\n", "    class: long\n")
    assert "definition 'silent_40d' is not known; did you mean 'silent_30d'" in faults(conf.path)


def test_tiers_that_cannot_be_are_told(conf):
    old = "  - {name: medium, top_share: 0.4}"
    wrong = {
        "{name: medium, top_share: 0.4, top_users: 9}": "a tier is cut by one of top_share, min_probability, top_users, profit",
        "{name: medium, top_users: 9, aim: {users: 9}}": "aim and adjust are about top_share or min_probability",
        "{name: medium, top_share: 0.4, aim: {precision: 0.3}}": "the tier has no level",
        "{name: medium, top_share: 0.4, level: blue, adjust: {lowest: 0.1, highest: 0.5}}": "add aim: {precision: 0.4}",
        "{name: medium, top_share: 0.4, level: blue, aim: {}}": "an aim is one of precision, cost_ratio and users",
        "{name: medium, top_share: 0.4, level: blue, aim: {users: 9, precision: 0.3}}": "an aim is one of",
        "{name: medium, top_share: 0.4, level: blue, aim: {precision: 1}}": "less than 1",
        "{name: medium, top_share: 0.4, level: blue, aim: {users: 9}, adjust: {lowest: 0.5, highest: 0.6}}": "lies outside of",
        "{name: medium, top_share: 0.4, level: orange, aim: {users: 9}, adjust: {lowest: 0.1, highest: 0.6}}": "level of its own",
    }
    for tier, said in wrong.items():
        conf("domains/app/tiers.yaml", old, f"  - {tier}")
        assert said in faults(conf.path)
        old = f"  - {tier}"
    conf("domains/app/tiers.yaml", old, "  - {name: medium, top_share: 0.4}")
    assert "an aim is about a cut over all users" in faults(conf.path, "tiers.by=region")
    conf("domains/app/tiers.yaml", "aim: {precision: 0.3}, adjust: {lowest: 0.1, highest: 0.2, step_share: 0.125}}", "}")
    assert "segment 'regio' is not known; did you mean 'region'?" in faults(conf.path, "tiers.by=regio")


def test_causes_that_cannot_be_are_told(conf):
    old = "symptoms: [crashes, slow_pages]"
    wrong = {
        "symptoms: [complaints]": "symptoms are some of the cause's measures: ['complaints']",
        "symptoms: [crashes]\n    general: true": "a general cause has no symptoms: ['crashes']",
        "symptoms: []\n    general: true": "at most one cause is general: ['engagement', 'quality']",
    }
    for text, said in wrong.items():
        conf("domains/app/causes.yaml", old, text)
        assert said in faults(conf.path)
        old = text
    conf("domains/app/causes.yaml", old, "symptoms: [crashes, slow_pages]")
    conf("domains/app/causes.yaml", "symptoms: [price_views, cancels]", "symptoms: [price_views, cancel_rate]")
    assert "summed measure 'cancel_rate' is not known; did you mean 'cancels'?" in faults(conf.path)
    conf("domains/app/causes.yaml", "symptoms: [price_views, cancel_rate]", "symptoms: []")
    conf("domains/app/causes.yaml", "measures: [crashes, slow_pages]", "measures: [crashes, slow_pages, cancels]")
    assert "measure 'cancels' belongs to 'price' and 'quality'" in faults(conf.path)
    conf("domains/app/causes.yaml", "measures: [crashes, slow_pages, cancels]", "measures: [crashes, slow_pages]")
    assert "13 is none of windows_days in measures.yaml: 7, 14, 30, 60" in faults(conf.path, "causes.windows_days=[13]")


def test_a_fault_never_prints_a_secret_of_the_environment(conf, monkeypatch):
    secret = "https://10.0.0.1/services/" + "S3CRET" * 20
    monkeypatch.setenv("HOOK_OF_TEST", secret)
    conf(
        "local.yaml", "sending: {kind: file,", 'sending: {kind: file, destinations: {ops: {kind: slack, url: "${HOOK_OF_TEST}"}},'
    )
    text = faults(conf.path)
    assert "private address" in text and "${HOOK_OF_TEST}" in text and "S3CRET" not in text
    text = faults(conf.path, "sending.pause=${HOOK_OF_TEST}")
    assert "unknown key" in text and "S3CRET" not in text


@pytest.mark.parametrize(
    ("sending", "key", "name"),
    [
        ("smtp: {host: localhost, password: S3CRETS3CRET}", "smtp.password", "SMTP_PASSWORD"),
        (
            "destinations: {ops: {kind: json, url: https://x.example.org, token: S3CRETS3CRET}}",
            "destinations.ops.token",
            "OPS_TOKEN",
        ),
        (
            "destinations: {a-b: {kind: json, url: https://x.example.org, secret: S3CRETS3CRET}}",
            "destinations.a-b.secret",
            "A_B_SECRET",
        ),
        ("destinations: {ops: {kind: slack, url: https://hooks.example.org/S3CRETS3CRET}}", "destinations.ops.url", "OPS_URL"),
        (
            "destinations: {ops: {kind: sms, to: '1', url: 'https://x.example.org/?ApiKey=S3CRETS3CRET'}}",
            "destinations.ops.url",
            "OPS_URL",
        ),
    ],
)
def test_a_secret_that_is_written_out_is_a_fault_that_names_the_variable_and_not_the_secret(conf, sending, key, name):
    line = conf("local.yaml", "sending: {kind: file,", f"sending: {{kind: file, {sending},")
    text = faults(conf.path)
    assert f"local.yaml:{line}: sending.{key}: is a secret that is written out; write ${{{name}}} in its place" in text
    assert "S3CRET" not in text
    # nor does another fault, which shows the part that it stands in
    text = faults(conf.path, "sending.gateways.push=nobody")
    assert "is not a destination of kind json" in text and "S3CRET" not in text


def test_addresses_that_anybody_may_know_and_variables_are_no_secrets(conf, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_TEST", "x")
    plain = "{kind: json, url: 'https://x.example.org/warnings?team=ops', token: '${TOKEN_OF_TEST}'}"
    here = "{kind: slack, url: http://localhost:8080/hook}"
    conf(
        "local.yaml",
        "sending: {kind: file,",
        f"sending: {{kind: file, allow_loopback: true, destinations: {{a: {plain}, b: {here}}},",
    )
    assert load(conf.path).sending.destinations["a"].token == "x"
