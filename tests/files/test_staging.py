"""Nothing half-written: the outputs of a case come all together or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest

from strokeseg.errors import CannotCreateError, ReadWriteError
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging


def _listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def _stage(directory, names, *, last=None, error=None):
    with Staging(directory, last=last) as staging:
        for name in names:
            write_text(staging.path_for(name), "new")
        if error is not None:
            raise error
        return staging.commit()


def _fail_at(monkeypatch, step, path, error):
    """Let one rename raise, as a lost medium or Ctrl-C would: of an old file, or of a new one."""
    replace = Path.replace

    def failing(self, target):
        if path == (self if step == "old" else Path(target)):
            monkeypatch.setattr(Path, "replace", replace)
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)


def test_files_appear_on_commit_and_nothing_else_stays(tmp_path):
    out = tmp_path / "new" / "out"
    with Staging(out, last="r.json") as staging:
        write_json(staging.path_for("r.json"), {"a": 1})
        write_text(staging.path_for("b.tsv"), "b")
        assert not (out / "b.tsv").exists()
        assert staging.path_for("b.tsv").parent.parent == out
        done = staging.commit()
    assert done == (out / "b.tsv", out / "r.json")
    assert _listing(out) == ["b.tsv", "r.json"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_leaving_without_commit_leaves_nothing(error, tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(type(error)):
        _stage(tmp_path / "kept" / "new" / "out", ["a.txt"], error=error)
    assert _listing(tmp_path) == ["kept"]


def test_folders_that_hold_other_files_stay(tmp_path):
    with Staging(tmp_path / "out") as staging:
        write_text(staging.path_for("a.txt"), "a")
        (tmp_path / "out" / "other").touch()
    assert _listing(tmp_path) == ["out", "out/other"]


def test_old_files_are_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with Staging(tmp_path) as staging:
        write_text(staging.path_for("a.txt"), "new")
        assert (tmp_path / "a.txt").read_text() == "old"
        staging.commit()
    assert _contents(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("step", "name"),
    [("old", "a.txt"), ("old", "r.json"), ("new", "a.txt"), ("new", "b.txt"), ("new", "r.json")],
)
def test_a_commit_that_breaks_puts_everything_back(error, step, name, tmp_path, monkeypatch):
    old = {"a.txt": "old a", "r.json": "old r"}
    for file, text in old.items():
        (tmp_path / file).write_text(text)
    _fail_at(monkeypatch, step, tmp_path / name, error)
    expected = ReadWriteError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        _stage(tmp_path, ["a.txt", "r.json", "b.txt"], last="r.json")
    assert _contents(tmp_path) == old


def test_the_record_goes_first_and_comes_last(tmp_path, monkeypatch):
    for file in ("a.txt", "r.json"):
        (tmp_path / file).write_text("old")
    seen = []
    replace = Path.replace

    def spy(self, target):
        if self.parent == tmp_path or Path(target).parent == tmp_path:
            seen.append((self.name, Path(target).parent == tmp_path))
        return replace(self, target)

    with Staging(tmp_path, last="r.json") as staging:
        for file in ("r.json", "a.txt"):
            write_text(staging.path_for(file), "new")
        monkeypatch.setattr(Path, "replace", spy)
        staging.commit()
    assert seen == [("r.json", False), ("a.txt", False), ("a.txt", True), ("r.json", True)]


def test_a_file_that_was_never_written_stops_the_commit(tmp_path):
    with Staging(tmp_path) as staging:
        write_text(staging.path_for("a.txt"), "a")
        staging.path_for("b.txt")
        with pytest.raises(ReadWriteError, match=r"b\.txt was never written") as caught:
            staging.commit()
    assert caught.value.exit_code == 74
    assert _listing(tmp_path) == []


def test_a_folder_in_the_way_stops_the_commit(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ReadWriteError, match=r"a\.txt is a folder"):
        _stage(tmp_path, ["a.txt"])
    assert _listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a"])
def test_a_name_with_a_folder_is_refused(name, tmp_path):
    with (
        Staging(tmp_path) as staging,
        pytest.raises(CannotCreateError, match="is no file name"),
    ):
        staging.path_for(name)


def test_nothing_can_be_written_outside_the_with(tmp_path):
    with pytest.raises(ReadWriteError, match="outside its `with`"):
        Staging(tmp_path).path_for("a")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotCreateError, match=r"cannot write in .*out: .*another folder"),
        Staging(tmp_path / "file" / "out"),
    ):
        pass


def test_folders_made_for_nothing_go_if_the_hidden_one_cannot_be_made(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with (
        pytest.raises(CannotCreateError, match="Permission denied"),
        Staging(tmp_path / "a" / "b"),
    ):
        pass
    assert _listing(tmp_path) == []


def test_json_is_sorted_plain_and_repeats(tmp_path):
    content = {
        "z": np.float32(0.5),
        "a": [np.int64(3), (1, 2)],
        "path": Path("x") / "y",
        "array": np.arange(3),
        "nan": float("nan"),
        "set": {"b", "a"},
        "nested": {"é": np.inf, "flag": np.bool_(True), 1: None},
    }
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"é": null' in text
    assert list(json.loads(text)) == sorted(content)
    assert json.loads(text) == {
        "z": 0.5,
        "a": [3, [1, 2]],
        "path": str(Path("x") / "y"),
        "array": [0, 1, 2],
        "nan": None,
        "set": ["a", "b"],
        "nested": {"é": None, "flag": True, "1": None},
    }


def test_text_is_utf8_with_line_feeds(tmp_path):
    write_text(tmp_path / "a.tsv", "µ\tb\n")
    assert (tmp_path / "a.tsv").read_bytes() == "µ\tb\n".encode()
    assert _listing(tmp_path) == ["a.tsv"]


def test_what_cannot_be_put_back_is_kept_and_the_error_says_where(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")
    replace = Path.replace

    def failing(self, target):
        if Path(target).parent == tmp_path:
            raise PermissionError(13, "Permission denied", str(self), None, str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(ReadWriteError, match=r"cannot put .*a\.txt in place: Perm") as caught:
        _stage(tmp_path, ["a.txt"])
    (kept,) = tmp_path.glob("*/tmp*/a.txt")
    assert kept.read_text() == "old"
    assert str(caught.value).endswith(f"what was there before is kept in {kept.parents[1]}")


def test_an_error_names_the_file_that_would_have_been_and_not_the_hidden_one(tmp_path):
    def cut(staging):
        raise ReadWriteError(f"{staging.path_for('a.txt')}: writing failed")

    with pytest.raises(ReadWriteError) as caught, Staging(tmp_path) as staging:
        cut(staging)
    assert str(caught.value) == f"{tmp_path / 'a.txt'}: writing failed"
