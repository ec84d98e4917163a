"""A real Prometheus watches the system: every panel has data, and every alert fires when it should.

Times are shortened: windows of minutes become ten seconds, and alerts fire at once.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import valkey

from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.graph.vocabulary import DEMO
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.keys import document_keys
from keymiss.server.embedded_server import LOOPBACK, EmbeddedServer, free_ports

DEPLOY = Path(__file__).parents[2] / "deploy"
HTTP = httpx.Client(verify=False, timeout=20)
PATIENCE_SECONDS = 40


def shortened(text):
    text = re.sub(r"\[5m\]", "[10s]", text)
    text = re.sub(r"\[1h\]", "[40s]", text)
    return re.sub(r"\bfor: \w+", "for: 0s", text)


def expressions(node):
    """All queries of a dashboard, with their panel's title."""
    for panel in node["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']}: {target['legendFormat']}", target["expr"]


QUERIES = {
    f"{file.stem}: {name}": query
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    for name, query in expressions(json.loads(file.read_text()))
}


class Monitored:
    """The system and its Prometheus."""

    def __init__(self, folder):
        self._folder = folder
        self.port, self.http_port, worker, exporter, self._prometheus = free_ports(5)
        self.server = EmbeddedServer(folder / "data", self.port)
        self.processes = {}
        self._commands = {
            "worker": ("--cache", str(folder / "cache"), "--metrics-port", str(worker)),
            "web": ("--port", str(self.http_port)),
            "metrics": ("--port", str(exporter)),
        }
        self._ports = {"8390": self.http_port, "9391": worker, "9390": exporter}

    def start(self):
        self.server.start()
        with self.client() as client:
            ingest(client, [ARTICLES])
            store_vocabulary(client, load_vocabulary(DEMO).vocabulary)
        for command in self._commands:
            self.start_one(command)
        self._start_prometheus()

    def start_one(self, command):
        url = f"valkey://{LOOPBACK}:{self.port}"
        arguments = (sys.executable, "-m", "keymiss", command, *self._commands[command])
        with (self._folder / f"{command}.log").open("a") as log:
            self.processes[command] = subprocess.Popen([*arguments, "--url", url], stderr=log)

    def _start_prometheus(self):
        config = shortened((DEPLOY / "prometheus.yml").read_text()).replace("15s", "1s")
        for usual, port in self._ports.items():
            config = config.replace(f":{usual}", f":{port}")
        (self._folder / "prometheus.yml").write_text(config)
        (self._folder / "alerts.yml").write_text(shortened((DEPLOY / "alerts.yml").read_text()))
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}",
            f"--web.listen-address={LOOPBACK}:{self._prometheus}",
        ]
        with (self._folder / "prometheus.log").open("w") as log:
            self.processes["prometheus"] = subprocess.Popen(command, stderr=log)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            process.wait(20)
        self.server.stop()

    def client(self):
        return valkey.Valkey(LOOPBACK, self.port)

    def ask(self, question):
        return HTTP.post(f"http://{LOOPBACK}:{self.http_port}/qasearch", json={"search": question})

    def _prometheus_says(self, path, **parameters):
        url = f"http://{LOOPBACK}:{self._prometheus}/api/v1/{path}"
        try:
            return HTTP.get(url, params=parameters).json()["data"]
        except (httpx.TransportError, json.JSONDecodeError):
            return {"result": [], "alerts": []}

    def values(self, query):
        found = self._prometheus_says("query", query=shortened(query))["result"]
        return [each["value"][1] for each in found]

    def is_firing(self, alert):
        return any(
            each["labels"]["alertname"] == alert and each["state"] == "firing"
            for each in self._prometheus_says("alerts")["alerts"]
        )


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian's package of that name)")
    system = Monitored(tmp_path_factory.mktemp("monitored"))
    try:
        system.start()
        wait_for(lambda: is_answered(system))
        yield system
    finally:
        system.stop()


def is_answered(system):
    try:
        return system.ask("How does measles spread?").status_code == 200
    except httpx.TransportError:
        return False


class Load:
    """Asks questions, function keys, and keys that make no sense, until the block ends."""

    def __init__(self, system):
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self._stop.set()
        self._thread.join()

    def _run(self):
        questions = [question.text for question in load_questions()]
        with self._system.client() as client:
            while not self._stop.is_set():
                for question in questions[:10]:
                    self._system.ask(question)
                    try_get(client, "keymiss:qa{a}_no:{a}:1_sense")
                questions = questions[1:] + questions[:1]


def try_get(client, key):
    try:
        return client.get(key)
    except valkey.ValkeyError:
        return None


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_SECONDS} seconds"
        time.sleep(0.2)


def test_every_panel_shows_something_under_load(monitored):
    missing = dict(QUERIES)
    with Load(monitored):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while missing and time.monotonic() < deadline:
            missing = {
                name: query
                for name, query in missing.items()
                if not any(value != "NaN" for value in monitored.values(query))
            }
    assert missing == {}


def test_documents_that_are_not_indexed_are_an_alert(monitored, tmp_path):
    assert not monitored.is_firing("KeymissIndexLag")
    (tmp_path / "later.txt").write_text("It comes later.")
    monitored.processes["worker"].send_signal(signal.SIGSTOP)
    with monitored.client() as client:
        ingest(client, [tmp_path])
        wait_for(lambda: monitored.is_firing("KeymissIndexLag"))
        monitored.processes["worker"].send_signal(signal.SIGCONT)
        forget_documents(client, [document_keys("later")])
    wait_for(lambda: not monitored.is_firing("KeymissIndexLag"))


def test_a_queue_that_grows_is_an_alert(monitored):
    monitored.processes["worker"].send_signal(signal.SIGSTOP)
    waiting = []
    try:
        while not monitored.is_firing("KeymissQueueGrowing"):
            assert len(waiting) < 2000
            for _ in range(10):
                waiting.append(socket.create_connection((LOOPBACK, monitored.port)))
                waiting[-1].sendall(b"GET keymiss:qa{a}_%d:{a}:1_Who?\r\n" % len(waiting))
            time.sleep(0.2)
    finally:
        monitored.processes["worker"].send_signal(signal.SIGCONT)
        for each in waiting:
            each.close()
    wait_for(lambda: not monitored.is_firing("KeymissQueueGrowing"))


def test_a_hit_rate_that_collapses_is_an_alert(monitored):
    (best,) = monitored.ask("Who discovered the tuberculosis bacterium?").json()["results"][:1]
    key = f"bertqa{{{best['sentencekey'].partition('{')[2].partition('}')[0]}}}_"
    key += f"{best['sentencekey']}_Who discovered the tuberculosis bacterium?"
    with monitored.client() as client:
        for _ in range(60):
            for _ in range(500):
                client.get(key)
            time.sleep(0.2)
        number = 0
        while not monitored.is_firing("KeymissHitRateCollapse"):
            assert number < 3000
            try_get(client, f"keymiss:qa{{a}}_no:{{a}}:1_sense {number}")
            number += 1
            time.sleep(0.01)


def test_a_worker_that_is_gone_and_questions_that_fail_are_alerts(monitored):
    monitored.processes["worker"].kill()
    monitored.processes["worker"].wait()
    wait_for(lambda: monitored.is_firing("KeymissNoWorker"))
    with Load(monitored):
        wait_for(lambda: monitored.is_firing("KeymissErrors"))
    monitored.start_one("worker")
    wait_for(lambda: not monitored.is_firing("KeymissNoWorker"))


def test_a_server_that_is_gone_is_an_alert(monitored):
    assert not monitored.is_firing("KeymissServerMissing")
    monitored.server.stop()
    wait_for(lambda: monitored.is_firing("KeymissServerMissing"))


def test_every_alert_has_its_entry_and_its_test():
    alerts = set(re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yml").read_text()))
    page = (DEPLOY.parent / "docs" / "metrics.md").read_text()
    tests = Path(__file__).read_text()
    assert len(alerts) == 6
    for alert in alerts:
        assert f"| `{alert}` |" in page
        assert f'is_firing("{alert}")' in tests
