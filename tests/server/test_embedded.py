"""The embedded server: where it listens, what it keeps, what it says when it cannot start."""

import socket
from pathlib import Path

import pytest
import valkey

from keymiss.errors import SetupError
from keymiss.server.embedded_server import EmbeddedServer, free_port, module_path


def test_it_listens_on_the_loopback_interface_only(server):
    with valkey.Valkey(port=server.port) as client:
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_it_keeps_its_data_over_a_restart(tmp_path):
    server = EmbeddedServer(tmp_path, free_port())
    with server, valkey.Valkey(port=server.port) as client:
        client.set("key", "value")
    with server, valkey.Valkey(port=server.port) as client:
        assert client.get("key") == b"value"


def test_its_folder_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(Path("data"), free_port()):
        pass
    assert (tmp_path / "data" / "valkey.log").exists()


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port} cannot be used"):
            EmbeddedServer(tmp_path, port).start()


def test_a_server_that_cannot_start_says_why(tmp_path):
    with pytest.raises(SetupError, match="valkey-server did not start"):
        EmbeddedServer(tmp_path, free_port(), ("--no-such-option", "1")).start()


def test_functions_stay_registered_over_a_restart(tmp_path):
    server = EmbeddedServer(tmp_path, free_port())
    with server, valkey.Valkey(port=server.port) as client:
        client.execute_command("KEYMISS.SERVE", "echo", "ON", "MISS", "PREFIX", "echo:")
    with server, valkey.Valkey(port=server.port) as client:
        assert [function[1] for function in client.execute_command("KEYMISS.LIST")] == [b"echo"]


def test_loading_the_module_twice_is_refused_and_harmless(tmp_path):
    options = ("--enable-module-command", "yes")
    with EmbeddedServer(tmp_path, free_port(), options) as server:
        with valkey.Valkey(port=server.port) as client:
            client.execute_command("KEYMISS.SERVE", "echo", "ON", "MISS", "PREFIX", "echo:")
            with pytest.raises(valkey.ResponseError, match="Error loading"):
                client.execute_command("MODULE", "LOAD", str(module_path()))
            assert client.info("keymiss")["keymiss_functions"] == 1
