import os

import pytest

from strokeseg.errors import CannotCreateError
from strokeseg.files.atomic import write_atomically


def test_content_is_all_pieces_in_order(tmp_path):
    write_atomically(tmp_path / "file", (b"%d" % number for number in range(5)))
    assert (tmp_path / "file").read_bytes() == b"01234"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def pieces():
        yield b"new"
        assert path.read_bytes() == b"old"
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        write_atomically(path, pieces())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", [b"x"])
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(CannotCreateError, match="is a folder") as caught:
        write_atomically(tmp_path, [b"x"])
    assert caught.value.exit_code == 73


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("strokeseg.files.atomic.os.open", refused)
    with pytest.raises(CannotCreateError, match=r"file: cannot be created \(Permission denied\)"):
        write_atomically(tmp_path / "file", [b"x"])
