"""Asking the corpus: ranked answers with their places, and clear errors when it cannot answer."""

import asyncio

import pytest
import valkey

from keymiss.asking.answers import ask
from keymiss.asking.computed_get import explain
from keymiss.corpus.demo import load_questions
from keymiss.errors import BadInput, KeymissError, NotFound, TooSlow, Unavailable
from keymiss.server.servers import Servers


def asked(url, question):
    async def run():
        async with Servers(url) as servers:
            return await ask(servers, question)

    return asyncio.run(run())


def test_answers_are_ranked_and_each_stands_in_its_sentence(stack):
    found = asked(stack.url, "Which animals carry the MERS coronavirus?")
    assert found.complete
    assert 1 <= len(found.answers) <= 5
    assert found.answers[0].probability == max(one.probability for one in found.answers)
    texts = [answer.text.casefold() for answer in found.answers]
    assert len(set(texts)) == len(texts)
    for answer in found.answers:
        assert answer.sentence_text[answer.start : answer.end] == answer.text
        assert answer.title
    assert "amel" in found.answers[0].text


def test_nothing_in_the_corpus_is_no_answer(stack):
    found = asked(stack.url, "Zyzzyva quux?")
    assert not found.answered
    assert all(each.probability < 0.2 for each in found.answers)


def test_the_same_question_typed_otherwise_is_answered_from_the_cache(stack):
    asked(stack.url, "What causes  whooping\ncough?")
    with valkey.Valkey(port=stack.port) as client:
        before = client.info("keymiss")
        asked(stack.url, "What causes whooping cough?")
        after = client.info("keymiss")
    assert after["keymiss_misses"] == before["keymiss_misses"] + 2  # find and links are not cached
    assert after["keymiss_hits"] > before["keymiss_hits"]


def test_most_demo_questions_are_answered_right(stack):
    sample = load_questions()[::6]
    right = sum(
        any(question.answer in answer.sentence_text for answer in found.answers)
        for question in sample
        for found in [asked(stack.url, question.text)]
    )
    assert right >= len(sample) - 3


def test_a_rewritten_document_is_answered_from_its_new_text(stack, tmp_path):
    from keymiss.corpus.ingest import ingest

    with valkey.Valkey(port=stack.port) as client:
        for colour in ("purple", "orange"):
            path = tmp_path / "quokka.txt"
            path.write_text(f"The quokka flu turns the tongue {colour}.")
            assert ingest(client, [path]).stored == 1
            for _ in range(100):
                found = asked(stack.url, "Which colour does quokka flu turn the tongue?").answers
                if found and found[0].text == colour:
                    break
            assert found[0].text == colour


def test_a_strangers_key_among_the_articles_disturbs_nobody(stack, tmp_path):
    from keymiss.corpus.ingest import ingest

    path = tmp_path / "wombat.txt"
    path.write_text("The wombat flu turns the ears yellow.")
    with valkey.Valkey(port=stack.port) as client:
        client.set("keymiss:document:odd:{x}", "no hash")
        client.hset("keymiss:document:odd", "no", "tag")
        assert ingest(client, [path]).stored == 1
        for _ in range(100):
            found = asked(stack.url, "Which colour does wombat flu turn the ears?").answers
            if found and found[0].text == "yellow":
                break
        client.delete("keymiss:document:odd:{x}", "keymiss:document:odd")
    assert found[0].text == "yellow"


def test_without_a_worker_it_is_unavailable(server):
    with pytest.raises(Unavailable, match="no worker searches this server"):
        asked(server.url, "Who?")


def test_without_a_server_it_is_unavailable():
    with pytest.raises(Unavailable, match="the server cannot be reached"):
        asked("valkey://127.0.0.1:1", "Who?")


@pytest.mark.parametrize(
    ("message", "kind", "status"),
    [
        ("KEYMISS unavailable no worker", Unavailable, 503),
        ("KEYMISS busy too many", Unavailable, 503),
        ("KEYMISS flushed the database was", Unavailable, 503),
        ("KEYMISS timeout no answer", TooSlow, 504),
        ("KEYMISS refused the key is longer", BadInput, 422),
        ("KEYMISS failed NotFound: no such", NotFound, 404),
        ("KEYMISS failed ValueError: x", KeymissError, 500),
        ("WRONGTYPE Operation against", Unavailable, 503),
    ],
)
def test_the_servers_errors_have_a_class_and_a_status(message, kind, status):
    error = explain(message)
    assert type(error) is kind
    assert error.status == status
