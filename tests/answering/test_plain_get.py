"""Any Redis client gets an answer by a plain GET of a key that does not exist."""

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import aclosing

import pytest
import redis
import valkey

from keymiss.answering import answer_notes, sentence_texts
from keymiss.errors import NotFound
from keymiss.functions import Shard
from keymiss.keys import (
    TEXT_HASH,
    bertqa_key,
    document_keys,
    find_key,
    parse_answer_key,
    qa_key,
)
from keymiss.reader import BUNDLED_FOLDER, Tokenizer

QUESTION = "How long does measles virus remain infectious in the air?"


@pytest.fixture
def client(stack):
    with valkey.Valkey(port=stack.port) as client:
        yield client


@pytest.fixture
def sentence(client):
    """The name of the sentence that answers QUESTION."""
    keys = document_keys("measles-contagiousness")
    for number, text in client.hgetall(keys.sentences).items():
        if b"remains infectious in the air" in text:
            return keys.sentence(int(number))
    raise AssertionError("the demo article has changed")


def counters(client):
    return client.info("keymiss")


def valkey_py(port, key):
    with valkey.Valkey(port=port, decode_responses=True) as client:
        return client.get(key)


def redis_py(port, key):
    with redis.Redis(port=port, decode_responses=True) as client:
        return client.get(key)


def redis_cli(port, key):
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if cli is None:
        pytest.skip("neither redis-cli nor valkey-cli is installed")
    done = subprocess.run(
        [cli, "-p", str(port), "GET", key], capture_output=True, text=True, check=True
    )
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize("get", [valkey_py, redis_py, redis_cli])
def test_a_client_gets_the_span_and_then_a_hit(stack, client, sentence, get):
    key = bertqa_key(sentence, f"{QUESTION} ({get.__name__})")
    before = counters(client)
    assert get(stack.port, key) == "up to two hours"
    deadline = time.monotonic() + 2
    while not client.exists(key):
        assert time.monotonic() < deadline
    between = counters(client)
    assert between["keymiss_misses"] == before["keymiss_misses"] + 1
    assert get(stack.port, key) == "up to two hours"
    after = counters(client)
    assert after["keymiss_hits"] == between["keymiss_hits"] + 1
    assert after["keymiss_misses"] == between["keymiss_misses"]


def test_fifty_concurrent_gets_of_one_key_cost_one_inference(stack, client, sentence, background):
    key = bertqa_key(sentence, f"{QUESTION} (fifty)")
    before = counters(client)
    clients = [valkey.Valkey(port=stack.port) for _ in range(50)]
    replies = [background(each.get, key) for each in clients]
    assert {reply.result(10) for reply in replies} == {b"up to two hours"}
    assert counters(client)["keymiss_taken"] == before["keymiss_taken"] + 1


def test_qa_says_where_the_answer_stands(client, sentence):
    found = json.loads(client.get(qa_key(sentence, QUESTION)))
    assert found["text"] == "up to two hours"
    assert sentence.endswith(f":{found['sentence']}")
    text = client.hget(
        "keymiss:sentences:" + sentence.rpartition(":")[0], str(found["sentence"])
    ).decode()
    assert text[found["start"] : found["end"]] == found["text"]
    assert found["v"] == 3
    assert found["probability"] > 0.05
    assert found["score"] > found["null_score"]
    assert found["model"] == "minilm-qa"


def test_a_sentence_that_does_not_answer_is_empty(client, sentence):
    assert client.get(bertqa_key(sentence, "Who won the cup final in 1966?")) == b""


@pytest.mark.parametrize("question", ["Who_{}:\n? How long", "\t How\0long?", "长多久？😀", "_"])
def test_questions_may_hold_anything(client, sentence, question):
    assert isinstance(client.get(bertqa_key(sentence, question)), bytes)


def test_a_key_is_noted_with_its_document_before_it_can_be_cached(client, sentence):
    key = qa_key(sentence, "What is noted?")
    client.get(key)
    noted = client.zscore("keymiss:answers:" + sentence.rpartition(":")[0], key)
    # The answer is stored later, for an hour.
    assert time.time() + 3600 < noted


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (b"bertqa{{tag}}_{sentence}_", "the question is empty"),
        (b"bertqa{{tag}}_{sentence}_ \n ", "the question is empty"),
        (b"keymiss:qa{{tag}}_{sentence}_\xff\xfe", "the question is not UTF-8"),
        (b"keymiss:qa{{tag}}_{sentence}_" + b"x" * 2049, "2049 bytes; the limit is 2048"),
        (b"keymiss:qa{{tag}}_nowhere:{{tag}}:1_Who?", "document 'nowhere' has no sentence 1"),
        (b"keymiss:qa{{tag}}_measles-contagiousness:{{tag}}:99999_Who?", "has no sentence 99999"),
        (b"keymiss:qa{{tag}}_" + b"x" * 513 + b":{{tag}}:1_Who?", "at most 512 bytes"),
        (b"keymiss:find{{tag}}_ ", "the question is empty"),
        (b"keymiss:find{{tag}}_\xff", "the question is not UTF-8"),
    ],
)
def test_a_key_that_makes_no_sense_is_a_clear_error(client, sentence, key, message):
    tag = sentence[sentence.index("{") + 1 : sentence.index("}")]
    key = key.replace(b"{sentence}", sentence.encode()).replace(b"{{", b"{").replace(b"}}", b"}")
    key = key.replace(b"{tag", b"{" + tag.encode())
    before = stored(client)
    with pytest.raises(valkey.ResponseError, match=r"^KEYMISS failed (BadInput|TooLarge|NotFound)"):
        client.get(key)
    with pytest.raises(valkey.ResponseError) as caught:
        client.get(key)
    assert message in str(caught.value)
    assert stored(client) == before


@pytest.mark.parametrize(
    "key",
    [
        *(b"bertqa{", b"bertqa{}", b"bertqa{{tag}}", b"bertqa{{}}__:{{}}:_", b"bertqa{mine}:7"),
        *(b"bertqa{{tag}}_{sentence}", b"bertqa{{tag}}_measles:{{other}}:1_Who?"),
        *(b"bertqa{{tag}}_measles:{{tag}}:x_Who?", b"bertqa{{tag}}_m:{{tag}}:1234567890_Who?"),
        *(b"keymiss:qa{{", b"keymiss:qa{{tag}}_measles:{{other}}:1_Who?", b"keymiss:find{{tag"),
        *(b"keymiss:edge{{tag}}_K1", b"keymiss:modelinfo{x", b"keymiss:modelinfo{x}y"),
        *(b"keymiss:whatever", b"qa{{tag}}_{sentence}_Who?", b"find{{tag}}_Who?"),
    ],
)
def test_a_missing_key_of_another_form_is_nil_at_once(client, sentence, key):
    tag = sentence[sentence.index("{") + 1 : sentence.index("}")]
    key = key.replace(b"{sentence}", sentence.encode()).replace(b"{{", b"{").replace(b"}}", b"}")
    key = key.replace(b"{tag", b"{" + tag.encode())
    taken = client.info("keymiss")["keymiss_misses"]
    assert client.get(key) is None
    assert client.info("keymiss")["keymiss_misses"] == taken


def stored(client):
    """All keys but those that workers write by themselves."""
    of_workers = (b"keymiss:statistics:", b"keymiss:tokens:", b"keymiss:vectors")
    return {key for key in client.scan_iter(count=1000) if not key.startswith(of_workers)}


def test_a_hundred_kilobytes_are_refused(client, sentence):
    with pytest.raises(
        valkey.ResponseError,
        match="KEYMISS refused the key has .* bytes, keymiss.max-key-bytes is 65536",
    ):
        client.get(bertqa_key(sentence, "x" * 100_000))
    with pytest.raises(valkey.ResponseError, match="60000 bytes; the limit is 2048"):
        client.get(bertqa_key(sentence, "x" * 60_000))


async def read_texts(url, name):
    tokenizer = Tokenizer(BUNDLED_FOLDER)
    async with aclosing(Shard(url)) as shard:
        return await sentence_texts.read_texts(
            shard, [(name, parse_answer_key(name))], tokenizer, answer_notes.Notes()
        )


def test_a_sentence_that_is_gone_leaves_no_note(raw, server):
    name = qa_key(document_keys("gone").sentence(0), "Who?")
    (text,) = asyncio.run(read_texts(server.url, name))
    assert isinstance(text, NotFound)
    assert raw.keys("*") == []


def test_a_document_keeps_so_many_answers_and_drops_the_oldest(client, sentence, monkeypatch):
    keys = parse_answer_key(qa_key(sentence, "?")).keys
    kept = qa_key(sentence, "What is asked first?")
    client.get(kept)
    client.zadd(keys.answers, {kept: time.time() + 10})
    known = client.zcard(keys.answers)

    url = f"valkey://localhost:{client.connection_pool.connection_kwargs['port']}"

    def ask(number):
        asyncio.run(read_texts(url, qa_key(sentence, f"What is asked as number {number}?")))

    monkeypatch.setattr(sentence_texts, "MOST_NOTED", known + 1)
    ask(1)
    assert client.exists(kept)
    ask(2)
    assert not client.exists(kept)
    assert client.zcard(keys.answers) == known + 1
    assert client.zscore(keys.answers, kept) is None


def test_notes_cannot_be_evicted_and_old_ones_are_swept(client, raw, server):
    keys = document_keys("swept")
    name = qa_key(keys.sentence(0), "Who?")

    async def sweep():
        async with aclosing(Shard(server.url)) as shard:
            await answer_notes.sweep(shard)

    raw.hset(keys.sentences, "0", "A sentence.")
    asyncio.run(read_texts(server.url, name))
    raw.delete(keys.sentences)
    assert raw.ttl(keys.answers) == -1
    asyncio.run(sweep())
    assert raw.zcard(keys.answers) == 1
    raw.zadd(keys.answers, {name: time.time() - 1})
    asyncio.run(sweep())
    assert not raw.exists(keys.answers)


@pytest.mark.parametrize("name", [b"bertqa{\xff}_\xfe:{\xff}:0_q", b"keymiss:qa{x}_\xff:{x}:0_q"])
def test_a_document_that_is_no_utf8_is_not_there(client, name):
    with pytest.raises(valkey.ResponseError, match=r"^KEYMISS failed NotFound"):
        client.get(name)


def test_a_worker_that_has_noted_too_much_drops_its_oldest_answers(monkeypatch):
    made = answer_notes.Notes()
    shard = Shard("valkey://localhost")
    monkeypatch.setattr(answer_notes, "MOST_BYTES", 2 * (answer_notes.NOTE_OVERHEAD + 5))
    assert made.add(shard, [("key:1", "answers:a"), ("key:2", "answers:b")]) == []
    assert made.add(shard, [("key:3", "answers:a")]) == [
        [("KEYMISS.DROP", b"key:1"), ("ZREM", "answers:a", b"key:1")]
    ]
    assert made.make_room(shard) == [
        [("KEYMISS.DROP", b"key:2"), ("ZREM", "answers:b", b"key:2")],
        [("KEYMISS.DROP", b"key:3"), ("ZREM", "answers:a", b"key:3")],
    ]
    made.add(shard, [("key:4", "answers:a")])
    monkeypatch.setattr(answer_notes, "NOTED_SECONDS", -1)
    assert made.add(shard, []) == []
    assert made.make_room(shard) == []


def test_without_memory_for_a_note_it_is_answered_and_not_stored(stack, client, sentence):
    key = qa_key(sentence, "How long does measles virus remain infectious, without memory?")
    with valkey.Valkey(port=stack.port) as admin:
        admin.config_set("maxmemory", "1")
        try:
            assert json.loads(client.get(key))["text"]
        finally:
            admin.config_set("maxmemory", "0")
    assert not client.exists(key)
    assert client.zscore("keymiss:answers:" + sentence.rpartition(":")[0], key) is None


def test_a_text_that_is_no_utf8_is_read_and_forgotten_like_others(client, eventually):
    keys = document_keys("odd")
    client.hset(keys.sentences, mapping={0: "Anna found the zyxxyblorp.", 1: b"Bad \xff\xfe text."})
    client.hset(keys.facts, mapping={TEXT_HASH: "of it", "title": b"\xff"})

    def found():
        candidates = json.loads(client.get(find_key(keys.tag, "zyxxyblorp")))["candidates"]
        return [name for name, *_ in candidates if name.startswith("odd:")]

    eventually(found)
    value = json.loads(client.get(qa_key(keys.sentence(0), "Who found the zyxxyblorp?")))
    assert value["text"].startswith("Anna")
    client.delete(keys.sentences, keys.facts)
    eventually(lambda: not found())
