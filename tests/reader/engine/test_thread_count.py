"""As many threads as the process may use processors: by its affinity, and by its container."""

import os

import pytest

from keymiss.reader.engine.thread_count import thread_count

ALL = len(os.sched_getaffinity(0))


@pytest.fixture
def count(tmp_path):
    """The threads of a process in this group, with these files of quotas."""

    def counted(own, files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return thread_count(tmp_path / "cgroup", tmp_path / "own")

    return counted


def test_without_control_groups_the_affinity_decides(tmp_path):
    assert thread_count(tmp_path, tmp_path / "none") == ALL


@pytest.mark.skipif(ALL < 2, reason="one processor")
def test_the_affinity_counts(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert thread_count(tmp_path, tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALL),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("10000000 100000", ALL),
        ("nonsense", ALL),
        ("", ALL),
    ],
)
def test_a_quota_of_version_2_counts(count, quota, expected):
    assert count("0::/mine\n", {"mine/cpu.max": quota}) == expected


def test_the_quota_of_a_group_above_counts(count):
    assert count("0::/ours/mine\n", {"ours/cpu.max": "100000 100000"}) == 1


def test_in_a_container_the_quota_is_at_the_root(count):
    assert count("0::/kubepods/pod7/a1\n", {"cpu.max": "100000 100000"}) == 1


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL), ("100000", 1), ("0", ALL)])
def test_a_quota_of_version_1_counts(count, quota, expected):
    files = {"cpu/mine/cpu.cfs_quota_us": quota, "cpu/mine/cpu.cfs_period_us": "100000\n"}
    assert count("4:memory:/mine\n3:cpu,cpuacct:/mine\n", files) == expected
