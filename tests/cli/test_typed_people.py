"""What ``erase``, ``explain`` and ``keys`` are given, and what they refuse."""

import pytest

from churnwatch import rights


@pytest.fixture
def erasures(monkeypatch):
    """Erasures that were asked for: ids, and who."""
    seen = []

    class Erasure:
        def __init__(self, runner, ids):
            self.ids = ids

        def find(self):
            seen.append((self.ids, None))
            return rights.Found({"events": 3, "users": 0})

        def run(self, who):
            seen.append((self.ids, who))
            return "e1", rights.Found({"events": 3})

    monkeypatch.setattr("churnwatch.rights.Erasure", Erasure)
    monkeypatch.setattr("churnwatch.cli.people.runner_over", lambda settings: None)
    return seen


def test_an_erasure_is_looked_at_first_and_done_by_a_person(typed, erasures, tmp_path):
    file = tmp_path / "requests"
    file.write_text("anna\nben\n")
    code, out, _ = typed("erase", "--requests", str(file), "--dry-run")
    assert code == 0 and "2 user(s): would be erased" in out and "events" in out and "users  " not in out
    code, out, _ = typed("erase", "--requests", str(file), "--yes", "--who", "me")
    assert code == 0 and "erased, and a scan found nothing more (erasure e1)" in out
    assert erasures == [(("anna", "ben"), None), (("anna", "ben"), "me")]


@pytest.mark.parametrize(
    "words", [(), ("--requests", "x"), ("--requests", "x", "--yes", "--dry-run"), ("--requests", "x", "--verify")]
)
def test_an_erasure_without_a_decision_is_refused(typed, erasures, words):
    code, _, err = typed("erase", *words)
    assert code == 2 and "either --dry-run or --yes; or --verify alone" in err and not erasures


def test_a_verification_that_fails_is_a_fault_of_the_data(typed, erasures, monkeypatch):
    found = [(True, "one"), (False, "two")]
    monkeypatch.setattr("churnwatch.rights.verify", lambda runner: found)
    code, out, _ = typed("erase", "--verify")
    assert code == 3 and out.splitlines() == ["ok   one", "BAD  two"]
    found.pop()
    assert typed("erase", "--verify")[0] == 0


def test_a_user_is_explained_up_to_a_day(typed, erasures, monkeypatch):
    about = rights.About("events", "an event", 3, ("ingest_events",), [{"day": "2025-03-12", "count": 2, "channel": None}])
    monkeypatch.setattr("churnwatch.rights.explain", lambda runner, user, day: [about])
    code, out, _ = typed("explain", "--user", "anna", "--day", "2025-03-12")
    assert code == 0 and out.splitlines()[2:] == [
        "events: an event",
        "  from ingest_events, version 3 of the table",
        "",
        "  day      2025-03-12",
        "  count    2",
    ]
    code, out, _ = typed("explain", "--user", "anna", "--day", "2025-03-12", "--json")
    assert code == 0 and '"written_by": [' in out
    assert typed("explain", "--user", "anna")[0] == 2
