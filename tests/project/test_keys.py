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
    document = keys.document_keys(id)
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


@given(ids)
def test_a_document_lies_in_the_lowest_slot_of_its_bucket(id):
    document = keys.document_keys(id)
    slot = keys.crc16(document.tag.encode()) % keys.SLOTS
    assert slot == keys.crc16(keys.encode(document.document)) % 1024 * 16


@given(ids, st.sampled_from(["facts", "sentences", "answers", "concepts"]))
def test_a_documents_keys_are_parsed_back(id, name):
    document = keys.document_keys(id)
    assert keys.parse_document_key(getattr(document, name)) == document
    assert keys.parse_tokens_key(document.tokens("f00d")) == ("f00d", document)
    assert keys.parse_bucket_key(document.bucket) == document.tag


@given(ids)
def test_what_is_built_begins_with_one_name_and_has_a_known_form(id):
    document = keys.document_keys(id)
    sentence = document.sentence(3)
    stored = [document.facts, document.sentences, document.answers, document.concepts]
    stored += [document.bucket, document.tokens("f00d"), document.edge("K1", "K2")]
    stored += [keys.CORPUS, keys.VOCABULARY, keys.vocabulary_part("f00d", 0)]
    stored += [keys.statistics_key("minilm-qa"), keys.qa_key(sentence, "Who?")]
    assert all(key.startswith("keymiss:") for key in stored)
    assert all(map(keys.has_known_form, [*stored, keys.bertqa_key(sentence, "Who?")]))
    assert all(map(keys.is_reserved, [*stored, keys.bertqa_key(sentence, "Who?")]))


@pytest.mark.parametrize(
    "key",
    [
        "keymiss:document:a:{0}",  # not the bucket of "a"
        "keymiss:document:a%2f:{0}",  # we write it %2F, and only where we must
        "keymiss:sentences:a",
        "keymiss:answers:17",
        "keymiss:tokens:draft:7",
        "keymiss:bucket:{x}",  # no bucket's tag
        "keymiss:bucket:06S",
        "keymiss:corpus:x",
        "keymiss:vocabulary:x:y",
        "keymiss:statistics:x",
        "keymiss:qa{0}_a:{0}:1_Who?",
        "keymiss:",
    ],
)
def test_a_key_that_we_would_write_otherwise_is_not_ours(key):
    assert not keys.has_known_form(key)
    assert keys.parse_document_key(key) is None
    assert keys.parse_tokens_key(key) is None
    assert keys.parse_bucket_key(key) is None
    assert keys.is_reserved(key)  # and yet nobody else's to be ingested


@pytest.mark.parametrize("key", ["corpus", "answers:17", "qa{a}", "bertqa{a", "keymis", "doc:1"])
def test_other_keys_are_anybodys(key):
    assert not keys.is_reserved(key)


@pytest.mark.parametrize("id", ["", "x" * 513, "é" * 257, "{" * 171])
def test_ids_have_1_to_512_bytes(id):
    with pytest.raises(BadInput, match="1 to 512 bytes"):
        keys.escape(id)


def test_crc16_is_the_clusters():
    # The check value of CRC-16/XMODEM, which the cluster specification names.
    assert keys.crc16(b"123456789") == 0x31C3
