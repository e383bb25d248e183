"""Messages, logs and job_runs hold no secret and no value of a row."""

from churnwatch.settings import load, secrets
from churnwatch.settings.secrets import redacted, remember_secrets
from world import CONFIG


def test_secrets_and_values_are_masked(monkeypatch):
    monkeypatch.setattr(secrets, "_known", {})
    remember_secrets({"geheim-1": "${PASSWORD}", "abc": "${SHORT}"})
    text = redacted("MLflow at https://ann:pw@host.example.org:5000/x failed: geheim-1, abc, me@example.org")
    assert text == "MLflow at https://***@host.example.org:5000/x failed: ${PASSWORD}, abc, me@example.org"
    delta = "CHECK constraint r (x > 0) violated by row with values:\n - user_id : u1\n - x : -1\nmore"
    assert redacted(delta) == "CHECK constraint r (x > 0) violated by row with values: ***\nmore"


def test_what_the_configuration_takes_from_the_environment_is_masked(monkeypatch, tmp_path):
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setenv("TRACKING", "postgresql://ann:geheim@db.example.org/mlflow")
    load(CONFIG, [f"storage.root={tmp_path}", f"storage.files={tmp_path}", "mlflow.tracking_uri=${TRACKING}"])
    assert (
        redacted("JobFailed: MLflow at postgresql://ann:geheim@db.example.org/mlflow failed")
        == "JobFailed: MLflow at ${TRACKING} failed"
    )
