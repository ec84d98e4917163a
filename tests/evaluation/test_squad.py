"""Scoring a reader on a file in SQuAD's format, by the command and what stands behind it."""

import json
import shutil
import subprocess
import sys

import pytest

from keymiss.errors import BadInput
from keymiss.evaluation.squad import load_squad
from keymiss.reader import BUNDLED_FOLDER
from keymiss.reader.int8_check import INT8_CHECK, load_check


def squad(*questions):
    qas = [
        {"question": question, "answers": [{"text": text} for text in answers]}
        for question, answers in questions
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": "Dogs bark at night.", "qas": qas}]}]})


def evaluate(path, *options, command="eval", model="minilm-qa"):
    return subprocess.run(
        [sys.executable, "-m", "keymiss", "model", command, str(model), str(path), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_best_of_the_expected_answers_counts(tmp_path):
    path = tmp_path / "squad.json"
    asked = [("Who barks?", ["a cat", "dogs"]), ("When do dogs bark?", ["at noon"])]
    path.write_text(squad(*asked, ("Who else?", [])))
    result = json.loads(evaluate(path, "--precision", "fp32", "--json").stdout)
    assert (result["questions"], result["exact"], result["precision"]) == (2, 50.0, "fp32")
    assert 50 <= result["f1"] < 100


@pytest.mark.parametrize("content", ["", "[]", '{"data": 7}', '{"data": [{}]}', squad()])
def test_a_file_of_another_format_is_named(tmp_path, content):
    path = tmp_path / "squad.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"squad\.json"):
        load_squad(path)


def test_what_is_missing_is_one_line(tmp_path):
    done = evaluate(tmp_path / "none.json")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    path = tmp_path / "squad.json"
    path.write_text(squad(("Who barks?", ["dogs"])))
    done = evaluate(path, "--precision", "fp8")
    assert (done.returncode, "is not one of auto, fp32, bf16" in done.stderr) == (2, True)


def test_a_check_in_int8_is_kept_beside_the_weights_and_auto_follows_it(tmp_path):
    folder = shutil.copytree(BUNDLED_FOLDER, tmp_path / "model")
    (folder / INT8_CHECK).unlink(missing_ok=True)
    assert load_check(folder) is None
    path = tmp_path / "squad.json"
    path.write_text(squad(("Who barks?", ["dogs"]), ("When do dogs bark?", ["at night"])))
    done = json.loads(evaluate(path, "--json", command="check", model=folder).stdout)
    check = load_check(folder)
    assert (done["fp32"], done["int8"], done["questions"]) == (check.fp32, check.int8, 2)
    assert done["passed"] is check.passed is True
    assert json.loads(evaluate(path, "--json", model=folder).stdout)["precision"] == "int8"
