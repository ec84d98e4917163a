"""Measures each step of finding by words: how often a passage with the answer is found.

    python -m keymiss.bench.finding_steps SQUAD_FILE [--sample FOLDER] [--open FOLDER]

Index and ranking are those of the application; servers are left out, which changes no result. Each
step is measured alone, and added to those before it. A candidate is right when its window, the
sentence with a neighbour on either side, holds an expected answer; for the sample articles, when it
is the noted sentence or one beside it. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from keymiss.answering.vectors_function import encoded_texts
from keymiss.bench.question_sets import (
    QuestionSet,
    SetQuestion,
    further_sets,
    squad_set,
)
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.sentences import cut_text
from keymiss.evaluation.answer_scores import normalise_answer
from keymiss.keys import document_keys
from keymiss.reader import Encoder
from keymiss.search import document_terms, ranking, sentence_choice, terms
from keymiss.search.document_terms import Weighing
from keymiss.search.sentence_index import SentenceIndex
from keymiss.search.vector_index import VectorIndexes
from keymiss.values.vectors_value import rounded_vectors, vectors_stamp

CANDIDATE_COUNTS = (10, 30)

WITH_NEIGHBOURS, WITH_TITLE = "neighbours 0.3", "title 0.3"

OFF: dict[str, tuple[Any, str, Any]] = {
    "lengths count less (b 0.5 for 0.75)": (ranking, "SENTENCE_LENGTH_WEIGHT", 0.75),
    "document 0.5": (ranking, "DOCUMENT_WEIGHT", 0.0),
    "the question's frame 0.4": (terms, "FRAME_WEIGHT", 1.0),
    "letters cut from digits": (terms, "cut_digits", lambda text: text),
    "abbreviations": (document_terms, "with_other_forms", dict),
}
"""Steps, and what leaves each of them out: a name of a module, and its value without it."""

STEPS = (WITH_NEIGHBOURS, WITH_TITLE, *OFF)


@dataclass(frozen=True, slots=True)
class FoundShares:
    """How many questions of a set have a right candidate among so many, and one of the right
    document among ten, in percent; and the median time of a search in milliseconds."""

    percents: tuple[float, ...]
    milliseconds: float


@contextmanager
def only(steps: Sequence[str]) -> Iterator[None]:
    """Leaves all other steps out."""
    weighing = Weighing(
        near=Weighing().near if WITH_NEIGHBOURS in steps else 0,
        in_title=Weighing().in_title if WITH_TITLE in steps else 0,
    )
    with ExitStack() as stack:
        for module in (document_terms, sentence_choice):
            stack.enter_context(mock.patch.object(module, "WEIGHING", weighing))
        for name, (module, attribute, without) in OFF.items():
            if name not in steps:
                stack.enter_context(mock.patch.object(module, attribute, without))
        yield


def found_shares(asked: QuestionSet, encoder: Encoder | None = None) -> FoundShares:
    """With an encoder, sentences are found by their vectors, too."""
    index = SentenceIndex()
    vectors = VectorIndexes(encoder.encode_at_once, encoder.width) if encoder else None
    windows: dict[str, str] = {}
    for _, reads in read_files(asked.articles):
        for document in reads:
            if isinstance(document, Document):
                keys = document_keys(document.id)
                sentences = cut_text(document.paragraphs).sentences
                index.put(keys, "", dict(enumerate(sentences)), document.title)
                if vectors and encoder:
                    made = encoder.encode(encoded_texts(document.title, sentences))
                    stamp = vectors_stamp(b"", document.title)
                    vectors.of_shard("").put(keys, stamp, rounded_vectors(made))
                for number in range(len(sentences)):
                    window = " ".join(sentences[max(0, number - 1) : number + 2])
                    windows[keys.sentence(number)] = f" {normalise_answer(window)} "
    index.commit()
    places, documents, seconds = [], [], []
    for one in asked.questions:
        if one.expected:
            started = time.perf_counter()
            near = vectors.search([(one.text, "")], ranking.BY_VECTORS) if vectors else {}
            most = ranking.BY_WORDS if vectors else ranking.CANDIDATES
            found = index.find(one.text, most, near.get((one.text, "")))
            seconds.append(time.perf_counter() - started)
            names = [each.sentence for each in ranking.rank([found])]
            places.append(_first_right(one, names, windows))
            prefix = document_keys(one.document).sentence_prefix
            documents.append(any(name.startswith(prefix) for name in names[:10]))
    percents = [
        100 * sum(place < count for place in places) / len(places) for count in CANDIDATE_COUNTS
    ]
    percents.append(100 * sum(documents) / len(documents))
    return FoundShares(
        tuple(round(percent, 1) for percent in percents),
        round(1000 * statistics.median(seconds), 2),
    )


def _first_right(one: SetQuestion, names: Sequence[str], windows: dict[str, str]) -> int:
    """The place of the first right candidate, or one behind all that count."""
    wanted = [f" {normalise_answer(answer)} " for answer in one.expected]
    prefix = document_keys(one.document).sentence_prefix
    for place, name in enumerate(names):
        if one.sentence is not None:
            is_right = abs(int(name.rpartition(":")[2]) - one.sentence) <= 1
        else:
            is_right = any(each in windows[name] for each in wanted)
        if is_right and name.startswith(prefix):
            return place
    return max(CANDIDATE_COUNTS)


def print_row(name: str, found: Sequence[FoundShares]) -> None:
    cells = [" / ".join(map(str, (*one.percents, one.milliseconds))) for one in found]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("squad", type=Path)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--open", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [squad_set(given.squad, Path(folder), half=False)]
        sets += further_sets(given.sample, given.open)
        print(
            "| step | "
            + " | ".join(f"{one.name}, {CANDIDATE_COUNTS}, document, ms" for one in sets)
            + " |"
        )
        print("|---|" + "---|" * len(sets))
        rows: dict[str, tuple[str, ...]] = {
            "none": (),
            **{f"{step}, alone": (step,) for step in STEPS},
        }
        rows |= {f"+ {step}": STEPS[: number + 1] for number, step in enumerate(STEPS)}
        for name, chosen in rows.items():
            with only(chosen):
                found = [found_shares(one) for one in sets]
            print_row(name, found)
        encoder = Encoder.from_pretrained()
        print_row("+ vectors", [found_shares(one, encoder) for one in sets])


if __name__ == "__main__":
    main()
