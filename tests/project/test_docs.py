"""The docs are true: their commands are run, and what they list is checked against the code."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import valkey

from keymiss.asking.computed_get import explain
from keymiss.errors import KeymissError
from keymiss.operating.served_functions import parse_list
from keymiss.web.http_app import create_app
from tests.conftest import Stack

ROOT = Path(__file__).parents[2]
README_PAGE, FIRST_HOUR_PAGE = ROOT / "README.md", ROOT / "docs" / "first-hour.md"
README = README_PAGE.read_text(encoding="utf-8")
FIRST_HOUR = FIRST_HOUR_PAGE.read_text(encoding="utf-8")
FUNCTIONS = (ROOT / "docs" / "functions.md").read_text(encoding="utf-8")


UPDATES = bool(os.environ.get("UPDATE_DOCS"))


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def transcript(text):
    """(command, expected output) of every `$ command` in the console blocks."""
    for block in blocks(text, "console(?: following)?"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = part.rstrip("\n").split("\n")
            more = list(itertools.takewhile(lambda line: line.startswith(">"), rest))
            command = "\n".join([first, *(line[2:] for line in more)])
            yield command, "\n".join(rest[len(more) :])


def run(command, stack):
    words = shlex.split(command)
    words = [
        w.replace("8390", str(stack.http_port)).replace("6390", str(stack.port)) for w in words
    ]
    if words[0] == "keymiss":
        words = [sys.executable, "-m", *words, "--url", stack.url]
    elif shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    elif words[0] == "redis-cli":
        words.insert(1, "--no-raw")
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout


def are_alike(output, expected):
    if expected.startswith("{"):
        return same_answers(json.loads(output), json.loads(expected))
    # What takes how long, and with which instructions, is the machine's.
    sets = "portable|avx2|avx512[\\w-]*|amx|neon|dotprod"
    machines = rf"\d+ ms|[\d,]+ MiB|\([\d,]+ a second\)|with (?:{sets})\b"
    timeless = [re.sub(machines, "?", text).strip("\n") for text in (output, expected)]
    return timeless[0] == timeless[1]


def check(page, command, output, expected):
    """With UPDATE_DOCS, `make refit` has the page show what is printed."""
    if are_alike(output, expected):
        return
    assert UPDATES, f"{command}\nprints\n{output}\nand {page.name} shows\n{expected}"
    text = page.read_text(encoding="utf-8")
    typed = "$ " + command.replace("\n", "\n> ")
    shown = f"{typed}\n{expected}\n"
    assert text.count(shown) == 1, shown
    page.write_text(text.replace(shown, f"{typed}\n{as_shown(output, expected)}\n"))


def as_shown(output, expected):
    """JSON stays in the form in which the page has it: on one line, or on many."""
    if not expected.startswith("{"):
        return output.strip("\n")
    found = json.loads(output)
    if "\n" not in expected:
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    lines = json.dumps(found, ensure_ascii=False, indent=1)
    return re.sub(r"\{\s+([^{}]*?\"created_at\": \d+)\s+\}", one_line, lines)


def one_line(match):
    return "{" + re.sub(r"\s*\n\s*", " ", match[1]) + "}"


def same_answers(found, expected):
    """Equal but for scores and probabilities, which differ between precisions, and processors."""
    for name, close in (("score", 0.3), ("probability", 0.05)):
        values = [[result.pop(name) for result in each["results"]] for each in (found, expected)]
        if values[0] != pytest.approx(values[1], abs=close):
            return False
    return bool(found == expected)


def has_graph(stack):
    with valkey.Valkey(port=stack.port) as client:
        graph = parse_list(client.execute_command("KEYMISS.LIST")).get("links", {})
        return graph.get("workers") and client.info("keymiss")["keymiss_pending"] == 0


@pytest.mark.parametrize(("command", "expected"), list(transcript(README)))
def test_the_readmes_transcript_is_what_happens(stack, command, expected):
    # The concept graph follows a moment after the first answers.
    wait_for(lambda: has_graph(stack))
    check(README_PAGE, command, run(command, stack), expected)


def test_the_first_hour_is_what_happens(empty_stack, tmp_path):
    for name in ("redis-cli", "curl"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    shell = Shell(empty_stack, tmp_path)
    with valkey.Valkey(port=empty_stack.port) as client:
        for command, expected in transcript(FIRST_HOUR):
            if "--follow" in command:
                following = shell.start(command)
                assert following.stderr.readline() == expected + "\n"
                continue
            # Index and tokens follow a moment after what was written.
            wait_for(lambda: client.info("keymiss")["keymiss_pending"] == 0)
            done = shell.start(command)
            output, errors = done.communicate(timeout=30)
            assert done.returncode == 0, (command, output, errors)
            check(FIRST_HOUR_PAGE, command, output, expected)
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 0
    following.communicate()


@dataclass
class Shell:
    """A shell in a folder, as somebody has it open beside `keymiss serve`."""

    stack: Stack
    folder: Path

    def start(self, command):
        ports = {"8390": str(self.stack.http_port), "6390": str(self.stack.port)}
        for usual, port in ports.items():
            command = command.replace(usual, port)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [
                "bash",
                "-c",
                "exec " * ("--follow" in command) + command.replace("-cli", "-cli --no-raw"),
            ],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "KEYMISS_URL": self.stack.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def test_the_readmes_reader_example_runs():
    (source,) = [block for block in blocks(README, "python") if "Reader" in block]
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


def test_the_examples_of_the_readers_page_run():
    page = (ROOT / "docs" / "reader.md").read_text(encoding="utf-8")
    source = "\n".join(blocks(page, "python"))
    assert "pipeline(" in source
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


def test_the_example_of_the_functions_page_does_what_it_shows(stack, tmp_path):
    source = blocks(FUNCTIONS, "python")[0]
    assert len(source.splitlines()) <= 17
    (tmp_path / "weather.py").write_text(source)
    worker = subprocess.Popen(
        [sys.executable, "-m", "keymiss", "worker", "--app", "weather", "--url", stack.url],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    with valkey.Valkey(port=stack.port) as client:
        try:
            wait_for(lambda: parse_list(client.execute_command("KEYMISS.LIST")).get("celsius"))
            for command, expected in transcript(FUNCTIONS):
                # The mean follows a moment after the readings.
                wait_for(lambda c=command, e=expected: run(c, stack).strip() == e)
        finally:
            worker.kill()
            worker.wait()
            for name in ("celsius", "mean"):
                client.execute_command("KEYMISS.FORGET", name)


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


MODULE = "".join(
    path.read_text() for path in sorted((ROOT / "src/keymiss/server/module").glob("*.[ch]"))
)
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def found(pattern, text=MODULE):
    names = set(re.findall(pattern, text))
    assert names, pattern
    return sorted(names)


@pytest.mark.parametrize("name", found(r'\{"(KEYMISS\.[A-Z]+)"'))
def test_every_command_of_the_module_has_its_entry(name):
    assert f"`{name}" in COMMANDS or f"### {name} " in COMMANDS


@pytest.mark.parametrize("name", found(r'text_is\((?:arguments\[i\]|option), "([A-Z]+)"\)'))
def test_every_option_has_its_entry(name):
    assert re.search(rf"^\| `{name}[ `]", COMMANDS, re.MULTILINE)


def errors():
    """The words behind KEYMISS, and those that are put there: refuse, fail_items, drain."""
    whole = found(r'"KEYMISS ([a-z]+)')
    return {*whole, *found(r'(?:refuse|fail_items|drain|snprintf)\([^"]*?"([a-z]+) ')}


@pytest.mark.parametrize("word", sorted(errors()))
def test_every_error_has_its_entry(word):
    assert f"\n| `{word}` |" in COMMANDS


@pytest.mark.parametrize("word", found(r"(?m)^\| `(\w+)` \| client[, ]", COMMANDS))
def test_every_error_of_a_client_has_a_class(word):
    assert word == "failed" or type(explain(f"KEYMISS {word} x")) is not KeymissError


@pytest.mark.parametrize("name", found(r'\{?"(max-[a-z-]+|functions)",'))
def test_every_setting_has_its_entry(name):
    assert f"\n| `keymiss.{name}` |" in COMMANDS


def counters():
    lists = re.findall(r"define COUNTERS\w*\(X\)(.*?[^\\])\n", MODULE, re.DOTALL)
    return found(r"X\((\w+)\)", "".join(lists))


@pytest.mark.parametrize("name", counters())
def test_every_counter_has_its_entry(name):
    assert f"\n| `{name}` |" in COMMANDS


@pytest.mark.parametrize(
    "name", found(r'(?:list_text|list_number)\(ctx, "(\w+)"|InfoAddFieldLongLong\(info, "(\w+)"')
)
def test_every_field_has_its_entry(name):
    assert f"`{name[0] or name[1]}`" in COMMANDS


def test_the_commands_page_lists_nothing_that_is_not_there():
    for command in re.findall(r"^### (KEYMISS\.[A-Z]+)", COMMANDS, re.MULTILINE):
        assert f'"{command}"' in MODULE
    for setting in re.findall(r"^\| `keymiss\.([a-z-]+)`", COMMANDS, re.MULTILINE):
        assert f'"{setting}"' in MODULE


def test_every_route_and_status_has_its_entry():
    http = (ROOT / "docs" / "http.md").read_text()
    described = create_app("valkey://127.0.0.1:1", "a secret of the tests").openapi()
    for path in described["paths"]:
        assert path in http
    for status in ("400", "404", "413", "422", "503", "504"):
        assert f"| {status}" in http or f"{status}," in http


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
