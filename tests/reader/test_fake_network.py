"""The seam between the reader and what computes: any network makes a reader."""

from keymiss.reader import Network
from keymiss.reader.fake_network import FakeNetwork, fake_reader


def test_a_network_says_where_a_span_is_and_the_reader_what_stands_there():
    passage = "Robert Koch announced his discovery in Berlin."
    (answer,) = fake_reader().read("Who announced it?", [passage])
    assert (answer.text, answer.start, answer.end) == ("Robert", 0, 6)
    assert answer.margin == 9.0


def test_a_long_passage_is_read_in_windows_whatever_computes():
    reader = fake_reader()
    windows = list(reader.windows([("Who?", "word " * 1000)]))
    assert len(windows) > 1
    assert [window.pair for window in windows] == [0] * len(windows)
    assert sum(reader.statistics.read()[name] for name in ("padding", "errors")) == 0


def test_the_fake_is_a_network():
    network: Network = FakeNetwork()
    network.warm_up()
    assert fake_reader().version == network.version == "fake"
