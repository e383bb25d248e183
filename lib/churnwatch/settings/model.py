"""How a model is made and let go: model.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, SettingsPart, Share

Algorithm = Literal["gbt", "logistic", "tree", "forest", "svm", "xgboost"]


class Gate(SettingsPart):
    """What a model must show before it is released.

    ``min_days``: snapshot days of the train span; ``max_missing_share``: of all cells of the train span. The margins are
    of AUC and judged at the lower end of the difference's 95 % interval: 0 asks for what is shown to be better (of two equal
    models the released one stays), a negative one for "not worse by more than".
    """

    min_users: int = 200
    min_positives: int = 50
    min_days: Days = 1
    max_missing_share: Share = 0.9
    min_origins: Days = 1
    min_margin_over_rule: float = 0.0
    min_margin_over_column: float = 0.0
    min_margin_over_release: float = 0.0
    max_calibration_error: Share = 0.1


class Asked(SettingsPart):
    """What asks for a training before ``every_days`` have passed, at the earliest ``wait_days`` after the last attempt.

    ``max_psi``: index of a feature of the model, or of its margin, against training; ``max_auc_loss``: AUC of the test span
    minus that of the newest days whose labels have matured.
    """

    max_psi: float | None = Field(default=None, gt=0)
    max_auc_loss: Share | None = None
    wait_days: Days = 7


class Selection(SettingsPart):
    """Which features leave before a model is fitted, besides those that never vary; null: none for that reason.

    ``max_correlation``: two features beyond it are one, the first stays; ``max_psi``: population stability index between
    the first and the last third of the training days.
    """

    max_correlation: float | None = Field(default=0.9995, gt=0, le=1)
    max_psi: float | None = Field(default=1.0, gt=0)


class CampaignProfit(SettingsPart):
    """What a campaign earns: a saved churner is worth ``saved_cents``, the offer costs ``offer_cents`` where it is taken,
    contact costs ``contact_cents``; churners take it with a Beta(``alpha``, ``beta``) share."""

    saved_cents: int = Field(default=20_000, ge=1)
    offer_cents: int = Field(default=1_000, ge=0)
    contact_cents: int = Field(default=100, ge=0)
    alpha: float = Field(default=6.0, gt=0)
    beta: float = Field(default=14.0, gt=0)

    @model_validator(mode="after")
    def _worth_it(self) -> "CampaignProfit":
        if self.offer_cents >= self.saved_cents:
            raise ValueError("offer_cents is less than saved_cents: nobody buys a customer for more than they are worth")
        return self


class ModelSettings(SettingsPart):
    """model.yaml. Spans in days, forward in time; ``value``: cents a user is worth.

    ``origins``: how many rolling origins the procedure is judged on, ``test_days`` apart; the earlier ones search with
    ``origin_evals`` trials, at the oldest alone. ``roll``: what passes the gate is fitted again on the newest settled days
    (else what was tested is released). ``patience``: trials without a better one that end a search;
    ``trial_threads``: trials at once. ``capacity_users``: users a day that the team can work (else ``capacity_share``).
    ``challenger``: mlflow_run_id of an attempt in model_runs, released or refused, whose scores are kept in shadow_scores.
    """

    algorithms: list[Algorithm] = Field(default=["gbt"], min_length=1)
    every_days: Days = 28
    due: Asked | None = None
    challenger: str | None = None
    train_days: Days = 91
    calibration_days: Days = 14
    test_days: Days = 14
    snapshot_every_days: Days = 7
    origins: Days = 3
    origin_evals: Days = 2
    roll: bool = True
    max_evals: Days = 8
    max_minutes: float = Field(default=60.0, gt=0)
    patience: Days | None = None
    trial_threads: int = Field(default=1, ge=1, le=16)
    max_trees: Days = 40
    max_depth: int = Field(default=5, ge=1, le=10)
    search_users: Days = 20000
    bootstraps: Days = 200
    partitions: Days = 4
    seed: int = 7
    value: str = "0"
    calibration: Literal["auto", "isotonic", "platt"] = "auto"
    capacity_users: Days | None = None
    capacity_share: Share = 0.1
    selection: Selection = Selection()
    profit: CampaignProfit = CampaignProfit()
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _told_once(self) -> "ModelSettings":
        if twice := sorted({name for name in self.algorithms if self.algorithms.count(name) > 1}):
            raise ValueError(f"algorithms stand twice: {twice}")
        if self.gate.min_origins > self.origins:
            raise ValueError(f"gate.min_origins ({self.gate.min_origins}) is at most origins ({self.origins})")
        return self

    def history_days(self, ahead_days: int, lag_days: int) -> int:
        """Days up to D that training reads: three spans, ``ahead_days`` between them, the labels' lag, a snapshot's
        distance at each of the three ends, and a test span for each earlier origin."""
        spans = self.train_days + self.calibration_days + self.origins * self.origin_step_days
        return spans + 2 * ahead_days + lag_days + 3 * self.snapshot_every_days

    @property
    def origin_step_days(self) -> int:
        """Days between two origins: the test span in whole snapshots, so that no day is tested twice."""
        return -(-self.test_days // self.snapshot_every_days) * self.snapshot_every_days
