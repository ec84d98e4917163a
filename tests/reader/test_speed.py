"""How long a passage takes is measured once on a machine."""

import json

from keymiss.reader import BUNDLED_FOLDER, Reader
from keymiss.reader.fake_network import fake_reader


def test_what_was_measured_is_kept_for_the_next_start(tmp_path, monkeypatch):
    reader = Reader.from_pretrained(BUNDLED_FOLDER, "fp32", threads=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reader.warm_up()
    path = tmp_path / "keymiss" / "speeds.json"
    assert json.loads(path.read_text()) == {reader.place: reader.passage_ms}
    assert 0 < reader.passage_ms < 10_000
    path.write_text(json.dumps({reader.place: 1.5, "another": 7}))
    reader.warm_up()
    assert reader.passage_ms == 1.5


def test_a_damaged_file_is_measured_anew(tmp_path, monkeypatch):
    reader = Reader.from_pretrained(BUNDLED_FOLDER, "fp32", threads=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "keymiss").mkdir()
    (tmp_path / "keymiss" / "speeds.json").write_text("{")
    reader.warm_up()
    assert reader.passage_ms > 0


def test_the_threads_and_the_precision_are_part_of_the_name():
    one = Reader.from_pretrained(BUNDLED_FOLDER, "fp32", threads=1)
    two = Reader.from_pretrained(BUNDLED_FOLDER, "fp32", threads=2)
    assert one.place != two.place


def test_a_network_of_no_machine_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake_reader().warm_up()
    assert not list(tmp_path.iterdir())
