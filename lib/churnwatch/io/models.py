"""The only access to MLflow: attempts to train, registered releases, their artifacts.

A run carries the tag ``churnwatch.run_id``; its artifact ``release/rows.json`` is written last and makes the attempt
complete. A release is a registered version whose artifacts (model text, calibration, schema) are all that scoring needs;
they are kept under ``<storage.files>/models``, so that scoring works while the tracking server is down.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from churnwatch.core import JobFailed
from churnwatch.settings import Settings
from churnwatch.settings.terms import RELEASED

RUN_ID, DAY = "churnwatch.run_id", "churnwatch.day"
FOLDER = "release"
ROWS = "rows.json"
NEEDED = ("model.txt", "calibration.json", "schema.json")
REFERENCE = "reference.json"  # releases of older versions have none
ALIAS = "champion"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7 waits minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A released model: its text, calibration, schema and reference as JSON objects; older releases have no reference."""

    version: str
    text: str
    calibration: dict[str, Any]
    schema: dict[str, Any]
    reference: dict[str, Any] | None = None


class Models:
    """Models of this project in MLflow, for the run ``run_id`` (hash of day, configuration, code and input versions)."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str) -> None:
        self.run_id = run_id
        self._spark = spark
        self._settings = settings
        self._conf = settings.mlflow
        self._files = Path(settings.storage.files)

    def now(self) -> datetime:
        """The instant of the attempt, UTC."""
        return datetime.now(UTC)

    def find(self, run_id: str) -> list[dict[str, Any]] | None:
        """The rows of model_runs that a complete attempt of this ``run_id`` left; None when there is none.

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

    def trees(self, model: Any) -> list[tuple[float, list[dict[str, Any]]]]:
        """(weight, nodes) of each tree of a Spark ensemble, or of a single tree, as Spark's own files hold them.

        Leaves have ``left`` -1; ``classes``: rows of each class in the node, of trees that classify.
        """
        folder = f"{self._settings.storage.files}/tmp/trees-{uuid4().hex}"
        try:
            model.write().overwrite().save(folder)
            if not hasattr(type(model), "trees"):
                data = self._spark.read.parquet(f"{folder}/data").collect()
                return [(1.0, sorted(map(_node, data), key=lambda n: n["id"]))]
            # the columns' names differ between Spark's versions: tree, its metadata, its weight
            about = self._spark.read.parquet(f"{folder}/treesMetadata").collect()
            weights = {row[0]: float(row[2]) for row in about}
            data = self._spark.read.parquet(f"{folder}/data").select("treeID", "nodeData.*").collect()
        finally:
            _removed(self._spark, folder)
        trees: dict[int, list[dict[str, Any]]] = {tree: [] for tree in sorted(weights)}
        for node in data:
            trees[node["treeID"]].append(_node(node))
        return [(weights[tree], sorted(nodes, key=lambda n: n["id"])) for tree, nodes in trees.items()]

    def release(
        self,
        rows: Sequence[Mapping[str, Any]],
        files: Mapping[str, str],
        pictures: Mapping[str, bytes],
        model: Any,
    ) -> list[dict[str, Any]]:
        """Logs an attempt and, when the outcome of its first row is ``released``, registers it; the rows with MLflow's ids.

        ``rows``: one an algorithm, the one that went to the gate first. The alias ``champion`` moves to the new version
        unless it stands on one of a later day. Only a release's Spark model is logged (7 s). Raises JobFailed when the
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
            self._kept(version, run.info.run_id, files)
        return full

    def _logged(self, mlflow: Any, files: Mapping[str, str], pictures: Mapping[str, bytes]) -> None:
        """Logs texts and pictures as artifacts: one upload of a folder, since each costs a while."""
        with TemporaryDirectory() as folder:
            for name, content in {**{n: t.encode() for n, t in files.items()}, **pictures}.items():
                place = Path(folder) / name
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)
            mlflow.log_artifacts(folder, FOLDER)

    def kept_trial(self, name: str) -> dict[str, Any] | None:
        """A trial that an attempt of this run_id ended before it broke off; None where there is none."""
        try:
            return dict(json.loads((self._trials() / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def keep_trial(self, name: str, trial: Mapping[str, Any]) -> None:
        """Keeps an ended trial until the attempt is complete; written whole or not at all."""
        folder = self._trials()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.{uuid4().hex}.part"
        part.write_text(json.dumps(trial), encoding="utf-8")
        part.replace(folder / f"{name}.json")

    def forget_trials(self) -> None:
        """Deletes the trials of this run_id: its attempt is complete."""
        shutil.rmtree(self._trials(), ignore_errors=True)

    def _trials(self) -> Path:
        return self._files / "trials" / self.run_id

    def load(self, version: str, mlflow_run_id: str, wanted_hash: str | None = None) -> Release:
        """The release ``version``, logged by the MLflow run ``mlflow_run_id``: kept files where they are its own, else MLflow's.

        ``wanted_hash``: what model_runs says of the artifacts; kept files with another one are fetched anew. Scoring so needs
        no tracking server as long as the kept files are whole. Raises JobFailed when neither is at hand, and when what MLflow
        has is not what was released.
        """
        kept = self._folder(version)
        texts = self._texts_kept(version, mlflow_run_id)
        if texts is None or wanted_hash not in (None, artifacts_hash(texts)):
            why = "" if texts is None else f"; the files kept in {kept} are not those of the release (hash {wanted_hash})"
            with self._reached(f"load model version {version}", why):
                texts = self._texts(mlflow_run_id)
            if wanted_hash not in (None, artifacts_hash(texts)):
                raise JobFailed(
                    f"the artifacts of model version {version} in MLflow at {self._conf.tracking_uri} are not those that were "
                    f"released: their hash is {artifacts_hash(texts)}, model_runs says {wanted_hash}; nothing was scored. "
                    "Restore them, or train another model with `churnwatch run train_model`"
                )
            self._kept(version, mlflow_run_id, texts)
        else:
            agrees = "" if wanted_hash is None else ", their hash agrees with model_runs"
            LOG.info("model version %s comes from the files kept in %s%s; MLflow was not asked", version, kept, agrees)
        text, calibration, schema = (texts[name] for name in NEEDED)
        reference = json.loads(texts[REFERENCE]) if REFERENCE in texts else None
        return Release(version, text, json.loads(calibration), json.loads(schema), reference)

    def _texts_kept(self, version: str, mlflow_run_id: str) -> dict[str, str] | None:
        """The kept files of the release, None where they are not there or another run's."""
        folder = self._folder(version)
        owner = folder / "mlflow_run_id"
        if not owner.is_file() or owner.read_text(encoding="utf-8") != mlflow_run_id:
            return None
        there = [name for name in (*NEEDED, REFERENCE) if (folder / name).is_file()]
        return {name: (folder / name).read_text(encoding="utf-8") for name in there} if set(NEEDED) <= set(there) else None

    def _texts(self, mlflow_run_id: str) -> dict[str, str]:
        """The artifacts in MLflow."""
        there = {Path(file.path).name for file in self._client().list_artifacts(mlflow_run_id, FOLDER)}
        return {name: self._artifact(mlflow_run_id, name) for name in (*NEEDED, *sorted({REFERENCE} & there))}

    def champion(self) -> str | None:
        """The version under the alias ``champion``."""
        with self._reached("read the champion"):
            return self._champion()[0]

    def _registered(self, mlflow_run_id: str, row: Mapping[str, Any], model: Any) -> str:
        from mlflow.spark import log_model

        scratch = f"{self._settings.storage.files}/tmp/mlflow-{uuid4().hex}"
        try:
            # without requirements mlflow looks for them in a fresh process: 28 s instead of 7
            needed = [f"{name}=={version_of(name)}" for name in ("pyspark", "mlflow")]
            logged = log_model(model, artifact_path="model", dfs_tmpdir=scratch, pip_requirements=needed)
        finally:
            _removed(self._spark, scratch)
        client = self._client()
        if not client.search_registered_models(f"name = '{self._conf.model}'"):
            client.create_registered_model(self._conf.model)
        made = client.create_model_version(
            self._conf.model,
            source=logged.model_uri,
            run_id=mlflow_run_id,
            tags={DAY: str(row["day"]), RUN_ID: str(row["run_id"])},
        )
        _, standing = self._champion()
        if standing is None or str(row["day"]) >= standing:
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
            # a server knows where its artifacts lie; a database file does not
            place = (self._files / "mlruns").resolve().as_uri() if self._conf.tracking_uri.startswith("sqlite:") else None
            client.create_experiment(self._conf.experiment, artifact_location=place)
        mlflow.set_experiment(self._conf.experiment)

    def _artifact(self, mlflow_run_id: str, name: str) -> str:
        from mlflow.artifacts import load_text

        self._client()
        return load_text(f"runs:/{mlflow_run_id}/{FOLDER}/{name}")

    def _folder(self, version: str) -> Path:
        return self._files / "models" / self._conf.model / version

    def _kept(self, version: str, mlflow_run_id: str, texts: Mapping[str, str]) -> None:
        """Keeps the artifacts beside the tables; the owner's id is written last and makes them valid."""
        folder = self._folder(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*NEEDED, REFERENCE):
            if name in texts:
                (folder / name).write_text(texts[name], encoding="utf-8")
        (folder / "mlflow_run_id").write_text(mlflow_run_id, encoding="utf-8")

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
                f"MLflow at {self._conf.tracking_uri} failed to {what}: {first}{also}; no row was written. Start the server or "
                "correct mlflow.tracking_uri, then run the job again"
            ) from error


def artifacts_hash(texts: Mapping[str, str]) -> str:
    """The first 16 digits of the SHA-256 of what scoring needs of a release."""
    digest = hashlib.sha256()
    for name in (*NEEDED, REFERENCE):
        digest.update(f"{name}\n{texts.get(name, '')}\n".encode())
    return digest.hexdigest()[:16]


def _node(node: Any) -> dict[str, Any]:
    split = node["split"]
    inner = node["leftChild"] >= 0
    if inner and split["numCategories"] != -1:
        raise JobFailed(f"the trees split on categories (feature {split['featureIndex']}), which the text form does not hold")
    return {
        "id": node["id"],
        "prediction": float(node["prediction"]),
        "classes": [float(rows) for rows in node["impurityStats"]],
        "count": int(node["rawCount"]),
        "gain": float(node["gain"]),
        "left": int(node["leftChild"]),
        "right": int(node["rightChild"]),
        "feature": int(split["featureIndex"]) if inner else -1,
        "threshold": float(split["leftCategoriesOrThreshold"][0]) if inner else 0.0,
    }


def _removed(spark: SparkSession, folder: str) -> None:
    """Deletes a folder on the file system that Spark made it on."""
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]
    path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()).delete(path, True)


def _to_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps([{**row, "day": row["day"].isoformat(), "at": row["at"].isoformat()} for row in rows])


def _from_json(text: str) -> list[dict[str, Any]]:
    times = {"day": date.fromisoformat, "at": datetime.fromisoformat}
    return [{name: times[name](value) if name in times else value for name, value in row.items()} for row in json.loads(text)]
