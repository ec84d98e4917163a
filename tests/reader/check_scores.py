"""Compares the reader's exact match and F1 with those of transformers' logits.

    python tests/reader/check_scores.py FILE [--precisions fp32 bf16 int8]

FILE is in SQuAD's format. The reference cuts pairs into windows of 384 tokens that overlap by 128,
and takes the best of twenty starts and twenty ends, at most 30 tokens apart, of each window (Devlin
et al. 2018). Windows are compared by score, as is common, and by score less that of no answer, as
the reader does; the second is what it has to agree with. Needs the extra `reference`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertForQuestionAnswering

from keymiss.evaluation.answer_scores import exact
from keymiss.evaluation.squad import SquadQuestion, best_f1, evaluate_reader, load_squad
from keymiss.reader import BUNDLED_FOLDER, Reader

WINDOW, OVERLAP, N_BEST, LONGEST = 384, 128, 20, 30
ALLOWED = {"fp32": 0.05, "bf16": 0.2, "int8": 0.3}
"""Points of F1."""


def best_span(logits: np.ndarray[Any, Any], offsets: Sequence[Any]) -> tuple[float, int, int]:
    """Score, first and last character of the best span of a window; its passage has offsets."""
    starts, ends = (np.argsort(logits[:, column])[::-1][:N_BEST] for column in (0, 1))
    spans = [
        (float(logits[start, 0] + logits[end, 1]), offsets[start][0], offsets[end][1])
        for start in starts
        for end in ends
        if offsets[start] and offsets[end] and 0 <= end - start < LONGEST
    ]
    return max(spans, default=(-np.inf, 0, 0))


def reference_answers(asked: Sequence[SquadQuestion]) -> list[tuple[str, str]]:
    """Each question's answer, with windows compared by score, and by margin."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_FOLDER)
    model = BertForQuestionAnswering.from_pretrained(BUNDLED_FOLDER).float().eval()
    answers = []
    for one in asked:
        windows = tokenizer(
            one.question,
            one.passage,
            max_length=WINDOW,
            truncation="only_second",
            stride=OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.inference_mode():
            output = model(**{name: windows[name] for name in names})
        logits = torch.stack([output.start_logits, output.end_logits], -1).numpy()
        by_score, by_margin = [], []
        for number, window in enumerate(logits):
            parts = windows.sequence_ids(number)
            offsets = [
                tuple(map(int, offset)) if part == 1 else None
                for part, offset in zip(parts, windows["offset_mapping"][number], strict=True)
            ]
            score, start, end = best_span(window, offsets)
            by_score.append((score, one.passage[start:end]))
            by_margin.append((score - float(window[0].sum()), one.passage[start:end]))
        answers.append((max(by_score)[1], max(by_margin)[1]))
    return answers


def percent(texts: Sequence[str], asked: Sequence[SquadQuestion]) -> tuple[float, float]:
    """Exact match and F1."""
    pairs = list(zip(texts, asked, strict=True))
    matches = statistics.fmean(any(exact(t, e) for e in one.expected) for t, one in pairs)
    return 100 * matches, 100 * statistics.fmean(best_f1(text, one) for text, one in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    arguments = parser.parse_args()
    asked = load_squad(arguments.file)
    for way, texts in zip(
        ("score", "margin"), zip(*reference_answers(asked), strict=True), strict=True
    ):
        matches, reference = percent(texts, asked)
        print(f"transformers fp32, windows by {way}: exact {matches:.2f}  F1 {reference:.2f}")
    worst = 0.0
    for precision in arguments.precisions:
        ours = evaluate_reader(Reader.from_pretrained(BUNDLED_FOLDER, precision), asked)
        worst = max(worst, abs(ours.f1 - reference) / ALLOWED[precision])
        allowed = f"{ALLOWED[precision]} allowed"
        print(f"keymiss {precision:>4}  exact {ours.exact:.2f}  F1 {ours.f1:.2f}  ({allowed})")
    return worst > 1


if __name__ == "__main__":
    sys.exit(main())
