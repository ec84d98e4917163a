"""Pages are easy to read, and what they say of files is true."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "keymiss"
ENGINE = PACKAGE / "reader" / "engine"
LONGEST_LINE = 100


def pages():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # The demo's articles and the models' cards are data.
    return [ROOT / name for name in listed if "/demo/" not in name and "/models/" not in name]


def prose(page):
    """The lines of a page that are neither tables nor code, with their numbers."""
    in_code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("|"):
            yield number, line


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_are_not_longer_than_a_screen(page):
    # A link or an image may be longer than a line by itself.
    long = [
        number
        for number, line in prose(page)
        if len(line) > LONGEST_LINE and len(re.sub(r"\]\([^)]*\)", "]", line)) > LONGEST_LINE
    ]
    assert not long, f"{page.name}: lines {long}"


def paths(text):
    """The files and folders that a page names, as it writes them."""
    found = re.findall(r"`([\w/]+(?:\.(?:py|c|h|lua|md)|/))`", text)
    return sorted({name for name in found if "NAME" not in name and "FOLDER" not in name})


@pytest.mark.parametrize("name", ["docs/design.md", "CONTRIBUTING.md"])
def test_the_files_that_a_page_names_are_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    places = (ROOT, PACKAGE, PACKAGE / "server" / "module", PACKAGE / "reader", ENGINE)
    missing = [
        named for named in paths(text) if not any((place / named).exists() for place in places)
    ]
    assert not missing


def test_a_change_of_a_kind_that_comes_often_touches_six_files_at_most():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = text[text.index("## Where to put what") : text.index("## A question's way")]
    rows = dict(re.findall(r"^\| ((?:a|an) [^|]+) \| ([^|]+) \|$", table, re.MULTILINE))
    for wanted in ("a page for people", "a command", "a way of finding", "an engine"):
        assert 1 <= len(paths(rows[wanted])) <= 6, wanted


def test_every_room_has_its_line_in_the_design():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for path in PACKAGE.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if not name.startswith("__") and name != "py.typed":
            assert f"`{name}`" in text, name
