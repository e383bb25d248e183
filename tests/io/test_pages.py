"""The pages port: whole pages, the newest as latest, keyed ids."""

import hashlib
import hmac
import os
from datetime import date
from pathlib import Path

import pytest

from churnwatch.core import JobFailed
from churnwatch.io.pages import Pages
from churnwatch.settings import load

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"
DAY, EARLIER = date(2025, 9, 27), date(2025, 9, 20)


def port(folder):
    """The port over ``folder``; it needs no session."""
    return Pages(None, load(CONF, [f"storage.files={folder}"]), "run")


def test_a_page_lies_under_its_day_and_as_the_latest(tmp_path):
    path, sha256, size = port(tmp_path).write("report", DAY, "<p>größer</p>")
    content = Path(path).read_bytes()
    assert path == str(tmp_path / "pages" / "2025-09-27" / "report.html")
    assert (sha256, size) == (hashlib.sha256(content).hexdigest(), len(content)) and content.decode() == "<p>größer</p>"
    assert (tmp_path / "pages" / "report.html").read_bytes() == content


def test_writing_again_gives_the_same_and_leaves_nothing_behind(tmp_path):
    first = port(tmp_path).write("report", DAY, "one")
    assert port(tmp_path).write("report", DAY, "one") == first
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "pages/2025-09-27/report.html",
        "pages/report.html",
    ]


def test_a_page_of_an_earlier_day_is_never_the_latest(tmp_path):
    port(tmp_path).write("report", DAY, "new")
    port(tmp_path).write("report", EARLIER, "old")
    assert (tmp_path / "pages" / "report.html").read_text() == "new"
    assert (tmp_path / "pages" / "2025-09-20" / "report.html").read_text() == "old"


@pytest.mark.case(35)
def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    port(tmp_path).write("report", DAY, "old")

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(JobFailed, match="No space left"):
        port(tmp_path).write("report", DAY, "new")
    assert (tmp_path / "pages" / "2025-09-27" / "report.html").read_text() == "old"
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]


def test_a_folder_that_is_not_mounted_is_refused(tmp_path):
    with pytest.raises(JobFailed, match="mounted"):
        port("s3://bucket/files").write("report", DAY, "x")


def test_ids_are_keyed_by_the_key_of_the_settings(tmp_path):
    pages = port(tmp_path)
    keyed = pages.keyed(["u1", "u2"])
    key = (tmp_path / "id_key").read_bytes().strip()
    assert keyed["u1"] == hmac.new(key, b"u1", "sha256").hexdigest() != keyed["u2"]
    assert port(tmp_path).keyed(["u1"]) == {"u1": keyed["u1"]}
