"""The reader: right answers with exact offsets, alone and in batches, from one thread or many."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymiss.evaluation.answer_scores import exact, f1
from keymiss.reader import BUNDLED_FOLDER, BUNDLED_MODEL, Reader

REMDESIVIR = (
    "Remdesivir is a nucleotide analogue prodrug that inhibits the RNA-dependent RNA polymerase "
    "of SARS-CoV-2."
)


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def reader(request):
    return Reader.from_pretrained(BUNDLED_MODEL, precision=request.param)


def test_it_finds_the_answer(reader):
    (answer,) = reader.read("What does remdesivir inhibit?", [REMDESIVIR])
    assert "RNA polymerase" in answer.text
    assert answer.passage == 0
    assert answer.margin > 0


def test_it_prefers_the_passage_that_answers(reader):
    passages = ["Dogs bark at night.", REMDESIVIR, "Rain falls mainly in the plain."]
    (answer,) = reader.read("What does remdesivir inhibit?", passages)
    assert answer.passage == 1


def test_a_passage_without_an_answer_has_a_negative_margin(reader):
    (answer,) = reader.read("What does remdesivir inhibit?", ["Dogs bark at night."])
    assert answer.margin < 0


def test_more_answers_are_ranked(reader):
    answers = reader.read("Who barks?", ["Dogs bark.", "Foxes bark, too."], top_k=4)
    assert len(answers) == 4
    margins = [answer.margin for answer in answers]
    assert margins == sorted(margins, reverse=True)


def test_no_passages_no_answers(reader):
    assert reader.read("Who?", []) == []
    assert reader.read("Who?", ["", " \n"]) == []


texts = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("abc .,\t\n😀👩‍👩‍👧é\u0301ﬁ１中文ß")),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=120,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_offsets_cut_the_text_out_of_the_passage(reader, passages, question):
    for answer in reader.read(question, passages, top_k=3):
        passage = passages[answer.passage]
        assert passage[answer.start : answer.end] == answer.text
        assert answer.text


def test_a_batch_gives_what_single_calls_give(reader):
    pairs = [("Who barks?", "Dogs bark."), ("What falls?", REMDESIVIR * 4), ("When?", "At noon.")]
    together = reader.read_batch(pairs)
    for pair, (one,) in zip(pairs, together, strict=True):
        ((alone,),) = reader.read_batch([pair])
        assert (alone.text, alone.start) == (one.text, one.start)
        assert alone.score == pytest.approx(
            one.score, abs=1e-3 if reader.precision == "fp32" else 0.3
        )


def test_long_passages_are_read_to_their_end(reader):
    long = "Nothing is here. " * 300 + "Dogs bark." + " Nothing is there." * 300
    (answer,) = reader.read("Who barks?", [long])
    assert (answer.text, answer.start) == ("Dogs", long.index("Dogs"))


def test_an_answer_that_two_windows_hold_is_given_once(reader):
    long = "Nothing is here. " * 60 + "Dogs bark." + " Nothing is there." * 60
    answers = reader.read("Who barks?", [long], top_k=5)
    for number, one in enumerate(answers):
        assert all(one.end <= two.start or two.end <= one.start for two in answers[:number])
    assert answers[0].text == "Dogs"


def test_a_question_beyond_the_models_length_is_cut(reader):
    (answer,) = reader.read("Who barks? " * 1000, ["Dogs bark."])
    assert answer.text == "Dogs"


def test_answers_have_at_most_so_many_tokens(reader):
    (answer,) = reader.read("What does remdesivir inhibit?", [REMDESIVIR], max_answer_tokens=1)
    assert len(answer.text.split()) == 1


def test_threads_may_share_a_reader(reader):
    def ask(number):
        (answer,) = reader.read(f"How many are {number}?", [f"There are {number} dogs."])
        return answer.text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [
            reader.read(f"How many are {n}?", [f"There are {n} dogs."])[0].text for n in range(40)
        ]


def test_it_scores_what_its_card_says(reader, in_shared):
    data = json.loads(in_shared("eval", "xquad_en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]][1::8]
    asked = [
        (question["question"], paragraph["context"], question["answers"][0]["text"])
        for paragraph in paragraphs
        for question in paragraph["qas"]
    ]
    found = reader.read_batch([(question, context) for question, context, _ in asked])
    pairs = [(answers[0].text, gold) for answers, (_, _, gold) in zip(found, asked, strict=True)]
    # The card's are over all 1,190 questions; these are a hundred and fifty of them.
    results = json.loads((BUNDLED_FOLDER / "eval_results.json").read_text())
    scores = next(each for each in results.values() if "xquad_en" in each)
    card = scores["xquad_en"]
    assert 100 * sum(exact(*pair) for pair in pairs) / len(pairs) == pytest.approx(
        card["em"], abs=5
    )
    assert 100 * sum(f1(*pair) for pair in pairs) / len(pairs) == pytest.approx(card["f1"], abs=3)
