"""Rows that a run writes for itself, so that they are computed only once: a folder a run under ``storage.files``."""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pyspark.sql import DataFrame, SparkSession

from churnwatch.core import JobFailed
from churnwatch.io.commits import is_local


class Staging:
    """The staging folders of a warehouse."""

    def __init__(self, spark: SparkSession, files: str) -> None:
        self.spark, self._files = spark, files

    def stage(self, run_id: str, alias: str, frame: DataFrame) -> DataFrame:
        """Write ``frame`` into the run's staging folder and read it back, so that it is computed only once."""
        return self.materialise(f"{absolute(self._files)}/staging/{run_id}/{alias}", frame)

    def materialise(self, folder: str, frame: DataFrame) -> DataFrame:
        """Write ``frame`` into ``folder`` and read it back, so that it is computed only once."""
        frame.write.mode("overwrite").parquet(folder)
        return self.spark.read.schema(frame.schema).parquet(folder)

    def drop_stage(self, run_id: str) -> None:
        """Remove the run's staging folder."""
        self.remove(f"{absolute(self._files)}/staging/{run_id}")

    def staged_runs(self) -> list[str]:
        """Ids of runs that have a staging folder."""
        folder = f"{absolute(self._files)}/staging"
        if is_local(folder):
            place = Path(urlparse(folder).path)
            return sorted(p.name for p in place.iterdir()) if place.is_dir() else []
        path, system = self._hadoop(folder)
        return sorted(s.getPath().getName() for s in system.listStatus(path)) if system.exists(path) else []

    def remove(self, folder: str) -> None:
        """Remove a folder with everything in it."""
        path, system = self._hadoop(folder)
        system.delete(path, True)

    def _hadoop(self, folder: str) -> tuple[Any, Any]:
        jvm: Any = self.spark._jvm
        path = jvm.org.apache.hadoop.fs.Path(folder)
        return path, path.getFileSystem(self.spark._jsparkSession.sessionState().newHadoopConf())  # type: ignore[attr-defined]


def absolute(path: str | None) -> str:
    """Absolute path of a folder, which workers can use too, without a slash at its end. Raises JobFailed when there is none."""
    if path is None:
        raise JobFailed("storage has no folder")
    return str(Path(path).resolve()) if not urlparse(path).scheme else path.rstrip("/")
