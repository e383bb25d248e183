"""Try out what a run will need: write and read as Spark and as Python do, and reach the servers that are configured.

Each probe yields (good, text). It leaves nothing behind.
"""

import os
import shutil
import smtplib
import ssl
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from urllib.parse import urlparse, urlsplit
from uuid import uuid4

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from churnwatch.core import ChurnwatchError
from churnwatch.io import posting
from churnwatch.io.commits import is_local
from churnwatch.io.staging import absolute
from churnwatch.io.store import Store
from churnwatch.settings import Settings

Finding = tuple[bool, str]
LEAST_FREE_BYTES = 1 << 30
# schemes of object stores on which two writers can lose a commit, unless a log store that locks is configured
UNSAFE_SCHEMES = ("s3", "s3a", "s3n")
KNOWN_SCHEMES = ("", "file", "hdfs", "viewfs", "dbfs", "abfs", "abfss", "wasb", "wasbs", "adl", "gs")
PACKAGES = ("pyspark", "mlflow", "numpy", "pandas", "pyarrow")


def writable(what: str, folder: str) -> Finding:
    """Try to write into a folder of this machine; a folder that is not there is made and removed again."""
    try:
        made = _made(Path(folder))
        try:
            probe = Path(folder) / f".probe-{uuid4().hex}"
            probe.write_bytes(b"")
            probe.unlink()
        finally:
            for new in made:
                new.rmdir()
    except OSError as error:
        return False, f"{what} in {folder}: not writable: {error.strerror or error}"
    return True, f"{what} in {folder}: writable"


def _made(folder: Path) -> list[Path]:
    """Make the folder; return the folders that were not there, the innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def free_space(places: Iterable[str]) -> Iterator[Finding]:
    """Free space of the file systems of this machine that hold ``places``, each once."""
    seen = set()
    for place in places:
        path = Path(urlparse(place).path).resolve() if is_local(place) else None
        path = next((one for one in (path, *path.parents) if one.exists()), None) if path else None
        if path is None or (device := os.stat(path).st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(path).free
        good = free >= LEAST_FREE_BYTES
        hint = "" if good else f"; at least {LEAST_FREE_BYTES >> 30} GB are needed. Hint: churnwatch maintain, or a larger disk"
        yield good, f"disk of {place}: {free / 1e9:,.1f} GB free{hint}"


def log_store(settings: Settings) -> Finding:
    """Whether two writers on different machines can commit to the tables without losing a commit."""
    root = settings.storage.root
    if root is None:
        return True, f"tables are in the catalog, as {settings.storage.schema_name}"
    scheme = urlparse(root).scheme
    configured = settings.spark.get(f"spark.delta.logStore.{scheme}.impl")
    if scheme in KNOWN_SCHEMES or configured:
        return True, f"commits of {root}: {configured or 'the log store of ' + (scheme or 'local files')}"
    if scheme in UNSAFE_SCHEMES:
        hint = f"Hint: spark.delta.logStore.{scheme}.impl: io.delta.storage.S3DynamoDBLogStore, with its JAR"
        return False, f"commits of {root}: two drivers that commit at once can lose one of the commits. {hint}"
    return False, f"commits of {root}: no log store is known for {scheme}://. Hint: set spark.delta.logStore.{scheme}.impl"


def versions(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """Versions of Spark and the packages; whether the Delta JAR was built for this Spark."""
    found = {"Spark": spark.version}
    for name in PACKAGES:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:  # the runtime of a platform may have its own
            continue
    yield True, "versions: " + ", ".join(f"{name} {version}" for name, version in found.items())
    if found.get("pyspark", spark.version).split(".")[:2] != spark.version.split(".")[:2]:
        yield False, f"Spark {spark.version} is driven by pyspark {found['pyspark']}. Hint: install the same version"
    for jar in str(settings.spark.get("spark.jars", "")).split(","):
        built_for = Path(jar).name.removeprefix("delta-spark_").partition("_")[0]
        if Path(jar).name.startswith("delta-spark_") and built_for != ".".join(spark.version.split(".")[:2]):
            yield False, f"JAR {jar} is built for Spark {built_for}, not {spark.version}. Hint: make jars"


def spark_and_python(store: Store, settings: Settings) -> Iterator[Finding]:
    """Whether Spark and Python see the same ``storage.files``: each writes, the other reads."""
    files, name = absolute(settings.storage.files), f".probe-{uuid4().hex}"
    folder = f"{files}/{name}"
    what = f"files in {settings.storage.files}"
    try:
        rows = store.materialise(f"{folder}/spark", store.spark.range(3).coalesce(1)).count()
        yield rows == 3, f"{what}: Spark writes and reads"
        if is_local(files):
            yield from _seen_by_both(store.spark, Path(urlparse(files).path) / name, folder, what)
    except Exception as error:  # of the file system, of any class
        yield False, f"{what}: Spark cannot write there: {_first(error)}"
    finally:
        _removed(store, folder)


def _seen_by_both(spark: SparkSession, place: Path, folder: str, what: str) -> Iterator[Finding]:
    """``place`` and ``folder``: the same folder, for Python and for Spark."""
    hint = "Hint: mount the folder on the driver and on every worker, and write it as file:///..."
    good = any((place / "spark").glob("*.parquet"))
    yield good, f"{what}: Python " + ("sees what Spark writes" if good else f"does not see what Spark writes. {hint}")
    place.mkdir(parents=True, exist_ok=True)
    (place / "python.txt").write_text("seen")
    try:
        good = [row[0] for row in spark.read.text(f"{folder}/python.txt").collect()] == ["seen"]
    except AnalysisException:  # Spark sees no such file
        good = False
    yield good, f"{what}: Spark " + ("sees what Python writes" if good else f"does not see what Python writes. {hint}")


def tables_writable(store: Store, settings: Settings) -> Iterator[Finding]:
    """Make, read and drop a table beside the others."""
    name = f"_probe_{uuid4().hex}"
    root, schema = settings.storage.root, settings.storage.schema_name
    where = f"delta.`{absolute(root)}/{name}`" if root else f"{schema}.{name}"
    try:
        store.spark.sql(f"CREATE TABLE {where} (n INT) USING delta")
        store.spark.sql(f"INSERT INTO {where} VALUES (1)")
        rows = store.spark.sql(f"SELECT * FROM {where}").count()
        yield rows == 1, f"tables in {root or schema}: a table can be made, written and read"
    except Exception as error:
        yield False, f"tables in {root or schema}: no table can be made there: {_first(error)}"
    finally:
        if root:
            _removed(store, f"{absolute(root)}/{name}")
        else:
            store.spark.sql(f"DROP TABLE IF EXISTS {where}")


def _removed(store: Store, folder: str) -> None:
    try:
        store.remove(folder)
    except Exception:  # where it could not be made it cannot be removed
        return


def mail_server(settings: Settings) -> Iterator[Finding]:
    """Greet the mail server, with encryption and log-in as configured. Nothing is sent."""
    smtp = settings.sending.smtp
    if settings.sending.kind != "network" or smtp is None:
        return
    where = f"mail server {smtp.host}:{smtp.port}"
    try:
        with smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_seconds) as server:
            if smtp.starttls:
                server.starttls(context=ssl.create_default_context())
            if smtp.user and smtp.password:
                server.login(smtp.user, smtp.password)
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        yield False, f"{where}: {type(error).__name__}: {_first(error)}"
        return
    yield True, f"{where}: answers"


def destinations(settings: Settings) -> Iterator[Finding]:
    """Look up and connect to the host of each destination with a URL. Nothing is sent; texts leave the URL out."""
    sending = settings.sending
    for name, one in sending.destinations.items() if sending.kind == "network" else ():
        if one.url is None:
            continue
        parts = urlsplit(one.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        where = f"destination {name} at {parts.hostname}:{port}"
        fault = posting.connection_fault(
            parts.hostname or "", port, parts.scheme == "https", sending.timeout_seconds, sending.allow_loopback
        )
        yield fault is None, f"{where}: {fault or 'can be reached'}"


def mlflow_server(spark: SparkSession, settings: Settings) -> Finding:
    """Ask MLflow for its experiments. A database file that is not there is not made."""
    from churnwatch.io.models import Models, is_there

    if not is_there(settings):
        return True, "MLflow: its database is made by the first training"
    try:
        Models(spark, settings, "doctor").champion()
    except ChurnwatchError as error:
        return False, _first(error)
    return True, "MLflow: answers"


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
