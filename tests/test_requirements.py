"""The locks hold what setup.cfg asks for, with hashes, and nothing whose licence is not known."""

import configparser
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "requirements"
spec = importlib.util.spec_from_file_location("check", LOCKS / "check.py")
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)


def asked(*extras):
    """Pins of setup.cfg: those of the package, and of ``extras``."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split()
    lines += [line for extra in extras for line in setup["options.extras_require"][extra].split()]
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def test_locks_are_as_setup_cfg_and_have_hashes():
    for name, extras in (("cluster", ()), ("local", ("local",)), ("test", ("local", "test"))):
        text = (LOCKS / f"{name}.txt").read_text()
        pinned = check.pinned(LOCKS / f"{name}.txt")
        assert asked(*extras).items() <= pinned.items(), "run make locks"
        assert all("--hash=sha256:" in part for part in text.split("\n    # via") if "==" in part)
        assert "://" not in text


def test_every_licence_is_allowed():
    assert list(check.licence_faults(LOCKS / "local.txt")) == []


def test_the_check_of_vulnerabilities_is_skipped_loudly(monkeypatch, capsys, tmp_path):
    nothing = tmp_path / "pip-audit"
    nothing.write_text('#!/bin/sh\necho \'{"dependencies": [{"name": "a", "skip_reason": "not found"}]}\'\n')
    for command in (tmp_path / "absent", nothing):
        nothing.chmod(0o755)
        monkeypatch.setattr(sys, "argv", ["check.py", str(command)])
        assert check.main() == 0 and "SKIPPED, vulnerabilities: " in capsys.readouterr().out
    nothing.write_text('#!/bin/sh\necho \'{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}\'\n')
    assert check.main() == 1 and "vulnerabilities: a 1: CVE-1" in capsys.readouterr().out
