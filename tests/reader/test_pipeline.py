"""The pipeline that transformers had: its calls, its results, its documented examples."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keymiss
from keymiss.reader import Reader
from keymiss.reader.pipeline import Example, QuestionAnsweringPipeline, pipeline

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = sorted(path.name for path in GOLDEN.iterdir())

# From the documentation of transformers 4.
ABOUT_TASKS = (
    "Extractive Question Answering is the task of extracting an answer from a text given a "
    "question. An example of a question answering dataset is the SQuAD dataset, which is entirely "
    "based on that task. If you would like to fine-tune a model on a SQuAD task, you may leverage "
    "the examples/pytorch/question-answering/run_squad.py script."
)
BERLIN = "My name is Wolfgang and I live in Berlin"


@pytest.fixture(scope="module")
def oracle():
    return keymiss.pipeline("question-answering", precision="fp32")


def test_the_documented_examples(oracle):
    result = oracle(question="Where do I live?", context=BERLIN)
    assert {name: result[name] for name in ("start", "end", "answer")} == {
        "start": 34,
        "end": 40,
        "answer": "Berlin",
    }
    assert 0.5 < result["score"] < 1
    result = oracle(
        question="What is the name of the repository?",
        context="The name of the repository is huggingface/transformers",
    )
    assert (result["start"], result["answer"]) == (30, "huggingface/transformers")
    question = "What is a good example of a question answering dataset?"
    result = oracle(question=question, context=ABOUT_TASKS)
    assert "SQuAD" in result["answer"]
    assert ABOUT_TASKS[result["start"] : result["end"]] == result["answer"]


def test_all_forms_of_a_call_give_the_same(oracle):
    question, pair = "Where do I live?", {"question": "Where do I live?", "context": BERLIN}
    wanted = oracle(question=question, context=BERLIN)
    assert oracle(pair) == wanted
    assert oracle(question, BERLIN) == wanted
    assert oracle([pair]) == wanted
    assert oracle(data=pair) == wanted
    assert oracle(oracle.create_sample(question, BERLIN)) == wanted
    assert oracle(question=[question], context=[BERLIN]) == wanted
    for many in (
        oracle([pair, pair]),
        oracle(pair, pair),
        oracle(question=[question, question], context=BERLIN),
        oracle(question=[question, question], context=[BERLIN, BERLIN]),
        oracle(oracle.create_sample([question] * 2, [BERLIN] * 2)),
    ):
        assert [one["answer"] for one in many] == ["Berlin", "Berlin"]


def test_more_answers_come_best_first(oracle):
    results = oracle(question="Where do I live?", context=BERLIN, top_k=3)
    assert len(results) == 3
    scores = [one["score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) < 1
    both = oracle([{"question": "Who am I?", "context": BERLIN}] * 2, top_k=2)
    assert [len(one) for one in both] == [2, 2]


def test_the_impossible_answer_is_empty(oracle):
    call = {"question": "Who painted the ceiling?", "context": BERLIN}
    assert oracle(call)["answer"]
    impossible = oracle(call, handle_impossible_answer=True)
    assert (impossible["answer"], impossible["start"], impossible["end"]) == ("", 0, 0)
    assert oracle(call, handle_impossible_answer=True, top_k=2)[0] == impossible


def test_long_contexts_are_read_to_their_end(oracle):
    context = "Nothing is here. " * 300 + "Dogs bark. " + "Nothing is there. " * 300
    result = oracle(question="Who barks?", context=context)
    assert (result["answer"], result["start"]) == ("Dogs", context.index("Dogs"))


def test_answers_are_whole_words_unless_told_otherwise(oracle):
    call = {"question": "Who discovered it?", "context": "It was discovered by Featherstonehaugh."}
    cut = oracle(call, max_answer_len=1, align_to_words=False)["answer"]
    assert cut != "Featherstonehaugh"
    assert cut in "Featherstonehaugh"
    assert oracle(call, max_answer_len=1)["answer"] == "Featherstonehaugh"


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_products_of_softmax_probabilities(family):
    """Computed here in another way, from what transformers said of the model."""
    oracle = QuestionAnsweringPipeline(Reader.from_pretrained(GOLDEN / family, precision="fp32"))
    for record in json.loads((GOLDEN / family / "expected.json").read_text(encoding="utf-8")):
        logits = np.array(record["logits"])
        tokens = len(oracle.reader.tokenizer.offsets(record["passage"]))
        first = len(logits) - 1 - tokens
        allowed = [0, *range(first, first + tokens)]
        chance = np.zeros_like(logits)
        chance[allowed] = np.exp(logits[allowed]) / np.exp(logits[allowed]).sum(axis=0)
        best = max(
            chance[start, 0] * chance[end, 1]
            for start in range(first, first + tokens)
            for end in range(start, min(start + 15, first + tokens))
        )
        result = oracle(question=record["question"], context=record["passage"])
        assert isinstance(result, dict)
        assert result["score"] == pytest.approx(best, rel=1e-3)
        assert record["passage"][result["start"] : result["end"]] == result["answer"]


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ({"question": "", "context": "x"}, "`question` is ''"),
        ({"question": "x", "context": " "}, "`context` is ' '"),
        ({"question": "x", "context": None}, "give a question and a context"),
        ({"question": ["x", "y"], "context": ["a", "b", "c"]}, "2 questions and 3 contexts"),
        ({"data": 7}, "7 is not a dictionary"),
        ({"data": {"question": "x"}}, "`context` is ''"),
        ({"question": "x", "context": "y", "top_k": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_asked_is_explained(oracle, call, wrong):
    with pytest.raises(ValueError, match=wrong):
        oracle(**call)


def test_an_example_of_another_maker_will_do(oracle):
    assert oracle(Example("Where do I live?", BERLIN))["answer"] == "Berlin"


def test_other_tasks_and_tokenizers_are_refused():
    with pytest.raises(ValueError, match="'fill-mask'"):
        pipeline("fill-mask")
    with pytest.raises(ValueError, match="part of the model's folder"):
        pipeline(model="minilm-qa", tokenizer="other")


def test_importing_keymiss_does_not_load_the_reader():
    code = "import sys, keymiss; assert 'openvino' not in sys.modules; keymiss.pipeline"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="nothing"):
        _ = keymiss.nothing
