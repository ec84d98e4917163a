"""The users of docs/operations.md can do what they are for, and nothing else."""

import asyncio
import re
from pathlib import Path

import pytest
import valkey

from keymiss.application import load_application
from keymiss.asking.answers import ask
from keymiss.asking.concept_links import edge_sentences, neighbourhood_if_any
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest
from keymiss.functions import serve
from keymiss.graph.vocabulary import Concept, Vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.keys import bertqa_key, statistics_key
from keymiss.operating.exporter import ServerCollector
from keymiss.server.client import connect
from keymiss.server.embedded_server import EmbeddedServer, free_port
from keymiss.server.local_cluster import LocalCluster, free_cluster_ports
from keymiss.server.servers import Servers

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def users():
    (block,) = re.findall(r"^```acl\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [line.split() for line in block.splitlines()]


def as_user(url, name):
    return url.replace("//", f"//{name}:{name}-secret@")


@pytest.fixture(params=["server", "cluster"])
def url(request, tmp_path):
    if request.param == "server":
        with EmbeddedServer(tmp_path, free_port()) as server:
            set_users([server.port])
            yield server.url
    else:
        cluster = LocalCluster(tmp_path)
        cluster.create(2, 0, free_cluster_ports(2))
        url = cluster.url
        ports = [node.port for node in cluster.nodes]
        set_users(ports)
        yield url
        for port in ports:
            with valkey.Valkey(port=port, username="admin", password="admin-secret") as admin:
                admin.execute_command("ACL", "SETUSER", "default", "on")
        cluster.stop()


def set_users(ports):
    """As the file would; the user `default` goes last, since it is the one that does so."""
    for port in ports:
        with valkey.Valkey(port=port) as client:
            for _, name, *rules in sorted(users(), key=lambda words: words[1] == "default"):
                client.execute_command("ACL", "SETUSER", name, *rules)


def test_the_users_of_the_page_can_do_what_they_are_for(url):
    with connect(as_user(url, "ingest")) as client:
        assert ingest(client, [ARTICLES]).stored == 20

    with connect(as_user(url, "admin")) as client:
        store_vocabulary(
            client, Vocabulary([Concept("K1", "tuberculosis"), Concept("K2", "bacterium")])
        )
    question = "Who discovered the tuberculosis bacterium?"

    async def ask_while_served():
        stop, ready = asyncio.Event(), asyncio.Event()
        worker, ours = as_user(url, "worker"), load_application()
        serving = [
            asyncio.create_task(serve(ours.functions, worker, stop, ready.set)),
            *(asyncio.create_task(run(worker, stop, "local")) for run in ours.background),
        ]
        await asyncio.wait_for(ready.wait(), 60)
        async with Servers(as_user(url, "web")) as servers:
            found = await ask(servers, question)
            await until_the_graph_is_there(servers)
            assert (await edge_sentences(servers, "K1", "K2", 5)).complete
        key = bertqa_key(found.answers[0].sentence, question)
        async with Servers(as_user(url, "reader")) as servers:
            value = await servers.execute("GET", key)
        stop.set()
        await asyncio.gather(*serving)
        return found, value

    found, value = asyncio.run(ask_while_served())
    assert found.complete
    assert found.answers[0].text == "Robert Koch"
    assert value == b"Robert Koch"
    with connect(as_user(url, "admin")) as client:
        told = client.hgetall(statistics_key("minilm-qa"))
    assert int(told[b"together samples"]) >= 5
    told = {family.name: family for family in ServerCollector(as_user(url, "metrics")).collect()}
    assert {sample.value for sample in told["keymiss_server_up"].samples} == {1.0}
    assert told["keymiss_documents"].samples[0].value == 20
    assert {"qa", "links"} <= {
        sample.labels["function"] for sample in told["keymiss_function_workers"].samples
    }


async def until_the_graph_is_there(servers):
    async with asyncio.timeout(20):
        while not (await neighbourhood_if_any(servers, "tuberculosis")).edges:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("reader", ("HGETALL", "keymiss:sentences:x:{1}")),
        ("reader", ("SET", "bertqa{1}_x:{1}:0_q", "mine")),
        ("reader", ("KEYMISS.DROP", "bertqa{1}_x:{1}:0_q")),
        ("web", ("HSET", "keymiss:sentences:x:{1}", "0", "text")),
        ("web", ("KEYMISS.TAKE", "COUNT", "1", "BLOCK", "0", "qa")),
        ("worker", ("FLUSHALL",)),
        ("worker", ("CONFIG", "SET", "maxmemory", "1")),
        ("ingest", ("KEYMISS.SERVE", "qa", "ON", "MISS", "PREFIX", "keymiss:qa{")),
        ("metrics", ("GET", "bertqa{1}_x:{1}:0_q")),
    ],
)
def test_a_user_may_not_do_what_another_one_is_for(server, user, command):
    set_users([server.port])
    try:
        with (
            valkey.Valkey(port=server.port, username=user, password=f"{user}-secret") as client,
            pytest.raises(valkey.exceptions.NoPermissionError),
        ):
            client.execute_command(*command)
    finally:
        with valkey.Valkey(port=server.port, username="admin", password="admin-secret") as admin:
            admin.execute_command("ACL", "SETUSER", "default", "on")
            for _, name, *_ in users():
                if name != "default" and name != "admin":
                    admin.execute_command("ACL", "DELUSER", name)
        with valkey.Valkey(port=server.port) as client:
            client.execute_command("ACL", "DELUSER", "admin")
