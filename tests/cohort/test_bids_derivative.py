"""An output folder as a BIDS derivative: its description, README and .bidsignore."""

import json
from pathlib import Path

import pytest

from strokeseg import __version__
from strokeseg.cohort.bids_derivative import (
    NOT_IN_BIDS,
    check_folders,
    container,
    describe,
    description,
)
from strokeseg.errors import (
    CannotCreateError,
    DataError,
    InputNotFoundError,
    ReadWriteError,
    UsageError,
)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "study" / "raw"
    folder.mkdir(parents=True)
    write(folder, Name="Five strokes", BIDSVersion="1.9.0", DatasetDOI="doi:10.5281/five")
    return folder


def write(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(content))


def described(folder):
    return json.loads((folder / "dataset_description.json").read_text())


def test_the_description_says_what_made_it_and_from_what(raw, monkeypatch):
    monkeypatch.setenv("STROKESEG_IMAGE", "strokeseg:1.2.3")
    out = raw / "derivatives" / "strokeseg"
    describe(raw, out)
    assert described(out) == {
        "Name": "Stroke lesions of Five strokes, found by strokeseg",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "strokeseg",
                "Version": __version__,
                "Container": {"Type": "docker", "Tag": "strokeseg:1.2.3"},
            }
        ],
        "SourceDatasets": [{"URL": "../..", "DOI": "doi:10.5281/five"}],
        "DatasetLinks": {"raw": "../.."},
    }
    assert "not a medical device" in (out / "README").read_text()
    assert (out / ".bidsignore").read_text().splitlines() == list(NOT_IN_BIDS)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"STROKESEG_IMAGE": "s:1"}, {"Container": {"Type": "docker", "Tag": "s:1"}}),
        (
            {"STROKESEG_IMAGE": "s:1", "APPTAINER_CONTAINER": "/images/s 1.sif"},
            {"Container": {"Type": "apptainer", "Tag": "s:1", "URI": "file:///images/s%201.sif"}},
        ),
        ({"SINGULARITY_CONTAINER": "s.sif"}, {"Container": {"Type": "singularity"}}),
    ],
)
def test_the_container_is_named_where_there_is_one(variables, expected):
    assert container(variables) == expected


def test_the_dataset_is_named_by_a_path_that_moves_with_it(raw, tmp_path):
    describe(raw, tmp_path / "study" / "out")
    assert described(tmp_path / "study" / "out")["DatasetLinks"] == {"raw": "../raw"}


def test_spaces_and_umlauts_in_a_path_make_a_valid_uri(tmp_path):
    raw, out = tmp_path / "rohe Köpfe", tmp_path / "out"
    raw.mkdir()
    describe(raw, out)
    assert described(out)["SourceDatasets"] == [{"URL": "../rohe%20K%C3%B6pfe"}]


def test_a_dataset_on_another_branch_of_the_file_system_is_named_by_its_whole_path(raw):
    away = description(raw, Path("/nowhere/out"), {})
    assert away["DatasetLinks"]["raw"] == raw.as_uri()


def test_what_a_user_added_stays_and_what_strokeseg_says_is_made_new(raw, tmp_path):
    out = tmp_path / "study" / "out"
    write(
        out,
        Name="Mine",
        DatasetType="derivative",
        Authors=["A", "B"],
        GeneratedBy=[{"Name": "fmriprep"}, {"Name": "strokeseg", "Version": "0.0.1"}],
        SourceDatasets=[{"URL": "https://example.org/raw"}, {"URL": "../old"}],
        DatasetLinks={"raw": "../old", "atlas": "../atlas"},
    )
    (out / "README.md").write_text("My own words.")
    (out / ".bidsignore").write_text("mine/\n*_qc.png\n")
    describe(raw, out)
    now = described(out)
    assert now["Name"] == "Mine"
    assert now["Authors"] == ["A", "B"]
    assert now["GeneratedBy"] == [
        {"Name": "strokeseg", "Version": __version__},
        {"Name": "fmriprep"},
    ]
    assert now["SourceDatasets"] == [
        {"URL": "../raw", "DOI": "doi:10.5281/five"},
        {"URL": "https://example.org/raw"},
    ]
    assert now["DatasetLinks"] == {"raw": "../raw", "atlas": "../atlas"}
    assert not (out / "README").exists()
    ignored = (out / ".bidsignore").read_text().splitlines()
    assert ignored[:2] == ["mine/", "*_qc.png"]
    assert sorted(ignored) == sorted({"mine/", *NOT_IN_BIDS})


def test_what_is_right_is_not_written_again(raw, tmp_path):
    out = tmp_path / "study" / "out"
    describe(raw, out)
    before = {path: path.stat().st_ino for path in out.iterdir()}
    describe(raw, out)
    assert {path: path.stat().st_ino for path in out.iterdir()} == before


def test_the_raw_dataset_is_not_touched(raw, tmp_path):
    before = {path: path.read_bytes() for path in raw.rglob("*")}
    describe(raw, tmp_path / "out")
    assert {path: path.read_bytes() for path in raw.rglob("*")} == before


def test_results_do_not_go_into_the_dataset_itself(raw, tmp_path):
    (tmp_path / "link").symlink_to(raw)
    for out in (raw, tmp_path / "link", raw / "derivatives" / ".."):
        with pytest.raises(UsageError, match=r"is the dataset itself.*derivatives/strokeseg"):
            describe(raw, out)
    with pytest.raises(UsageError, match="lies in a participant's folder"):
        describe(raw, raw / "sub-01" / "anat")


@pytest.mark.parametrize(
    "other",
    [
        {"Name": "Raw", "DatasetType": "raw"},
        {"Name": "Raw"},
        {"Name": "Raw", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fmriprep"}]},
        {"Name": "Raw", "DatasetType": "derivative", "GeneratedBy": "strokeseg"},
        {"Name": "Raw", "DatasetType": "raw", "GeneratedBy": [{"Name": "strokeseg"}]},
    ],
)
def test_another_dataset_is_never_taken_over(raw, tmp_path, other):
    out = tmp_path / "out"
    write(out, **other)
    before = (out / "dataset_description.json").read_bytes()
    with pytest.raises(CannotCreateError, match=r"describes another dataset \(Raw\)"):
        describe(raw, out)
    assert (out / "dataset_description.json").read_bytes() == before
    assert [path.name for path in out.iterdir()] == ["dataset_description.json"]


def test_checking_writes_nothing(raw, tmp_path):
    check_folders(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_must_be_there(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder; give the root of a BIDS dataset"):
        check_folders(tmp_path / "raw", tmp_path / "out")


def test_a_description_that_is_no_json_is_told(raw, tmp_path):
    (raw / "dataset_description.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset_description\.json: is no JSON object; repair it"):
        describe(raw, tmp_path / "out")


def test_an_ignore_file_that_cannot_be_read_is_told(raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".bidsignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadWriteError, match=r"\.bidsignore: cannot be read"):
        describe(raw, out)


def test_an_output_that_cannot_be_made_is_told(raw, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match="cannot be made"):
        describe(raw, tmp_path / "file" / "out")
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["raw"]
