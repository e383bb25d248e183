"""The port ``models``: attempts to train and registered releases in MLflow; the only code that talks to MLflow.

An MLflow run carries the tag ``churnwatch.run_id``; its artifact ``release/rows.json`` is written last and makes the attempt
complete. A release is a registered model version; its artifacts (model text, calibration, schema, reference) are copied to
``<storage.files>/models`` (``release_files``).
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from churnwatch.core import JobFailed
from churnwatch.io.release_files import NEEDED, REFERENCE, Release, ReleaseFiles, artifacts_hash
from churnwatch.io.spark_trees import Tree, delete_folder, read_trees
from churnwatch.io.trial_files import TrialFiles
from churnwatch.settings import Settings
from churnwatch.settings.terms import RELEASED

RUN_ID, DAY = "churnwatch.run_id", "churnwatch.day"
FOLDER = "release"
ROWS = "rows.json"
ALIAS = "champion"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7 waits minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

LOG = logging.getLogger(__name__)


def is_there(settings: Settings) -> bool:
    """Whether MLflow has something to say: a database file that is not there would be made by a question, which takes seconds."""
    uri = settings.mlflow.tracking_uri
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


class Models:
    """This project's models in MLflow, for the run ``run_id`` (hash of day, configuration, code and input versions)."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str) -> None:
        self.run_id = run_id
        self._spark = spark
        self._settings = settings
        self._conf = settings.mlflow
        self._files = Path(settings.storage.files)
        self.trials = TrialFiles(self._files / "trials" / run_id)
        self.copies = ReleaseFiles(self._files / "models" / settings.mlflow.model)

    def now(self) -> datetime:
        """The instant of the attempt, UTC."""
        return datetime.now(UTC)

    def find(self, run_id: str) -> list[dict[str, Any]] | None:
        """The rows of model_runs of a complete attempt with this ``run_id``; None when there is none.

        Raises JobFailed when the tracking server cannot be reached.
        """
        with self._reached("look for an earlier attempt"):
            client = self._client()
            experiment = client.get_experiment_by_name(self._conf.experiment)
            if experiment is None:
                return None
            runs = client.search_runs(
                [experiment.experiment_id],
                f"tags.`{RUN_ID}` = '{run_id}' AND attributes.status = 'FINISHED'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
            if not runs:
                return None
            return _from_json(self._artifact(runs[0].info.run_id, ROWS))

    def trees(self, model: Any) -> list[Tree]:
        """(weight, nodes) of each tree of a Spark model (``spark_trees.read_trees``)."""
        return read_trees(self._spark, model, f"{self._settings.storage.files}/tmp")

    def release(
        self,
        rows: Sequence[Mapping[str, Any]],
        files: Mapping[str, str],
        pictures: Mapping[str, bytes],
        model: Any,
    ) -> list[dict[str, Any]]:
        """Log an attempt; register it when the outcome of its first row is ``released``. Returns the rows with MLflow's ids.

        ``rows``: one an algorithm, the one that went to the gate first. The alias ``champion`` moves to the new version unless
        it points to a version of a later day. The Spark model is logged for a release only (7 s). Raises JobFailed when the
        server cannot be reached.
        """
        first = rows[0]
        with self._reached("log the model"):
            import mlflow

            self._experiment()
            with mlflow.start_run(run_name=f"{first['definition']} {first['day']}") as run:
                mlflow.set_tags({RUN_ID: first["run_id"], DAY: str(first["day"]), "outcome": first["outcome"]})
                mlflow.log_params({**first["parameters"], **{f"span_{k}": v for k, v in first["spans"].items()}})
                mlflow.log_params({"schema_hash": first["schema_hash"], "features": len(first["features"])})
                mlflow.log_params({"algorithm": first["algorithm"]})
                mlflow.log_metrics(first["metrics"])
                self._logged(mlflow, files, pictures)
                version = None
                if first["outcome"] == RELEASED:
                    version = self._registered(run.info.run_id, first, model)
                ids = {"mlflow_run_id": run.info.run_id}
                full = [{**row, **ids, "model_version": version if row is first else None} for row in rows]
                full[0]["artifacts_hash"] = artifacts_hash(files) if files else None
                mlflow.log_text(_to_json(full), f"{FOLDER}/{ROWS}")
        if version is not None:
            self.copies.write(version, run.info.run_id, files)
        return full

    def _logged(self, mlflow: Any, files: Mapping[str, str], pictures: Mapping[str, bytes]) -> None:
        """Log texts and pictures as artifacts, in one upload of a folder, because each upload takes a while."""
        with TemporaryDirectory() as folder:
            for name, content in {**{n: t.encode() for n, t in files.items()}, **pictures}.items():
                place = Path(folder) / name
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)
            mlflow.log_artifacts(folder, FOLDER)

    def stored_trial(self, name: str) -> dict[str, Any] | None:
        """A trial that an earlier, broken-off attempt of this run finished; None where there is none."""
        return self.trials.read(name)

    def store_trial(self, name: str, trial: Mapping[str, Any]) -> None:
        """Store a finished trial until the attempt is complete."""
        self.trials.write(name, trial)

    def forget_trials(self) -> None:
        """Delete the trials of this run, because its attempt is complete."""
        self.trials.delete()

    def load(self, version: str, mlflow_run_id: str, wanted_hash: str | None = None) -> Release:
        """The release ``version``, logged by the MLflow run ``mlflow_run_id``: its copy where that is whole, else from MLflow.

        ``wanted_hash``: the hash of the artifacts in model_runs (None for older rows); a copy with another hash is replaced.
        Raises JobFailed when neither the copy nor MLflow has the release, and when MLflow's artifacts have another hash.
        """
        folder, copied = self.copies.folder(version), self.copies.read(version, mlflow_run_id)
        if copied is not None and wanted_hash in (None, artifacts_hash(copied)):
            agrees = "" if wanted_hash is None else ", their hash agrees with model_runs"
            LOG.info("model version %s comes from the files kept in %s%s; MLflow was not contacted", version, folder, agrees)
            return Release.of(version, copied)
        why = "" if copied is None else f"; the files kept in {folder} are not those of the release (hash {wanted_hash})"
        with self._reached(f"load model version {version}", why):
            texts = self._texts(mlflow_run_id)
        if wanted_hash not in (None, artifacts_hash(texts)):
            raise JobFailed(
                f"the artifacts of model version {version} in MLflow at {self._conf.tracking_uri} are not those that were "
                f"released: their hash is {artifacts_hash(texts)}, in model_runs it is {wanted_hash}; nothing was scored. "
                "Hint: restore them, or train another model with `churnwatch run train_model`"
            )
        self.copies.write(version, mlflow_run_id, texts)
        return Release.of(version, texts)

    def spark_model(self, version: str) -> Any:
        """The Spark model of the release ``version``, which a release that only calibrates it again registers once more.

        Raises JobFailed when MLflow does not have it.
        """
        scratch = f"{self._settings.storage.files}/tmp/mlflow-{uuid4().hex}"
        with self._reached(f"load the Spark model of version {version}"):
            from mlflow.spark import load_model

            self._client()
            try:
                return load_model(f"models:/{self._conf.model}/{version}", dfs_tmpdir=scratch)
            finally:
                delete_folder(self._spark, scratch)

    def _texts(self, mlflow_run_id: str) -> dict[str, str]:
        """The artifacts in MLflow that scoring needs, by file name."""
        there = {Path(file.path).name for file in self._client().list_artifacts(mlflow_run_id, FOLDER)}
        return {name: self._artifact(mlflow_run_id, name) for name in (*NEEDED, *sorted({REFERENCE} & there))}

    def unreleased_attempts(self, before: datetime) -> list[str]:
        """Ids of MLflow runs of attempts that started before ``before`` and were not released, or that never ended."""
        with self._reached("look for old attempts"):
            client = self._client()
            experiment = client.get_experiment_by_name(self._conf.experiment)
            if experiment is None:
                return []
            found, page = [], None
            while page != "":
                runs = client.search_runs(
                    [experiment.experiment_id], f"attributes.start_time < {int(before.timestamp() * 1000)}", page_token=page
                )
                found += [run.info.run_id for run in runs if run.data.tags.get("outcome") != RELEASED]
                page = runs.token or ""
            return found

    def delete_attempts(self, mlflow_run_ids: Sequence[str]) -> None:
        """Delete MLflow runs with their artifacts."""
        with self._reached("delete old attempts"):
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            client = self._client()
            for run_id in mlflow_run_ids:
                get_artifact_repository(client.get_run(run_id).info.artifact_uri).delete_artifacts()
                client.delete_run(run_id)

    def champion(self) -> str | None:
        """The version under the alias ``champion``."""
        with self._reached("read the champion"):
            return self._champion()[0]

    def _registered(self, mlflow_run_id: str, row: Mapping[str, Any], model: Any) -> str:
        from mlflow.spark import log_model

        scratch = f"{self._settings.storage.files}/tmp/mlflow-{uuid4().hex}"
        try:
            # without requirements mlflow infers them in a fresh process: 28 s instead of 7
            needed = [f"{name}=={version_of(name)}" for name in ("pyspark", "mlflow")]
            logged = log_model(model, artifact_path="model", dfs_tmpdir=scratch, pip_requirements=needed)
        finally:
            delete_folder(self._spark, scratch)
        client = self._client()
        if not client.search_registered_models(f"name = '{self._conf.model}'"):
            client.create_registered_model(self._conf.model)
        made = client.create_model_version(
            self._conf.model,
            source=logged.model_uri,
            run_id=mlflow_run_id,
            tags={DAY: str(row["day"]), RUN_ID: str(row["run_id"])},
        )
        _, champion_day = self._champion()
        if champion_day is None or str(row["day"]) >= champion_day:
            client.set_registered_model_alias(self._conf.model, ALIAS, made.version)
        return str(made.version)

    def _champion(self) -> tuple[str | None, str | None]:
        """Version and day of the champion."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client().get_model_version_by_alias(self._conf.model, ALIAS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None, None
            raise
        return str(found.version), found.tags.get(DAY)

    def _client(self) -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if self._conf.tracking_uri.startswith("sqlite:///"):
            Path(self._conf.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self._conf.tracking_uri)
        return mlflow.MlflowClient(self._conf.tracking_uri)

    def _experiment(self) -> None:
        import mlflow

        client = self._client()
        if client.get_experiment_by_name(self._conf.experiment) is None:
            # a server knows its artifact folder, a database file does not
            place = (self._files / "mlruns").resolve().as_uri() if self._conf.tracking_uri.startswith("sqlite:") else None
            client.create_experiment(self._conf.experiment, artifact_location=place)
        mlflow.set_experiment(self._conf.experiment)

    def _artifact(self, mlflow_run_id: str, name: str) -> str:
        from mlflow.artifacts import load_text

        self._client()
        return load_text(f"runs:/{mlflow_run_id}/{FOLDER}/{name}")

    @contextmanager
    def _reached(self, what: str, also: str = "") -> Iterator[None]:
        try:
            from mlflow.exceptions import MlflowException
            from requests.exceptions import RequestException
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise JobFailed("MLflow is not installed: pip install 'churnwatch[local]'") from error
        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise JobFailed(
                f"MLflow at {self._conf.tracking_uri} failed to {what}: {first}{also}; no row was written. Hint: start the "
                "server or correct mlflow.tracking_uri, then run the job again"
            ) from error


def _to_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps([{**row, "day": row["day"].isoformat(), "at": row["at"].isoformat()} for row in rows])


def _from_json(text: str) -> list[dict[str, Any]]:
    times = {"day": date.fromisoformat, "at": datetime.fromisoformat}
    return [{name: times[name](value) if name in times else value for name, value in row.items()} for row in json.loads(text)]
