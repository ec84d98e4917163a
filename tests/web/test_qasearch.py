"""POST /qasearch: the stated shape, and problem details for everything that is wrong."""

import asyncio
import socket
import time

import httpx
import pytest


@pytest.fixture
def http(stack):
    with httpx.Client(base_url=stack.http, timeout=20) as http:
        yield http


def test_the_answer_has_the_stated_shape_and_is_ranked(http):
    reply = http.post("/qasearch", json={"search": "How does pertussis spread?"})
    assert reply.status_code == 200
    body = reply.json()
    assert set(body) == {"links", "results", "answered", "complete"}
    assert body["complete"] is True
    assert body["results"]
    for result in body["results"]:
        assert set(result) == {
            *("answer", "sentence", "sentencekey", "title", "score", "probability", "start", "end"),
        }
        assert result["sentence"][result["start"] : result["end"]] == result["answer"]
    assert body["answered"] is True
    probabilities = [result["probability"] for result in body["results"]]
    assert probabilities[0] == max(probabilities)


def test_effort_is_low_normal_or_high(http):
    asked = {"search": "How does pertussis spread?", "effort": "high"}
    assert http.post("/qasearch", json=asked).json()["results"]
    refused = http.post("/qasearch", json=asked | {"effort": "enormous"})
    assert refused.status_code == 422


def test_what_is_not_likely_is_no_answer(http):
    body = http.post("/qasearch", json={"search": "Who won the cup final in 1966?"}).json()
    assert body["answered"] is False


def test_a_word_that_no_text_has_is_no_answer(http):
    reply = http.post("/qasearch", json={"search": "Zyzzyva?"})
    assert (reply.status_code, reply.json()["answered"]) == (200, False)


@pytest.mark.parametrize("question", ["Who_{}:\n?", "\0", "😀", "' OR 1=1 --", "%7B%0d%0a"])
def test_questions_may_hold_anything(http, question):
    assert http.post("/qasearch", json={"search": question}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "send"),
        (b"{broken", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[]", 422, "send"),
        (b"null", 422, "send"),
        (b"{}", 422, "body.search"),
        (b'{"search": 7}', 422, "body.search"),
        (b'{"search": null}', 422, "body.search"),
        (b'{"search": ["x"]}', 422, "body.search"),
        (b'{"search": ""}', 422, "the question is empty"),
        (b'{"search": " \\n\\t"}', 422, "the question is empty"),
        (b'{"search": "\\ud800"}', 422, ""),
        (b'{"search": "' + b"x" * 5000 + b'"}', 413, "the limit is 2048"),
        (b'{"search": "' + b"x" * 100_000 + b'"}', 413, "more than 16384 bytes"),
        (b"[" * 16000, 400, ""),
    ],
)
def test_bad_input_is_a_problem(http, body, status, detail):
    reply = http.post("/qasearch", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    is_problem(reply, status, detail)


@pytest.mark.parametrize("name", ["other", "keymiss_visitor"])
def test_cookies_that_are_slow_to_read_hold_up_nobody(http, name):
    cookie = f'{name}="' + "\\" * 30_000 + '"'
    started = time.monotonic()
    reply = http.post("/qasearch", json={"search": "Zyzzyva?"}, headers={"cookie": cookie})
    assert reply.status_code == 200
    assert time.monotonic() - started < 1


def test_a_large_body_of_unknown_length_is_refused(http):
    reply = http.post("/qasearch", content=(b"x" * 4096 for _ in range(100)))
    is_problem(reply, 413, "more than 16384 bytes")


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /", b"x" * 1000),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 1000),
        (b"GET / HTTP/1.1\r\n", b"X: x\r\n" * 100),
    ],
    ids=["path", "header", "headers"],
)
def test_a_head_without_end_is_refused_early(stack, start, part):
    with socket.create_connection(("127.0.0.1", stack.http_port), timeout=10) as connection:
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            connection.sendall(part * 10_000)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/qasearch", 405), ("GET", "/nothing", 404)]
)
def test_wrong_routes_are_problems(http, method, path, status):
    is_problem(http.request(method, path), status, path)


def is_problem(reply, status, detail):
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert detail in body["detail"]
    assert "Traceback" not in reply.text


def test_health(http):
    assert http.get("/health/live").json() == {"status": "live"}
    assert http.get("/health/ready").json() == {"status": "ready"}


def test_the_openapi_description_names_the_routes_and_their_problems(http):
    paths = http.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        *("/qasearch", "/search", "/edge/{name}", "/exclude", "/exclude/{concept}"),
        *("/health/live", "/health/ready", "/metrics"),
    }
    assert {"200", "400", "413", "422", "503", "504"} <= set(
        paths["/qasearch"]["post"]["responses"]
    )


def test_it_listens_on_the_loopback_interface_only(stack):
    others = [
        str(address[4][0])
        for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        if not str(address[4][0]).startswith("127.")
    ]
    for address in others:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, stack.http_port), timeout=2)


def test_too_many_questions_are_refused_and_the_others_answered(stack):
    async def ask_all():
        async with httpx.AsyncClient(base_url=stack.http, timeout=30) as http:
            asked = (http.post("/qasearch", json={"search": f"Who is {n}?"}) for n in range(90))
            return await asyncio.gather(*asked)

    replies = asyncio.run(ask_all())
    answered = [reply for reply in replies if reply.status_code == 200]
    assert answered
    for reply in replies:
        if reply.status_code == 504:  # a slow machine
            is_problem(reply, 504, "no answer within")
        elif reply not in answered:
            is_problem(reply, 503, "too many questions wait")
