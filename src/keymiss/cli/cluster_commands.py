"""Commands for a cluster on this machine: cluster up, status, down, add, remove, reshard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from keymiss.cli.terminal import app, number_of, out
from keymiss.errors import BadInput
from keymiss.keys import SLOTS
from keymiss.server.local_cluster import LocalCluster, LocalNode, is_up
from keymiss.server.resharding import move_slots, plan_emptying, plan_even
from keymiss.server.topology import slot_ranges

FIRST_PORT = 6400

cluster_app = typer.Typer(help="Run a cluster on this machine.", no_args_is_help=True)
app.add_typer(cluster_app, name="cluster")

Data = Annotated[Path, typer.Option(help="Where the cluster keeps its data.")]
DEFAULT_DATA = Path("keymiss-cluster")
NodePort = Annotated[int, typer.Argument(help="The node's port.", min=1, max=65535)]


@cluster_app.command("up")
def up(
    masters: Annotated[
        int, typer.Option(min=1, max=64, help="How many primaries a new cluster has.")
    ] = 4,
    replicas: Annotated[
        int, typer.Option(min=0, max=4, help="How many replicas each primary has.")
    ] = 1,
    port: Annotated[
        int, typer.Option(min=1, max=65000, help="The first node's port.")
    ] = FIRST_PORT,
    data: Data = DEFAULT_DATA,
) -> None:
    """Start the cluster whose data is here, or create one; the servers run until `down`."""
    cluster = LocalCluster(data)
    if cluster.nodes:
        cluster.start()
        cluster.wait_until_whole()
    else:
        cluster.create(masters, replicas, range(port, port + masters * (1 + replicas)))
    _show(cluster)
    out.print(f"\nkeymiss worker --url {cluster.url}", highlight=False)


@cluster_app.command("status")
def status(data: Data = DEFAULT_DATA) -> None:
    """Show the cluster's nodes, and the slots that they hold."""
    _show(LocalCluster(data))


@cluster_app.command("down")
def down(data: Data = DEFAULT_DATA) -> None:
    """Stop all servers of the cluster; the data stays."""
    cluster = LocalCluster(data)
    running = [node for node in cluster.nodes if is_up(node)]
    cluster.stop()
    out.print(f"{number_of(len(running), 'server')} ended", highlight=False)


@cluster_app.command("add")
def add(
    port: NodePort,
    replica_of: Annotated[
        int | None,
        typer.Option(
            help="The port of the primary to copy; without it, the server is an empty primary."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Start one more server; `reshard` then gives slots to an empty primary."""
    cluster = LocalCluster(data)
    cluster.add(port, _node(cluster, replica_of) if replica_of else None)
    _show(cluster)


@cluster_app.command("remove")
def remove(port: NodePort, data: Data = DEFAULT_DATA) -> None:
    """Move a server's slots to the others, stop the server and delete its data."""
    cluster = LocalCluster(data)
    node = _node(cluster, port)
    move_slots(cluster, plan_emptying(cluster.members(), node))
    cluster.remove(node)
    _show(cluster)


@cluster_app.command("reshard")
def reshard(data: Data = DEFAULT_DATA) -> None:
    """Move slots until all primaries hold equally many; questions are answered meanwhile."""
    cluster = LocalCluster(data)
    moves = plan_even(cluster.members())
    move_slots(cluster, moves)
    moved = sum(move.slots.bit_count() for move in moves)
    out.print(f"{moved} of {SLOTS} slots moved", highlight=False)


def _node(cluster: LocalCluster, port: int) -> LocalNode:
    for node in cluster.nodes:
        if node.port == port:
            return node
    known = ", ".join(str(node.port) for node in cluster.nodes) or "none"
    raise BadInput(f"no node of the cluster has the port {port}; its ports are: {known}")


def _show(cluster: LocalCluster) -> None:
    members = cluster.members()
    names = {member.id: node.name for node, member in members.items()}
    table = Table("node", "role", "slots", "state", box=None)
    for node, member in sorted(members.items(), key=lambda item: item[0].port):
        slots = ", ".join(f"{first}-{last}" for first, last in slot_ranges(member.slots))
        role = f"replica of {names.get(member.primary, '?')}" if member.primary else "primary"
        table.add_row(node.name, role, slots, "up" if member.up else "gone")
    out.print(table)
