"""A run that is killed while it sends: nothing is lost, and at most one slice goes out again, under the same ids."""

import time
from collections import Counter

import pytest
from outboxworld import DAY, SLICE, AnyPort, Mailbox, ended, sending, written


def until_quiet(mailbox):
    """Wait until no mail has come for two seconds."""
    seen = -1
    while seen != len(mailbox.got):
        seen = len(mailbox.got)
        time.sleep(2)


@pytest.mark.processes
@pytest.mark.case(2)
def test_a_killed_sender_repeats_at_most_the_slice_in_flight_with_the_same_ids(spark, tmp_path):
    names = [f"m{n:02}" for n in range(3 * SLICE)]
    of = written(spark, tmp_path, [{"day": DAY, "message_id": name} for name in names], [DAY])
    mailbox = Mailbox()
    controller = AnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        mailbox.kill_at = 2 * SLICE
        mailbox.victim = sending(tmp_path, controller.port, "--send-history")
        code, output = ended(mailbox.victim)
        assert code == -9, output
        until_quiet(mailbox)  # a worker may outlive the driver by some mails
        before_kill = list(mailbox.got)
        of.store.refresh()
        stored = {row["message_id"] for row in of.store.read(of.tables.deliveries).collect()}
        assert 0 < len(stored) < len(before_kill), "some slices were stored and one was in flight"
        code, output = ended(sending(tmp_path, controller.port, "--send-history"))
        assert code == 0, output
    finally:
        controller.stop()
    times = Counter(mailbox.got)
    assert set(times) == set(names)
    repeated = {name for name, number in times.items() if number > 1}
    assert repeated == set(before_kill) - stored
    of.store.refresh()
    outcomes = [(row["message_id"], row["outcome"]) for row in of.store.read(of.tables.deliveries).collect()]
    assert sorted(outcomes) == [(name, "sent") for name in names]
