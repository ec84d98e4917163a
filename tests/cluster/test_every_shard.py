"""One question goes to every shard, and its answer comes back whichever client asks."""

import shutil
import subprocess

import httpx
import pytest
import redis.cluster
import valkey.cluster

from keymiss.keys import bertqa_key, document_keys
from keymiss.server.client import primaries_of
from tests.cluster.load import QUESTIONS, ask


def test_answers_come_from_every_shard(system):
    slots = system.client.nodes_manager.slots_cache
    answering = set()
    for results in system.answers.values():
        for result in results[:1]:
            tag = result["sentencekey"].partition(":")[2].rpartition(":")[0]
            answering.add(slots[system.client.keyslot(tag)][0].name)
    assert len(answering) == 4


def test_first_answers_are_those_of_a_single_server(system, single_server):
    # Scores of later ones may lie closer together than batches of different sizes round alike.
    single = {question: ask(single_server, question).results for question in QUESTIONS}
    differ = [
        question
        for question in QUESTIONS
        if _first(single[question]) != _first(system.answers[question])
    ]
    assert differ == []


def _first(results):
    return [(each["answer"], each["sentencekey"]) for each in results[:1]]


def redis_py(system, key):
    host, _, port = system.cluster.nodes[0].name.partition(":")
    with redis.cluster.RedisCluster(host, int(port), decode_responses=True) as client:
        return client.get(key)


def valkey_py(system, key):
    with valkey.cluster.ValkeyCluster.from_url(system.cluster.url, decode_responses=True) as client:
        return client.get(key)


def redis_cli(system, key):
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if cli is None:
        pytest.skip("neither redis-cli nor valkey-cli is installed")
    port = system.cluster.url.rpartition(":")[2]
    command = [cli, "-c", "-p", port, "GET", key]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def http(system, key):
    question = key.partition("}_")[2].partition("_")[2]
    reply = httpx.post(f"{system.http}/qasearch", json={"search": question}).json()
    assert reply["complete"]
    return reply["results"][0]["answer"]


def likely(system):
    """The keys whose value is the first answer to their question."""
    first = {
        bertqa_key(results[0]["sentencekey"], question): results[0]["answer"]
        for question, results in system.answers.items()
        if results
    }
    return [key for key, answer in first.items() if system.values[key].decode() == answer]


@pytest.mark.parametrize("client", [redis_py, valkey_py, redis_cli, http])
def test_each_client_gets_answers_computed_and_cached_on_each_shard(system, client):
    by_shard = {system.client.get_node_from_key(key).name: key for key in likely(system)}
    assert len(by_shard) == 4
    for key in by_shard.values():
        system.client.execute_command("KEYMISS.DROP", key)
        assert client(system, key) == system.values[key].decode()
        assert client(system, key) == system.values[key].decode()


def test_a_replica_answers_what_is_cached_and_redirects_what_is_not(system):
    key = likely(system)[0]
    system.client.get(key)
    other = key.rpartition("_")[0] + "_Where is it, on a replica?"
    with valkey.cluster.ValkeyCluster.from_url(
        system.cluster.url, read_from_replicas=True
    ) as reading:
        assert {reading.get(key) for _ in range(6)} == {system.values[key]}
        assert isinstance(reading.get(other), bytes)


def test_every_bucket_lies_where_its_documents_do(system):
    held = 0
    for primary in primaries_of(system.client):
        for raw in primary.scan_iter("keymiss:document:*"):
            document = raw.decode().split(":")[2]
            keys = document_keys(document)
            assert primary.sismember(keys.bucket, document)
            held += 1
    assert held == 20
