"""The dashboards are what Grafana reads, and what their source says."""

import json
import runpy
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
MADE = runpy.run_path(str(GRAFANA / "make_dashboards.py"))


@pytest.mark.parametrize("uid", sorted(MADE["DASHBOARDS"]))
def test_a_dashboard_is_made_from_its_source_and_fits_grafanas_schema(uid):
    register_default_plugins()
    text = (GRAFANA / "dashboards" / f"{uid}.json").read_text()
    assert text == MADE["built"](uid, *MADE["DASHBOARDS"][uid])
    read = Dashboard.from_json(json.loads(text))
    # What the schema does not know would be lost on the way.
    again = json.loads(JSONEncoder().encode(read))
    for panel in again["panels"]:
        assert panel["fieldConfig"]["defaults"].pop("custom") == {}
    assert again == json.loads(text)
    assert read.panels
    assert len(read.panels) >= 6
    places = {(panel.grid_pos.x, panel.grid_pos.y) for panel in read.panels}
    assert len(places) == len(read.panels)


def test_there_are_no_others():
    files = {file.stem for file in (GRAFANA / "dashboards").glob("*.json")}
    assert files == set(MADE["DASHBOARDS"])
