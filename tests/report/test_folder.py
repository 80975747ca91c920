import json
import signal
import subprocess
import sys

import pytest

from strokeseg.errors import CannotCreateError, ReadWriteError
from strokeseg.report.folder import _HOST, ReportFolder


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def make(output, **files):
    with ReportFolder(output) as folder:
        for name, content in files.items():
            folder.write(f"{name}.html", content)
        return folder.commit({"report_id": "x"})


def test_a_report_appears_whole_and_alone(tmp_path):
    index = make(tmp_path, index=b"new")
    assert index.read_bytes() == b"new"
    assert names_in(tmp_path) == ["report"]
    assert json.loads((tmp_path / "report" / "manifest.json").read_text())["report_id"] == "x"


def test_a_report_takes_the_place_of_an_earlier_one(tmp_path):
    make(tmp_path, index=b"old", gone=b"old")
    make(tmp_path, index=b"new")
    assert names_in(tmp_path / "report") == ["index.html", "manifest.json"]
    assert names_in(tmp_path) == ["report"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError, ReadWriteError])
def test_a_fault_half_way_leaves_the_earlier_report(tmp_path, fault):
    make(tmp_path, index=b"old")

    def write_half():
        with ReportFolder(tmp_path) as folder:
            folder.write("index.html", b"half")
            raise fault

    with pytest.raises(fault):
        write_half()
    assert (tmp_path / "report" / "index.html").read_bytes() == b"old"
    assert names_in(tmp_path) == ["report"]


def test_a_rename_that_fails_puts_the_earlier_report_back(tmp_path, monkeypatch):
    make(tmp_path, index=b"old")
    with ReportFolder(tmp_path) as folder:
        folder.write("index.html", b"new")
        rename = type(tmp_path).rename

        def fail(self, target):
            if self.suffix == ".new":
                raise OSError(16, "Device or resource busy")
            return rename(self, target)

        monkeypatch.setattr(type(tmp_path), "rename", fail)
        with pytest.raises(ReadWriteError, match="cannot be put in place"):
            folder.commit({})
    assert (tmp_path / "report" / "index.html").read_bytes() == b"old"
    assert names_in(tmp_path) == ["report"]


def test_a_folder_that_is_no_report_is_never_replaced(tmp_path):
    own = tmp_path / "report"
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    with pytest.raises(CannotCreateError, match="no report of strokeseg"), ReportFolder(tmp_path):
        pass
    assert (own / "thesis.txt").read_text() == "mine"
    (own / "thesis.txt").rename(own / "manifest.json")
    with pytest.raises(CannotCreateError, match="move it away"), ReportFolder(tmp_path):
        pass


def test_a_link_in_the_reports_place_is_refused(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    make(real, index=b"theirs")
    output = tmp_path / "out"
    output.mkdir()
    (output / "report").symlink_to(real / "report")
    with pytest.raises(CannotCreateError, match="no report"), ReportFolder(output):
        pass
    assert (real / "report" / "index.html").read_bytes() == b"theirs"


def test_a_kept_file_is_taken_over_and_a_new_one_never_written_into_the_old(tmp_path):
    make(tmp_path, index=b"old", page=b"old")
    with ReportFolder(tmp_path) as folder:  # which is never committed
        assert folder.keep("page.html")
        assert not folder.keep("absent.html")
        folder.write("page.html", b"new")
    assert (tmp_path / "report" / "page.html").read_bytes() == b"old"
    with ReportFolder(tmp_path) as folder:
        folder.keep("page.html")
        folder.commit({})
    assert (tmp_path / "report" / "page.html").read_bytes() == b"old"


def test_an_output_that_cannot_be_written_in_is_told(tmp_path):
    with pytest.raises(CannotCreateError, match="cannot write in"), ReportFolder(tmp_path / "gone"):
        pass


def killed_while(output, script):
    """Run a piece of Python on a report folder, which ends by kill -9."""
    code = (
        "import os, signal; from pathlib import Path;"
        "from strokeseg.report.folder import ReportFolder\n"
        f"with ReportFolder(Path({str(output)!r})) as folder:\n"
        f"    {script}\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    make(tmp_path, index=b"old")
    killed_while(tmp_path, f"folder.write('index.html', b'half'); {KILL}")
    assert len(names_in(tmp_path)) == 2
    assert (tmp_path / "report" / "index.html").read_bytes() == b"old"
    make(tmp_path, index=b"new")
    assert names_in(tmp_path) == ["report"]


def test_a_report_that_was_set_aside_by_a_killed_process_is_put_back(tmp_path):
    make(tmp_path, index=b"old")
    killed_while(
        tmp_path,
        "rename = Path.rename; Path.rename = lambda self, target: "
        f"{KILL} if self.suffix == '.new' else rename(self, target); folder.commit({{}})",
    )
    assert not (tmp_path / "report").exists()
    with ReportFolder(tmp_path) as folder:
        assert folder.earlier["report_id"] == "x"
    assert names_in(tmp_path) == ["report"]
    assert (tmp_path / "report" / "index.html").read_bytes() == b"old"


def test_names_that_only_look_like_left_ones_are_left_alone(tmp_path):
    for end in ("x", "x.new", "1.2.3.other", "a.b.c.d.e.old"):
        (tmp_path / f".report.{_HOST}.{end}").mkdir()
    make(tmp_path, index=b"new")
    assert len(names_in(tmp_path)) == 5


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with ReportFolder(tmp_path) as first:
        make(tmp_path, index=b"second")
        first.write("index.html", b"first")
        first.commit({})
    assert (tmp_path / "report" / "index.html").read_bytes() == b"first"
    assert names_in(tmp_path) == ["report"]
