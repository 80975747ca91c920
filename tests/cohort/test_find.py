"""What an input can be, what is refused, and how the plan looks."""

import os
from pathlib import Path

import pytest

from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.cohort.cases.case_names import check_name, check_places
from strokeseg.cohort.cases.find import find_cases, plan_rows
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from tests.cohort.trees import tree


def test_an_input_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"nowhere: no such folder or table") as error:
        find_cases(tmp_path / "nowhere")
    assert error.value.exit_code == 66


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("a.nii.gz", UsageError, "is one image; segment it with strokeseg predict"),
        ("a.xlsx", DataError, "is a spreadsheet; save it as CSV"),
    ],
)
def test_a_file_that_is_no_table_is_told(name, error, message, tmp_path):
    with pytest.raises(error, match=message):
        find_cases(tree(tmp_path, name) / name)


def test_an_input_that_is_neither_folder_nor_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputNotFoundError, match="pipe: is neither a folder nor a file"):
        find_cases(tmp_path / "pipe")


def test_labels_need_a_bids_dataset(tmp_path):
    root = tree(tmp_path, "p1/T1.nii")
    for labels in ({"participants": ["p1"]}, {"sessions": ["1"]}):
        with pytest.raises(
            UsageError, match=r"is no BIDS dataset .* leave out --participant-label"
        ):
            find_cases(root, **labels)


def test_a_relative_input_gives_absolute_files(tmp_path, monkeypatch):
    tree(tmp_path / "cases", "p1/T1.nii")
    monkeypatch.chdir(tmp_path)
    cohort = find_cases(Path("cases"))
    assert cohort.cases[0].images["t1"] == tmp_path / "cases/p1/T1.nii"


def test_finding_opens_no_image(tmp_path):
    root = tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/dwi/sub-01_adc.nii.gz")
    (root / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    (root / "sub-01/anat/sub-01_T1w.nii.gz").symlink_to("not/fetched/yet")
    assert list(find_cases(root).cases[0].images) == ["t1", "adc"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        (".x", "starts with a dot"),
        ("a/b", "holds a slash"),
        ("a\\b", "holds a backslash"),
        ("a\0b", "holds a control character"),
        ("a\tb", "holds a control character"),
        (" a", "starts or ends with a space"),
        ("a\udcff", "is not UTF-8"),
        ("-rf", "starts with a dash"),
        ("=1+1", "starts with =, which spreadsheets take for a formula"),
        ("+1", "starts with +"),
        ("@x", "starts with @"),
        ("a.", "ends with a dot"),
        ("CON", "is a device's or a drive's name on Windows"),
        ("nul.nii", "is a device's or a drive's name on Windows"),
        ("c:evil", "is a device's or a drive's name on Windows"),
        ("é" * 101, "has 202 bytes, over 200"),
    ],
)
def test_a_name_that_cannot_name_files_is_refused(name, fault):
    with pytest.raises(DataError) as error:
        check_name(name, "here")
    assert fault in str(error.value)
    str(error.value).encode()
    assert "\n" not in str(error.value)


def _case(name, folder, prefix):
    return Case(name, {"t1": Path("/data/a.nii")}, folder, prefix)


@pytest.mark.parametrize("folder", ["x", "X"])
def test_two_cases_with_the_same_results_are_refused(folder):
    cases = [_case("a", "x", "p"), _case("b", folder, "P")]
    with pytest.raises(
        DataError, match=r"here: cases a and b would both write [xX]/P_\*; give each"
    ):
        check_places(cases, "here")


def test_two_cases_with_one_name_are_refused():
    with pytest.raises(DataError, match="two cases are called a"):
        check_places([_case("a", "x", "p"), _case("a", "y", "p")], "here")


def test_folders_whose_names_differ_in_capitals_are_refused(tmp_path):
    root = tree(tmp_path, "p1_T1.nii", "P1_FLAIR.nii")
    with pytest.raises(DataError, match="cases P1 and p1 differ in capitals alone"):
        find_cases(root)


@pytest.mark.parametrize("name", ["report", "overlap"])
def test_a_case_may_not_be_called_as_a_folder_of_the_whole_cohort(name, tmp_path):
    root = tree(tmp_path, f"{name}/T1.nii")
    with pytest.raises(
        DataError, match=f"case {name} would go into OUTPUT/{name}, but {name} is kept"
    ):
        find_cases(root)


def test_the_plan_tells_case_scans_files_and_results(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p1/FLAIR.nii", "p1/lesion.nii", "p2/ct.nii")
    assert plan_rows(find_cases(root)) == (
        ("case", "scan", "file", "results"),
        [
            ("p1", "t1\nflair\n(truth)", "p1/T1.nii\np1/FLAIR.nii\np1/lesion.nii", "p1/p1_*"),
            ("p2", "ct", "p2/ct.nii", "p2/p2_*"),
        ],
    )


def test_the_plan_of_a_table_tells_files_outside_in_full(tmp_path):
    table = tmp_path / "t.csv"
    cohort = Cohort("table", table, (_case("a", "", "a"),))
    assert plan_rows(cohort)[1] == [("a", "t1", "/data/a.nii", "a_*")]
