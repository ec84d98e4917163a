"""The web server when something behind it is missing: 503, never a traceback."""

import pytest
from fastapi.testclient import TestClient

from keymiss.web.http_app import create_app


@pytest.fixture(params=["no server", "no worker"])
def url(request):
    if request.param == "no server":
        return "valkey://127.0.0.1:1"
    return request.getfixturevalue("server").url


def test_asking_is_503(url):
    with TestClient(create_app(url, "a secret of the tests")) as http:
        unavailable(http.post("/qasearch", json={"search": "Who?"}))
        unavailable(http.post("/search", json={"search": "measles"}))
        unavailable(http.get("/edge/edges:K0001:K0002"))


def test_ready_is_503_and_live_is_200(url):
    with TestClient(create_app(url, "a secret of the tests")) as http:
        unavailable(http.get("/health/ready"))
        assert http.get("/health/live").status_code == 200


def unavailable(reply):
    assert reply.status_code == 503
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["title"] == "Service Unavailable"
