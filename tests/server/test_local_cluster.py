"""A cluster on this machine that cannot be started leaves nothing behind."""

import socket

import pytest

from keymiss.errors import SetupError
from keymiss.server.embedded_server import LOOPBACK, listens
from keymiss.server.local_cluster import BUS, LocalCluster, free_cluster_ports


@pytest.fixture
def cluster(tmp_path):
    cluster = LocalCluster(tmp_path / "cluster")
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("of_bus", [False, True])
def test_a_port_that_is_in_use_is_named_before_anything_runs(cluster, of_bus):
    first, second = free_cluster_ports(2)
    with socket.create_server((LOOPBACK, second + BUS if of_bus else second)) as used:
        with pytest.raises(SetupError, match=str(used.getsockname()[1])):
            cluster.create(2, 0, [first, second])
    assert not listens(first)
    cluster.create(2, 0, [first, second])
    assert len(cluster.members()) == 2


def test_a_server_that_cannot_start_ends_the_others(cluster):
    (first,) = free_cluster_ports(1)
    with pytest.raises(SetupError):
        cluster.create(2, 0, [first, first + BUS])
    assert not listens(first)
    assert cluster.nodes == []


def test_free_ports_of_a_cluster_leave_room_for_its_bus():
    ports = free_cluster_ports(50)
    assert len({*ports, *(port + BUS for port in ports)}) == 100
