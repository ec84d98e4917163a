"""The demo corpus is what it says: twenty articles, sixty questions, answers that stand there."""

import json
from collections import Counter

import pytest

from keymiss.corpus.demo import ARTICLES, DEMO_FOLDER, load_questions, load_unanswerable
from keymiss.corpus.file_formats import find_files, read_file
from keymiss.corpus.sentences import cut_text

DOCUMENTS = {
    document.id: document for file in find_files([ARTICLES]) for document in read_file(*file)
}
QUESTIONS = load_questions()


def test_there_are_twenty_articles_of_four_hundred_words_with_sources():
    assert len(DOCUMENTS) == 20
    for document in DOCUMENTS.values():
        assert len(document.text.split()) >= 400
        assert document.source
        assert document.year


def test_there_are_sixty_questions_ten_of_them_in_other_words():
    lines = (DEMO_FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(QUESTIONS) == len({question.text for question in QUESTIONS}) == 60
    assert sum(json.loads(line)["paraphrased"] for line in lines) >= 10
    assert min(Counter(question.document for question in QUESTIONS).values()) >= 2


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.text[:40])
def test_the_answer_stands_verbatim_in_one_sentence(question):
    sentences = cut_text(DOCUMENTS[question.document].paragraphs).sentences
    assert any(question.answer in sentence for sentence in sentences)


def test_there_are_twenty_questions_without_an_answer():
    questions = load_unanswerable()
    assert len(set(questions)) == 20
    assert not set(questions) & {question.text for question in QUESTIONS}
