"""Where messages go by the configuration: nothing is guessed, and no place is left as it is written."""

import re
from pathlib import Path

import pytest

from churnwatch.core import ConfigError
from churnwatch.settings import load

CONF = Path(__file__).resolve().parents[2] / "conf"
UNRESOLVED = re.compile(r"\{[a-z_]+(\.[a-z_]+)+\}")
NETWORK = ["sending.kind=network", "sending.destinations={crm: {kind: json, url: 'https://crm.example.org/offers'}}"]


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name, value in {"MLFLOW_TRACKING_URI": "x", "CHURNWATCH_ID_KEY": "key", "CRM_URL": "https://crm.example.org"}.items():
        monkeypatch.setenv(name, value)


def texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("place", ["local", "cluster", "databricks"])
def test_no_loaded_setting_holds_a_reference_to_another_key(place, tmp_path):
    settings = load(CONF / f"{place}.yaml")
    assert [text for text in texts(settings.model_dump()) if UNRESOLVED.search(text)] == []
    # a configuration that leaves sending out: the outbox lies beside the other files
    text = re.sub(r"(?ms)^sending:.*?(?=^\S|\Z)", "", (CONF / f"{place}.yaml").read_text())
    short = tmp_path / "short.yaml"
    short.write_text(text.replace("domain: app", f"domain: {CONF / 'domains' / 'app'}"))
    bare = load(short)
    assert [text for text in texts(bare.model_dump()) if UNRESOLVED.search(text)] == []
    assert bare.outbox_folder == f"{bare.storage.files}/outbox"


def test_a_channel_of_offers_without_a_gateway_is_a_fault_where_messages_go_over_the_network():
    with pytest.raises(ConfigError) as found:
        load(CONF / "local.yaml", [*NETWORK, "sending.gateways={email: crm}", "sending.operators=nobody"])
    lines = [line for line in str(found.value).splitlines() if "gateway" in line]
    assert len(lines) == 1 and "offers.yaml:17" in lines[0] and "channel 'push' has no gateway" in lines[0]
    assert "destination 'nobody' is not known; did you mean 'crm'?" in str(found.value)
    with pytest.raises(ConfigError) as found:
        load(CONF / "local.yaml", [*NETWORK, "sending.gateways={email: crm, push: crm}"])
    assert "gateway" not in str(found.value) and "has no destination" in str(found.value)


def test_only_a_system_of_ones_own_keeps_offers():
    with pytest.raises(ConfigError, match="kind slack cannot keep offers"):
        load(CONF / "local.yaml", ["sending.destinations={x: {kind: slack, url: 'https://x.example.org', keeps_offers: true}}"])


def test_the_time_zone_of_users_is_one_of_their_attributes():
    with pytest.raises(ConfigError, match="offers.*attribute 'time_zone' is not known"):
        load(CONF / "local.yaml", ["offers.time_zone_attribute=time_zone"])
