"""The index of one shard: what is put in is found, what is removed is not."""

import threading

import pytest

from keymiss.keys import document_keys
from keymiss.search.sentence_index import SentenceIndex

BATS = document_keys("bats")
CAMELS = document_keys("camels")


@pytest.fixture
def index():
    index = SentenceIndex()
    index.put(BATS, "1", {0: "Horseshoe bats carry coronaviruses.", 1: "They hang upside down."})
    index.put(CAMELS, "1", {0: "Camels carry the MERS coronavirus.", 5: "Camels spit."})
    index.commit()
    return index


def names(index, question, limit=10):
    return [candidate.sentence for candidate in index.find(question, limit).candidates]


def test_sentences_are_found_by_their_words_in_any_form(index):
    assert names(index, "Who is CARRYING a Coronavirus?")[0] in (
        *(CAMELS.sentence(0), BATS.sentence(0)),
    )
    assert names(index, "a camel") == [CAMELS.sentence(5), CAMELS.sentence(0)]


def test_a_question_of_stop_words_or_symbols_finds_nothing(index):
    for question in ("", "the of and", "?!", "😀", "{}:_\n\0", 'text:"x" AND -y OR ('):
        assert names(index, question) == []


def test_what_a_global_ranking_needs_is_counted(index):
    found = index.find("Camels and coronaviruses", 10)
    assert (found.documents, found.sentences) == (2, 4)
    assert found.sentence_counts == {"camel": 2, "coronavirus": 2}
    assert found.document_counts == [1, 2]
    assert found.documents_length == 4 + 3 + 4 + 2
    # In tenths; a neighbour counts three of them.
    assert found.total_length == 13 * 13


def test_a_replaced_document_is_found_by_its_new_words_only(index):
    index.put(CAMELS, "2", {0: "Dromedaries spit."})
    index.commit()
    assert names(index, "camels") == []
    assert names(index, "dromedaries") == [CAMELS.sentence(0)]
    assert index.held(CAMELS) == ("2", "")


def test_a_removed_document_is_gone(index):
    index.remove(BATS)
    index.commit()
    assert names(index, "bats") == []
    assert index.known() == [CAMELS]
    assert index.held(BATS) is None


def test_the_limit_holds(index):
    assert len(names(index, "camels bats coronaviruses", limit=2)) == 2


def test_what_was_rewritten_often_counts_once(index):
    for revision in range(5):
        index.put(
            CAMELS, str(revision), {0: "Camels carry the MERS coronavirus.", 5: "Camels spit."}
        )
        index.commit()
    found = index.find("Camels and coronaviruses", 10)
    assert (found.sentences, found.sentence_counts) == (4, {"camel": 2, "coronavirus": 2})


def test_a_text_that_is_refused_leaves_nothing_behind():
    index = SentenceIndex()
    keys = document_keys("odd")
    with pytest.raises(UnicodeEncodeError):
        index.put(keys, "hash", {0: "A camel.", 1: "No text: \udcff"})
    index.commit()
    assert index.find("camel", 10).candidates == ()
    index.put(keys, "hash", {0: "A camel."})
    index.commit()
    assert len(index.find("camel", 10).candidates) == 1


def test_searches_go_on_while_a_commit_is_written(index):
    for number in range(1500):
        texts = {n: f"Camel {number} of a herd with {n} others, {n * number}." for n in range(20)}
        index.put(document_keys(f"herd-{number}"), "hash", texts)
    committing = threading.Thread(target=index.commit)
    committing.start()
    searches = 0
    while committing.is_alive():
        index.find("camel", 10)
        searches += 1
    assert searches > 5
