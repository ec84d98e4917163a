"""/search, /edge and /exclude: the old API's answers, cleaned."""

import asyncio
import time

import httpx
import pytest
import valkey
from fastapi.testclient import TestClient

from keymiss.asking.concept_links import neighbourhood_if_any
from keymiss.errors import SetupError
from keymiss.graph.neighbourhood import Neighbourhood
from keymiss.server.servers import Servers
from keymiss.web.http_app import create_app
from keymiss.web.visitors import secret_from_environment

SEARCH = {"search": "Does the measles vaccine protect children?"}
SECRET = "a secret of the tests"


@pytest.fixture
def http(stack):
    with httpx.Client(base_url=stack.http, timeout=20) as http:
        wait_for_the_graph(http)
        yield http


def wait_for_the_graph(http):
    """It comes a moment after the first answers; then there are all twenty articles."""
    deadline = time.monotonic() + 15
    while True:
        reply = http.post("/search", json={"search": "children"})
        if reply.status_code == 200 and sum(link["rank"] for link in reply.json()["links"]) > 80:
            return
        assert time.monotonic() < deadline, reply.text
        time.sleep(0.1)


def ids(found):
    return [node["id"] for node in found["nodes"]]


def test_a_search_names_concepts_and_their_links(http):
    reply = http.post("/search", json=SEARCH)
    assert reply.status_code == 200
    found = reply.json()
    assert set(found) == {"nodes", "links", "years", "complete"}
    assert found["complete"] is True
    asked = [node["name"] for node in found["nodes"][:2]]
    assert asked == ["measles vaccine", "children"]
    assert all(set(node) == {"id", "name", "type", "rank"} for node in found["nodes"])
    ranks = [link["rank"] for link in found["links"]]
    assert ranks == sorted(ranks, reverse=True)
    for link in found["links"]:
        assert set(link) == {"source", "target", "rank", "created_at"}
        assert {link["source"], link["target"]} & set(ids(found)[:2])
        assert {link["source"], link["target"]} <= set(ids(found))
    assert found["years"] == [2026]


def test_get_and_post_say_the_same(http):
    wanted = {**SEARCH, "limit": 3, "years": [2026]}
    posted = http.post("/search", json=wanted).json()
    assert len(posted["links"]) == 3
    assert http.get("/search", params=wanted).json() == posted


def test_years_restrict_what_counts(http):
    found = http.post("/search", json={**SEARCH, "years": [1999]}).json()
    assert (found["links"], found["years"]) == ([], [])
    assert len(found["nodes"]) == 2


def test_an_edge_gives_its_best_sentences_one_of_each_article(http):
    links = http.post("/search", json={"search": "fever", "limit": 400}).json()["links"]
    edges = {f"{link['source']}:{link['target']}": link["rank"] for link in links}
    replies = {edge: http.get(f"/edge/edges:{edge}", params={"limit": 100}) for edge in edges}
    edge, reply = max(replies.items(), key=lambda pair: len(pair[1].json()["results"]))
    found = reply.json()
    assert found["complete"] is True
    assert found["years"] == [2026]
    articles = [each["sentencekey"].partition(":")[0] for each in found["results"]]
    assert 1 < len(articles) == len(set(articles)) <= edges[edge]
    assert all(set(each) == {"title", "sentence", "sentencekey"} for each in found["results"])
    assert all("fever" in each["sentence"].casefold() for each in found["results"])
    turned = http.get(f"/edge/{':'.join(reversed(edge.split(':')))}", params={"limit": 1}).json()
    assert turned["results"] == found["results"][:1]


def test_answers_come_with_the_links_of_the_question(http):
    found = http.post("/qasearch", json={"search": "How does measles spread?"}).json()
    assert 0 < len(found["links"]) <= 20
    first = found["links"][0]
    assert set(first) == {"source", "target", "rank", "created_at"}
    assert first["created_at"] == 2026


def test_what_a_visitor_excludes_is_gone_from_that_visitors_searches(http):
    before = http.post("/search", json=SEARCH).json()
    unwanted = before["nodes"][0]["id"]
    reply = http.post("/exclude", json={"id": unwanted})
    assert reply.json() == {"excluded": [unwanted]}
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    after = http.post("/search", json=SEARCH).json()
    assert unwanted not in ids(after)
    assert all(unwanted not in (link["source"], link["target"]) for link in after["links"])
    asked = http.post("/qasearch", json=SEARCH).json()
    assert all(unwanted not in (link["source"], link["target"]) for link in asked["links"])
    # Strangers see all, and so does the visitor once it is taken back.
    assert httpx.post(f"{http.base_url}/search", json=SEARCH).json() == before
    assert http.delete(f"/exclude/{unwanted}").json() == {"excluded": []}
    assert http.post("/search", json=SEARCH).json() == before


@pytest.mark.parametrize("forged", ["", "x", "x.y", "a" * 4000, "Zm9v.\xff"])
def test_a_cookie_that_we_have_not_signed_is_a_strangers(http, forged):
    headers = {"Cookie": f"keymiss_visitor={forged}".encode("latin-1")}
    assert http.post("/search", json=SEARCH, headers=headers).status_code == 200
    assert http.delete("/exclude/K0001", headers=headers).json() == {"excluded": []}


def test_a_visitor_is_known_among_cookies_of_others(http):
    http.post("/exclude", json={"id": "K0001"})
    (own,) = http.cookies.jar
    cookies = f'a="b; c"; {own.name}={own.value};d=e'
    reply = httpx.delete(f"{http.base_url}/exclude/K0002", headers={"cookie": cookies})
    assert reply.json() == {"excluded": ["K0001"]}


def test_a_visitor_excludes_thirty_at_most(http):
    for number in range(30):
        assert http.post("/exclude", json={"id": f"K{number}"}).status_code == 200
    reply = http.post("/exclude", json={"id": "K30"})
    assert (reply.status_code, reply.json()["detail"][:2]) == (422, "30")
    assert len(reply.request.headers["cookie"]) < 4096


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/search", {}, 422),
        ("POST", "/search", {"search": ""}, 422),
        ("POST", "/search", {"search": "x" * 3000}, 413),
        ("POST", "/search", {"search": "measles", "years": ["x"]}, 422),
        ("POST", "/search", {"search": "measles", "limit": 0}, 422),
        ("POST", "/search", {"search": "measles", "limit": 401}, 422),
        ("GET", "/search", None, 422),
        ("GET", "/edge/measles", None, 422),
        ("GET", "/edge/edges:K0001", None, 422),
        ("GET", "/edge/edges:K0001:NONE", None, 404),
        ("GET", "/edge/edges:K}{:K0001", None, 422),
        ("POST", "/exclude", {"id": ""}, 422),
        ("POST", "/exclude", {"id": "a:b"}, 422),
        ("POST", "/exclude", {"id": "x" * 65}, 422),
        ("POST", "/exclude", {}, 422),
    ],
)
def test_bad_input_is_a_problem(http, method, path, body, status):
    reply = http.request(method, path, json=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]


def test_without_a_vocabulary_there_is_no_graph_and_answers_come_all_the_same(empty_stack):
    with httpx.Client(base_url=empty_stack.http) as http:
        reply = http.post("/search", json=SEARCH)
        assert (reply.status_code, "vocabulary load" in reply.json()["detail"]) == (503, True)


def test_sentences_that_name_the_concepts_may_be_candidates(stack, http):
    question = {"search": "How does the pertussis bacterium spread among kids?"}
    with TestClient(create_app(stack.url, SECRET, by_concepts=True)) as by_concepts:
        found = by_concepts.post("/qasearch", json=question).json()
    assert found["results"]
    assert found["links"] == http.post("/qasearch", json=question).json()["links"]


def test_an_answer_without_its_concepts_in_time_is_incomplete(stack, http):
    question = {"search": "How does the pertussis bacterium spread among grown-ups?"}
    with TestClient(create_app(stack.url, SECRET, by_concepts=True)) as by_concepts:
        by_concepts.post("/qasearch", json={"search": "Is it connected?"})
        with valkey.Valkey(port=stack.port) as client:
            client.client_pause(1500)
        found = by_concepts.post("/qasearch", json=question).json()
        assert (found["complete"], found["links"]) == (False, [])
        again = by_concepts.post("/qasearch", json=question).json()
    assert again["complete"]
    assert again["links"]


def test_where_there_is_no_graph_no_concept_is_missing(empty_stack):
    async def asked():
        async with Servers(empty_stack.url) as servers:
            return await neighbourhood_if_any(servers, "How does measles spread?")

    assert asyncio.run(asked()) == Neighbourhood(complete=True)


def cors(http, origin):
    headers = {"Origin": origin}
    return http.get("/health/live", headers=headers).headers.get("access-control-allow-origin")


def test_other_sites_may_ask_only_where_they_are_named(stack):
    with TestClient(create_app(stack.url, SECRET)) as http:
        assert cors(http, "https://a.example") is None
    with TestClient(create_app(stack.url, SECRET, ["https://a.example"])) as http:
        assert cors(http, "https://a.example") == "https://a.example"
        assert cors(http, "https://b.example") is None


def test_the_secret_comes_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.delenv("KEYMISS_SECRET", raising=False)
    assert secret_from_environment() != secret_from_environment()
    monkeypatch.setenv("KEYMISS_SECRET", SECRET)
    assert secret_from_environment() == SECRET
    monkeypatch.setenv("KEYMISS_SECRET", "short")
    with pytest.raises(SetupError, match="fewer than 16"):
        secret_from_environment()
    (tmp_path / "secret").write_text("another secret of the tests\n")
    monkeypatch.setenv("KEYMISS_SECRET_FILE", str(tmp_path / "secret"))
    assert secret_from_environment() == "another secret of the tests"
    monkeypatch.setenv("KEYMISS_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="cannot be read"):
        secret_from_environment()
