"""Compares the reader's exact match and F1 with those of transformers' logits.

    python tests/reader/check_scores.py FILE [--precisions fp32 bf16 int8]

FILE is in SQuAD's format. The reference cuts pairs into windows of 384 tokens that overlap by 128,
and takes the best of twenty starts and twenty ends, at most 30 tokens apart, over all windows
(Devlin et al. 2018). Needs the extra `reference`; int8 needs a model quantized before.
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

from keymiss.answers.evaluation import exact
from keymiss.answers.squad import Asked, best_f1, evaluate_reader, load_squad
from keymiss.reader import BUNDLED_FOLDER, Reader

WINDOW, OVERLAP, N_BEST, LONGEST = 384, 128, 20, 30
ALLOWED = {"fp32": 0.05, "bf16": 0.5, "int8": 0.6}
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


def reference_answers(asked: Sequence[Asked]) -> list[str]:
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
        found = []
        for number, window in enumerate(logits):
            parts = windows.sequence_ids(number)
            offsets = [
                tuple(map(int, offset)) if part == 1 else None
                for part, offset in zip(parts, windows["offset_mapping"][number], strict=True)
            ]
            found.append(best_span(window, offsets))
        _, start, end = max(found)
        answers.append(one.passage[start:end])
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    arguments = parser.parse_args()
    asked = load_squad(arguments.file)
    answers = reference_answers(asked)
    pairs = list(zip(answers, asked, strict=True))
    reference = 100 * statistics.fmean(best_f1(text, one) for text, one in pairs)
    matches = statistics.fmean(any(exact(t, e) for e in one.expected) for t, one in pairs)
    print(f"transformers fp32  exact {100 * matches:.2f}  F1 {reference:.2f}")
    worst = 0.0
    for precision in arguments.precisions:
        ours = evaluate_reader(Reader.from_pretrained(BUNDLED_FOLDER, precision), asked)
        worst = max(worst, abs(ours.f1 - reference) / ALLOWED[precision])
        allowed = f"{ALLOWED[precision]} allowed"
        print(f"keymiss {precision:>4}  exact {ours.exact:.2f}  F1 {ours.f1:.2f}  ({allowed})")
    return worst > 1


if __name__ == "__main__":
    sys.exit(main())
