"""Measures how fast a corpus becomes searchable, its size, and how long a search in it takes.

    python -m keymiss.bench.corpus_cost FOLDER
        the documents of a folder
    python -m keymiss.bench.corpus_cost --sentences N
        generated documents, of Zipf-distributed words

The clock stops when tokens and index are complete. Then the demo questions are asked, to see how
well questions without an answer are recognised. Writes bench-results/corpus.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import valkey

from keymiss.bench.bench_processes import (
    BenchProcess,
    ask_once,
    processor_ms,
    resident_bytes,
    started_process,
)
from keymiss.bench.module_cost import embedded_server
from keymiss.bench.refit import ask_demo, calibration_error, margin_of, refuse
from keymiss.bench.results import write_results
from keymiss.bench.stopwatch import milliseconds
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.ingest import ingest
from keymiss.function_names import ALWAYS_SERVED
from keymiss.keys import bucket_tag, find_key
from keymiss.operating.served_functions import parse_list, unserved
from keymiss.reader import BUNDLED_FOLDER
from keymiss.reader.calibration import load_calibration
from keymiss.server.embedded_server import free_port, listens

VOCABULARY_WORDS = 50_000
SENTENCES_PER_DOCUMENT = 50
SEARCH_COUNT = 500
ASKED_QUESTIONS, WARMING = 60, 20
"""How many questions are asked over HTTP, and how many of these before the clock runs."""
LETTERS = "etaoinshrdlcumwfgypbvk"


def words(count: int) -> list[str]:
    """Distinct words: first those of the demo articles, the most frequent one first, then made-up
    ones of three to nine letters. For a tokenizer, the first ones are like prose; they include stop
    words."""
    found = Counter(
        word
        for _, documents in read_files([ARTICLES])
        for document in documents
        if isinstance(document, Document)
        for word in re.findall("[a-z]+", document.text.lower())
    )
    made = dict.fromkeys(word for word, _ in found.most_common())
    chance = random.Random(1)
    while len(made) < count:
        made["".join(chance.choices(LETTERS, k=chance.randint(3, 9)))] = None
    return list(made)


def generate(folder: Path, sentences: int, name: str = "g") -> list[str]:
    """Writes documents of this many sentences in all, and returns questions about them. Their ids
    begin with the name."""
    vocabulary = words(VOCABULARY_WORDS)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY_WORDS + 1)))
    chance = random.Random(name)

    def sentence() -> str:
        length = chance.randint(5, 25)
        return " ".join(chance.choices(vocabulary, cum_weights=weights, k=length)).capitalize()

    with (folder / "generated.jsonl").open("w", encoding="utf-8") as file:
        for number in range(sentences // SENTENCES_PER_DOCUMENT):
            text = " ".join(f"{sentence()}." for _ in range(SENTENCES_PER_DOCUMENT))
            file.write(json.dumps({"id": f"{name}{number}", "text": text}) + "\n")
    return [
        " ".join(chance.choices(vocabulary, cum_weights=weights, k=8)) for _ in range(SEARCH_COUNT)
    ]


def text_bytes(client: valkey.Valkey) -> int:
    return sum(
        len(text)
        for key in client.scan_iter("keymiss:sentences:*", 1000)
        for text in client.hvals(key)
    )


def find(client: valkey.Valkey, question: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(client.get(find_key(bucket_tag(0), question)) or "{}")
    return found


def wait_until_derived(client: valkey.Valkey, documents: int) -> None:
    """Waits until the index holds all documents, and no write event is pending."""
    while find(client, "complete").get("documents") != documents:
        time.sleep(0.01)
    while client.info("keymiss")["keymiss_pending"]:
        time.sleep(0.01)


def measure(folder: Path, questions: list[str]) -> dict[str, float]:
    """Where sentences are found by their words: `bench/vector_cost.py` measures vectors."""
    with ExitStack() as stack:
        server = stack.enter_context(
            embedded_server(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        )
        worker = stack.enter_context(started_process(server.url, "worker", "--vectors", "off"))
        client = stack.enter_context(valkey.Valkey(port=server.port))
        while unserved(parse_list(client.execute_command("KEYMISS.LIST")), ALWAYS_SERVED):
            time.sleep(0.05)
        empty = client.info("memory")["used_memory_dataset"]
        before = resident_bytes(worker.pid)
        began = time.perf_counter()
        report = ingest(client, [folder])
        stored = time.perf_counter() - began
        wait_until_derived(client, report.stored)
        complete = time.perf_counter() - began
        grown = client.info("memory")["used_memory_dataset"] - empty
        times = sorted(milliseconds(find, client, question) for question in questions)
        results = {
            "documents": report.stored,
            "sentences": report.sentences,
            "stored_seconds": round(stored, 2),
            "complete_seconds": round(complete, 2),
            "sentences_per_second": round(report.sentences / complete),
            "text_bytes": text_bytes(client),
            "dataset_bytes": grown,
            "bytes_per_text_byte": round(grown / text_bytes(client), 3),
            "worker_megabytes": round((resident_bytes(worker.pid) - before) / 1e6, 1),
            "find_p50_ms": round(statistics.median(times), 2),
            "find_p99_ms": round(times[int(0.99 * len(times))], 2),
        }
        return results | measure_web(server.url, worker, questions[:ASKED_QUESTIONS])


def measure_web(url: str, worker: BenchProcess, questions: list[str]) -> dict[str, float]:
    """How long questions over HTTP take, for the first time and again, and how much processor time
    of the worker a first one takes."""
    port = free_port()
    with started_process(url, "web", "--port", str(port)):
        while not listens(port):
            time.sleep(0.05)
        for question in questions[:WARMING]:
            ask_once(port, question)
        asked = questions[WARMING:]
        before = processor_ms(worker)
        first = [milliseconds(ask_once, port, question) for question in asked]
        spent = processor_ms(worker) - before
        again = [milliseconds(ask_once, port, question) for question in asked]
    return {
        "first_p50_ms": round(statistics.median(first), 2),
        "cached_p50_ms": round(statistics.median(again), 2),
        "worker_core_ms": round(spent / len(asked), 2),
    }


def demo_answers() -> dict[str, float]:
    """How well the demo questions without an answer are told apart from the others."""
    calibration = load_calibration(BUNDLED_FOLDER)
    found = ask_demo()
    fitted = (calibration.temperature, calibration.offset)
    refused = refuse(found, margin_of(calibration.least, *fitted))
    error = calibration_error(found, *fitted)
    return {
        "noanswer.precision": round(refused.precision / 100, 3),
        "noanswer.recall": round(refused.recall / 100, 3),
        "calibration_error": round(error, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=ARTICLES)
    parser.add_argument("--sentences", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.sentences:
            questions = generate(Path(name), arguments.sentences)
            results = measure(Path(name), questions)
        else:
            results = measure(arguments.folder, ["How does the virus spread among adults?"] * 200)
    results |= demo_answers()
    write_results("corpus", results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
