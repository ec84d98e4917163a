"""Measures the search by vectors: how many of the nearest it finds, how long it takes, and what an
index of usearch (`pip install usearch`) takes for the same, where that is installed.

    python -m keymiss.bench.vector_search [SENTENCES [ARTICLES ...]]     a million by default

Vectors are generated: mixtures of three sentences of some articles, the demo's by default, with
noise. The fewer articles, the more vectors lie so near each other that it hardly matters which of
them is found. The questions are the demo's. Recall is that of the thirty nearest, by exact products
in fp32.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keymiss.bench.bench_processes import resident_bytes
from keymiss.corpus.demo import ARTICLES, load_questions, load_unanswerable
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.sentences import cut_text
from keymiss.reader import Encoder
from keymiss.search.native.native_vectors import Floats32, VectorStore
from keymiss.search.ranking import BY_VECTORS
from keymiss.values.vectors_value import rounded_vectors

NEAREST = 30
OF_MIXTURE, NOISE = 3, 0.02
GENERATED_AT_ONCE = 10_000
OF_DOCUMENT = 100

Search = Callable[[Floats32], set[int]]


def generated(count: int, sentences: Floats32) -> Iterator[Floats32]:
    """Vectors of the length 1, in parts."""
    random = np.random.default_rng(1)
    for first in range(0, count, GENERATED_AT_ONCE):
        size = min(GENERATED_AT_ONCE, count - first)
        of_mixture = sentences[random.integers(0, len(sentences), (size, OF_MIXTURE))]
        shares = random.dirichlet(np.ones(OF_MIXTURE), size)[:, :, None]
        noise = random.normal(0, NOISE, (size, sentences.shape[1]))
        mixed = (shares * of_mixture).sum(axis=1) + noise
        yield (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def exact_nearest(count: int, sentences: Floats32, questions: Floats32) -> list[set[int]]:
    best: list[list[tuple[float, int]]] = [[] for _ in questions]
    first = 0
    for part in generated(count, sentences):
        for number, cosines in enumerate(questions @ part.T):
            top = np.argpartition(-cosines, min(NEAREST, len(cosines) - 1))[:NEAREST]
            best[number] += [(float(cosines[one]), first + int(one)) for one in top]
        first += len(part)
    return [{one for _, one in sorted(each, reverse=True)[:NEAREST]} for each in best]


def measured(name: str, search: Search, questions: Floats32, exact: list[set[int]]) -> None:
    seconds, found = [], []
    for question in questions:
        started = time.perf_counter()
        nearest = search(question)
        seconds.append(time.perf_counter() - started)
        found.append(nearest)
    recall = statistics.fmean(
        len(one & other) / NEAREST for one, other in zip(found, exact, strict=True)
    )
    print(f"{name:<24} recall {recall:.3f}   {1000 * statistics.median(seconds):8.2f} ms")


def of_store(count: int, sentences: Floats32, isa: bytes | None) -> Search:
    next(generated(GENERATED_AT_ONCE, sentences))  # takes the memory that generating needs
    store = VectorStore(sentences.shape[1], isa)
    numbers: dict[int, int] = {}
    before, started, first = resident_bytes(os.getpid()), time.perf_counter(), 0
    for part in generated(count, sentences):
        rounded = rounded_vectors(part)
        for at in range(0, len(part), OF_DOCUMENT):
            codes = np.ascontiguousarray(rounded.codes[at : at + OF_DOCUMENT])
            numbers[store.put(codes, rounded.scales[at : at + OF_DOCUMENT])] = first + at
        first += len(part)
    grown = (resident_bytes(os.getpid()) - before) / count
    print(f"{grown:.0f} bytes a sentence, {time.perf_counter() - started:.1f} s to put them in")

    def search(question: Floats32) -> set[int]:
        places, _ = store.nearest(question, BY_VECTORS)
        return {numbers[document] + row for document, row in places[:NEAREST].tolist()}

    return search


def of_usearch(count: int, sentences: Floats32) -> Search:
    from usearch.index import Index

    index = Index(ndim=sentences.shape[1], metric="cos", dtype="i8")
    before, started, first = resident_bytes(os.getpid()), time.perf_counter(), 0
    for part in generated(count, sentences):
        index.add(np.arange(first, first + len(part)), part)
        first += len(part)
    grown = (resident_bytes(os.getpid()) - before) / count
    print(f"{grown:.0f} bytes a sentence, {time.perf_counter() - started:.1f} s to put them in")
    return lambda question: {int(one) for one in index.search(question, NEAREST).keys}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    texts = [
        sentence
        for _, reads in read_files([Path(each) for each in sys.argv[2:]] or [ARTICLES])
        for document in reads
        if isinstance(document, Document)
        for sentence in cut_text(document.paragraphs).sentences
    ]
    encoder = Encoder.from_pretrained()
    sentences = encoder.encode(texts)
    asked = [one.text for one in load_questions()] + load_unanswerable()
    questions = encoder.encode(asked)
    exact = exact_nearest(count, sentences, questions)
    search = of_store(count, sentences, None)
    measured("signs, then products", search, questions, exact)
    if importlib.util.find_spec("usearch"):
        measured("usearch, int8", of_usearch(count, sentences), questions, exact)


if __name__ == "__main__":
    main()
