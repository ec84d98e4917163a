"""Passages: the best spans in some consecutive sentences, as a key."""

import pytest
import valkey

from keymiss.keys import document_keys, passage_key
from keymiss.values.passage_value import passage_from_json

KEYS = document_keys("measles-contagiousness")
QUESTION = "How long does measles virus remain infectious in the air?"


@pytest.fixture
def client(stack):
    with valkey.Valkey(port=stack.port) as client:
        yield client


def spans(client, first, last, question=QUESTION):
    return passage_from_json(client.get(passage_key(KEYS.sentence(first), last, question)))


def test_its_spans_stand_in_its_sentences_and_do_not_overlap(client):
    texts = {int(number): text.decode() for number, text in client.hgetall(KEYS.sentences).items()}
    found = spans(client, 0, 5)
    assert 1 < len(found) <= 5
    assert [one.margin for one in found] == sorted((one.margin for one in found), reverse=True)
    for one in found:
        assert 0 <= one.sentence <= 5
        assert texts[one.sentence][one.start : one.end] == one.text
    for one in found:
        for other in found:
            apart = one.end <= other.start or other.end <= one.start
            assert one is other or one.sentence != other.sentence or apart


def test_sentences_behind_the_last_one_are_left_out(client):
    last = client.hlen(KEYS.sentences) - 1
    assert {one.sentence for one in spans(client, last, last + 3)} == {last}


@pytest.mark.parametrize(("first", "last"), [(3, 2), (0, 16), (0, 999_999_999)])
def test_other_bounds_are_refused(client, first, last):
    with pytest.raises(valkey.ResponseError, match="a passage has 1 to 16 sentences"):
        spans(client, first, last)


def test_a_passage_without_its_first_sentence_is_refused(client):
    with pytest.raises(valkey.ResponseError, match="has no sentence 999999"):
        spans(client, 999_999, 999_999)


def test_a_rewrite_drops_what_was_computed_of_a_passage(client, eventually):
    key = passage_key(KEYS.sentence(0), 2, QUESTION)
    client.get(key)
    eventually(lambda: client.exists(key))
    assert client.zscore(KEYS.answers, key)
