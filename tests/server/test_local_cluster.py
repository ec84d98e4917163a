"""A cluster on this machine that cannot be started leaves nothing behind."""

import socket

import pytest

from keymiss.errors import SetupError
from keymiss.server.embedded import LOOPBACK, listens
from keymiss.server.local_cluster import BUS, LocalCluster, free_cluster_ports


@pytest.fixture
def cluster(tmp_path):
    cluster = LocalCluster(tmp_path / "cluster")
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("of_bus", [False, True])
def test_a_port_that_is_in_use_is_named_before_anything_runs(cluster, of_bus):
    first, second = free_cluster_ports(2)
    other = second + BUS if second + BUS < 1 << 16 else second - BUS
    with socket.create_server((LOOPBACK, other if of_bus else second)) as used:
        with pytest.raises(SetupError, match=str(used.getsockname()[1])):
            cluster.create(2, 0, [first, second])
    assert not listens(first)
    cluster.create(2, 0, [first, second])
    assert len(cluster.members()) == 2


def test_a_server_that_cannot_start_ends_the_others(cluster):
    first = next(port for port in free_cluster_ports(9) if port + BUS < 1 << 16)
    with pytest.raises(SetupError):
        cluster.create(2, 0, [first, first + BUS])
    assert not listens(first)
    assert cluster.nodes == []


def test_free_ports_of_a_cluster_leave_room_for_its_bus():
    ports = free_cluster_ports(50)
    buses = {port + BUS if port + BUS < 1 << 16 else port - BUS for port in ports}
    assert len(set(ports) | buses) == 100
