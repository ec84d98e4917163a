"""Measures how fast sentences are matched, and whether the concept graph finds what BM25 misses.

    python -m keymiss.bench.graph_cost [FOLDER]

FOLDER holds the articles that sample_questions.jsonl asks about; without it, only the demo's
questions are asked. Search, ranking and matching are those of the application; Valkey is left out,
which changes no result. Writes bench-results/graph.json.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keymiss.asking.retrieval import CONCEPTS_WEIGHT
from keymiss.bench.results import write_results
from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.sentences import cut_text
from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.graph_functions import Graph, links_of
from keymiss.graph.neighbourhood import Neighbourhood
from keymiss.graph.vocabulary import DEMO, Concept, Vocabulary
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.keys import document_keys
from keymiss.search.ranking import CANDIDATES, Ranked, join, rank
from keymiss.search.sentence_index import SentenceIndex

RECALL_AT = 10
FEW_TERMS = 100_000
MANY_TERMS = 1_000_000
MATCHED_SENTENCES = 20_000
WORDS = 22
"""How many words a sentence has, the mean of the sample articles."""

Ranking = Sequence[Ranked]


@dataclass(frozen=True, slots=True)
class RecallQuestion:
    text: str
    right: frozenset[str]
    """The names of the sentences that hold the answer."""


def documents(paths: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """The sentences of each document."""
    return {
        read.id: cut_text(read.paragraphs).sentences
        for _, reads in read_files(paths)
        for read in reads
        if isinstance(read, Document)
    }


def name(document: str, number: int) -> str:
    return document_keys(document).sentence(number)


def demo_questions(texts: Mapping[str, Sequence[str]]) -> list[RecallQuestion]:
    """The demo's questions. Every sentence of the right article that holds the answer is right."""
    return [
        RecallQuestion(
            each.text,
            frozenset(
                name(each.document, number)
                for number, text in enumerate(texts[each.document])
                if each.answer in text
            ),
        )
        for each in load_questions()
    ]


def sample_questions() -> list[RecallQuestion]:
    lines = Path(__file__).with_name("sample_questions.jsonl").read_text("utf-8").splitlines()
    asked = map(json.loads, lines)
    return [
        RecallQuestion(each["question"], frozenset([name(each["document"], each["sentence"])]))
        for each in asked
    ]


def rankings(
    texts: Mapping[str, Sequence[str]], vocabulary: Vocabulary
) -> tuple[Callable[[str], Ranking], Callable[[str], Ranking]]:
    """Two functions that rank the sentences for a question: by BM25, and by the graph."""
    index, graph = SentenceIndex(), Graph(vocabulary)
    postings = graph.postings("bench")
    for document, sentences in texts.items():
        keys = document_keys(document)
        index.put(keys, document, dict(enumerate(sentences)))
        counts: dict[int, dict[int, int]] = {}
        for number, text in enumerate(sentences):
            for match in graph.matcher.find(text):
                of_sentence = counts.setdefault(number, {})
                of_sentence[match.concept] = of_sentence.get(match.concept, 0) + 1
        postings.put(keys, document, 0, counts)
    index.commit()

    def by_words(question: str) -> Ranking:
        return rank([index.find(question, CANDIDATES)])

    def by_graph(question: str) -> Ranking:
        found = Neighbourhood()
        found.add(json.dumps(links_of(graph, postings, question)).encode())
        return [Ranked(name, rarity) for name, rarity in found.ranked_sentences()]

    return by_words, by_graph


def recall(questions: Sequence[RecallQuestion], ranking: Callable[[str], Ranking]) -> float:
    """The share of questions that have a right sentence among the first ten."""
    found = sum(
        not one.right.isdisjoint(each.sentence for each in ranking(one.text)[:RECALL_AT])
        for one in questions
    )
    return found / len(questions)


def recalls(
    paths: Sequence[Path], questions: Callable[..., list[RecallQuestion]]
) -> dict[str, float]:
    texts = documents(paths)
    by_words, by_graph = rankings(texts, load_vocabulary(DEMO).vocabulary)
    asked = questions(texts) if questions is demo_questions else questions()
    ways = {
        "bm25": by_words,
        "graph": by_graph,
        "both": lambda question: join(
            [(1.0, by_words(question)), (CONCEPTS_WEIGHT, by_graph(question))]
        ),
    }
    return {way: round(recall(asked, ranking), 4) for way, ranking in ways.items()}


def generated(terms: int) -> tuple[Vocabulary, list[str]]:
    """Concepts with this many terms of one to three made-up words, and sentences of these words."""
    chance = random.Random(1)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    words = ["".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(50_000)]
    names: dict[str, None] = {}
    while len(names) < terms:
        names.setdefault(" ".join(chance.choices(words, k=chance.choice((1, 2, 2, 3)))))
    concepts = [Concept(f"C{number}", term) for number, term in enumerate(names)]
    sentences = [
        " ".join(chance.choices(words, k=WORDS)).capitalize() + "."
        for _ in range(MATCHED_SENTENCES)
    ]
    return Vocabulary(concepts), sentences


def matching() -> dict[str, float]:
    """How many sentences one core matches in a second, in the best of three runs."""
    vocabulary, sentences = generated(FEW_TERMS)
    matcher = Matcher(vocabulary)
    rates = []
    found = 0
    for _ in range(3):
        started = time.process_time()
        found = sum(len(matcher.find(sentence)) for sentence in sentences)
        rates.append(MATCHED_SENTENCES / (time.process_time() - started))
    return {
        "match_sentences_per_second": round(max(rates)),
        "concepts_per_sentence": round(found / MATCHED_SENTENCES, 1),
    }


_MANY = """
import resource, sys, time
from keymiss.bench.graph_cost import MANY_TERMS, generated
from keymiss.graph.concept_matcher import Matcher
vocabulary, _ = generated(MANY_TERMS)
used = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
before, started = used(), time.perf_counter()
matcher = Matcher(vocabulary)
print(time.perf_counter() - started, used() - before)
"""


def many_terms() -> dict[str, float]:
    """The seconds and megabytes that a million terms take, measured in a separate process."""
    done = subprocess.run([sys.executable, "-c", _MANY], check=True, capture_output=True, text=True)
    seconds, megabytes = map(float, done.stdout.split())
    return {"million_terms_load_s": round(seconds, 1), "million_terms_mb": round(megabytes)}


def main() -> None:
    corpora = {"demo": recalls([ARTICLES], demo_questions)}
    if len(sys.argv) > 1:
        corpora["sample"] = recalls([Path(sys.argv[1])], sample_questions)
    asked = {"demo": len(load_questions()), "sample": len(sample_questions())}
    for corpus, found in corpora.items():
        print(f"{corpus}, {asked[corpus]} questions: {found}")
    total = sum(asked[corpus] for corpus in corpora)
    together = {
        way: round(sum(found[way] * asked[corpus] for corpus, found in corpora.items()) / total, 4)
        for way in corpora["demo"]
    }
    record = {**matching(), **many_terms(), "recall10": together, "corpora": corpora}
    print(record)
    write_results("graph", record)


if __name__ == "__main__":
    main()
