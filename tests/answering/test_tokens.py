"""Tokens follow the sentences, and reading them gives what reading the text gives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.answering.tokens_function import pack, tokens_function, unpack
from keymiss.application import load_application
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.keys import TEXT_HASH, document_keys, qa_key
from keymiss.reader import Passage, Reader
from keymiss.values.qa_value import found_from_json

READER = Reader.from_pretrained("minilm-qa")
TOKENIZER = READER.tokenizer


@pytest.fixture
def serving(serve):
    """Serves the function `tokens`."""
    serve(tokens_function(TOKENIZER))


def write(raw, folder, text):
    (folder / "a.txt").write_text(text, encoding="utf-8")
    ingest(raw, [folder])
    return document_keys("a")


def tokens_of(raw, keys):
    return raw.hgetall(keys.tokens(TOKENIZER.fingerprint))


def expected(raw, keys):
    texts = raw.hgetall(keys.sentences)
    ids = TOKENIZER.encode([text.decode() for text in texts.values()])
    packed = (pack(each, TOKENIZER.vocabulary) for each in ids)
    fields = dict(zip(texts, packed, strict=True))
    return {TEXT_HASH.encode(): raw.hget(keys.facts, TEXT_HASH), **fields}


def test_a_document_is_tokenised_when_it_is_written(raw, serving, tmp_path, eventually):
    keys = write(raw, tmp_path, "One sentence. Another, with a naïve word.")
    eventually(lambda: tokens_of(raw, keys))
    assert tokens_of(raw, keys) == expected(raw, keys)


def test_tokens_follow_a_rewrite_and_go_with_the_document(raw, serving, tmp_path, eventually):
    keys = write(raw, tmp_path, "One. Two. Three.")
    eventually(lambda: len(tokens_of(raw, keys)) == 4)
    write(raw, tmp_path, "Other.")
    eventually(lambda: tokens_of(raw, keys) == expected(raw, keys))
    forget_documents(raw, [keys])
    eventually(lambda: not tokens_of(raw, keys))


def test_a_worker_that_comes_finds_what_has_no_tokens_and_tokens_of_nothing(
    raw, serve, tmp_path, eventually
):
    keys = write(raw, tmp_path, "One. Two.")
    gone = document_keys("gone")
    raw.hset(gone.tokens(TOKENIZER.fingerprint), TEXT_HASH, "x")
    raw.hset(keys.tokens("0ddba11"), TEXT_HASH, "x")
    raw.hset(keys.tokens(TOKENIZER.fingerprint), TEXT_HASH, "of another text")
    serve(tokens_function(TOKENIZER))
    eventually(lambda: tokens_of(raw, keys) == expected(raw, keys))
    eventually(
        lambda: raw.keys("keymiss:tokens:*") == [keys.tokens(TOKENIZER.fingerprint).encode()]
    )


@given(st.lists(st.integers(0, 30_000), max_size=20), st.sampled_from([30_000, 65_536, 250_000]))
def test_packed_ids_come_back(ids, vocabulary):
    array = np.array(ids, np.int32)
    packed = pack(array, vocabulary)
    assert len(packed) == len(ids) * (2 if vocabulary <= 65_536 else 4)
    assert unpack(packed, vocabulary).tolist() == ids


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_the_tokens_of_joined_sentences_are_their_tokens_joined(sentences):
    joined = TOKENIZER.encode([" ".join(sentences)])[0]
    assert np.concatenate(TOKENIZER.encode(sentences)).tolist() == joined.tolist()


def test_a_passage_with_tokens_is_read_like_its_text():
    text = "Robert Koch announced his discovery in Berlin. It was 1882."
    question = "Who announced it?"
    passage = Passage(text, TOKENIZER.encode([text])[0])
    assert READER.read_batch([(question, passage)]) == READER.read_batch([(question, text)])


def test_a_model_whose_tokens_do_not_concatenate_reads_the_text(client, raw, serve, tmp_path):
    golden = Path(__file__).parents[1] / "reader" / "golden" / "roberta"
    served = load_application(golden).functions
    assert "tokens" not in {function.name for function in served}
    serve(*served)
    keys = write(raw, tmp_path, "Dogs bark at night. Cats do not.")
    found = found_from_json(raw.get(qa_key(keys.sentence(1), "Who barks?")))
    assert found.model == "roberta"
    assert client.hget(keys.sentences, str(found.sentence))[found.start : found.end] == found.text
    assert not client.keys("keymiss:tokens:*")
