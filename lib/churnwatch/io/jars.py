"""Fetches the Delta JARs once, at set-up, by the Ivy that pyspark ships: no session start needs a network.

``python -m churnwatch.io.jars FOLDER``; the company mirror in DEFAULT_ARTIFACT_REPOSITORY is used when it is set.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

JARS = {
    "delta-spark_4.2_2.13-4.4.0.jar": (
        "io.delta",
        "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    ),
    "delta-storage-4.4.0.jar": (
        "io.delta",
        "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    ),
}


def fetch(folder: Path) -> list[Path]:
    """Paths of the JARs in ``folder``, fetched where missing; SystemExit with one line when a sum is wrong."""
    import pyspark

    folder.mkdir(parents=True, exist_ok=True)
    ivy = next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    for name, (group, sha256) in JARS.items():
        if not (folder / name).exists():
            _retrieve(ivy, folder, group, *name.removesuffix(".jar").rsplit("-", 1))
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != sha256:
            (folder / name).unlink()
            sys.exit(f"{name}: sha256 is {found}, not {sha256}; it was removed, check the mirror")
    return [folder / name for name in JARS]


def _retrieve(ivy: Path, folder: Path, group: str, artifact: str, version: str) -> None:
    with tempfile.TemporaryDirectory() as cache:
        command = ["java", "-jar", str(ivy), "-cache", cache, "-dependency", group, artifact, version]
        command += ["-notransitive", "-confs", "default", "-types", "jar", "bundle"]
        command += ["-retrieve", f"{folder}/[artifact]-[revision].[ext]", "-warn"]
        if mirror := os.environ.get("DEFAULT_ARTIFACT_REPOSITORY"):
            settings = Path(cache) / "ivysettings.xml"
            settings.write_text(
                '<ivysettings><settings defaultResolver="mirror"/><resolvers>'
                f'<ibiblio name="mirror" m2compatible="true" root="{mirror}"/></resolvers></ivysettings>'
            )
            command += ["-settings", str(settings)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not (folder / f"{artifact}-{version}.jar").exists():
            sys.exit(f"cannot fetch {group}:{artifact}:{version}: {(done.stdout + done.stderr).strip()[-400:]}")


if __name__ == "__main__":
    for path in fetch(Path(sys.argv[1])):
        print(path)
