"""The arrows of the house: who may import whom, read from the imports themselves."""

import ast
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[1] / "lib" / "churnwatch"
# the order of the data: a room may import those before it
ROOMS = ["events", "activity", "features", "churn", "model", "scoring", "alerts", "retention", "reports"]
BELOW_ROOMS = {"core", "settings", "tables"}
ALLOWED = {
    "core": set(),
    "settings": {"core"},
    "tables": {"core", "settings"},
    "simulate": {"core", "settings"},
    "flow": BELOW_ROOMS | set(ROOMS) | {"commands"},
    "commands": BELOW_ROOMS | set(ROOMS),
    "io": BELOW_ROOMS | {"simulate"},
    # what runs have recorded
    "versions": {"core", "io", "settings"},
    "reading": {"core", "io", "versions"},
    # one run: its steps, what depends on what, how it ended
    "steps": {"core", "io", "settings", "reading", "staleness", "versions"},
    "graph": {"core", "settings", "reading", "steps"},
    "results": {"core", "settings", "steps"},
    "lanes": {"graph", "reading", "steps"},
    "publishing": {"core", "io", "reading"},
    "dry_run": {"core", "publishing", "reading", "runner", "staleness", "steps"},
    "closing": {"core", "io", "settings", "reading", "results", "runner", "steps", "versions"},
    "watching": {"io", "settings", "reading", "results", "steps"},
    "claims": {"core", "io", "reading", "settings"},
    "hashes": {"reading", "settings"},
    "staleness": {"core", "hashes", "io", "reading", "settings"},
    "runner": BELOW_ROOMS
    | {"flow", "io", "reading", "claims", "dry_run", "hashes", "lanes", "publishing", "staleness", "steps", "graph", "results"}
    | {"versions"},
    "upkeep": BELOW_ROOMS | {"alerts", "claims", "graph", "io", "reading", "rights", "runner", "staleness"} | {"versions"},
    "dictionary": BELOW_ROOMS | {"flow", "results"},
    "rights": BELOW_ROOMS | {"claims", "events", "io", "runner", "versions"},
    "demo": BELOW_ROOMS | {"io", "simulate", "warehouse"},
    "drill": BELOW_ROOMS | {"activity", "io", "reading", "runner"},
    "progress": {"io"},
    "rulebook": BELOW_ROOMS | {"activity", "model", "scoring", "alerts", "reports", "runner", "reading"},
    # guesses about a stranger's log; io looks at the files for it, times and numbers are read as ingest reads them
    "begin": BELOW_ROOMS | {"events"},
    # the face for Python
    "warehouse": BELOW_ROOMS | {"flow", "io", "progress", "runner"},
    "cli": BELOW_ROOMS
    | {"flow", "io", "runner", "upkeep", "dictionary", "demo", "drill", "alerts", "simulate", "begin", "progress", "rulebook"}
    | {"closing", "results", "watching"}
    | {"rights"},
    **{room: BELOW_ROOMS | set(ROOMS[:i]) for i, room in enumerate(ROOMS)},
}
# what runs inside Spark's Python workers
WORKER_LIBRARIES = {"numpy", "pyarrow", "lightgbm"}


def in_workers(name):
    """Whether the module of that name travels to workers: ``worker*``."""
    return name.startswith("worker")


def modules():
    return sorted(LIB.rglob("*.py"))


def room_of(file):
    parts = file.relative_to(LIB).with_suffix("").parts
    return parts[0]


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "churnwatch":
                yield from ((f"churnwatch.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def faults_of(file):
    room = room_of(file)
    if room == "__init__":
        return
    for name, line in imported(file):
        if name.startswith("churnwatch."):
            other = name.split(".")[1]
            if other != room and other not in ALLOWED[room]:
                yield f"{file.relative_to(LIB)}:{line} {room} imports {other}"


def test_the_page_shows_what_reports_found_and_reports_know_no_page():
    """Inside of reports: only the room's front door knows the page."""
    figures = [file for file in (LIB / "reports").glob("*.py") if file.stem != "__init__"]
    assert figures
    assert [str(f.relative_to(LIB)) for f in figures if any(".page" in name for name, _ in imported(f))] == []


def test_imports_point_one_way():
    faults = [fault for file in modules() for fault in faults_of(file)]
    assert faults == []


@pytest.mark.case(40)
def test_only_io_touches_the_world():
    faults = []
    for file in modules():
        if room_of(file) in ("io", "cli", "demo", "upkeep", "warehouse"):
            continue
        for name, line in imported(file):
            if name == "urllib.parse":  # text alone
                continue
            if name.split(".")[0] in ("mlflow", "smtplib", "socket", "requests", "urllib", "http", "delta"):
                faults.append(f"{file.relative_to(LIB)}:{line} imports {name}")
        text = file.read_text()
        for word in ("sparkContext", "SparkSession.builder", ".toPandas(", "F.rand(", "current_timestamp(", "datetime.now("):
            if word in text:
                faults.append(f"{file.relative_to(LIB)} has {word}")
    assert faults == []


def test_workers_import_numpy_pyarrow_and_lightgbm_alone():
    workers = [file for file in modules() if in_workers(file.stem)]
    assert workers, "the module that scores inside workers is called worker*.py"
    standard = {"abc", "collections", "dataclasses", "functools", "io", "math", "typing", "__future__"}
    faults = [
        f"{file.relative_to(LIB)}:{line} imports {name}"
        for file in workers
        for name, line in imported(file)
        if name.split(".")[0] not in WORKER_LIBRARIES | standard
        # another worker module travels by value with it, and is judged here too
        and not (name.startswith("churnwatch.") and in_workers(name.split(".")[-1]))
    ]
    assert faults == []


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(LIB)))
def test_a_module_is_under_400_lines(file):
    assert len(file.read_text().splitlines()) < 400


def public(body):
    """Functions and classes that others may call: a function inside another is no one's."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_every_public_function_tells_what_it_does():
    silent = [
        f"{file.relative_to(LIB)}:{node.lineno} {node.name}"
        for file in modules()
        for node in public(ast.parse(file.read_text()).body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def raised(function):
    """Names of the errors that a function's own body raises, and not only passes on."""
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)


def silent_errors(tree):
    """Public functions whose docstring names neither what they raise nor that they do."""
    for node in public(tree.body):
        if isinstance(node, ast.FunctionDef):
            said = ast.get_docstring(node) or ""
            if "raises" not in said.lower() and any(name not in said for name in raised(node)):
                yield node


def test_every_public_function_that_raises_says_so():
    # what a command raises is its exit code, which the module tells; its docstring is the help that people read
    faults = [
        f"{file.relative_to(LIB)}:{node.lineno} {node.name} raises {', '.join(sorted(set(raised(node))))}"
        for file in modules()
        if room_of(file) != "cli"
        for node in silent_errors(ast.parse(file.read_text()))
    ]
    assert faults == []


def test_the_flow_never_reads_what_a_world_planted():
    """The folder of the truth is known to who writes it, and to the demo, which compares at its end."""
    writes_it = {"simulate", "demo", "cli"}
    knows = [str(f.relative_to(LIB)) for f in modules() if room_of(f) not in writes_it and "truth" in f.read_text().lower()]
    assert knows == ["io/planted.py", "io/raw.py"]
    makes_worlds = {
        str(file.relative_to(LIB))
        for file in modules()
        if room_of(file) != "simulate"
        for name, _ in imported(file)
        if name.startswith(("churnwatch.simulate", "churnwatch.io.raw", "churnwatch.io.planted"))
    }
    assert makes_worlds == {"io/raw.py", "io/planted.py", "demo.py", "cli/__init__.py"}
    conf = LIB.parents[1] / "conf"
    assert [str(file) for file in conf.rglob("*.yaml") if "truth" in file.read_text().lower()] == []


def test_a_job_has_a_script_of_its_own_name():
    scripts = {p.stem for p in (LIB.parents[1] / "jobs").glob("*.py")}
    from churnwatch.flow import flow
    from churnwatch.settings import load

    # experiments are configured: the shipped domains have none
    jobs = {job.name for job in flow(load(LIB.parents[1] / "conf" / "local.yaml"))}
    assert scripts == jobs | {"import_experiment", "all"}
