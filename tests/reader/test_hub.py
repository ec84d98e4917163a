"""Models by their names on a hub: a server that speaks its protocol, and keymiss as a process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from keymiss.reader import BUNDLED_FOLDER

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "tests/minilm-qa"
WEIGHTS = "model.safetensors"


class Hub(ThreadingHTTPServer):
    """Serves one model's files; `cut` ends the next answer with the weights half-way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.cuts = 0
        self.sent: list[tuple[str, int]] = []
        """Each body that was sent: the file, and its first byte."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        files = sorted(each for each in self.server.folder.iterdir() if each.is_file())
        if path.startswith(f"/api/models/{NAME}/tree/"):
            self.send([self.entry(each) for each in files])
        elif path.startswith(f"/api/models/{NAME}"):
            names = [{"rfilename": each.name} for each in files]
            self.send({"id": NAME, "sha": COMMIT, "siblings": names})
        elif path.startswith(f"/{NAME}/resolve/"):
            self.send_file(self.server.folder / path.rpartition("/")[2], body)
        else:
            self.send({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def entry(self, path: Path) -> dict[str, object]:
        etag = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": etag}

    def send(
        self, record: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        text = json.dumps(record).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_file(self, path: Path, body: bool) -> None:
        data = path.read_bytes()
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if not body:
            return
        self.server.sent.append((path.name, first))
        if path.name == WEIGHTS and self.server.cuts:
            self.server.cuts -= 1
            self.wfile.write(data[first : first + (len(data) - first) // 2])
            self.close_connection = True
            return
        self.wfile.write(data[first:])


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "published"
    shutil.copytree(BUNDLED_FOLDER, folder)
    with Hub(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def keymiss(tmp_path):
    """Runs keymiss with caches of its own, and one hub or none."""

    def run(*arguments: str, hub: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
        caches = {"HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, "-m", "keymiss", *arguments],
            env=os.environ | caches | {"HF_ENDPOINT": hub},
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


@pytest.fixture
def questions(tmp_path):
    context = "Robert Koch found the bacillus of cholera in Egypt."
    asked = {"question": "Who found the bacillus?", "answers": [{"text": "Robert Koch"}]}
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [asked]}]}]}))
    return str(path)


def test_a_model_is_downloaded_once_and_works_without_a_network_then(hub, keymiss, questions):
    pulled = keymiss("model", "pull", NAME, hub=hub.url)
    assert pulled.returncode == 0, pulled.stderr
    listed = json.loads(keymiss("model", "list", "--json").stdout)
    assert [model["name"] for model in listed] == ["minilm-qa", NAME]
    scored = keymiss("model", "eval", NAME, questions, "--precision", "fp32", "--json")
    assert json.loads(scored.stdout)["exact"] == 100, scored.stderr
    assert sorted(name for name, _ in hub.sent if name == WEIGHTS) == [WEIGHTS]


def test_a_name_of_the_hub_is_downloaded_where_it_is_needed(hub, keymiss, questions):
    scored = keymiss("model", "eval", NAME, questions, "--json", hub=hub.url)
    assert json.loads(scored.stdout)["exact"] == 100, scored.stderr


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, keymiss):
    hub.cuts = 1
    pulled = keymiss("model", "pull", NAME, hub=hub.url)
    assert pulled.returncode == 0, pulled.stderr
    half = (BUNDLED_FOLDER / WEIGHTS).stat().st_size // 2  # the client keeps whole chunks
    first, second = (first for name, first in hub.sent if name == WEIGHTS)
    assert first == 0 < second <= half


def test_without_a_network_the_error_says_what_to_do(keymiss):
    failed = keymiss("model", "pull", NAME)
    assert failed.returncode == 2
    assert "cannot be downloaded" in failed.stderr
    assert "give a folder" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("name", ["tests/no-such-model", "nobody"])
def test_a_wrong_name_is_an_error(hub, keymiss, name):
    failed = keymiss("model", "pull", name, hub=hub.url)
    assert failed.returncode == 2
    assert f"the hub has no model '{name}'" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_pickle_is_refused_and_never_fetched(hub, keymiss):
    (hub.folder / WEIGHTS).rename(hub.folder / "pytorch_model.bin")
    failed = keymiss("model", "pull", NAME, hub=hub.url)
    assert failed.returncode == 2
    assert "pickle" in failed.stderr
    assert "pytorch_model.bin" not in dict(hub.sent)
