"""What comes from several shards while a function is busy goes into one call."""

import threading

from keymiss.functions import on_miss
from keymiss.keys import slot_tag
from keymiss.server.client import primaries_of
from keymiss.server.topology import first_slot
from tests.cluster.load import wait_for


def test_a_busy_function_is_called_once_with_what_all_shards_have_meanwhile(
    system, serve, background
):
    calls, gate = [], threading.Event()

    @on_miss("slowly{", cache="off")
    def slowly(misses):
        calls.append([miss.key for miss in misses])
        gate.wait(10)
        return ["done"] * len(misses)

    def ask(number, round_):
        slots = system.cluster.members()[system.primaries[number]].slots
        key = f"slowly{{{slot_tag(first_slot(slots))}}}{round_}"
        replies.append(background(system.client.get, key))
        wait_for(lambda: pending() == len(replies))

    def pending():
        infos = [primary.info("keymiss") for primary in primaries_of(system.client)]
        return sum(info["keymiss_pending"] for info in infos)

    serve(slowly, url=system.cluster.url)
    replies = []
    try:
        for round_ in range(3):
            for number in range(4):
                ask(number, round_)
    finally:
        gate.set()
    assert {reply.result(10) for reply in replies} == {b"done"}
    assert [len(call) for call in calls] in ([1, 11], [1, 9, 2])
