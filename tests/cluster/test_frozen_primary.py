"""A primary freezes under load, connections and all: nothing is wrong, and nobody waits for it."""

import os
import signal
import time

from keymiss.corpus.verify import verify
from keymiss.server.client import connect
from tests.cluster.load import wait_for


def test_a_frozen_primary_holds_up_no_question_past_its_deadline(system, load):
    wait_for(lambda: len(load.seen.asked) > 20)
    victim = system.primaries[1]
    pid = system.cluster.server(victim).pid
    os.kill(pid, signal.SIGSTOP)
    frozen = time.monotonic()
    try:
        wait_for(lambda: victim not in system.primaries)
        wait_for(lambda: _complete_again(load, frozen), 60)
        again = len(load.seen.asked)
        wait_for(lambda: len(load.seen.asked) > again + 40)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert load.wrong() == []
    assert load.late() == []
    wait_for(lambda: len(load.seen.asked) > again + 80)
    assert load.wrong() == []
    with connect(system.cluster.url) as client:
        assert verify(client) == []


def _complete_again(load, moment):
    replies = [each.complete for each in load.seen.asked if each.started > moment]
    return len(replies) > 20 and all(replies[-20:])
