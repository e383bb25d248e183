"""Attempts, releases and their files in MLflow."""

import logging
import shutil
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from churnwatch.core import JobFailed
from churnwatch.io.models import Models
from churnwatch.io.release_files import ReleaseFiles, artifacts_hash
from smallworld import settings

FILES = {
    "model.txt": "tree\n",
    "calibration.json": '{"kind": "platt"}',
    "schema.json": '{"features": ["a"]}',
    "reference.json": '{"rows": 5}',
    "curves.json": "{}",
}
ROW = {
    "day": date(2025, 6, 7),
    "run_id": "r1",
    "algorithm": "gbt",
    "at": datetime(2025, 6, 8, 1, 2, 3, tzinfo=UTC),
    "definition": "silent",
    "spans": {"test": "2025-05-26..2025-06-02"},
    "trials": 2,
    "parameters": {"trees": "3"},
    "metrics": {"auc": 0.7},
    "curves": "{}",
    "outcome": "released",
    "conditions": ["good: ok"],
    "features": ["a"],
    "schema_hash": "h",
}


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    files = tmp_path_factory.mktemp("files")
    uri = f"sqlite:///{files}/mlflow.db"
    storage = {"root": "unused", "files": str(files)}
    return settings(storage=storage, mlflow={"tracking_uri": uri, "experiment": "e", "model": "m"})


@pytest.fixture(autouse=True)
def no_spark_model(monkeypatch):
    """The tests of training log a real Spark model, which takes 7 s; these tests need no Spark."""
    import mlflow

    monkeypatch.setattr("churnwatch.io.models.delete_folder", lambda spark, folder: None)

    def log_model(model, artifact_path, dfs_tmpdir, pip_requirements):
        assert all("==" in line for line in pip_requirements)
        return SimpleNamespace(model_uri=f"runs:/{mlflow.active_run().info.run_id}/{artifact_path}")

    monkeypatch.setattr(import_module("mlflow.spark"), "log_model", log_model)


def released(conf, run_id, **changes):
    (row,) = Models(None, conf, run_id).release([{**ROW, "run_id": run_id, **changes}], FILES, {"roc.png": b"PNG"}, None)
    return row


def test_an_attempt_is_found_by_its_run_id_and_by_no_other(conf):
    models = Models(None, conf, "find")
    assert models.find("find") is None
    full = released(conf, "find")
    assert models.find("find") == [full]
    assert models.find("fin") is None
    assert (full["at"], full["day"]) == (ROW["at"], ROW["day"])


def test_an_attempt_that_broke_off_is_not_found(conf, monkeypatch):
    monkeypatch.setattr("mlflow.log_metrics", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(JobFailed, match="failed to log the model: disk full"):
        released(conf, "broken")
    assert Models(None, conf, "broken").find("broken") is None


def test_a_refused_attempt_registers_nothing(conf):
    full = released(conf, "refused", outcome="refused")
    assert full["model_version"] is None
    assert Models(None, conf, "x").find("refused") == [full]


def test_the_champion_never_moves_back(conf):
    models = Models(None, conf, "x")
    newer = released(conf, "newer", day=date(2025, 6, 14))["model_version"]
    assert models.champion() == newer
    older = released(conf, "older", day=date(2025, 6, 7))["model_version"]
    assert int(older) > int(newer)
    assert models.champion() == newer
    newest = released(conf, "newest", day=date(2025, 6, 21))["model_version"]
    assert models.champion() == newest


def test_a_release_is_copied_beside_the_tables_and_its_run_is_checked(conf, monkeypatch):
    row = released(conf, "kept")
    models = Models(None, conf, "x")
    shutil.rmtree(models.copies.folder(row["model_version"]))
    assert models.load(row["model_version"], row["mlflow_run_id"]).text == "tree\n"  # from MLflow
    monkeypatch.setattr(Models, "_texts", lambda *_: (_ for _ in ()).throw(OSError("server is down")))
    loaded = models.load(row["model_version"], row["mlflow_run_id"])  # from the files
    assert (loaded.calibration, loaded.schema) == ({"kind": "platt"}, {"features": ["a"]})
    assert loaded.reference == {"rows": 5}
    with pytest.raises(JobFailed, match="failed to load model version .*server is down"):
        models.load(row["model_version"], "of another server")


def test_only_the_row_that_went_to_the_gate_has_the_version(conf):
    rows = [{**ROW, "run_id": "two"}, {**ROW, "run_id": "two", "algorithm": "tree", "outcome": "refused"}]
    models = Models(None, conf, "two")
    first, second = models.release(rows, FILES, {}, None)
    assert first["model_version"] is not None and second["model_version"] is None
    assert models.find("two") == [first, second]


def test_trials_are_stored_until_the_attempt_is_complete(conf):
    models, trial = Models(None, conf, "trials"), {"parameters": {"maxDepth": 3}, "loss": 0.5, "found": {}}
    assert models.stored_trial("newest-gbt-1") is None
    models.store_trial("newest-gbt-1", trial)
    assert models.stored_trial("newest-gbt-1") == trial
    assert Models(None, conf, "another").stored_trial("newest-gbt-1") is None
    folder = models.trials.folder
    assert [file.name for file in folder.iterdir()] == ["newest-gbt-1.json"], "a part was left behind"
    (folder / "newest-gbt-2.json").write_text('{"parameters": ')  # a file that another writer broke off
    assert models.stored_trial("newest-gbt-2") is None
    models.forget_trials()
    assert models.stored_trial("newest-gbt-1") is None and not folder.exists()


@pytest.mark.case(34)
def test_a_copy_is_used_while_the_server_is_down_if_its_hash_agrees(conf, monkeypatch, caplog):
    row = released(conf, "offline")
    assert row["artifacts_hash"] == artifacts_hash(FILES) != artifacts_hash({**FILES, "reference.json": "{}"})
    models, version = Models(None, conf, "x"), row["model_version"]
    kept = models.copies.folder(version)
    answers = {}
    monkeypatch.setattr(Models, "_texts", lambda *_: answers.get("now") or (_ for _ in ()).throw(OSError("server is down")))
    with caplog.at_level(logging.INFO, logger="churnwatch"):
        assert models.load(version, row["mlflow_run_id"], row["artifacts_hash"]).text == "tree\n"
    assert f"model version {version} comes from the files kept in {kept}, their hash agrees with model_runs" in caplog.text
    (kept / "model.txt").write_text("other\n")
    with pytest.raises(JobFailed, match=rf"server is down; the files kept in {kept} are not those of the release"):
        models.load(version, row["mlflow_run_id"], row["artifacts_hash"])
    answers["now"] = {**FILES, "model.txt": "changed in MLflow"}
    with pytest.raises(JobFailed, match="are not those that were released: .*nothing was scored. Hint: restore them, or train"):
        models.load(version, row["mlflow_run_id"], row["artifacts_hash"])
    answers["now"] = FILES
    assert models.load(version, row["mlflow_run_id"], row["artifacts_hash"]).text == "tree\n"
    assert (kept / "model.txt").read_text() == "tree\n"


def test_a_release_of_an_older_version_has_neither_hash_nor_reference(conf):
    older = {name: text for name, text in FILES.items() if name != "reference.json"}
    (row,) = Models(None, conf, "older").release([{**ROW, "run_id": "older"}], older, {}, None)
    models = Models(None, conf, "x")
    shutil.rmtree(models.copies.folder(row["model_version"]))
    assert models.load(row["model_version"], row["mlflow_run_id"], None).reference is None


def test_attempts_that_were_not_released_go_with_their_files_and_releases_stay(conf):
    kept = released(conf, "stays")
    refused = released(conf, "goes", outcome="refused")
    models = Models(None, conf, "maintain")
    assert models.unreleased_attempts(datetime(2025, 1, 1, tzinfo=UTC)) == []
    old = models.unreleased_attempts(datetime.now(UTC) + timedelta(minutes=1))
    assert refused["mlflow_run_id"] in old and kept["mlflow_run_id"] not in old
    folder = next(Path(conf.storage.files).rglob(refused["mlflow_run_id"]))
    assert list(folder.rglob("rows.json"))
    models.delete_attempts(old)
    assert not list(folder.rglob("rows.json"))
    assert models.unreleased_attempts(datetime.now(UTC) + timedelta(minutes=1)) == []
    assert models.find("stays") == [kept] and models.find("goes") is None


def test_a_copy_is_replaced_while_others_read_it(conf, tmp_path):
    copies = ReleaseFiles(tmp_path)
    other = {name: text + " " for name, text in FILES.items()}
    copies.write("1", "a", FILES)
    seen, ended = [], Event()

    def read():
        while not ended.is_set():
            for run, texts in (("a", FILES), ("b", other)):
                found = copies.read("1", run)
                seen.append(found is None or all(found[name] == texts[name] for name in found))

    reader = Thread(target=read)
    reader.start()
    for _ in range(100):
        copies.write("1", "b", other)
        copies.write("1", "a", FILES)
    ended.set()
    reader.join()
    assert seen and all(seen)
    assert [path.name for path in tmp_path.iterdir()] == ["1"], "nothing is left beside it"
