"""A miss on a replica is sent to the primary, at the address that the cluster announces."""

import threading

import pytest
import redis.cluster
import valkey.cluster
from valkey.crc import key_slot

from tests.module.cluster.slots import HALF, key_of

ASKED = key_of(0, HALF - 1, "echo:asked:")


@pytest.fixture
def replica(cluster):
    """The replica, spoken to by a client that reads there."""
    node = cluster.replica()
    node.ask("READONLY")
    return node


@pytest.fixture
def echoing(cluster, raw_worker, eventually):
    """Workers on both primaries that answer every miss with its key."""
    stop = threading.Event()

    def work(worker):
        while not stop.is_set():
            for item in worker.take(block=50):
                worker.answer(item, item.key)

    workers = [raw_worker(node.server.port) for node in cluster.nodes if node.role == "master"]
    for worker in workers:
        worker.serve("echo", "echo:", "CACHE", "off")
    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    eventually(lambda: cluster.replica().ask("KEYMISS.LIST"))
    yield
    stop.set()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.die()


def redirect(node, key):
    with pytest.raises(valkey.ResponseError, match="ASK") as caught:
        node.client.get(key)
    return str(caught.value)


def test_a_reading_client_is_asked_to_go_to_the_primary(cluster, echoing, replica):
    port = cluster.owner(0).server.port
    for key in (ASKED, key_of(0, HALF - 1, "echo:other:"), ASKED):
        wanted = f"ASK {key_slot(key.encode())} 127.0.0.1:{port}"
        cluster.wait(lambda: redirect(replica, key) == wanted)  # noqa: B023


def test_a_stored_key_is_read_on_the_replica(cluster, echoing, replica, eventually):
    cluster.owner(0).client.set(ASKED, "stored")
    eventually(lambda: replica.client.get(ASKED) == "stored")
    cluster.owner(0).client.delete(ASKED)


def test_the_host_name_is_announced_where_the_cluster_prefers_it(cluster, echoing, replica):
    primary = cluster.owner(0)
    primary.client.config_set("cluster-announce-hostname", "primary.example")
    replica.client.config_set("cluster-preferred-endpoint-type", "hostname")
    try:
        cluster.wait(lambda: "primary.example" in str(replica.ask("CLUSTER SLOTS")))
        wanted = f" primary.example:{primary.server.port}"
        cluster.wait(lambda: redirect(replica, ASKED).endswith(wanted))
    finally:
        replica.client.config_set("cluster-preferred-endpoint-type", "ip")
        primary.client.config_set("cluster-announce-hostname", "")
        cluster.wait(lambda: " 127.0.0.1:" in redirect(replica, ASKED))


def test_an_unknown_endpoint_is_the_one_that_the_client_uses(cluster, echoing, replica):
    replica.client.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        wanted = f" :{cluster.owner(0).server.port}"
        cluster.wait(lambda: redirect(replica, ASKED).endswith(wanted))
    finally:
        replica.client.config_set("cluster-preferred-endpoint-type", "ip")
        cluster.wait(lambda: " 127.0.0.1:" in redirect(replica, ASKED))


@pytest.mark.filterwarnings("ignore:.*read_from_replicas:DeprecationWarning")
@pytest.mark.parametrize("library", [valkey.cluster.ValkeyCluster, redis.cluster.RedisCluster])
def test_cluster_clients_that_read_from_replicas_get_their_answers(cluster, echoing, library):
    nodes = {"host": "127.0.0.1", "port": cluster.owner(0).server.port}
    with library(**nodes, read_from_replicas=True, decode_responses=True) as client:
        keys = [f"echo:reading:{number}" for number in range(60)]
        assert [client.get(key) for key in keys] == keys
    # Replies of -ASK leave the client's map alone: some of those misses went over the replica.
    assert cluster.replica().client.info("errorstats")["errorstat_ASK"]["count"] > 0


def test_the_primary_is_not_asked_for_what_a_transaction_reads(cluster, echoing, replica):
    assert replica.client.pipeline(transaction=True).get(ASKED).execute() == [None]
