"""Checks whether a question's first answer depends on the number of shards: 1, 2, 4 or 8.

The questions are those of the demo, and those of sample_questions.jsonl about the articles in a
folder.

    python -m keymiss.bench.cluster_answers FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from keymiss.bench.cluster_cost import BENCH_FOLDER, CLUSTER_QUESTIONS, SHARD_COUNTS, running
from keymiss.corpus.demo import ARTICLES

AnswerPlace = tuple[str, str] | None


def first_answers(shards: int, articles: list[Path], questions: list[str]) -> list[AnswerPlace]:
    found: list[AnswerPlace] = []
    with running(shards, 0, articles) as system:
        for question in questions:
            results = system.ask(question)["results"]
            found.append((results[0]["answer"], results[0]["sentencekey"]) if results else None)
    return found


def main() -> None:
    lines = (BENCH_FOLDER / "sample_questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line) for line in lines]
    questions = [*CLUSTER_QUESTIONS, *(each["question"] for each in asked)]
    answers = {
        shards: first_answers(shards, [ARTICLES, Path(sys.argv[1])], questions)
        for shards in SHARD_COUNTS
    }
    for shards in SHARD_COUNTS[1:]:
        pairs = list(zip(questions, answers[SHARD_COUNTS[0]], answers[shards], strict=True))
        same = sum(one == more for _, one, more in pairs)
        print(f"{shards} shards: {same} of {len(questions)} first answers are those of one shard")
        for question, one, more in pairs:
            if one != more:
                print(f"  {question}\n    {one}\n    {more}")
    expected = [each["answer"] for each in asked]
    right = sum(
        found is not None and (answer in found[0] or found[0] in answer)
        for answer, found in zip(expected, answers[1][len(CLUSTER_QUESTIONS) :], strict=True)
    )
    print(f"{right} of {len(expected)} questions about the articles are answered as expected")


if __name__ == "__main__":
    main()
