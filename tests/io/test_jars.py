"""JARs are fetched once, by the mirror that a company names; no session start fetches anything."""

import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from churnwatch.io import jars
from churnwatch.io.session import ALWAYS
from churnwatch.settings import load

CONF = Path(__file__).resolve().parents[2] / "conf"
MIRROR = "https://mirror.example/maven2/"


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """Fetches with a Java that only writes the files it is asked for; gives what it was asked for and with which settings."""
    content = b"a jar"

    def java(command, **more):
        place = command.index("-dependency")
        group, artifact, version = command[place + 1 : place + 4]
        Path(tmp_path, f"{artifact}-{version}.jar").write_bytes(content)
        settings = Path(command[command.index("-settings") + 1]).read_text() if "-settings" in command else None
        asked.append((f"{group}:{artifact}:{version}", settings))
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    asked = []
    monkeypatch.setattr(subprocess, "run", java)
    sums = {name: (group, hashlib.sha256(content).hexdigest()) for name, (group, _) in jars.JARS.items()}
    monkeypatch.setattr(jars, "JARS", sums)

    def made():
        return jars.fetch(tmp_path), asked

    return made


def test_the_mirror_of_the_environment_is_the_only_place_that_is_asked(fetched, monkeypatch):
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", MIRROR)
    paths, asked = fetched()
    assert [path.name for path in paths] == list(jars.JARS)
    assert [what for what, _ in asked] == ["io.delta:delta-spark_4.2_2.13:4.4.0", "io.delta:delta-storage:4.4.0"]
    for _, settings in asked:
        assert f'm2compatible="true" root="{MIRROR}"' in settings
        assert 'defaultResolver="mirror"' in settings and settings.count("<ibiblio") == 1


def test_without_one_it_is_ivys_own_and_what_is_there_is_not_asked_for_again(fetched, monkeypatch):
    monkeypatch.delenv("DEFAULT_ARTIFACT_REPOSITORY", raising=False)
    _, asked = fetched()
    assert [settings for _, settings in asked] == [None, None]
    assert len(fetched()[1]) == 2, "the second time nothing was asked for"


def test_a_jar_with_another_sum_is_removed_and_named(fetched, monkeypatch, tmp_path):
    (first, (group, _)), *_ = jars.JARS.items()
    monkeypatch.setitem(jars.JARS, first, (group, "0" * 64))
    with pytest.raises(SystemExit, match=f"{first}: sha256 is .*, not 0000.*check the mirror"):
        fetched()
    assert not (tmp_path / first).exists()


def test_a_mirror_that_does_not_answer_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stdout="", stderr="no route to host\n"))
    with pytest.raises(SystemExit, match="^cannot fetch io.delta:delta-spark_4.2_2.13:4.4.0: no route to host$"):
        jars.fetch(tmp_path)


@pytest.mark.parametrize("place", ["local", "cluster", "databricks"])
def test_no_session_start_resolves_anything(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unused")
    monkeypatch.setenv("CRM_URL", "https://crm.example.org/offers")
    keys = {**load(CONF / f"{place}.yaml").spark, **ALWAYS}
    assert [key for key in keys if any(word in key for word in ("packages", "ivy", "repositories"))] == []
    for jar in filter(None, str(keys.get("spark.jars", "")).split(",")):
        assert "://" not in jar and Path(jar).name in jars.JARS, "the files that set-up fetched"
