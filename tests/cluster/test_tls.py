"""Everything works over TLS, with a password, against a cluster of Debian's redis-server."""

import asyncio
import shutil
import subprocess
from functools import partial

import pytest
import valkey

from keymiss.application import load_application
from keymiss.asking.answers import ask
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest
from keymiss.functions import serve
from keymiss.server.client import connect
from keymiss.server.embedded_server import LOOPBACK, free_ports, module_path
from keymiss.server.servers import Servers
from tests.cluster.load import wait_for


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ("-subj", "/CN=keymiss", "-addext", f"subjectAltName=IP:{LOOPBACK}")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def url(tmp_path, certificate):
    """Two primaries that listen on TLS ports only, half of the slots each."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    file, key = certificate
    clients, processes = [], []
    for number, port in enumerate(free_ports(2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        options = {
            "port": 0,
            "tls-port": port,
            "tls-cluster": "yes",
            "tls-auth-clients": "no",
            "tls-cert-file": file,
            "tls-key-file": key,
            "tls-ca-cert-file": file,
            "requirepass": "secret",
            "masterauth": "secret",
            "cluster-enabled": "yes",
            "cluster-port": free_ports(1)[0],
            "dir": folder,
            "save": "",
            "loadmodule": module_path(),
        }
        words = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        processes.append(subprocess.Popen([program, *words], stdout=subprocess.DEVNULL))
        location = f"valkeys://:secret@{LOOPBACK}:{port}?ssl_ca_certs={file}"
        clients.append((valkey.Valkey.from_url(location), port, location))
    for client, _, _ in clients:
        wait_for(partial(_answers, client))
    (first, _, location), (second, port, _) = clients
    first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
    second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
    second.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
    bus = second.config_get("cluster-port")["cluster-port"]
    first.execute_command("CLUSTER", "MEET", LOOPBACK, port, bus)
    for client, _, _ in clients:
        wait_for(partial(_is_ok, client))
    yield location
    for process in processes:
        process.terminate()
        process.wait(10)
    for client, _, _ in clients:
        client.close()


def _is_ok(client):
    return client.cluster("INFO")["cluster_state"] == "ok"


def _answers(client):
    try:
        return client.ping()
    except valkey.ConnectionError:
        return False


def test_articles_are_stored_indexed_and_asked_over_tls(url):
    with connect(url) as client:
        assert ingest(client, [ARTICLES]).stored == 20

    async def ask_while_served():
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(serve(load_application().functions, url, stop, ready.set))
        await asyncio.wait_for(ready.wait(), 60)
        async with Servers(url) as servers:
            found = await ask(servers, "Who discovered the tuberculosis bacterium?")
        stop.set()
        await serving
        return found

    found = asyncio.run(ask_while_served())
    assert found.complete
    assert found.answers[0].text == "Robert Koch"
