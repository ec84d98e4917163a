"""Sentences stand exactly as in the source: nothing but white space between them is lost."""

from hypothesis import given
from hypothesis import strategies as st

from keymiss.corpus.sentences import LONGEST_SENTENCE, cut_text

texts = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("ab. ?!\n\t\"'()é😀\u0301\r\x00-")),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=300,
)


@given(texts)
def test_every_sentence_is_found_in_the_source_one_behind_the_other(text):
    position = 0
    for sentence in cut_text([text]).sentences:
        start = text.index(sentence, position)
        assert not text[position:start].strip()
        position = start + len(sentence)
    assert not text[position:].strip()


@given(texts)
def test_no_sentence_is_blank_or_padded(text):
    for sentence in cut_text([text]).sentences:
        assert sentence
        assert sentence == sentence.strip()


def test_abbreviations_and_decimals_do_not_end_a_sentence():
    text = "Dr. Li et al. found e.g. S. pneumoniae at 2.5 m. It survived (Fig. 2). Did it spread?"
    assert cut_text([text]).sentences == (
        "Dr. Li et al. found e.g. S. pneumoniae at 2.5 m.",
        "It survived (Fig. 2).",
        "Did it spread?",
    )


def test_a_wrapped_sentence_is_one_sentence():
    assert cut_text(["It is\nwrapped. Twice\nso."]).sentences == ("It is\nwrapped.", "Twice\nso.")


def test_text_without_an_end_is_cut_at_white_space():
    pieces = cut_text(["word " * 20_000]).sentences
    assert all(len(piece) <= LONGEST_SENTENCE for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 20_000


def test_one_endless_word_is_cut_all_the_same():
    assert "".join(cut_text(["x" * 100_000]).sentences) == "x" * 100_000
