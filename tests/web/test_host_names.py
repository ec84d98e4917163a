"""On loopback, who asks for another name than the machine's own is a page of another site."""

import httpx
import pytest
from fastapi.testclient import TestClient

from keymiss.web.http_app import create_app

SECRET = "a secret of the tests"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:{port}", "LOCALHOST:{port}", "[::1]:1"])
def test_a_loopback_server_is_asked_by_its_names(stack, host):
    reply = httpx.get(f"{stack.http}/health/live", headers={"Host": host.format(port=stack.port)})
    assert reply.status_code == 200


@pytest.mark.parametrize("host", ["site.example", "localhost.site.example:80", "", "[", "a]:b"])
def test_a_page_of_another_site_cannot_have_its_name_lead_here(stack, host):
    reply = httpx.get(f"{stack.http}/health/live", headers={"Host": host})
    assert reply.status_code in (400, 422)
    assert "live" not in reply.text


def test_a_proxys_name_may_be_allowed():
    app = create_app("valkey://127.0.0.1:1", SECRET, hosts=["name.example"])
    with TestClient(app, "http://name.example") as http:
        assert http.get("/health/live").status_code == 200
    with TestClient(app, "http://other.example") as http:
        assert "--allow-host" in http.get("/health/live").json()["detail"]
