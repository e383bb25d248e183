"""Guards of the product, each with the test that fails when the guard is taken out.

A guard is a line that keeps a promise. ``python tests/guards.py`` takes out each guard in turn in a copy of the package,
runs its test against the copy, and reports a guard whose test still passes. Arguments are names of guards (default: all);
``--sample N --seed S`` takes N of them by the seed.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("lib") / "churnwatch"
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Guard:
    """A promise: the text in ``file`` (below lib/churnwatch) that keeps it, what replaces it, and the test that must fail."""

    name: str
    file: str
    text: str
    replacement: str
    test: str

    @property
    def path(self) -> Path:
        """The file of the guard, relative to the project's root."""
        return PACKAGE / self.file


GUARDS = (
    # runs
    Guard(
        "half of a step is read by nobody",
        "versions.py",
        'if ledger.is_done(run_id, date.fromisoformat(stamp["day"]) if "day" in stamp else None):',
        "if True:",
        "tests/flow/test_runner.py::test_half_of_a_step_is_never_read",
    ),
    Guard(
        "a resumed run does again what is older than what it reads",
        "versions.py",
        "and other.wrote.get(read.table.name, -1) > seen",
        "and False",
        "tests/flow/test_runner.py::test_resume_runs_again_what_is_older_than_what_it_reads",
    ),
    Guard(
        "what needs a failed step is not run",
        "graph.py",
        "same_run = day + timedelta(days=job.lag_days) == other + timedelta(days=producer.lag_days)",
        "same_run = False",
        "tests/flow/test_graph.py::test_what_reads_a_failed_step_is_not_run_and_neither_is_what_reads_that",
    ),
    Guard(
        "failed training stops nobody, because a log without the rows of today is still the log",
        "graph.py",
        'if read.table.kind == "log":',
        "if False:",
        "tests/flow/test_graph.py::test_a_failed_training_stops_nothing_because_the_release_in_use_goes_on",
    ),
    Guard(
        "a day on which a job was done is not due again",
        "io/ledger.py",
        "r.day <= until and r.status == DONE",
        "r.day < until and r.status == DONE",
        "tests/flow/test_runner.py::test_a_job_that_was_run_by_name_is_not_due_again_on_its_day",
    ),
    Guard(
        "of a range with a day at fault the other days are done",
        "runner.py",
        "if at_fault and len(days) > 1 and attempts < MOST_HALVES:",
        "if False:",
        "tests/flow/test_runner.py::test_of_a_range_with_a_day_at_fault_the_others_are_done_and_resume_runs_that_day_alone",
    ),
    # events
    Guard(
        "a second row with the same id and content is a duplicate",
        "events/event_rows.py",
        'own_id & (F.col("_hash") == F.col("_before"))',
        'own_id & (F.col("_hash") == F.lit("no hash"))',
        "tests/events/test_events_mapping.py::test_an_id_is_unique_within_its_source",
    ),
    Guard(
        "other content under the same id is an event of its own",
        "events/event_rows.py",
        'own_id & (F.col("_hash") == F.col("_before"))',
        'own_id & (F.col("_n") > 1)',
        "tests/events/test_events_mapping.py::test_other_content_under_the_same_id_is_kept_and_counted",
    ),
    Guard(
        "a function that reads the clock or chance is refused",
        "settings/functions.py",
        "if is_part or name not in CALLABLE or reads_clock:",
        "if False:",
        "tests/faults/test_case_39_configuration.py::test_expressions_depend_on_their_columns_alone",
    ),
    Guard(
        "an id with a control character is refused",
        "events/event_rows.py",
        '"control_character": F.col("control_character"),',
        '"control_character": F.lit(False),',
        "tests/faults/test_case_21_poison_rows.py::test_poison_rows_are_refused_and_the_day_goes_on",
    ),
    Guard(
        "an event in the future is refused",
        "events/event_rows.py",
        '"future_event": possible & F.col("_future"),',
        '"future_event": F.lit(False),',
        "tests/faults/test_case_12_future_events.py::test_events_of_the_future_are_refused_and_the_day_is_as_without_them",
    ),
    Guard(
        "an erased user does not come back with a backfill",
        "io/sources.py",
        'hashed = hashed.join(F.broadcast(erased), HASH, "left_anti")',
        "pass",
        "tests/rights/test_erasure.py::test_a_user_is_erased_from_every_table_and_file_and_nobody_else_is",
    ),
    Guard(
        "a field that is suddenly null stops the day",
        "events/source_days.py",
        "share - median(before) > limit:",
        "share - median(before) > 2 * limit + 1:",
        "tests/faults/test_case_20_renamed_columns.py::test_a_renamed_field_stops_the_day_and_is_named",
    ),
    Guard(
        "a column that a source has gained is named",
        "events/columns.py",
        "if new and name in known:",
        "if False:",
        "tests/faults/test_case_20_renamed_columns.py::test_an_added_column_is_named_once_and_the_day_goes_on",
    ),
    Guard(
        "a late day at fault does not stop the day that finds it",
        "events/ingest.py",
        "refused=late_faults(inputs, counted, scope, late, settings)",
        "refused={}",
        "tests/events/test_events_late.py::"
        "test_a_late_day_whose_rows_fail_the_checks_is_left_out_and_waits_while_the_day_goes_on",
    ),
    Guard(
        "a user who was scored twice stops the scores",
        "scoring/repeated_users.py",
        'if found["repeated"]:',
        "if False:",
        "tests/flow/test_chain.py::test_a_user_with_two_rows_of_features_stops_the_scores_before_they_are_published",
    ),
    Guard(
        "an event that lies far from its file's day is refused",
        "events/event_rows.py",
        '"time_far_from_file": possible & ~F.col("_near") & ~F.col("_future"),',
        '"time_far_from_file": F.lit(False),',
        "tests/events/test_events_rejects.py::test_a_thousand_bad_rows_of_twenty_kinds_are_kept_with_every_reason",
    ),
    Guard(
        "a row without a user is refused",
        "events/event_rows.py",
        '"no_user": F.col("user_id").isNull() | F.col("_nobody"),',
        '"no_user": F.col("_nobody"),',
        "tests/events/test_events_rejects.py::test_a_thousand_bad_rows_of_twenty_kinds_are_kept_with_every_reason",
    ),
    Guard(
        "a row whose user is nobody is refused",
        "events/ids.py",
        "F.lower(user).isin(sorted({one.strip().lower() for one in nobody}))",
        "F.lit(False)",
        "tests/events/test_events_fields.py::test_ids_of_nobody_are_refused_as_no_user",
    ),
    Guard(
        "a row counts as often as in the file with most of it",
        "events/event_rows.py",
        'F.col("_in_file") <= F.max("_in_file").over(before)',
        'F.col("_in_file") <= 0',
        "tests/events/test_events_repeats.py",
    ),
    Guard(
        "an amount in another currency without a rate is refused",
        "events/event_rows.py",
        '"other_currency": F.col("_no_rate"),',
        '"other_currency": F.lit(False),',
        "tests/events/test_events_fields.py::test_amounts_in_other_currencies_are_converted_as_of_the_day_or_refused",
    ),
    Guard(
        "properties that cannot be read are refused",
        "events/event_rows.py",
        '"bad_properties": F.col("_bad_properties"),',
        '"bad_properties": F.lit(False),',
        "tests/events/test_events_fields.py::test_properties_that_are_no_json_object_are_refused",
    ),
    Guard(
        "too many refused rows stop the ingest",
        "events/gates.py",
        "if count.rejected_share > limit",
        "if count.rejected_share > 1",
        "tests/flow/test_chain.py::test_too_many_rejects_stop_before_anything_is_published",
    ),
    # activity
    Guard(
        "a session ends only after more than the gap",
        "activity/rollup.py",
        "idle > gap, F.lit(True)",
        "idle >= gap, F.lit(True)",
        "tests/activity/test_rollup.py::test_sessions",
    ),
    Guard(
        "only acts begin a session",
        "activity/rollup.py",
        "F.coalesce(F.col(act_measure(settings)) > 0, F.lit(False))",
        'F.coalesce(F.col("events") > 0, F.lit(False))',
        "tests/activity/test_acts.py::test_a_day_counts_acts_apart_and_keeps_its_row_without_any",
    ),
    Guard(
        "a bill brings no user back",
        "activity/comeback.py",
        "active = F.col(ACTS) > 0",
        "active = F.lit(True)",
        "tests/activity/test_acts.py::test_lines_that_are_billed_on_the_first_raise_no_false_alarm_and_dormant_ones_leave",
    ),
    Guard(
        "fractions need a scale",
        "activity/rollup.py",
        "if isinstance(kind, FractionalType | StringType):",
        "if False:",
        "tests/activity/test_rollup.py::test_fractions_without_a_scale_stop_the_rollup",
    ),
    Guard(
        "one odd day makes nobody a bot",
        "activity/people.py",
        ">= settings.measures.bots.days_share",
        "> 0",
        "tests/activity/test_people.py::test_an_odd_day_makes_nobody_a_bot_and_a_share_of_days_does",
    ),
    Guard(
        "a user is new on the first day only",
        "core/restating.py",
        'return found.join(earlier, same, "left_anti")',
        'return found.join(earlier, same, "left_semi")',
        "tests/activity/test_newcomers.py::test_only_the_first_active_day_of_users_not_seen_before",
    ),
    Guard(
        "a run of an older day drops the restatements that repeat it",
        "core/restating.py",
        "return f\"day >= DATE'{min(days)}'\"",
        "return f\"day IN (DATE'{min(days)}')\"",
        "tests/flow/test_growth.py::test_a_backfill_of_an_older_day_reaches_every_later_day_through_the_restatements",
    ),
    Guard(
        "a job that replaces days of its own table does not see their old rows",
        "reading.py",
        "if own:\n            frame = frame.where(",
        "if own and not table.restatement:\n            frame = frame.where(",
        "tests/flow/test_growth.py::test_a_backfill_of_an_older_day_reaches_every_later_day_through_the_restatements",
    ),
    Guard(
        "files that the longest run may read are not removed",
        "io/table_upkeep.py",
        "if hours < longest_run_hours:",
        "if hours < 0:",
        "tests/upkeep/test_maintain.py::test_versions_that_a_run_may_read_are_never_removed",
    ),
    Guard(
        "scratch of a live run stays",
        "io/old_files.py",
        "if lease_of(entry.name) not in live]",
        "if entry.name]",
        "tests/upkeep/test_maintain.py::test_files_of_dead_processes_and_old_days_go_and_those_of_live_runs_stay",
    ),
    Guard(
        "an action of one person does not fail by the line of another",
        "cli/alerts.py",
        "if _is_about(error, lines):",
        "if lines:",
        "tests/cli/test_recording_together.py::test_a_line_of_another_person_that_is_refused_is_waited_for",
    ),
    # features
    Guard(
        "a mail keeps nobody in the population",
        "features/users.py",
        'F.col(f"{act_measure(settings)}_days_since") <',
        'F.col("events_days_since") <',
        "tests/activity/test_acts.py::test_the_population_and_its_features_look_at_acts",
    ),
    Guard(
        "a newcomer has no trend",
        "features/users.py",
        "F.when(_possible_days() >= 2 * days, trend)",
        "trend",
        "tests/features/test_user_features.py::test_a_trend_needs_the_days_before_it_of_the_user_and_of_history",
    ),
    Guard(
        "users who refuse profiling have no features",
        "features/users.py",
        '& ~F.col("granted")).select(',
        '& F.col("granted")).select(',
        "tests/features/test_user_features.py::test_the_population_is_who_was_active_within_its_days_and_did_not_refuse",
    ),
    Guard(
        "months of which a part is not stored are null",
        "features/users.py",
        'month_end(F.col("day"), back + 1), 1)',
        'month_end(F.col("day"), back), 1)',
        "tests/features/test_signals.py::test_every_family_by_hand",
    ),
    # churn
    Guard(
        "active_events decide who is eligible",
        "churn/eligible.py",
        "on = event_on if ahead else _last_day_with(active, monthly)",
        "on = event_on",
        "tests/activity/test_acts.py::test_who_is_eligible",
    ),
    Guard(
        "an event in the lead saves nobody",
        "churn/labelling.py",
        'F.datediff("last_day_ahead", "day") > first',
        'F.datediff("last_day_ahead", "day") > 0',
        "tests/churn/test_churn_labels.py::test_who_is_labelled_and_how",
    ),
    Guard(
        "the horizon ends where it ends",
        "churn/eligible.py",
        "newest=-spec.ahead_days)",
        "newest=-spec.ahead_days - 1)",
        "tests/churn/test_churn_labels.py::test_who_is_labelled_and_how",
    ),
    Guard(
        "who was active too long ago is not eligible",
        "churn/eligible.py",
        'first = F.date_sub("day", spec.seen_days - 1)',
        'first = F.date_sub("day", spec.seen_days)',
        "tests/churn/test_churn_labels.py::test_who_is_labelled_and_how",
    ),
    Guard(
        "a definition replaces its own labels alone",
        "churn/labelling.py",
        " AND definition = '{definition}'",
        "",
        "tests/churn/test_churn_labels.py::test_a_run_replaces_the_days_of_its_definition_alone",
    ),
    # reading and writing
    Guard(
        "an input is cut at what was known at D",
        "reading.py",
        "last = min(last, self.known(step, read))",
        "last = max(last, last)",
        "tests/flow/test_runner.py::test_a_reader_sees_nothing_of_a_lagged_table_that_was_not_known_at_d",
    ),
    Guard(
        "trailing(n) holds n days",
        "core/table.py",
        "Span(1 - days, 0)",
        "Span(-days, 0)",
        "tests/core/test_core.py",
    ),
    Guard(
        "a missing day stops the job",
        "reading.py",
        "if missing := {day: days for day, days in wanted.items() if days}:",
        "if missing := {day: days for day, days in wanted.items() if day in days and not days}:",
        "tests/flow/test_runner.py::test_a_missing_day_stops_the_job_and_is_named",
    ),
    Guard(
        "rules of a contract are stored with the table",
        "io/store.py",
        'properties |= {f"delta.constraints.{name}": rule for name, rule in table.rules.items()}',
        "",
        "tests/flow/test_runner.py::test_a_broken_rule_is_named_with_rows_and_nothing_is_written",
    ),
    Guard(
        "a log takes a key once",
        "publishing.py",
        'return frame.join(stored, list(table.keys), "left_anti")',
        'return frame.join(stored.limit(0), list(table.keys), "left_anti")',
        "tests/flow/test_runner.py",
    ),
    Guard(
        "two runs of the same day do not run at once",
        "claims.py",
        "running = [run for run in ledger.running() if run.run_id != claim.run_id]",
        "running: list[Run] = []",
        "tests/flow/test_runner.py::test_a_running_row_of_another_run_stops_the_second_at_once",
    ),
    Guard(
        "what a port holds is free when its step has failed",
        "publishing.py",
        "with closing(_slices(frames[table.name])) as slices:",
        "for slices in [_slices(frames[table.name])]:",
        "tests/flow/test_runner.py::test_slices_of_a_log_end_with_their_step_and_rows_of_earlier_days_are_added_once",
    ),
    Guard(
        "a step without a commit records no half of another",
        "publishing.py",
        "written.append(end if end.committed else replace(end, version=reader.version(table) or 0))",
        "written.append(end if end.committed else replace(end, version=store.version(table) or 0))",
        "tests/flow/test_runner.py::test_half_of_a_step_is_never_read",
    ),
    Guard(
        "a run that was taken over writes nothing more",
        "runner.py",
        "self.store.check = self.leases.check",
        "",
        "tests/flow/test_runner.py::test_a_run_that_was_taken_over_writes_nothing_more_and_exits_4",
    ),
    Guard(
        "a commit that lost to other work is tried again",
        "io/delta_errors.py",
        "ERRORS = (PySparkException, Py4JJavaError)",
        "ERRORS = (PySparkException,)",
        "tests/faults/test_case_05_06_36_writers.py::test_a_storm_of_ten_writers_of_ten_days_on_a_catalog_loses_nothing",
    ),
    Guard(
        "a step whose commit lost is built again from what the other run left",
        "publishing.py",
        "if changed := sorted(name for name, table in tables.items() if reader.version(table) != read[name]):",
        "if changed := []:",
        "tests/faults/test_case_05_06_36_writers.py::test_a_step_whose_commit_lost_is_built_again_if_an_input_has_changed_and_only_then",
    ),
    Guard(
        "one process writes a local table at a time",
        "io/locks.py",
        "lock.acquire()",
        "pass",
        "tests/faults/test_case_05_06_36_writers.py::test_the_lock_of_a_table_is_waited_for_and_a_killed_process_gives_it_back",
    ),
    Guard(
        "a writer of another protocol is refused",
        "claims.py",
        "ledger.check_protocol()",
        "pass",
        "tests/flow/test_migrations.py::test_a_writer_of_another_protocol_is_refused_with_what_to_do",
    ),
    # model and scoring
    Guard(
        "the test span starts when the labels of the span before are known",
        "model/spans.py",
        "gap = settings.model, timedelta(days=settings.primary.ahead_days)",
        "gap = settings.model, timedelta(days=0)",
        "tests/model/test_spans.py",
    ),
    Guard(
        "treated users are not learnt from",
        "model/frame.py",
        '.where(~F.col("treated"))',
        "",
        "tests/model/test_model_frame.py",
    ),
    Guard(
        "boosting keeps the best number of trees",
        "model/tuning.py",
        "best = int(np.nanargmin(losses))",
        "best = len(losses) - 1",
        "tests/model/test_model_tuning.py::test_boosting_keeps_the_best_number_of_trees_and_not_the_first_that_was_no_better",
    ),
    Guard(
        "an outlier leaves the bins of all other margins as they are",
        "model/margin_bins.py",
        "middles = middles[np.diff(group, prepend=-1.0) > 0]",
        "middles = np.linspace(values[0], values[-1], INNER)",
        "tests/model/test_model_margin_bins.py::test_an_outlier_leaves_the_ranking_of_all_others_as_it_is",
    ),
    Guard(
        "a bin that few users left empty counts half a row",
        "model/metrics.py",
        "((rows[used] + 0.5) / (rows[used] + 0.5).sum() for rows in (first, second))",
        "(np.maximum(rows[used] / rows[used].sum(), 1e-9) for rows in (first, second))",
        "tests/reports/test_reports_drift.py::test_a_tenth_that_few_users_left_empty_by_chance_is_no_drift",
    ),
    Guard(
        "snapshots of the season are taken only where they are better",
        "model/season.py",
        "sum(found) / len(found) < LEAST_GAIN",
        "False",
        "tests/model/test_model_season.py::test_snapshots_of_the_season_are_taken_where_the_base_has_yearly_habits",
    ),
    Guard(
        "actions on later warnings are no treatment",
        "model/judged_cases.py",
        '(one["on"] <= last) & ',
        "",
        "tests/model/test_model_treated.py::test_cases_are_judged_by_the_actions_on_their_own_warnings",
    ),
    Guard(
        "users left alone stand for those of their level whose warnings were acted on",
        "model/untreated.py",
        '(F.col("weight") / chance)',
        'F.col("weight")',
        "tests/model/test_model_treated.py::test_weighted_precision_is_that_of_warnings_that_nobody_acts_on",
    ),
    Guard(
        "a model must beat chance",
        "model/gate.py",
        "low >= gate.min_auc))",
        "low >= 0))",
        "tests/model/test_model_gate.py",
    ),
    Guard(
        "a model must beat the last release",
        "model/gate.py",
        'lower end {low:.4f} > {margin}", low > margin',
        'lower end {low:.4f} > {margin}", True',
        "tests/model/test_model_gate.py",
    ),
    Guard(
        "probabilities must add up to the churn that was seen",
        "model/gate.py",
        'off 1 by {error:.4f} <= {bound}", error <= bound',
        'off 1 by {error:.4f} <= {bound}", True',
        "tests/model/test_model_gate.py",
    ),
    Guard(
        "a release is not compared on days that it has learnt from",
        "model/release_in_use.py",
        "if day >= self.fitted[1] + self.ahead]",
        "if day]",
        "tests/model/test_model_release_in_use.py",
    ),
    Guard(
        "a model with other features is refused",
        "scoring/score.py",
        "if other := schema.redefined(feature_meanings(settings)):",
        "if other := {}:",
        "tests/scoring/test_scoring_score.py",
    ),
    Guard(
        "a capacity is never exceeded",
        "scoring/cuts.py",
        "total - below, total)",
        "total - below - sizes, total)",
        "tests/scoring/test_cuts.py",
    ),
    # alerts
    Guard(
        "a rule keeps quiet for its cool-down",
        "alerts/cases.py",
        '<= heard["cool_down_days"]',
        "< 0",
        "tests/alerts/test_alerts_cases.py",
    ),
    Guard(
        "an offer is sent only with consent",
        "alerts/messages.py",
        '(F.col("purpose") == CONTACT) & F.col("granted")',
        '(F.col("purpose") == CONTACT)',
        "tests/alerts/test_alerts_messages.py::test_only_treated_users_who_have_opted_in_are_written_to",
    ),
    Guard(
        "the id of an offer depends on its user",
        "alerts/messages.py",
        'F.lit("offer"), "campaign", "_user")',
        'F.lit("offer"), "campaign")',
        "tests/alerts/test_alerts_messages.py",
    ),
    Guard(
        "a message that was sent is not sent again",
        "alerts/sending.py",
        '~F.coalesce("ended", F.lit(False)) & ',
        "",
        "tests/alerts/test_alerts_messages.py",
    ),
    Guard(
        "a decision of long ago is not sent",
        "io/senders.py",
        'return F.when(too_old & (F.col("attempts") == 0), HISTORY).otherwise(fate)',
        "return fate",
        "tests/alerts/test_alerts_messages.py::test_decisions_of_long_ago_are_not_sent_and_their_open_cases_enter_the_next_digest",
    ),
    Guard(
        "a run that lost its lease sends no further slice",
        "io/senders.py",
        "            self._check()\n",
        "",
        "tests/io/test_senders.py::test_a_run_that_lost_its_lease_sends_no_further_slice",
    ),
    Guard(
        "one run sends at a time",
        "io/senders.py",
        "            with lock:\n",
        "            if lock:\n",
        "tests/io/test_senders.py::test_of_two_runs_that_send_at_once_the_second_sends_nothing",
    ),
    Guard(
        "an offer waits for the end of quiet hours",
        "io/delivery.py",
        "if not sender.keeps_offers(message):",
        "if False:",
        "tests/io/test_senders.py::test_offers_wait_for_the_users_own_morning_unless_their_receiver_keeps_them",
    ),
    Guard(
        "consent is asked again at the moment of sending",
        "alerts/sending.py",
        '.when(F.col("consented").isNull(), f"no consent to {CONTACT}")',
        "",
        "tests/alerts/test_alerts_messages.py::test_consent_and_arm_are_asked_again_at_the_moment_of_sending",
    ),
    Guard(
        "a user gets no second offer under another id",
        "alerts/writing.py",
        'written.join(offered, ["user_id", "campaign"], "left_anti")',
        "written",
        "tests/alerts/test_alerts_messages.py::test_every_message_is_sent_once_however_often_the_day_is_run",
    ),
    Guard(
        "a channel of offers needs a gateway",
        "settings/check.py",
        "if offer.channel not in settings.sending.gateways:",
        "if False:",
        "tests/settings/test_sending_settings.py",
    ),
    Guard(
        "the answers of receivers are stored without the passwords of URIs",
        "io/delivery.py",
        'return USERINFO.sub(r"\\1***@", text)',
        "return text",
        "tests/io/test_senders.py::test_no_answer_is_stored_with_the_password_of_a_uri",
    ),
    # retention
    Guard(
        "the hold-out is a hash of user and the campaign's salt",
        "retention/arms.py",
        "share_of(user, c.arm_salt) < c.holdout_share",
        "share_of(user, offers.global_salt) < c.holdout_share",
        "tests/retention/test_retention_planning.py::test_another_salt_changes_the_arm_and_nothing_else",
    ),
    Guard(
        "nobody without consent is assigned",
        "retention/candidates.py",
        ".when(~consented, NO_CONSENT)",
        "",
        "tests/retention/test_retention_planning.py",
    ),
    Guard(
        "the limits are blind to the arms",
        "retention/limits.py",
        'f"rank:{c.name}:{day}"',
        "c.arm_salt",
        "tests/retention/test_retention_planning.py",
    ),
    Guard(
        "the first assignment counts",
        "retention/lift_outcomes.py",
        'F.min_by(F.struct("day", "arm"',
        'F.max_by(F.struct("day", "arm"',
        "tests/retention/test_retention_lift.py",
    ),
    Guard(
        "arms that are out of ratio raise the alarm",
        "retention/lift.py",
        "p is not None and p < alarm_p",
        "p is not None and p < 0",
        "tests/retention/test_retention_lift.py::test_users_missing_from_an_arm_raise_the_sample_ratio_alarm",
    ),
    Guard(
        "an interim row has no p",
        "retention/lift.py",
        '"p": None if reading.interim else found.p',
        '"p": found.p',
        "tests/retention/test_retention_lift.py",
    ),
    # reports
    Guard(
        "recall counts open warnings",
        "reports/alert_quality.py",
        'found = F.col("warned") & untreated',
        "found = new & untreated",
        "tests/reports/test_reports_recall.py",
    ),
    Guard(
        "the aim of a cut is not what the model promised",
        "reports/threshold_advice.py",
        "aim.precision or aim.cost_ratio or 0.0",
        "seen.predicted or 0.0",
        "tests/reports/test_reports_thresholds.py",
    ),
    Guard(
        "small groups are not shown",
        "reports/page/effects.py",
        'r["users"] >= settings.privacy.min_group_size and',
        "",
        "tests/reports/test_reports_page.py",
    ),
    Guard(
        "texts cannot break out of the page",
        "reports/page/rendering.py",
        "Environment(autoescape=True",
        "Environment(autoescape=False",
        "tests/reports/test_reports_page.py",
    ),
)


def without(guard: Guard, folder: Path) -> Path:
    """Copy the package to ``folder`` without the guard; return the folder that holds the copy. Raises ValueError where the
    guard's text does not occur exactly once."""
    lib = folder / "lib"
    shutil.copytree(ROOT / "lib", lib, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    file = folder / guard.path
    text = file.read_text(encoding="utf-8")
    if (found := text.count(guard.text)) != 1:
        raise ValueError(f"{guard.name}: the text occurs {found} times in {guard.path}, not once: {guard.text!r}")
    file.write_text(text.replace(guard.text, guard.replacement), encoding="utf-8")
    return lib


def fault(guard: Guard) -> str | None:
    """Run the guard's test without the guard. Return None where it fails as it must, else what happened."""
    with tempfile.TemporaryDirectory() as folder:
        lib = without(guard, Path(folder))
        # nothing of a run of pytest that this process may be part of
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment["PYTHONPATH"] = str(lib)
        command = [sys.executable, "-m", "pytest", guard.test, "-x", "-n", "0", "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    last = (done.stdout.strip().splitlines() or ["no output"])[-1]  # 1 failed in ...
    if done.returncode == 1 and " failed" in last:  # an error of a fixture is no failed test
        return None
    return f"{guard.name}: without it {guard.test} ends with {done.returncode}: {last}"


def chosen(names: list[str], sample: int | None, seed: int) -> list[Guard]:
    """The guards of these names (none: all), or ``sample`` of them by ``seed``. Raises SystemExit for an unknown name."""
    known = {guard.name: guard for guard in GUARDS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no such guard: {', '.join(unknown)}\nHint: the guards are\n  " + "\n  ".join(known))
    found = [known[name] for name in names] or list(GUARDS)
    return random.Random(seed).sample(found, min(sample, len(found))) if sample else found


def main() -> None:
    """Take out the chosen guards one after the other; exit 1 where a test did not notice."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*")
    arguments.add_argument("--sample", type=int)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    given = arguments.parse_args()
    guards = chosen(given.names, given.sample, given.seed)
    print(f"{len(guards)} of {len(GUARDS)} guards, seed {given.seed}", flush=True)
    unnoticed = []
    for guard in guards:
        found = fault(guard)
        unnoticed += [found] if found else []
        print(f"  {'NOT NOTICED' if found else 'noticed'}: {guard.name} ({guard.test})", flush=True)
    if unnoticed:
        sys.exit("\n".join(unnoticed))


if __name__ == "__main__":
    main()
