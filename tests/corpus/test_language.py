"""Documents in other languages are left out when that is asked for."""

import subprocess
import sys

import pytest

from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.ingest import ingest_sources
from keymiss.corpus.language import in_language
from keymiss.errors import SetupError

GERMAN = "Die Masern werden durch Tröpfchen übertragen. Sie sind sehr ansteckend."
SPANISH = "El sarampión se transmite por el aire. Es una enfermedad muy contagiosa."


def test_english_is_told_from_other_languages():
    english = in_language("en")
    for _, reads in read_files([ARTICLES]):
        assert all(isinstance(read, Document) and english(read) for read in reads)
    for text in (GERMAN, SPANISH):
        assert not english(Document("a", "Measles", (text,)))


def test_what_is_in_another_language_is_counted_and_is_no_problem(raw, tmp_path):
    (tmp_path / "de.txt").write_text(GERMAN)
    (tmp_path / "es.txt").write_text(SPANISH)
    report = ingest_sources(raw, lambda: read_files([tmp_path]), accept=in_language("de"))
    assert (report.stored, report.not_accepted, report.problems) == (1, 1, [])


def test_an_unknown_language_is_named():
    with pytest.raises(SetupError, match="'xx' is not one of "):
        in_language("xx")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(SetupError, match="install 'keymiss\\[language\\]'"):
        in_language("en")


def test_the_command_says_how_many_were_left_out(server, tmp_path):
    (tmp_path / "de.txt").write_text(GERMAN)
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", "ingest", tmp_path, "--language=en", "--url", server.url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "1 in other languages" in done.stdout) == (0, True)
