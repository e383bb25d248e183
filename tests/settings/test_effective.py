"""``churnwatch config``: every key with its value and where it comes from."""

import pytest

from churnwatch.cli import main
from churnwatch.settings.effective import effective


def shown(config, *sets):
    return {value.key: (value.text, value.origin) for value in effective(config, sets)}


def test_each_value_has_its_origin_and_secrets_have_their_names(tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_TOKEN", "s3cret-token")
    monkeypatch.setenv("TRACKING", "https://ann:pass@host.example.org")
    config = tmp_path / "own.yaml"
    lines = [
        "domain: conf/domains/app",
        "storage: {root: /w, files: /f}",
        "clock: {time_zone: Asia/Shanghai}",
        "mlflow:",
        '  tracking_uri: "${TRACKING}"',
        "privacy: {id_key: {env: KEY}}",
        "sending:",
        "  destinations:",
        '    crm: {kind: json, url: "https://crm.example.org/x", token: "${CRM_TOKEN}"}',
        "    ann: ann@example.org",
    ]
    config.write_text("\n".join(lines) + "\n")
    found = shown(config, "model.max_evals=3")
    assert found["clock.time_zone"] == ('"Asia/Shanghai"', f"{config}:3")
    assert found["clock.settle_days"] == ("2", "default")
    assert found["model.max_evals"] == ("3", "--set model.max_evals")
    assert found["model.algorithms"][1].startswith("conf/domains/app/model.yaml:") or found["model.algorithms"][1] == "default"
    assert found["sending.destinations.crm.token"] == ('"${CRM_TOKEN}"', f"{config}:9")
    assert found["sending.destinations.ann.address"] == ('"ann@example.org"', f"{config}:10")
    assert found["mlflow.tracking_uri"] == ('"${TRACKING}"', f"{config}:5")
    assert "s3cret-token" not in str(found) and "pass@" not in str(found)
    assert found["maintenance.keep_versions_days"] == ("14", "default")


def test_a_password_in_an_address_is_masked_even_if_it_is_written_out(tmp_path):
    found = shown("conf/local.yaml", "mlflow.tracking_uri=https://ann:pass@host.example.org/x")
    assert found["mlflow.tracking_uri"][0] == '"https://***@host.example.org/x"'


def test_the_command_prints_the_keys_that_were_asked_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["config", "clock", "maintenance.keep_pages_days", "--set", "clock.settle_days=5"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        'clock.time_zone = "UTC"  # default',
        "clock.settle_days = 5  # --set clock.settle_days",
        "maintenance.keep_pages_days = 400  # default",
    ] or lines[0].startswith("clock.time_zone")
    with pytest.raises(SystemExit):
        main(["config", "clock", "--changed", "--set", "clock.settle_days=5"])
    assert "clock.settle_days = 5" in capsys.readouterr().out
