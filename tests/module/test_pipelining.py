"""Pipelined connections: replies come in order, and one miss is computed after the other."""

import threading

import valkey


def test_pipelined_misses_are_answered_in_their_order(server, worker):
    with valkey.Valkey(port=server.port) as client:
        client.set("other", "x")
        client.set("echo:there", "stored")
        pipeline = client.pipeline(transaction=False)
        for key in ("echo:a", "other", "echo:there", "echo:b", "nothing", "echo:a"):
            pipeline.get(key)
        stop = threading.Event()

        def work():
            while not stop.is_set():
                for item in worker.take(block=20):
                    worker.answer(item, item.key.upper())

        working = threading.Thread(target=work)
        working.start()
        try:
            replies = pipeline.execute()
        finally:
            stop.set()
            working.join()
    assert replies == [b"ECHO:A", b"x", b"stored", b"ECHO:B", None, b"ECHO:A"]


def test_a_connection_waits_for_one_miss_at_a_time(server, worker, counters, eventually):
    with valkey.Valkey(port=server.port, single_connection_client=True) as client:
        link = client.connection
        link.send_packed_command(link.pack_commands([("GET", "echo:a"), ("GET", "echo:b")]))
        first = worker.take()
        assert [item.key for item in first] == ["echo:a"]
        assert counters()["pending"] == 1
        worker.answer(first[0], "a")
        second = worker.take()
        assert [item.key for item in second] == ["echo:b"]
        worker.answer(second[0], "b")
        assert [link.read_response(), link.read_response()] == [b"a", b"b"]


def test_an_error_leaves_the_rest_of_the_pipeline_alone(server, worker):
    with valkey.Valkey(port=server.port, single_connection_client=True) as client:
        link = client.connection
        link.send_packed_command(link.pack_commands([("GET", "echo:a"), ("PING",)]))
        worker.fail(worker.take_one(), "ValueError: no")
        error = link.read_response() if False else _read(link)
        assert str(error) == "KEYMISS failed ValueError: no"
        assert link.read_response() == b"PONG"


def _read(link):
    try:
        return link.read_response()
    except valkey.ResponseError as error:
        return error
