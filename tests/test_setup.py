"""Set-up: what is missing is said in one line before anything is installed, and who installs what."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from churnwatch.core import ConfigError
from churnwatch.io.session import KeptMembers, _without_noise, session
from churnwatch.settings import load
from churnwatch.upkeep import examine

ROOT = Path(__file__).resolve().parents[1]
NEED_PYTHON = "install Python 3.11 or newer (or name it: make PYTHON=python3.11)"
NEED_JAVA = "install Java 17 or newer, and put it on the PATH"


@pytest.fixture
def path(tmp_path):
    """Makes a folder for PATH: the tools that make needs, and a Python and a Java that say they are of a version."""

    def made(python=None, java=None):
        for tool in ("grep", "sh"):
            (tmp_path / tool).symlink_to(shutil.which(tool))
        scripts = {}
        if python:
            says = f"import sys; sys.version_info = {python}; exec(sys.argv[2])"
            scripts["python"] = f"exec {sys.executable} -S -c '{says}' \"$@\""
        if java:
            scripts["java"] = f"echo 'openjdk version \"{java}\" 2024-01-16' >&2"
        for name, text in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        return str(tmp_path)

    return made


@pytest.mark.parametrize(
    ("python", "java", "said"),
    [
        (None, "21.0.1", NEED_PYTHON),
        ((3, 10, 14), "21.0.1", NEED_PYTHON),
        ((3, 11, 0), None, NEED_JAVA),
        ((3, 11, 0), "1.8.0_392", NEED_JAVA),
        ((3, 11, 0), "11.0.21", NEED_JAVA),
        ((3, 11, 0), "17.0.9", None),
        ((3, 13, 1), "21.0.1", None),
    ],
)
def test_make_says_in_one_line_what_must_be_there(path, python, java, said):
    command = [shutil.which("make"), "--silent", "--no-print-directory", "requirements", "PYTHON=python"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": path(python, java)}, capture_output=True, text=True)
    assert done.stdout.splitlines() == ([said] if said else [])
    assert (done.returncode != 0) == bool(said)


def told(monkeypatch, path, *sets):
    """What the doctor says of Java and JARs; a runner would be an error."""
    monkeypatch.setenv("PATH", path)
    settings = load(ROOT / "conf" / "local.yaml", [f"storage.root={path}/w", f"storage.files={path}/f", *sets])

    def runner():
        raise AssertionError("a session was started without a Java for it")

    return [(good, text) for good, text in examine(settings, runner) if text.startswith(("Java", "JAR"))]


@pytest.mark.parametrize(
    ("java", "line"),
    [
        (None, "Java not found; install 17 or newer"),
        ("1.8.0_392", "Java 8; install 17 or newer"),
        ("11.0.21", "Java 11; install 17 or newer"),
    ],
)
def test_the_doctor_starts_nothing_without_a_java_and_names_jars_that_are_missing(path, monkeypatch, tmp_path, java, line):
    jar = tmp_path / "there.jar"
    jar.touch()
    found = told(monkeypatch, path(java=java), f"spark={{spark.jars: '{jar},/nowhere/delta.jar'}}")
    assert found == [
        (False, line),
        (True, f"JAR {jar}"),
        (False, "JAR /nowhere/delta.jar is missing; run: make jars"),
    ]


def test_the_doctor_is_content_with_a_java_that_is_new_enough(path, monkeypatch):
    monkeypatch.setenv("PATH", path(java="17.0.9"))
    assert next(examine(load(ROOT / "conf" / "local.yaml"), lambda: None)) == (True, "Java 17")


def test_a_session_without_its_jars_is_refused_before_a_jvm_starts(monkeypatch, tmp_path):
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    there, absent = tmp_path / "there.jar", tmp_path / "absent.jar"
    there.touch()
    with pytest.raises(ConfigError, match=f"no file {absent}. Hint: make jars"):
        session(SimpleNamespace(spark={"spark.jars": f"{there},{absent},hdfs://place/other.jar"}))


def test_a_static_method_of_the_jvm_is_looked_up_once():
    class Looked:
        found = []

        def __getattr__(self, name):
            self.found.append(name)
            return f"method {name}"

    kept = KeptMembers(Looked())
    assert [kept.col, kept.lit, kept.col] == ["method col", "method lit", "method col"]
    assert Looked.found == ["col", "lit"]


def test_known_noise_of_a_starting_jvm_is_dropped_and_all_else_is_passed_on(capfd):
    noise = "WARNING: Using incubator modules: jdk.incubator.vector"
    with _without_noise():
        done = subprocess.Popen(["sh", "-c", f"echo '{noise}' >&2; echo 'a warning that matters' >&2"])
    done.wait()
    written = ""
    while not written:
        written = capfd.readouterr().err
    assert written == "a warning that matters\n"


def test_a_cluster_brings_its_own_spark_and_only_tests_bring_what_they_compare_with():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = {name: text.split() for name, text in setup["options.extras_require"].items()}
    everywhere = setup["options"]["install_requires"].split()
    assert [pin for pins in (everywhere, *extras.values()) for pin in pins if pin.count("==") != 1] == []
    names = {extra: {pin.partition("==")[0] for pin in pins} for extra, pins in {**extras, "": everywhere}.items()}
    assert names["local"] == {"pyspark", "delta-spark", "mlflow"}
    assert "lightgbm" in names[""] and names["local"].isdisjoint(names[""])
    for name in ("duckdb", "shap", "pytest", "ruff"):
        assert [extra for extra, has in names.items() if name in has] == ["test"]
    assert len((ROOT / "pyproject.toml").read_text().splitlines()) == 3
    # the JARs that are fetched are those of the Delta that is pinned
    from churnwatch.io.jars import JARS

    (delta,) = [pin.partition("==")[2] for pin in extras["local"] if pin.startswith("delta-spark")]
    assert {name.removesuffix(".jar").rpartition("-")[2] for name in JARS} == {delta}
