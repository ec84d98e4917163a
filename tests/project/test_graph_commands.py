"""`keymiss vocabulary load` and `keymiss graph export`, as a person types them."""

import subprocess
import sys

import pytest

from keymiss.corpus.ingest import ingest
from keymiss.graph.graph_functions import graph_functions
from keymiss.graph.vocabulary_files import load_vocabulary


@pytest.fixture
def keymiss(server):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "keymiss", *map(str, arguments), "--url", server.url],
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def vocabulary(tmp_path):
    file = tmp_path / "concepts.tsv"
    file.write_text("id\tname\tsynonyms\nK1\tmeasles\trubeola\nK2\tfever\t\nK3\n")
    return file


@pytest.fixture
def graph(keymiss, vocabulary, raw, serve, tmp_path, eventually):
    """Of one sentence with two concepts."""
    done = keymiss("vocabulary", "load", vocabulary)
    assert (done.returncode, done.stdout) == (0, "2 concepts with 3 terms; 1 left out\n")
    assert "left out: line 4 has 1 columns; the header has 3" in done.stderr
    (tmp_path / "a.txt").write_text("Rubeola brings fever.")
    ingest(raw, [tmp_path / "a.txt"])
    serve(*graph_functions(load_vocabulary(vocabulary).vocabulary))
    eventually(lambda: raw.keys("keymiss:edges:K1:K2:*"))


def test_a_graph_is_exported_to_a_file_or_a_folder(keymiss, graph, tmp_path):
    done = keymiss("graph", "export", tmp_path / "graph.graphml")
    assert (done.returncode, done.stdout) == (0, "2 concepts and 1 edge\n")
    assert 'source="K1"' in (tmp_path / "graph.graphml").read_text()
    done = keymiss("graph", "export", tmp_path / "out")
    assert done.returncode == 0
    assert (tmp_path / "out" / "edges.csv").read_text().splitlines()[1] == "K1,K2,1,0,0"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("vocabulary", "load", "none.tsv"), 2, "the vocabulary cannot be read"),
        (("vocabulary", "load", "none.txt"), 2, "its name must end in one of"),
        (("graph", "export"), 2, "say where to"),
        (("graph", "export", "x.graphml"), 1, "there is no concept graph"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_status(keymiss, arguments, status, message):
    done = keymiss(*arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_graph_cannot_go_to_a_server_that_is_not_there(keymiss, graph):
    done = keymiss("graph", "export", "--to", "redis://127.0.0.1:1")
    assert done.returncode == 1
    assert "cannot be written to" in done.stderr
