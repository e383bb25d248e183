"""Values that tables store and that several rooms compare: each is defined here and nowhere else."""

from typing import Literal, get_args

LevelName = Literal["blue", "yellow", "orange", "red"]
LEVELS: tuple[LevelName, ...] = get_args(LevelName)  # from the mildest up
ChurnClass = Literal["short", "long", "competitor"]  # kind of churn of a definition, and of the warnings about it
CHURN_CLASSES: tuple[ChurnClass, ...] = get_args(ChurnClass)
Scope = Literal["user", "group", "base"]  # subject of a warning: a user, a segment, all users
SCOPES: tuple[Scope, ...] = get_args(Scope)

ALL = "all"  # segment and value of the row about all users; in alert_quality also rule_id and level of such a row
TENURE = "tenure"  # segment of users by days since registration: new or established
COHORT = "cohort"  # segment of users by the month of their first active day
BASE_SCOPE = "base"  # scope of a warning or a context series that concerns all users
MODEL = "model"  # rule_id of warnings that the model raises
UNKNOWN = "unknown"  # stands for a cause, a segment's value or a number that is not known

# purposes of a consent; PROFILING is also a channel
CONTACT = "contact"
PROFILING = "profiling"

# arms of a campaign
OFFER = "offer"
CONTROL = "control"  # held out of the campaign
GLOBAL_CONTROL = "global_control"  # held out of all campaigns
ARMS = (OFFER, CONTROL, GLOBAL_CONTROL)

# what people, and the system, do about a warning, and how a closed one ended
ACKNOWLEDGED, ACTED, CLOSED, ESCALATED = ACTIONS = ("acknowledged", "acted", "closed", "escalated")
OPEN = "open"  # state of a warning before any action
SYSTEM = "system"  # who acted, where no person did
RETAINED, CHURNED, FALSE_ALARM, EXPIRED = CASE_OUTCOMES = ("retained", "churned", "false_alarm", "expired")

# outcomes of an attempt to train
RELEASED = "released"
REFUSED = "refused"

# what is released besides the algorithms of model.yaml: the best single feature; the last release with a new calibration
RULE = "rule"
RECALIBRATED = "recalibrated"

# outcomes of an attempt to send a message, besides EXPIRED
SENT = "sent"
FAILED = "failed"
HISTORY = "history"  # not sent: the decision was too old
SUPPRESSED = "suppressed"  # not sent: the user may not be contacted any more
DELIVERY_OUTCOMES = (SENT, FAILED, EXPIRED, HISTORY, SUPPRESSED)

# status of a run of a job, besides FAILED and REFUSED
RUNNING, DONE, SKIPPED = "running", "done", "skipped"
MIGRATE = "migrate"  # job of the runs of churnwatch migrate in job_runs
ERASE = "erase"  # job of the runs of churnwatch erase in job_runs
ALONE = (MIGRATE, ERASE)  # jobs that go with no other run
ABORTED = "aborted"  # ended from outside: by a signal, by a take-over, or without a word
RUN_STATUSES = (RUNNING, DONE, FAILED, SKIPPED, REFUSED, ABORTED)

# smallest drop of the probability of churn that texts show as an improvement: less is rounded away
LEAST_IMPROVEMENT = 0.01
