import pytest

from strokeseg import memory
from strokeseg.errors import UsageError


def test_this_machine_has_memory():
    assert memory.available_memory_bytes() > 1_000_000


def test_a_container_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert memory.available_memory_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory_bytes() > 1_000_000


def test_physical_memory_is_taken_where_linux_files_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert memory.available_memory_bytes() > 1_000_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4_000_000_000),
        ("4GB", 4_000_000_000),
        ("4GiB", 4 << 30),
        ("4gi", 4 << 30),
        ("500M", 500_000_000),
        ("1.5GiB", 3 << 29),
        (" 2 g ", 2_000_000_000),
        ("123456789B", 123_456_789),
        ("1T", 10**12),
        ("2048K", 2_048_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert memory.parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "4",
        "-4G",
        "4 G B",
        "4X",
        "4Gb2",
        "1e3M",
        "0G",
        "0.0000000001K",
        "nan",
        "4,5G",
        "٤G",
    ],
)
def test_nonsense_is_no_size(text):
    with pytest.raises(UsageError, match="--max-memory") as caught:
        memory.parse_memory(text)
    assert "4G" in str(caught.value)


def test_what_this_process_holds_is_below_its_peak():
    assert 10_000_000 < memory.resident_bytes() <= memory.peak_memory_bytes() + 1_000_000


def test_what_the_system_does_not_say_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_STATM", tmp_path / "none")
    assert memory.resident_bytes() is None
