"""What the doctor tries out: folders, disks, log stores and servers. Nothing is left behind, nothing is sent."""

import json
import shutil
import socket
import subprocess
from types import SimpleNamespace

import pytest

import world
from churnwatch.io import probes
from churnwatch.io.keys import key_finding, table_key_finding
from churnwatch.io.leases import Leases
from churnwatch.settings import Settings
from churnwatch.settings.sending import Destination, Sending, Smtp
from churnwatch.upkeep.doctor import dead_runs


@pytest.fixture
def settings(tmp_path) -> Settings:
    return world.world_settings(tmp_path)


def with_root(settings, root, spark=None):
    storage = settings.storage.model_copy(update={"root": root})
    return settings.model_copy(update={"storage": storage, "spark": spark or {}})


def sending(settings, **changes):
    return settings.model_copy(update={"sending": Sending(kind="network", allow_loopback=True, **changes)})


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there", "new/below"):
        assert probes.writable("files", str(tmp_path / name)) == (True, f"files in {tmp_path / name}: writable")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    good, text = probes.writable("files", "/dev/null/files")
    assert not good and text.startswith("files in /dev/null/files: not writable: ")


def test_a_disk_that_is_nearly_full_is_named_once(settings, tmp_path, monkeypatch):
    places = [str(tmp_path / "w"), str(tmp_path / "f"), "s3a://bucket/w"]
    assert [good for good, _ in probes.free_space(places)] == [True]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000, total=10**9))
    ((good, text),) = probes.free_space(places)
    assert not good and "0.0 GB free" in text and "churnwatch maintain" in text


@pytest.mark.parametrize(
    ("root", "spark", "good"),
    [
        ("/w", None, True),
        ("hdfs://name/w", None, True),
        ("abfss://c@a.dfs.core.windows.net/w", None, True),
        ("s3a://bucket/w", None, False),
        ("s3a://bucket/w", {"spark.delta.logStore.s3a.impl": "io.delta.storage.S3DynamoDBLogStore"}, True),
        ("odd://bucket/w", None, False),
    ],
)
def test_a_scheme_on_which_two_drivers_lose_commits_needs_a_log_store(settings, root, spark, good):
    found, text = probes.log_store(with_root(settings, root, spark))
    assert found is good
    assert good or "spark.delta.logStore." in text


def test_the_key_of_ids_is_long_enough_or_will_be_made(settings, tmp_path, monkeypatch):
    assert key_finding(settings) == (True, f"id key: {tmp_path}/files/id_key is made when it is first needed")
    assert not (tmp_path / "files").exists()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "id_key").write_text("short")
    assert not key_finding(settings)[0]
    privacy = settings.privacy.model_copy(update={"id_key": settings.privacy.id_key.model_copy(update={"env": "OUR_KEY"})})
    monkeypatch.setenv("OUR_KEY", "0" * 16)
    assert key_finding(settings.model_copy(update={"privacy": privacy})) == (True, "id key: environment variable OUR_KEY")


def test_a_table_key_is_wanted_where_the_key_of_ids_is_a_variable(settings, tmp_path, monkeypatch):
    def privacy(**places):
        parts = {name: settings.privacy.id_key.model_copy(update=place) for name, place in places.items()}
        return settings.model_copy(update={"privacy": settings.privacy.model_copy(update=parts)})

    by_variable = {"file": None, "env": "OUR_KEY"}
    monkeypatch.setenv("OUR_KEY", "0" * 16)
    monkeypatch.setenv("TABLE_KEY", "1" * 16)
    found = [
        table_key_finding(one)
        for one in (
            settings,
            privacy(id_key=by_variable),
            privacy(id_key=by_variable, table_key={"file": None, "env": "TABLE_KEY"}),
            privacy(id_key=by_variable, table_key={"file": None, "env": "NO_KEY"}),
            privacy(table_key={"file": f"{tmp_path}/table_key"}),
        )
    ]
    assert [good for good, _ in found] == [True, False, True, False, True]
    assert "derived from the first key" in found[0][1]
    assert "privacy.table_key is missing" in found[1][1]
    assert found[2][1] == "table key: environment variable TABLE_KEY"
    assert not (tmp_path / "table_key").exists()


def test_servers_are_greeted_and_a_silent_one_is_named(settings):
    with socket.create_server(("127.0.0.1", 0)) as open_port, socket.create_server(("127.0.0.1", 0)) as closed:
        there, gone = open_port.getsockname()[1], closed.getsockname()[1]
        closed.close()
        conf = sending(
            settings,
            timeout_seconds=5,
            destinations={
                "crm": Destination(kind="json", url=f"http://127.0.0.1:{there}/secret-path"),
                "old": Destination(kind="json", url=f"http://127.0.0.1:{gone}/secret-path"),
                "inside": Destination(kind="json", url="https://localhost.invalid/secret-path"),
                "ann": Destination(kind="email", address="ann@example.org"),
            },
            smtp=Smtp(host="127.0.0.1", port=gone, timeout_seconds=5),
        )
        found = list(probes.destinations(conf))
        assert [good for good, _ in found] == [True, False, False]
        assert "secret-path" not in str(found) and "ConnectionRefusedError" in found[1][1]
        ((good, text),) = probes.mail_server(conf)
        assert not good and f"127.0.0.1:{gone}" in text
    assert list(probes.destinations(settings)) == [] and list(probes.mail_server(settings)) == []


def test_mlflow_is_asked_only_where_it_is_there(settings, tmp_path):
    assert probes.mlflow_server(None, settings) == (True, "MLflow: its database is made by the first training")
    assert not (tmp_path / "files").exists()


def test_a_run_whose_process_has_died_is_named_and_a_living_one_is_not(settings, tmp_path):
    leases = Leases(settings)
    leases.hold("living")
    lease = leases.hold("dead")
    try:
        assert list(dead_runs(settings)) == []
        lease.release()
        ended = subprocess.Popen(["true"])
        ended.wait()
        content = json.loads((leases.folder / "living.json").read_text())
        content["owner"]["pid"] = ended.pid
        (leases.folder / "dead.json").write_text(json.dumps(content))
        assert [text.split(":")[0] for good, text in dead_runs(settings) if not good] == ["run dead"]
    finally:
        leases.release("living")
