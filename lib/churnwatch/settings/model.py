"""How a model is trained and released: model.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Count, Days, SettingsPart, Share

Algorithm = Literal["gbt", "logistic", "tree", "forest", "svm", "xgboost"]


class Gate(SettingsPart):
    """What a ranking of users must show before it is released: a new model; else the last release, calibrated again; else the
    best single feature.

    The margins are differences of AUC, judged at the lower end of their 95 % interval. With 0 a model must be shown to be
    better, and of two equal models the released one stays; a negative margin allows to be worse by no more than that.
    """

    min_users: int = 200
    """Fewest users in each span."""
    min_positives: int = 50
    """Fewest churned users in each span."""
    min_days: Days = 1
    """Fewest snapshot days in the train span."""
    max_missing_share: Share = 0.9
    """Largest share of missing values among all feature values of the train span."""
    min_origins: Count = 1
    """Fewest origins (see origins) that history must allow."""
    min_auc: Share = 0.52
    """AUC that the lower end of its 95 % interval must reach; 0.5 is chance. Below it nothing is released."""
    min_margin_over_rule: float = 0.0
    """Margin over the best rule by recency."""
    min_margin_over_column: float = 0.0
    """Margin over the best single feature. Where a model does not exceed it, that feature is released in its place."""
    min_margin_over_release: float = 0.0
    """Margin over the released model, on test days that it has not learnt from."""
    tolerated_auc_loss: Share = 0.005
    """AUC by which the lower end of the difference from the released model may lie below 0 where the log loss is lower, with the
    upper end of its 95 % interval below 0."""
    max_rate_error: float = Field(default=0.25, gt=0)
    """Largest distance from 1 of observed / expected churn on the test span: churned users / sum of their probabilities."""


class EarlyTraining(SettingsPart):
    """What starts a training before ``every_days`` have passed."""

    max_psi: float | None = Field(default=None, gt=0)
    """Population stability index of a feature of the model, or of its margin, against training, beyond which on every weekday
    a training starts. Needs days with labels of all seven weekdays. Null: not checked."""
    max_auc_loss: Share | None = None
    """AUC on the test span minus AUC on the newest days with labels (the upper end of its 95 % interval), beyond which a
    training starts. Null: not checked."""
    recalibrate: bool = True
    """Whether a training starts when a warning level's probabilities were off (recalibrate of thresholds) on every day that is
    taken together. The training may release the last model with a new calibration."""
    pool_days: Days = 28
    """Days with labels that are taken together, up to the newest one."""
    wait_days: Days = 7
    """Days after the last attempt before which no training starts early."""


class Selection(SettingsPart):
    """Which features are left out before a model is fitted, besides those that never vary."""

    max_correlation: float | None = Field(default=0.98, gt=0, le=1)
    """Of two features with a higher correlation the later one is left out. Null: none is."""
    max_psi: float | None = Field(default=1.0, gt=0)
    """A feature is left out whose population stability index between the first and the last third of the training days is
    higher. Null: none is."""


class CampaignProfit(SettingsPart):
    """What a campaign earns, for the expected maximum profit (EMPC)."""

    saved_cents: int = Field(default=20_000, ge=1)
    """Worth of a churner who stays."""
    offer_cents: int = Field(default=1_000, ge=0)
    """Cost of an offer that is taken."""
    contact_cents: int = Field(default=100, ge=0)
    """Cost of a contact."""
    alpha: float = Field(default=6.0, gt=0)
    """First parameter of the Beta distribution of the share of churners who take an offer."""
    beta: float = Field(default=14.0, gt=0)
    """Second parameter of that distribution; the mean share is alpha / (alpha + beta)."""

    @model_validator(mode="after")
    def _pays(self) -> "CampaignProfit":
        if self.offer_cents >= self.saved_cents:
            raise ValueError(
                f"offer_cents ({self.offer_cents}) must be less than saved_cents ({self.saved_cents}), because an offer that "
                "costs more than the customer is worth never pays"
            )
        return self


class ModelSettings(SettingsPart):
    """model.yaml: how a model is trained, chosen and released. Its spans lie forward in time."""

    algorithms: list[Algorithm] = Field(default=["gbt"], min_length=1)
    """Algorithms that are tried; the best one goes to the gate. xgboost needs the package of that name."""
    every_days: Days = 28
    """Days from one attempt to train to the next."""
    due: EarlyTraining | None = None
    """What starts a training earlier. Null: nothing does."""
    challenger: str | None = Field(default=None, examples=["9f0c2d51c7f04d6c8e6f0a4b7d1e2f33"])
    """mlflow_run_id of an attempt in model_runs, released or refused, whose scores are kept in shadow_scores; nobody acts on
    them. Null: none."""
    train_days: Days = 91
    """Days of the train span."""
    calibration_days: Days = 14
    """Days of the calibration span."""
    test_days: Days = 14
    """Days of the test span."""
    snapshot_every_days: Days = 8
    """Distance of the days whose features and labels are used. A multiple of 7 shows a model one weekday alone, while scores
    are made on every day."""
    season_days: Days | None = 45
    """Where the train span is longer than a year, training also tries its snapshots within this many days of the same day of
    the year alone, and takes them where they are better at the origins. Null: it does not."""
    origins: Count = 3
    """Rolling origins on which the procedure is tested, `test_days` apart; the newest one is the test span."""
    origin_evals: Count = 2
    """Trials of hyper-parameters at the oldest origin; the later ones use what it found."""
    roll: bool = True
    """Whether a model that passed the gate is fitted again on the newest settled days. False: what was tested is released."""
    max_evals: Count = 8
    """Most trials of hyper-parameters."""
    max_minutes: float = Field(default=60.0, gt=0)
    """Longest search for hyper-parameters."""
    patience: Count | None = None
    """Trials without a better one after which the search ends. Null: it does not end early."""
    trial_threads: int = Field(default=1, ge=1, le=16)
    """Trials that run at once."""
    max_trees: Count = 100
    """Most trees of a model. How many are kept is decided by the loss on users whom the trees have not seen."""
    max_depth: int = Field(default=5, ge=1, le=10)
    """Largest depth of a tree."""
    search_churners: Count = 2000
    """Churned users in the sample on which hyper-parameters are searched, with their share of the other users."""
    search_users: Count = 200000
    """Most users in that sample."""
    bootstraps: Count = 200
    """Bootstrap samples behind the intervals of metrics."""
    partitions: Count = 4
    """Partitions of the training data. It belongs to the model: trees are equal only for equal partitions."""
    seed: int = 7
    """Seed of sampling, search and fit."""
    value: str = "0"
    """Spark SQL over features: cents that a user is worth."""
    calibration: Literal["auto", "isotonic", "platt"] = "auto"
    """Method of calibration; auto: isotonic from 400 churned rows and 400 others on, else platt."""
    capacity_users: Count | None = None
    """Users per day whom the team can contact. Null: see capacity_share."""
    capacity_share: Share = 0.1
    """Share of the users whom the team can contact per day, where capacity_users is null."""
    selection: Selection = Selection()
    """Which features are left out before the fit."""
    profit: CampaignProfit = CampaignProfit()
    """What a campaign earns, for the expected maximum profit."""
    gate: Gate = Gate()
    """What a model must show before it is released."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSettings":
        if twice := sorted({name for name in self.algorithms if self.algorithms.count(name) > 1}):
            raise ValueError(f"algorithms are named twice: {twice}")
        if self.gate.min_origins > self.origins:
            raise ValueError(f"gate.min_origins ({self.gate.min_origins}) is at most origins ({self.origins})")
        return self

    def history_days(self, ahead_days: int, lag_days: int) -> int:
        """Days up to D that training reads: the three spans, ``ahead_days`` between them, the labels' lag, one distance of
        snapshots at each end of the three spans, and a test span for each earlier origin."""
        spans = self.train_days + self.calibration_days + self.origins * self.origin_step_days
        return spans + 2 * ahead_days + lag_days + 3 * self.snapshot_every_days

    @property
    def origin_step_days(self) -> int:
        """Days between two origins: the test span rounded up to whole snapshots, so that no day is tested twice."""
        return -(-self.test_days // self.snapshot_every_days) * self.snapshot_every_days
