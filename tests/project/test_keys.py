"""Key names: what is built is parsed back, whatever the ids and questions are made of."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss import keys
from keymiss.errors import BadInput

ids = st.text(min_size=1, max_size=60)
questions = st.one_of(st.text(max_size=80), st.binary(max_size=80).map(keys.decode))


@given(ids)
def test_an_id_survives_its_form_in_keys(id):
    assert keys.unescape(keys.escape(id)) == id


@given(ids)
def test_the_form_in_keys_has_no_reserved_character(id):
    assert not set(keys.escape(id)) & set("{}:\n\r\0")


@given(ids, st.integers(0, 999_999_999), questions, st.sampled_from([keys.qa_key, keys.bertqa_key]))
def test_an_answer_key_is_parsed_back(id, sentence, question, build):
    document = keys.document_keys(id, 1024)
    parsed = keys.parse_answer_key(build(document.sentence(sentence), question))
    assert parsed == keys.AnswerKey(document, sentence, question)


@given(questions)
def test_what_a_shard_is_asked_is_parsed_back(question):
    assert keys.parse_shard_key(keys.find_key("06S", question)) == question
    assert keys.parse_shard_key(keys.links_key("06S", question)) == question
    assert keys.parse_shard_key(keys.edge_key("06S", "K1", "K2")) == "K1:K2"


@given(st.binary(max_size=200))
def test_any_bytes_survive_decoding(data):
    assert keys.encode(keys.decode(data)) == data


@given(st.binary(max_size=80).map(keys.decode))
def test_no_key_breaks_the_parser(text):
    for key in (
        text,
        f"keymiss:qa{{{text}",
        f"bertqa{{a}}_{text}",
        f"keymiss:qa{{a}}_d:{{a}}:{text}",
    ):
        with contextlib.suppress(BadInput):
            keys.parse_answer_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "keymiss:qa{a}_doc:{b}:1_Q",
        "keymiss:qa{a}_doc:{a}:x_Q",
        "keymiss:qa{a}_doc:{a}:1234567890_Q",
        "keymiss:qa{a}_do:c:{a}:1_Q",
        "keymiss:qa{}_doc:{}:1_Q",
        "keymiss:qa{a}doc:{a}:1_Q",
        "keymiss:qb{a}_doc:{a}:1_Q",
    ],
)
def test_other_forms_are_refused(key):
    with pytest.raises(BadInput):
        keys.parse_answer_key(key)


@given(ids, st.sampled_from([1, 3, 1024, 16384]))
def test_a_document_lies_in_the_slot_range_of_its_bucket(id, buckets):
    document = keys.document_keys(id, buckets)
    slot = keys.crc16(document.tag.encode()) % keys.SLOTS
    bucket = keys.crc16(keys.encode(document.document)) % buckets
    assert slot * buckets // keys.SLOTS == bucket
    assert slot == 0 or (slot - 1) * buckets // keys.SLOTS == bucket - 1


@pytest.mark.parametrize("id", ["", "x" * 513, "é" * 257, "{" * 171])
def test_ids_have_1_to_512_bytes(id):
    with pytest.raises(BadInput, match="1 to 512 bytes"):
        keys.escape(id)


def test_crc16_is_the_clusters():
    # The check value of CRC-16/XMODEM, which the cluster specification names.
    assert keys.crc16(b"123456789") == 0x31C3
