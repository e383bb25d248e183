"""The search without Spark: deterministic, limited, stopped early, continued, and all trials failed."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from churnwatch.core import JobFailed
from churnwatch.model import tuning
from churnwatch.model.algorithms import algorithm
from churnwatch.model.tuning import Budget, TrialStore, search
from smallworld import settings

CONF = settings(model={"max_evals": 6, "seed": 3})
GBT = algorithm("gbt")
SAMPLE = SimpleNamespace(sparkSession=None)


@pytest.fixture(autouse=True)
def threads_without_spark(monkeypatch):
    """No session exists from which a thread could inherit."""
    monkeypatch.setattr(tuning, "inheritable_thread_target", lambda session: lambda trial: trial)


class Folder:
    """Trials as io stores them, in memory."""

    def __init__(self):
        self.trials = {}

    def stored_trial(self, name):
        return self.trials.get(name)

    def store_trial(self, name, trial):
        self.trials[name] = dict(trial)


@pytest.fixture
def fits(monkeypatch):
    """Every trial that is really fitted; the loss is a bowl with its bottom at a step of 0.2."""
    made = []

    def trial(sample, algorithm, parameters, conf):
        made.append(parameters)
        return {"parameters": parameters, "loss": abs(parameters["stepSize"] - 0.2), "found": {"maxIter": 4}}

    monkeypatch.setattr(tuning, "_trial", trial)
    return made


def searched(folder=None, **budget):
    given = Budget(**{"evals": 6, "minutes": 1.0, "patience": None, "threads": 1, **budget})
    return search(SAMPLE, GBT, given, TrialStore(folder or Folder(), "gbt"), CONF)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_search_is_the_same_for_a_seed_and_a_number_of_threads(fits, threads):
    first, second = searched(threads=threads), searched(threads=threads)
    assert first == second
    assert len(first.trials) == 6 and first.ended == "6 trials"
    assert first.loss == min(t["loss"] for t in first.trials)
    assert first.parameters["maxIter"] == 4 and isinstance(first.parameters["maxDepth"], int)


def test_the_search_learns(fits):
    late = [t["loss"] for t in searched(evals=30).trials]
    assert sum(late[-10:]) < sum(late[:10])


def test_two_trials_run_at_once(monkeypatch):
    both = threading.Barrier(2, timeout=10)  # one alone would wait in vain

    def trial(sample, algorithm, parameters, conf):
        both.wait()
        return {"parameters": parameters, "loss": 1.0, "found": {}}

    monkeypatch.setattr(tuning, "_trial", trial)
    assert len(searched(threads=2).trials) == 6


def test_a_search_that_broke_off_is_continued(fits, monkeypatch):
    whole = searched()
    folder, real = Folder(), tuning._trial
    fits.clear()

    def breaks(*given):
        if len(fits) == 4:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(tuning, "_trial", breaks)
    with pytest.raises(KeyboardInterrupt):
        searched(folder)
    monkeypatch.setattr(tuning, "_trial", real)
    assert len(fits) == 4
    assert searched(folder) == whole
    assert len(fits) == 6, "what had ended was fitted again"


def test_a_search_without_progress_ends(monkeypatch):
    monkeypatch.setattr(tuning, "_trial", lambda s, a, p, c: {"parameters": p, "loss": 1.0, "found": {}})
    found = searched(evals=20, patience=3)
    assert (len(found.trials), found.ended) == (4, "no better trial among the last 3")


@pytest.mark.case(31)
def test_the_minutes_end_a_search(fits):
    found = searched(minutes=0.0)
    assert (len(found.trials), found.ended) == (1, "0 minutes were over")


@pytest.mark.parametrize(("reads", "learnt"), [(True, "all rows"), (False, "NOT fold")])
def test_a_trial_is_validated_on_the_fold_that_it_was_not_fitted_on(monkeypatch, reads, learnt):
    class Rows(str):
        def where(self, condition):
            return condition

    seen = []
    estimator = SimpleNamespace(fit=lambda rows: seen.append(("fits", rows)))
    one = replace(GBT, estimator=lambda *_: estimator, iterations=None, reads_fold=reads)
    monkeypatch.setattr(tuning, "loss_of", lambda model, kind, rows: seen.append(("validates", rows)) or 0.5)
    tuning._trial(Rows("all rows"), one, {}, CONF)
    # xgboost reads the validation fold from a column
    assert seen == [("fits", learnt), ("validates", "fold")]


@pytest.mark.case(31)
def test_one_failed_trial_ends_nothing_and_all_failed_ones_do():
    class Broken(SimpleNamespace):
        calls = 0

        def where(self, *_):
            return self

    failing = {"left": 2}

    def estimator(parameters, conf, searching):
        if failing["left"] > 0:
            failing["left"] -= 1
            raise ValueError("depth 9 needs more memory\nand a trace")
        return SimpleNamespace(fit=lambda rows: "model")

    broken = replace(GBT, estimator=estimator, iterations=None)
    store = TrialStore(Folder(), "gbt")
    budget = Budget(3, 1.0, None, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "loss_of", lambda *_: 0.5)
        found = search(Broken(), broken, budget, store, CONF)
    assert [("loss" in t) for t in found.trials] == [False, False, True]
    failing["left"] = 99
    with pytest.raises(JobFailed, match="all 3 trials of gbt's hyper-parameters failed; the first: depth 9 needs more memory;"):
        search(Broken(), broken, budget, TrialStore(Folder(), "again"), CONF)


def test_the_first_trial_is_the_start_and_the_others_learn_from_it(fits):
    searched(evals=5)
    assert fits[0] == {"maxDepth": 5, "stepSize": 0.1, "subsamplingRate": 0.8, "minInstancesPerNode": 30}
    assert len({one["stepSize"] for one in fits}) == 5
    fits.clear()
    few = settings(model={"max_trees": 30, "seed": 3})
    search(SAMPLE, GBT, Budget(1, 1.0, None, 1), TrialStore(Folder(), "gbt"), few)
    assert [one["stepSize"] for one in fits] == [0.15], "fewer trees need longer steps"


@pytest.mark.parametrize(("most", "depths"), [(1, {1}), (2, {2}), (4, {2, 3, 4})])
def test_the_depth_is_searched_up_to_the_largest_one(fits, most, depths):
    conf = settings(model={"max_evals": 30, "seed": 3, "max_depth": most})
    search(SAMPLE, GBT, Budget(30, 1.0, None, 1), TrialStore(Folder(), "gbt"), conf)
    assert {one["maxDepth"] for one in fits} == depths


def boosted(losses):
    """Boosting whose fit has these losses after each tree."""
    return replace(GBT, estimator=lambda *_: SimpleNamespace(fit=lambda rows: "model"), losses=lambda model, fold: losses)


class Anything(SimpleNamespace):
    """Rows that can be filtered by anything."""

    def where(self, *_):
        return self


def test_boosting_keeps_the_best_number_of_trees_and_not_the_first_that_was_no_better():
    found = tuning._trial(Anything(), boosted([0.5, 0.4, 0.41, 0.3, 0.35]), {"stepSize": 0.1}, CONF)
    assert found == {"parameters": {"stepSize": 0.1}, "loss": 0.3, "found": {"maxIter": 4}}
    nothing = tuning._trial(Anything(), boosted([float("nan")] * 3), {}, CONF)
    assert nothing["error"] == "the validation fold has no rows"


def test_the_number_of_trees_is_found_again_with_all_users(fits, monkeypatch):
    result = searched()
    monkeypatch.undo()
    more = tuning.count_iterations(Anything(), boosted([0.5, 0.4, 0.3, 0.2, 0.1, 0.2]), result, CONF)
    assert more.parameters == result.parameters | {"maxIter": 5} and more.trials == result.trials
    failed = tuning.count_iterations(Anything(), boosted([float("nan")]), result, CONF)
    assert failed == result


def test_another_tuner_needs_to_propose_points_and_to_learn_from_losses(fits, monkeypatch):
    class Grid:
        """Steps of 0.1 upwards."""

        def __init__(self, space, seed, evals, start):
            assert set(space) == {"maxDepth", "stepSize", "subsamplingRate", "minInstancesPerNode"}
            self.losses, self._next = [], 0

        def propose(self, points):
            first, self._next = self._next, self._next + points
            rest = {"maxDepth": 3.0, "subsamplingRate": 1.0, "minInstancesPerNode": 5.0}
            return [rest | {"stepSize": 0.1 * (n + 1)} for n in range(first, self._next)]

        def learn(self, losses):
            self.losses += losses

    grid = Grid(GBT.space(CONF), 0, 4, None)
    monkeypatch.setattr(tuning, "_Tuner", lambda *_: grid)
    found = searched(evals=4, threads=2)
    assert [one["stepSize"] for one in fits] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert grid.losses == pytest.approx([0.1, 0.0, 0.1, 0.2]) and found.parameters["stepSize"] == 0.2
