"""Nothing outside OUTPUT is written, read into pages or tables, hashed or deleted."""

import hashlib
import json
import os
import shutil
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis.strategies import text

from strokeseg.cohort import bids_derivative
from strokeseg.cohort.batch.claims import FOLDER, Claims
from strokeseg.cohort.cases.case_names import check_folder, check_name
from strokeseg.cohort.collect import collect
from strokeseg.errors import CannotCreateError, DataError
from strokeseg.evaluation.finding import find_masks
from strokeseg.files import checksums, links
from strokeseg.files.links import leads_out
from strokeseg.files.tables import table
from strokeseg.lesion_map import mapping
from strokeseg.lesion_map.common_space import SpaceChoice
from strokeseg.report.building import build_report
from strokeseg.results import archive
from strokeseg.results.archive import find_filed_cases
from strokeseg.results.output_names import KINDS, OutputNames
from tests.cohort.cohorts import make_cases, make_job, make_model, run_all, with_prints
from tests.report.cohorts import file_case, write_scan

SECRET = "TOPSECRET"


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody else; gives a word of every byte of it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text(SECRET)
    (folder / "claim.json").write_text(SECRET)
    os.utime(folder / "claim.json", (0, 0))
    return folder


def state(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def batch(tmp_path):
    cases = make_cases(tmp_path / "in", 2)
    return cases, make_job(tmp_path / "out", make_model(tmp_path / "model"))


# --- names ---

NAMES = text(max_size=12) | text("./\\:-=~ \0\nconCOM1\xb9$", max_size=8)


@example("COM\xb9")
@example("nul .x")
@example("conin$")
@given(NAMES)
def test_a_name_that_passes_names_files_inside_on_every_disk(name):
    try:
        check_name(name, "here")
    except DataError:
        return
    for path in OutputNames.for_prefix(Path("/out", name), name).chosen(KINDS):
        assert os.path.normpath(path) == str(path)
        assert path.parent.parent == Path("/out")
        path.name.encode()
    assert PureWindowsPath("C:\\out", name).parent == PureWindowsPath("C:\\out")
    assert not PureWindowsPath(name).is_reserved()
    assert table(["case"], [[name]]) == f"case\n{name}\n"


@example("a/COM1/b")
@example("a/c:/b")
@given(text("./\\:-=~ \0abcCOM1", max_size=10))
def test_a_folder_that_passes_is_inside_on_every_disk(folder):
    try:
        check_folder(folder, "here")
    except DataError:
        return
    assert os.path.normpath(Path("/out") / folder).startswith("/out/")
    windows = PureWindowsPath("C:\\out", folder)
    assert windows.is_relative_to("C:\\out")
    assert ".." not in windows.parts
    assert not windows.is_reserved()


# --- links ---


def test_what_leads_out_and_what_does_not(tmp_path):
    root = tmp_path / "repo" / "out"
    root.mkdir(parents=True)
    (tmp_path / "repo" / ".git" / "annex" / "objects").mkdir(parents=True)
    (root / "annexed").symlink_to("../.git/annex/objects/x")
    (root / "config").symlink_to("../.git/config")
    (root / "away").symlink_to(tmp_path)
    (root / "near").symlink_to(root / "deep" / "file")
    (tmp_path / "out").symlink_to(root)
    assert not leads_out(root / "not" / "there", root)
    assert not leads_out(root / "near", root)
    assert not leads_out(root / "annexed", root)
    assert not leads_out(tmp_path / "out" / "x", tmp_path / "out")
    assert leads_out(root / "config", root)
    assert leads_out(root / "away" / "x", root)
    assert leads_out(root / ".." / "x", root)
    assert leads_out(tmp_path / "repo" / "outer", root)


def test_a_case_whose_folder_is_a_link_out_fails_alone_and_nothing_is_written_there(batch, outside):
    cases, job = batch
    before = state(outside)
    job.output.mkdir()
    (job.output / "s1").symlink_to(outside)
    outcomes = run_all(cases, job)
    assert (outcomes["s1"].status, outcomes["s2"].status) == ("failed", "done")
    assert outcomes["s1"].exit_code == CannotCreateError.exit_code
    assert "a link on this way leads out of" in outcomes["s1"].message
    assert state(outside) == before


@pytest.mark.parametrize("name", ["s1_strokeseg.json", "s1_label-L_mask.nii.gz"])
def test_a_result_that_is_a_link_out_is_made_anew_and_its_target_is_left(
    batch, outside, monkeypatch, name
):
    cases, job = batch
    run_all(cases, job)
    place = job.output / "s1" / name
    target = place.rename(outside / name)
    place.symlink_to(target)
    before, hashed = state(outside), []
    plain = hashlib.file_digest
    monkeypatch.setattr(
        checksums.hashlib,
        "file_digest",
        lambda stream, kind: hashed.append(os.path.realpath(stream.name)) or plain(stream, kind),
    )
    outcomes = run_all(cases, with_prints(job))
    assert "was a link that leads out of OUTPUT" in outcomes["s1"].message
    assert outcomes["s2"].status == "skipped"
    assert not place.is_symlink()
    assert state(outside) == before
    assert str(target) not in hashed


@pytest.mark.parametrize(
    "name", ["s1_strokeseg.json", "s1_label-L_mask.nii.gz", "s1_label-L_lesions.tsv", "s1_qc.png"]
)
def test_no_reader_of_results_follows_a_link_out(batch, outside, name):
    cases, job = batch
    run_all(cases, job)
    place = job.output / "s1" / name
    place.symlink_to(place.rename(outside / name))
    for read in (
        build_report,
        find_masks,
        lambda output: collect(output, "run"),
        lambda output: mapping.make_map(find_filed_cases(output), SpaceChoice()),
    ):
        with pytest.raises(DataError, match=f"{name}: is a link that leads out of") as caught:
            read(job.output)
        assert caught.value.exit_code == 65
    assert not (job.output / "report").exists()


def test_a_folder_that_is_a_link_is_no_place_for_cases(tmp_path):
    file_case(tmp_path / "other", "sub-02")
    output = tmp_path / "out"
    file_case(output, "sub-01")
    (output / "more").symlink_to(tmp_path / "other")
    assert [case.name for case in find_filed_cases(output)] == ["sub-01"]


def test_results_that_git_annex_keeps_are_read(tmp_path):
    output = tmp_path / "out"
    file_case(output, "sub-01")
    store = tmp_path / ".git" / "annex" / "objects"
    store.mkdir(parents=True)
    for path in [p for p in output.rglob("*") if p.is_file()]:
        path.symlink_to(path.rename(store / path.name))
    assert [case.name for case in find_filed_cases(output)] == ["sub-01"]
    assert build_report(output).cases == 1


@pytest.mark.parametrize("name", ["s1_strokeseg.json", "s1_error.json", "s1_qc.png"])
def test_a_pipe_among_results_stops_no_reader_for_ever(batch, name):
    cases, job = batch
    run_all(cases, job)
    place = job.output / "s1" / name
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    with pytest.raises(DataError, match="is a pipe or a device"):
        find_filed_cases(job.output)
    if name == "s1_strokeseg.json":
        outcomes = run_all(cases, with_prints(job))
        assert outcomes["s1"].message == "again: its record is damaged"
        assert place.is_file()


def test_a_huge_record_is_not_read(tmp_path):
    record = file_case(tmp_path / "out", "sub-01")
    os.truncate(record, 1 << 25)
    (case,) = find_filed_cases(tmp_path / "out")
    assert case.record is None
    assert "is over 16 MB" in case.damage


def test_claims_behind_a_link_are_neither_made_nor_swept(tmp_path, outside):
    output = tmp_path / "out"
    output.mkdir()
    (output / FOLDER).symlink_to(outside)
    before = state(outside)
    claims = Claims(output, "run")
    claims.sweep()
    with pytest.raises(CannotCreateError, match="is a link"):
        claims.take("a")
    assert state(outside) == before


def test_the_lesion_map_and_kept_files_of_a_report_are_not_taken_from_outside(tmp_path, outside):
    output = tmp_path / "out"
    record = file_case(output, "sub-01")
    picture = shutil.copy(record.with_name("sub-01_qc.png"), outside / "picture.png")
    (output / "overlap").mkdir()
    (output / "overlap" / "overlap.png").symlink_to(picture)
    build_report(output)
    assert not (output / "report" / "lesion_map.jpg").exists()
    kept = output / "report" / "cases" / "sub-01_picture.jpg"
    kept.unlink()
    kept.symlink_to(outside / "secret.txt")
    assert build_report(output).kept == 0
    assert SECRET.encode() not in (output / "report/cases/sub-01_picture.jpg").read_bytes()


@pytest.mark.parametrize("name", [bids_derivative.DESCRIPTION, bids_derivative.IGNORE])
def test_files_of_a_derivative_take_nothing_over_from_outside(tmp_path, outside, name):
    (tmp_path / "bids").mkdir()
    output = tmp_path / "out"
    output.mkdir()
    made_by = {"GeneratedBy": [{"Name": "strokeseg"}], "DatasetType": "derivative"}
    (outside / "other").write_text(json.dumps(made_by | {"Note": SECRET}))
    (output / name).symlink_to(outside / "other")
    with pytest.raises(CannotCreateError, match="leads out of its folder"):
        bids_derivative.describe(tmp_path / "bids", output)
    assert (output / name).is_symlink()


# --- records that name files ---

PLACES = ["/etc/passwd", "../outside/secret.txt", "../../../../../../etc/passwd", "a\0b", "~root"]


@pytest.mark.parametrize("place", PLACES)
def test_a_record_leads_report_tables_and_map_to_no_file_that_is_not_its_scan(
    tmp_path, outside, monkeypatch, place
):
    output = tmp_path / "out"
    digest = hashlib.sha256((outside / "secret.txt").read_bytes()).hexdigest()
    entry = {"path": place, "sha256": digest, "shape": [40, 48, 36]}
    record = file_case(output, "sub-01", inputs={"flair": entry}, truth=place, models=[])
    content = json.loads(record.read_text())
    content["files"][place] = digest
    record.write_text(json.dumps(content))
    hashed = []
    real = archive.sha256
    monkeypatch.setattr(archive, "sha256", lambda path: hashed.append(path) or real(path))
    build_report(output)
    collect(output, "run")
    mapping.make_map(find_filed_cases(output), SpaceChoice(space="x"))
    assert hashed == []  # it is no image by its name, and so is not even opened
    pages = b"".join(p.read_bytes() for p in (output / "report").rglob("*") if p.is_file())
    assert SECRET.encode() not in pages
    assert b"root:" not in pages
    (row,) = (output / "cohort.tsv").read_text().splitlines()[1:]
    assert "\tfailed\t" in row
    assert "is missing; run the batch again" in row


def test_a_scan_is_shown_and_drawn_on_only_if_it_is_the_one_of_the_record(tmp_path):
    output = tmp_path / "out"
    file_case(output, "sub-01", kinds=("mask",))
    other = write_scan(tmp_path / "secret" / "other.nii.gz")
    for digest in (None, "ab" * 32, 7):
        entry = {"path": str(other), "sha256": digest}
        file_case(output, "sub-01", kinds=("mask",), inputs={"flair": entry})
        build_report(output)
        page = (output / "report" / "cases" / "sub-01.html").read_text()
        assert "is not the file that was segmented" in page
        assert '"scan"' not in (output / "report" / "cases" / "sub-01_volumes.js").read_text()
        made = mapping.make_map(find_filed_cases(output), SpaceChoice(space="x"))
        assert made.backdrop is None


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\nb", "=1+1", "", 5, ["x"]])
def test_a_name_in_a_record_that_no_case_can_have_is_not_taken(tmp_path, name):
    file_case(tmp_path / "out", "sub-01", case=name)
    assert [case.name for case in find_filed_cases(tmp_path / "out")] == ["sub-01"]


def test_the_root_of_a_check_is_never_its_neighbour(tmp_path):
    (tmp_path / "out").mkdir()
    assert links.leads_out(tmp_path / "out2", tmp_path / "out")
