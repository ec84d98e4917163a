"""Following keys: documents change with their keys, and are forgotten with them."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keymiss import functions
from keymiss.corpus.followed_keys import follow_function
from keymiss.corpus.ingest import ingest
from keymiss.corpus.key_documents import KeyPattern
from keymiss.errors import SetupError
from keymiss.keys import document_keys

KEYS = KeyPattern("doc:", "body")


@pytest.fixture
def sentences(client, raw):
    """The sentences of the document of a key."""
    return lambda key: client.hvals(document_keys(key).sentences)


@pytest.fixture
def follow(raw, serve):
    """Follows in the background; what it reports is in the list."""
    reports = []

    def start(keys=KEYS, accept=lambda document: True):
        serve(follow_function(raw, keys, accept, reports.append))
        return reports

    return start


def test_what_is_there_is_stored_and_what_is_written_follows(client, sentences, follow, eventually):
    client.hset("doc:a", "body", "One.")
    follow()
    assert sentences("doc:a") == ["One."]
    client.hset("doc:a", "body", "Two.")
    client.hset("doc:b", "body", "Three.")
    eventually(lambda: (sentences("doc:a"), sentences("doc:b")) == (["Two."], ["Three."]))


def test_strings_are_followed_as_well(client, sentences, follow, eventually):
    follow(KeyPattern("note:"))
    client.set("note:a", "One.")
    eventually(lambda: sentences("note:a") == ["One."])
    client.append("note:a", " Two.")
    eventually(lambda: sentences("note:a") == ["One.", "Two."])


@pytest.mark.parametrize(
    "removing",
    [
        lambda client: client.delete("doc:a"),
        lambda client: client.hdel("doc:a", "body"),
        lambda client: client.rename("doc:a", "elsewhere"),
        lambda client: client.pexpire("doc:a", 1),
        lambda client: client.set("doc:a", "a string"),
        lambda client: client.hset("doc:a", "body", ""),
    ],
)
def test_a_key_without_text_has_no_document(client, sentences, follow, eventually, removing):
    client.hset("doc:a", mapping={"body": "One.", "title": "t"})
    client.hset("doc:b", "body", "Two.")
    reports = follow()
    removing(client)
    eventually(lambda: sum(report.forgotten for report in reports) == 1)
    assert client.keys("keymiss:document:*") == [document_keys("doc:b").facts]


def test_what_went_while_nobody_followed_is_found(server, client, raw, sentences, follow):
    for name in ("doc:a", "doc:b", "doc:c"):
        client.hset(name, "body", "One.")
    started = subprocess.Popen(
        command(server, "--keys", "doc:*", "--field", "body", "--follow"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stderr.readline() == "following doc:*; Ctrl-C ends\n"
    started.kill()
    started.communicate()
    client.delete("doc:a")
    client.hset("doc:b", "body", "Two.")
    (report,) = [report for report in follow() if report.stored or report.forgotten]
    assert (report.stored, report.unchanged, report.forgotten) == (1, 1, 1)
    assert [sentences(f"doc:{name}") for name in "abc"] == [[], ["Two."], ["One."]]


def test_a_document_from_a_file_is_not_forgotten_with_a_key_of_its_name(
    client, raw, sentences, follow, eventually, tmp_path
):
    (tmp_path / "a.jsonl").write_text('{"id": "doc:a", "text": "One."}\n')
    ingest(raw, [tmp_path])
    reports = follow()
    client.hset("doc:a", "other", "x")
    client.delete("doc:a")
    eventually(lambda: reports and reports[-1].problems == [])
    assert sentences("doc:a") == ["One."]


def test_documents_that_are_not_accepted_are_forgotten(client, sentences, follow, eventually):
    follow(accept=lambda document: "no" not in document.paragraphs[0])
    client.hset("doc:a", "body", "One.")
    eventually(lambda: sentences("doc:a") == ["One."])
    client.hset("doc:a", "body", "no.")
    eventually(lambda: sentences("doc:a") == [])


def test_answers_from_the_old_text_are_dropped(client, raw, sentences, follow, eventually):
    client.hset("doc:a", "body", "One.")
    follow()
    client.set("keymiss:qa{x}_a:{x}:0_cached", "old")
    client.zadd(document_keys("doc:a").answers, {"keymiss:qa{x}_a:{x}:0_cached": 9e12})
    client.hset("doc:a", "body", "Two.")
    eventually(lambda: sentences("doc:a") == ["Two."])
    assert not client.exists("keymiss:qa{x}_a:{x}:0_cached")


def test_two_followers_end_with_the_same(client, sentences, follow, eventually):
    follow()
    follow()
    for number in range(200):
        client.hset("doc:a", "body", f"Number {number}.")
    eventually(lambda: sentences("doc:a") == ["Number 199."])
    eventually(lambda: client.info("keymiss")["keymiss_pending"] == 0)
    assert sentences("doc:a") == ["Number 199."]


def test_keys_that_a_function_computes_cannot_be_followed(server, raw, serve):
    @functions.on_miss("doc:computed:")
    def compute(events):
        return ["computed"] * len(events)

    serve(compute)
    follower = follow_function(raw, KEYS, lambda document: True, lambda report: None)
    with pytest.raises(SetupError, match="refuses the function 'follow:doc:'"):
        asyncio.run(functions.serve([follower], server.url, asyncio.Event()))


def test_the_documented_rights_suffice(server, client, raw, eventually, sentences):
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    ingest_rights, rights = (
        re.search(rf"^\| {user}[^|]*\|[^`]*`([^`]+)`", page, re.MULTILINE)[1]
        for user in ("ingest", "follower")
    )
    rights = f"{ingest_rights} {rights}".replace("\\|", "|").split()
    raw.execute_command("ACL", "SETUSER", "follower", "reset", "on", ">p", *rights)
    try:
        for name in ("doc:a", "doc:b"):
            client.hset(name, "body", "One.")
        url = f"valkey://follower:p@127.0.0.1:{server.port}"
        arguments = ("--keys", "doc:*", "--field", "body", "--follow", "--url", url)
        process = subprocess.Popen(
            [sys.executable, "-m", "keymiss", "ingest", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr.readline() == "following doc:*; Ctrl-C ends\n"
        client.hset("doc:a", "body", "Two.")
        client.delete("doc:b")
        eventually(lambda: (sentences("doc:a"), sentences("doc:b")) == (["Two."], []))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
        raw.execute_command("ACL", "DELUSER", "follower")


def command(server, *arguments):
    return [sys.executable, "-m", "keymiss", "ingest", *arguments, "--url", server.url]


def test_the_command_reports_every_change_and_ends_by_ctrl_c(server, client):
    arguments = ("--keys", "doc:*", "--field", "body", "--follow", "--json")
    client.hset("doc:a", "body", "One. Two.")
    process = subprocess.Popen(
        command(server, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first = json.loads(process.stdout.readline())
        assert (first["stored"], first["sentences"]) == (1, 2)
        assert process.stderr.readline() == "following doc:*; Ctrl-C ends\n"
        client.set("doc:b", "no hash")
        assert "cannot be read as a hash" in json.loads(process.stdout.readline())["problems"][0]
        client.delete("doc:a")
        assert json.loads(process.stdout.readline())["forgotten"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("prefix", ["keym", "bertqa{a", "ber"])
def test_a_prefix_that_our_functions_have_too_is_not_followed(raw, prefix):
    with pytest.raises(SetupError, match="cannot be followed"):
        follow_function(raw, KeyPattern(prefix), lambda document: True, lambda report: None)
