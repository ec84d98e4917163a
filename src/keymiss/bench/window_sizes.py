"""Measures windows of several sizes: how often the right answer comes first.

    python -m keymiss.bench.window_sizes SQUAD_FILE

Asks the questions of a file in SQuAD's format, and those of the demo, each over all documents of
its set. The search, the ranking and the reader are those of the application; Valkey is left out,
which changes no answer. See docs/decisions/0002-window.md.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.sentences import cut_text
from keymiss.evaluation.answer_scores import is_right
from keymiss.evaluation.squad import load_squad
from keymiss.keys import document_keys
from keymiss.reader import BUNDLED_MODEL, Reader
from keymiss.search.ranking import CANDIDATES, rank
from keymiss.search.sentence_index import SentenceIndex

WINDOWS = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (2, 2), (3, 3)]
"""How many sentences a window has before its candidate, and how many after it."""

READ_COUNTS = (10, 20)
BATCH_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class WindowQuestion:
    """A question, its expected answers, and its candidates: document and sentence number."""

    text: str
    expected: tuple[str, ...]
    candidates: list[tuple[str, int]]


def squad(path: Path) -> tuple[list[Document], list[tuple[str, tuple[str, ...]]]]:
    asked = [(one.question, one.expected) for one in load_squad(path)]
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    documents = [
        Document(str(number), str(number), tuple(part["context"] for part in article["paragraphs"]))
        for number, article in enumerate(articles)
    ]
    return documents, asked


def demo() -> tuple[list[Document], list[tuple[str, tuple[str, ...]]]]:
    documents = [
        read for _, reads in read_files([ARTICLES]) for read in reads if isinstance(read, Document)
    ]
    return documents, [(one.text, (one.answer,)) for one in load_questions()]


def search(
    texts: Mapping[str, Sequence[str]], asked: Iterable[tuple[str, tuple[str, ...]]]
) -> Iterator[WindowQuestion]:
    index = SentenceIndex()
    names = {}
    for id, sentences in texts.items():
        keys = document_keys(id)
        index.put(keys, "", dict(enumerate(sentences)))
        names.update({keys.sentence(number): (id, number) for number in range(len(sentences))})
    index.commit()
    for text, expected in asked:
        ranked = rank([index.find(text, CANDIDATES)])
        yield WindowQuestion(
            text, expected, [names[one.sentence] for one in ranked[: max(READ_COUNTS)]]
        )


def windows(
    texts: Mapping[str, Sequence[str]], question: WindowQuestion, before: int, after: int
) -> list[tuple[str, str]]:
    pairs = []
    for id, number in question.candidates:
        window = texts[id][max(0, number - before) : number + after + 1]
        pairs.append((question.text, " ".join(window)))
    return pairs


def right_places(
    reader: Reader,
    texts: Mapping[str, Sequence[str]],
    questions: Sequence[WindowQuestion],
    window: tuple[int, int],
) -> dict[int, tuple[int, int]]:
    """For each number of sentences read: how often the first answer is right, or one of five."""
    counts = {read: [0, 0] for read in READ_COUNTS}
    for start in range(0, len(questions), BATCH_QUESTIONS):
        some = questions[start : start + BATCH_QUESTIONS]
        pairs = [windows(texts, one, *window) for one in some]
        answers = iter(reader.read_batch([pair for each in pairs for pair in each]))
        for question, own in zip(some, pairs, strict=True):
            best = [next(answers)[:1] for _ in own]
            for most in READ_COUNTS:
                spans = sorted(itertools.chain(*best[:most]), key=lambda span: -span.margin)
                answered = list(dict.fromkeys(span.text for span in spans))[:5]
                right = [
                    any(is_right(text, answer) for answer in question.expected) for text in answered
                ]
                counts[most][0] += right[:1] == [True]
                counts[most][1] += any(right)
    return {most: (first, five) for most, (first, five) in counts.items()}


def main() -> None:
    reader = Reader.from_pretrained(BUNDLED_MODEL)
    for name, (documents, asked) in (("demo", demo()), ("squad", squad(Path(sys.argv[1])))):
        texts = {one.id: cut_text(one.paragraphs).sentences for one in documents}
        questions = list(search(texts, asked))
        print(f"{name}: {len(questions)} questions, {sum(map(len, texts.values()))} sentences")
        for window in WINDOWS:
            for most, (first, five) in right_places(reader, texts, questions, window).items():
                print(f"  {window} read {most}: first {first}, among five {five}", flush=True)


if __name__ == "__main__":
    main()
