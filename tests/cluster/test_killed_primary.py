"""A primary is killed under load: nothing wrong is said, and nothing is lost."""

import json
import threading
import time

import valkey

from keymiss.corpus.corpus_status import read_status
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.corpus.verify import verify
from keymiss.keys import document_keys
from keymiss.server.client import connect
from keymiss.server.local_cluster import is_up
from tests.cluster.load import wait_for


def test_a_killed_primary_costs_completeness_for_a_while_and_nothing_else(system, load):
    wait_for(lambda: len(load.seen.asked) > 20)
    victim = system.primaries[1]
    hold_replicas(system, "yes")
    system.kill(victim)
    killed = time.monotonic()
    wait_for(lambda: any(not each.complete for each in load.seen.asked))
    hold_replicas(system, "no")
    wait_for(lambda: victim not in system.primaries)
    wait_for(lambda: _complete_since(load, killed), 60)
    again = len(load.seen.asked)
    wait_for(lambda: len(load.seen.asked) > again + 60)
    assert load.wrong() == []
    assert load.late() == []
    late = [each for each in load.seen.asked[again:] if not each.complete]
    assert late == []

    with connect(system.cluster.url) as client:
        assert read_status(client).documents == 20
        assert verify(client) == []
        # Cached answers that the replica had not got yet are computed again.
        assert {key: client.get(key) for key in system.values} == system.values


def hold_replicas(system, whether):
    """An election may take less time than a question waits: then nobody would see a gap."""
    for node in filter(is_up, system.cluster.nodes):
        with node.client() as client:
            client.config_set("cluster-replica-no-failover", whether)


def _complete_since(load, moment):
    """Whether an incomplete reply has been followed by twenty complete ones."""
    replies = [each.complete for each in load.seen.asked if each.ended > moment]
    return False in replies and len(replies) > 20 and all(replies[-20:])


def is_verified(client):
    try:
        return verify(client) == []
    except valkey.ConnectionError:  # the ingest was done before a replica was promoted
        return False


def test_an_ingest_survives_a_killed_primary(system, text_file):
    documents = [f"failover-{number}" for number in range(3000)]
    path = text_file(
        [
            json.dumps({"id": each, "text": f"This is {each}. It has two sentences."})
            for each in documents
        ]
    )
    client = connect(system.cluster.url)
    reports = []

    def ingest_all():
        reports.append(ingest(client, [path]))

    writing = threading.Thread(target=ingest_all)
    writing.start()
    wait_for(lambda: read_status(client).documents > 100)
    system.kill(system.primaries[0])
    writing.join(90)
    try:
        (report,) = reports
        assert report.problems == []
        with connect(system.cluster.url) as later:
            wait_for(lambda: is_verified(later))
            assert read_status(later).documents == 20 + len(documents)
    finally:
        forget_documents(client, [document_keys(each) for each in documents])
