"""Nothing of a stranger's is harmed: keys under every word that keymiss uses, or ever used."""

import asyncio
import contextlib
import json
import random
import shutil
import string
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from valkey.crc import key_slot

from keymiss.answering.answer_notes import sweep
from keymiss.cli.ask_commands import ask_all
from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest, ingest_sources
from keymiss.corpus.key_documents import parse_keys, scan_keys
from keymiss.corpus.verify import repair, verify
from keymiss.errors import BadInput
from keymiss.function_names import ASKED
from keymiss.functions import Shard
from keymiss.graph.vocabulary import DEMO
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.keys import (
    bertqa_key,
    document_keys,
    has_known_form,
    is_reserved,
    parse_answer_key,
    parse_modelinfo_key,
    parse_shard_key,
)
from keymiss.operating.doctor import examine
from keymiss.operating.served_functions import missing_functions
from keymiss.reader import BUNDLED_FOLDER
from keymiss.server.client import connect, primaries_of
from keymiss.server.local_cluster import LocalCluster, free_cluster_ports
from keymiss.server.servers import Servers
from tests.cluster.load import wait_for
from tests.cluster.test_moving_slots import atomically, classically

COUNT = 200
OLD_WORDS = (
    *("answers:", "tokenized:", "documents:", "sentence:", "article_id:", "concepts:"),
    *("edges_scored:", "statistics:", "corpus", "find{", "qa{", "links{", "edge{", "modelinfo{"),
    *("findhere{", "vocabulary", "vocabulary:", "bertqa{"),
)
WORDS = (
    *("", "document:", "sentences:", "tokens:", "answers:", "bucket:", "concepts:", "edges:"),
    *("statistics:", "vocabulary:", "corpus:", "find{", "findhere{", "qa{", "links{", "edge{"),
    *("modelinfo{", "whatever:"),
)
TAILS = (
    *("17", "draft:7", "PMC1:{06S}", "bert:qa:PMC1:{zz}:3", "x}", "x}_DOC:{y}:1_Who?", "{x}"),
    *("PMC1.xml:{06S}", "K1:K2", "K1:K2:{9}", "x}_", "\u00e9\u00df", "a b\r\n", "x}_DOC:{x}:"),
)
LONG_MS = 10_000_000


def foreign_names(chance):
    """Names that keymiss would not give, as many as are asked for, and as many again."""
    for number in range(100 * COUNT):
        words = [*OLD_WORDS, *(f"keymiss:{word}" for word in WORDS)]
        name = f"{words[number % len(words)]}{chance.choice(TAILS)}"
        name += chance.choice(["", chance.choice(string.ascii_letters)])
        if not any(is_of(name) for is_of in (has_known_form, *map(parsed, PARSERS))):
            yield name


def parsed(parse):
    def is_of(key):
        with contextlib.suppress(BadInput):
            return bool(parse(key))
        return False

    return is_of


PARSERS = (parse_answer_key, parse_shard_key, parse_modelinfo_key)
"""Of keys that are computed, and not stored."""


def plant(client, name, kind, chance):
    """A key of a kind, a third of them with a time to live."""
    numbers = [chance.choice([0, 1, 2, 3, 17, 1_700_000_000, 2_000_000_000]) for _ in range(3)]
    if kind == "string":
        client.set(name, chance.randbytes(20))
    elif kind == "hash":
        client.hset(name, mapping={"text": "A sentence.", "hash": "x", "0": chance.randbytes(9)})
    elif kind == "list":
        client.rpush(name, *(chance.randbytes(5) for _ in range(3)))
    elif kind == "set":
        client.sadd(name, "PMC1", "a", chance.randbytes(4))
    elif kind == "zset":
        client.zadd(name, {f"m{place}": score for place, score in enumerate(numbers)})
    else:
        client.xadd(name, {"field": chance.randbytes(6)})
    if chance.random() < 1 / 3:
        client.pexpire(name, LONG_MS)


def content(client, name):
    """All that a key holds."""
    kind = client.type(name).decode()
    reading = {
        "string": lambda: client.get(name),
        "hash": lambda: client.hgetall(name),
        "list": lambda: client.lrange(name, 0, -1),
        "set": lambda: client.smembers(name),
        "zset": lambda: client.zrange(name, 0, -1, withscores=True),
        "stream": lambda: client.xrange(name),
        "none": lambda: None,
    }
    return kind, reading[kind]()


class Strangers:
    def __init__(self, client, chance):
        self._client = client
        names = list(dict.fromkeys(foreign_names(chance)))
        chance.shuffle(names)
        self.there, self.missing = names[:COUNT], names[COUNT : 2 * COUNT]
        # What The Pattern itself keeps, whose tags are not ours.
        self.there += [f"bertqa{{06S}}_PMC{number}.xml:{{06S}}:3_Who?" for number in range(12)]
        kinds = ("string", "hash", "list", "set", "zset", "stream")
        for number, name in enumerate(self.there):
            plant(client, name, kinds[number % len(kinds)], chance)
        self._before = {name: content(client, name) for name in self.there}
        self._until = {name: client.pexpiretime(name) for name in self.there}

    def check(self, after):
        """All of them are as they were, and what is missing is nil."""
        now = {name: content(self._client, name) for name in self.there}
        changed = {name: now[name] for name in self.there if now[name] != self._before[name]}
        assert not changed, after
        # MIGRATE hands over how long a key has left, and so adds the time that it takes.
        for name, until in self._until.items():
            assert abs(self._client.pexpiretime(name) - until) < 10_000, (after, name)
        found = {name: self._client.get(name) for name in self.missing}
        assert set(found.values()) == {None}, after


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = LocalCluster(tmp_path_factory.mktemp("foreign"))
    cluster.create(2, 0, free_cluster_ports(2))
    yield cluster
    cluster.stop()


@pytest.fixture
def worker(cluster, tmp_path):
    """Starts `keymiss worker`; the one before ends."""
    running = []

    def start(*options):
        stop()
        words = (sys.executable, "-m", "keymiss", "worker", "--url", cluster.url)
        own = ("--cache", str(tmp_path / "cache"), *options)
        running.append(subprocess.Popen((*words, *own), stderr=subprocess.DEVNULL))
        wait_for(is_served)

    def stop():
        while running:
            running[-1].terminate()
            running.pop().wait(20)

    def is_served():
        async def missing():
            async with Servers(cluster.url) as servers:
                return await missing_functions(servers, ASKED)

        return not asyncio.run(missing())

    yield SimpleNamespace(start=start, stop=stop)
    stop()


def other_model(folder):
    """The bundled reader under another version."""
    shutil.copytree(BUNDLED_FOLDER, folder)
    file = folder / "calibration.json"
    calibration = json.loads(file.read_text())
    file.write_text(json.dumps({**calibration, "offset": calibration["offset"] + 1}))
    return folder


def sweep_all(client):
    async def run():
        for primary in primaries_of(client):
            shard = Shard(
                "valkey://{host}:{port}".format(**primary.connection_pool.connection_kwargs)
            )
            try:
                await sweep(shard)
            finally:
                await shard.aclose()

    asyncio.run(run())


def test_two_hundred_keys_of_strangers_are_left_alone_whatever_happens(cluster, worker, tmp_path):
    chance = random.Random(2929)
    url = cluster.url
    with connect(url) as client:
        strangers = Strangers(client, chance)
        assert sum(map(is_reserved, strangers.there)) > 50
        assert ingest(client, [ARTICLES]).problems == []
        store_vocabulary(client, load_vocabulary(DEMO).vocabulary)
        strangers.check("ingest without a worker")
        worker.start()
        questions = [question.text for question in load_questions()[:30]]
        asked = zip(questions, asyncio.run(ask_all(url, questions)), strict=True)
        answered = [(question, one.answers[0]) for question, one in asked if one.answers]
        assert len(answered) > 20
        for question, best in answered:
            assert client.get(bertqa_key(best.sentence, question)) is not None
        wait_for(lambda: sum(1 for _ in client.scan_iter("keymiss:concepts:*:{*}")) >= 20)
        strangers.check("questions")
        worker.start("--model", str(other_model(tmp_path / "model")))
        strangers.check("a worker of another model, which drops the answers of the first")
        worker.start()
        strangers.check("a worker of the first model again")
        sweep_all(client)
        strangers.check("a sweep")
        assert verify(client) == []
        # Something to mend, too.
        client.hdel(document_keys("nipah-virus").sentences, "3")
        damages = verify(client)
        repair(client, damages)
        assert {damage.document for damage in damages if damage.document} == {
            document_keys("nipah-virus")
        }
        strangers.check("verify and repair")
        named = [each.wrong for each in examine(client) if "keymiss has not written" in each.wrong]
        assert len(named) == 1
        assert forget_documents(client, [document_keys("mers-camels")]) == [True]
        strangers.check("forget")
        for word in OLD_WORDS:
            keys = parse_keys(f"{word}*", "text")
            report = ingest_sources(client, partial(scan_keys, client, keys))
            assert report.stored + len(report.problems) > 0
        strangers.check("an ingest of these very keys")
        source, target = cluster.members()
        slots = 0
        for name in [*strangers.there, *client.scan_iter("keymiss:document:*")]:
            slots |= 1 << key_slot(name if isinstance(name, bytes) else name.encode())
        for move in (atomically, classically):
            held = slots & cluster.members()[source].slots
            move(cluster, source, target, held)
            client.nodes_manager.initialize()
            strangers.check(f"slots that moved {move.__name__}")
            move(cluster, target, source, held)
            client.nodes_manager.initialize()
            strangers.check(f"slots that moved back {move.__name__}")
        worker.stop()
        strangers.check("the end of the last worker")
