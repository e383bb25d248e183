"""Check the licences and known vulnerabilities of what the locks install: ``make audit``.

Licences are read from the installed packages. Vulnerabilities come from pip-audit, which asks PyPI: without a network this
part is skipped, and says so.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
# licences that let the package be used, changed and passed on together with this project
ALLOWED = re.compile(
    r"apache|\bmit\b|bsd|\bisc\b|\bpsf\b|python software foundation|mozilla public|mpl-2|unlicense|public domain|cc0|zlib|hpnd|"
    r"python-2\.0|matplotlib",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"\bagpl|affero|(?<!lesser )\bgpl|gnu general public|non-?commercial|proprietary|commons clause|sspl", re.IGNORECASE
)
# packages whose metadata names no licence, or another way; looked up in their sources
KNOWN = {"huey": "MIT", "skops": "MIT"}


def pinned(lock: Path) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    return {name.lower().replace("_", "-"): version for name, version in PINNED.findall(lock.read_text(encoding="utf-8"))}


def licence(package: Distribution) -> str:
    """Return what the metadata of a package says about its licence, on one line."""
    data = package.metadata
    named = [data.get("License-Expression"), *(c for c in data.get_all("Classifier") or () if c.startswith("License"))]
    text = "; ".join(one for one in named if one) or (data.get("License") or "").strip()
    return text.splitlines()[0][:120] if text else ""


def licence_faults(lock: Path) -> Iterator[str]:
    """Yield the packages of a lock whose licence is not known to be allowed."""
    for name in pinned(lock):
        try:
            found = KNOWN.get(name) or licence(distribution(name))
        except PackageNotFoundError:
            continue  # of another system
        if not ALLOWED.search(found) or REFUSED.search(found):
            yield f"{name}: licence {found or 'not named'!r}"


def vulnerabilities(lock: Path, pip_audit: str) -> tuple[list[str], str | None]:
    """Return known vulnerabilities of a lock, and why they could not be looked up; None: they were.

    ``pip_audit``: its command.
    """
    command = [pip_audit, "-r", str(lock), "--require-hashes", "--no-deps", "--disable-pip", "-f", "json"]
    try:
        done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    except OSError as error:
        return [], f"{pip_audit}: {error.strerror}"
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit gave no answer"])[-1]
    if not any("vulns" in one for one in packages):
        return [], "none of the packages was found: there is no network, or the index has no vulnerability data"
    found = [f"{one['name']} {one['version']}: {v['id']}" for one in packages for v in one.get("vulns", ())]
    return found, None


def main() -> int:
    """Print the faults; return 1 when there are some."""
    lock = HERE / "local.txt"
    faults = list(licence_faults(lock))
    print(f"licences of {len(pinned(lock))} packages: {'; '.join(faults) or 'all allowed'}")
    bad, why_not = vulnerabilities(lock, *(sys.argv[1:] or ["pip-audit"]))
    print(f"SKIPPED, vulnerabilities: {why_not}" if why_not else f"vulnerabilities: {'; '.join(bad) or 'none known'}")
    return 1 if faults or bad else 0


if __name__ == "__main__":
    sys.exit(main())
