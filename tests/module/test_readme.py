"""The module's own page is true: it is built and used by its words alone, without Python."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import valkey

from keymiss.server.embedded_server import EmbeddedServer, free_port

FOLDER = Path(__file__).parents[2] / "src" / "keymiss" / "server" / "module"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
(BUILD,) = re.findall(r"^(cc .*)$", PAGE, re.MULTILINE)
SERVE, TAKE = re.findall(r"^(KEYMISS\..*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A server with the module as the page builds it."""
    folder = tmp_path_factory.mktemp("built")
    words = [part for word in shlex.split(BUILD) for part in expanded(word)]
    words[words.index("keymiss.so")] = str(folder / "keymiss.so")
    subprocess.run(words, cwd=FOLDER, check=True)
    module = folder / "keymiss.so"
    module.chmod(0o755)
    with EmbeddedServer(folder / "data", free_port(), module=module) as server:
        yield server


def expanded(word):
    return sorted(path.name for path in FOLDER.glob(word)) if "*" in word else [word]


def test_what_the_page_types_computes_a_key(built, background):
    with (
        valkey.Valkey(port=built.port, single_connection_client=True) as worker,
        valkey.Valkey(port=built.port) as client,
    ):
        assert worker.execute_command(*SERVE.split()) == 1
        asking = background(client.get, "upper:abc")
        ((name, event, id, key),) = worker.execute_command(*TAKE.split())
        assert (name, event, key) == (b"upper", b"miss", b"upper:abc")
        assert len(id) == len(re.findall(r'3\) "(\w+)"', PAGE)[0])
        assert worker.execute_command("KEYMISS.ANSWER", id, "ABC") == 1
        assert asking.result(5) == b"ABC"
        assert client.get("upper:abc") == b"ABC"
