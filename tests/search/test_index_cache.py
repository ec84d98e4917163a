"""An index outlives its worker: the next one finds it and reads only what has changed."""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import valkey
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.functions import Shard
from keymiss.keys import document_keys
from keymiss.search.index_folder import claim_folder
from keymiss.search.search_functions import search_functions, update_index
from keymiss.search.sentence_index import SentenceIndex

BATS = document_keys("bats")
CAMELS = document_keys("camels")


def names(index, question):
    return [candidate.sentence for candidate in index.find(question, 10).candidates]


def test_a_reopened_index_holds_what_was_committed(tmp_path):
    index = SentenceIndex(tmp_path / "i")
    index.put(BATS, "1", {0: "Bats carry coronaviruses.", 1: "They hang upside down."})
    index.put(CAMELS, "2", {0: "Camels spit."})
    index.commit()
    index.remove(CAMELS)
    index.commit()
    index.put(CAMELS, "3", {0: "Never committed."})
    del index
    again = SentenceIndex(tmp_path / "i")
    assert again.known() == [BATS]
    assert again.held(BATS) == ("1", "")
    found = again.find("bats and camels", 10)
    assert (found.documents, found.sentences, found.sentence_counts["bat"]) == (1, 2, 1)
    again.put(BATS, "2", {0: "Bats sleep."})
    again.commit()
    assert (names(again, "coronavirus"), names(again, "bats")) == ([], [BATS.sentence(0)])


@pytest.mark.parametrize("damage", ["meta.json", ".managed.json"])
def test_a_damaged_index_is_made_anew(tmp_path, damage):
    index = SentenceIndex(tmp_path)
    index.put(BATS, "1", {0: "Bats."})
    index.commit()
    del index
    (tmp_path / damage).write_text("{")
    again = SentenceIndex(tmp_path)
    assert again.known() == []
    again.put(BATS, "1", {0: "Bats."})
    again.commit()
    assert names(again, "bats") == [BATS.sentence(0)]


def test_a_folder_has_one_owner_until_its_process_ends(tmp_path):
    claim = (
        "import sys, pathlib; from keymiss.search.index_folder import claim_folder;"
        "print(claim_folder(pathlib.Path(sys.argv[1]), 'h:1'), flush=True); input()"
    )
    command = [sys.executable, "-c", claim, str(tmp_path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = first.stdout.readline().strip()
    assert str(claim_folder(tmp_path, "h:1")) != folder
    first.kill()
    first.communicate()
    assert str(claim_folder(tmp_path, "h:1")) == folder
    assert claim_folder(tmp_path, "h:2").parent != claim_folder(tmp_path, "h:1").parent


def test_a_restarted_worker_reads_only_what_has_changed(server, tmp_path, monkeypatch):
    for name in ("same", "other", "gone"):
        (tmp_path / f"{name}.txt").write_text(f"The {name} one.")

    async def walk(index):
        async with aclosing(Shard(server.url)) as shard:
            keys = [key async for key in shard.keys("keymiss:document:")]
            gone = [each.facts for each in index.known()]
            await update_index(index, shard, [*keys, *gone])

    with valkey.Valkey(port=server.port) as raw:
        ingest(raw, [tmp_path])
        asyncio.run(walk(SentenceIndex(tmp_path / "index")))
        (tmp_path / "other.txt").write_text("Another one.")
        ingest(raw, [tmp_path])
        forget_documents(raw, [document_keys("gone")])
    read = []
    put = SentenceIndex.put

    def noted(*arguments):
        read.append(arguments[1].document)
        put(*arguments)

    monkeypatch.setattr(SentenceIndex, "put", noted)
    index = SentenceIndex(tmp_path / "index")
    asyncio.run(walk(index))
    assert read == ["other"]
    assert {each.document for each in index.known()} == {"same", "other"}
    assert len(names(index, "another")) == 1


def test_a_document_that_cannot_be_read_keeps_no_other_from_being_found(server, tmp_path):
    (tmp_path / "bats.txt").write_text("Bats carry coronaviruses.")
    index = SentenceIndex()

    async def update(keys):
        async with aclosing(Shard(server.url)) as shard:
            await update_index(index, shard, keys)

    with valkey.Valkey(port=server.port) as raw:
        ingest(raw, [tmp_path])
        raw.set(CAMELS.facts, "no hash")
        bats = document_keys("bats")
        with pytest.raises(valkey.ResponseError, match="WRONGTYPE"):
            asyncio.run(update([bats.facts, CAMELS.facts]))
        asyncio.run(update([bats.facts]))  # a batch that fails is tried one by one
    assert names(index, "bats") == [bats.sentence(0)]


WORDS = st.lists(st.sampled_from(["bat", "camel", "virus", "lung"]), max_size=4).map(" ".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.none() | st.lists(WORDS, max_size=3)),
        st.sampled_from(["commit", "reopen"]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_whatever_happened_the_index_equals_a_fresh_one(steps):
    with tempfile.TemporaryDirectory() as folder:
        index, held = SentenceIndex(Path(folder)), {}
        for step in steps:
            if step in ("commit", "reopen"):
                index.commit()
                if step == "reopen":
                    del index
                    index = SentenceIndex(Path(folder))
                continue
            number, texts = step
            keys = document_keys(f"d{number}")
            if texts is None:
                assert index.remove(keys) == (held.pop(keys, None) is not None)
            else:
                held[keys] = texts
                index.put(keys, "h", dict(enumerate(texts)))
        index.commit()
        fresh = SentenceIndex()
        for keys, texts in held.items():
            fresh.put(keys, "h", dict(enumerate(texts)))
        fresh.commit()
        found, expected = (each.find("bat camel virus lung", 30) for each in (index, fresh))
        assert replace(found, candidates=()) == replace(expected, candidates=())
        by_name = [sorted(each.candidates, key=lambda c: c.sentence) for each in (found, expected)]
        assert by_name[0] == by_name[1]
        del index


def test_without_a_cache_indexes_stay_in_memory():
    assert [function.name for function in search_functions()] == ["index", "find", "findhere"]
