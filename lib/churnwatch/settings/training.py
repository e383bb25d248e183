"""How a model is made and let go: model.yaml."""

from typing import Literal

from pydantic import Field

from churnwatch.settings.base import Days, Settings_, Share


class Gate(Settings_):
    """What a model must show before it is released."""

    min_users: int = 200
    min_positives: int = 50
    min_margin_over_rule: float = 0.0
    min_margin_over_release: float = 0.0
    max_calibration_error: Share = 0.1


class Asked(Settings_):
    """What asks for a training before ``every_days`` have passed, at the earliest ``wait_days`` after the last attempt.

    ``max_psi``: index of a feature of the model, or of its margin, against training; ``max_auc_loss``: AUC of the test span
    minus that of the newest days whose labels have matured.
    """

    max_psi: float | None = Field(default=None, gt=0)
    max_auc_loss: Share | None = None
    wait_days: Days = 7


class ModelSettings(Settings_):
    """model.yaml. Spans in days, forward in time; ``search`` bounds of the tuner; ``value``: cents a user is worth.

    ``challenger``: mlflow_run_id of an attempt in model_runs, released or refused, whose scores are kept in shadow_scores.
    """

    algorithms: list[Literal["gbt"]] = ["gbt"]
    every_days: Days = 28
    due: Asked | None = None
    challenger: str | None = None
    train_days: Days = 91
    calibration_days: Days = 14
    test_days: Days = 14
    snapshot_every_days: Days = 7
    max_evals: Days = 8
    max_minutes: float = 60.0
    max_trees: Days = 40
    max_depth: int = Field(default=5, ge=1, le=10)
    search_users: Days = 20000
    bootstraps: Days = 200
    partitions: Days = 4
    seed: int = 7
    value: str = "0"
    gate: Gate = Gate()

    def history_days(self, ahead_days: int, lag_days: int) -> int:
        """Days up to D that training reads: three spans, ``ahead_days`` between them, the labels' lag, and a snapshot's
        distance at each of the three ends."""
        spans = self.train_days + self.calibration_days + self.test_days
        return spans + 2 * ahead_days + lag_days + 3 * self.snapshot_every_days
