"""Cases from CSV and TSV: every fault is told with line and column, and costs its line alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.cohort.cases.find import find_cases
from strokeseg.errors import (
    DataError,
    InputNotFoundError,
    ReadWriteError,
    StrokesegError,
    UsageError,
)
from tests.cohort.trees import found, tree
from tests.images.dicom_series import made_series


@pytest.fixture
def data(tmp_path):
    return tree(tmp_path, "s/a.nii", "s/b.nii", "s/c.nii", "s/mask.nii")


def _table(folder, text, name="cases.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_row_is_a_case(data):
    path = _table(
        data,
        "case,t1,FLAIR,truth,output\nz,s/a.nii,s/b.nii,s/mask.nii,group1/z\nA 1,,s/c.nii,,\n",
    )
    cohort = find_cases(path)
    assert (cohort.kind, cohort.root, cohort.notes) == ("table", path, ())
    assert found(cohort) == {
        "A 1": {"flair": "s/c.nii"},
        "z": {"t1": "s/a.nii", "flair": "s/b.nii"},
    }
    first, last = cohort.cases
    assert (first.folder, first.prefix, first.truth) == ("A 1", "A 1", None)
    assert (last.folder, last.prefix, last.truth) == ("group1/z", "z", data / "s/mask.nii")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "case\tT1w\tflair\na\ts/a.nii\tn/a\n"),
        ("t.csv", "case;t1;flair\r\na;s/a.nii;\r\n"),
        ("t.csv", "\ufeffcase,t1,flair\na,s/a.nii,NA\n\n"),
        ("t.txt", 'case\tt1\tflair\n"a"\t"s/a.nii"\t\n'),
        ("t.csv", "\n t1 , case , flair \n s/a.nii , a , \n"),
    ],
)
def test_separators_marks_quotes_and_blanks(name, text, data):
    assert found(find_cases(_table(data, text, name))) == {"a": {"t1": "s/a.nii"}}


def test_absolute_paths_and_home_are_taken(data, monkeypatch):
    monkeypatch.setenv("HOME", str(data))
    path = _table(data / "s", f"case,t1,flair\na,{data}/s/a.nii,~/s/b.nii\n")
    (case,) = find_cases(path).cases
    assert case.images == {"t1": data / "s/a.nii", "flair": data / "s/b.nii"}


def test_other_columns_are_ignored_and_told(data):
    cohort = find_cases(_table(data, "case,age,t1,flare,\na,70,s/a.nii,s/b.nii,\n"))
    assert found(cohort) == {"a": {"t1": "s/a.nii"}}
    assert cohort.notes == ("columns of the table that were ignored: age, flare",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"cases.csv: is empty; give a header"),
        ("case,t1\n", r"lists no case; add a row"),
        ("t1,flair\ns/a.nii,\n", r"has no column case, but t1, flair; name each case"),
        (
            "case,age\na,3\n",
            r"has no column of a modality, but case, age; name columns of paths t1",
        ),
        (
            "case,t1,T1w\na,s/a.nii,s/b.nii\n",
            r"more than one column t1 \(case, t1, T1w\); keep one",
        ),
        ("case,t1\na,s/a.nii\nA,s/b.nii\n", r"cases A and a differ in capitals alone"),
        ("case,t1\n,s/a.nii\n", r"line 2, column case: is empty; name the case"),
        ("case,t1\na,\n", r"line 2: case a has no scan; give one, or delete"),
        ("case,t1,t2\na,s/a.nii\n", r"line 2: the row has 2 cells and the header 3; write n/a"),
        ("case,t1\na,s/a.nii,x\n", r"line 2: the row has 3 cells and the header 2"),
        ("case,t1,t2\na,s/a.nii,s/a.nii\n", r"line 2: columns t1 and t2 name one file, .*s/a.nii"),
        ("case,t1\nx/y,s/a.nii\n", r"line 2, column case: case 'x/y' holds a slash; give a name"),
        ("case,t1\n.x,s/a.nii\n", r"case '.x' starts with a dot"),
        ('case,t1\n"x\ny",s/a.nii\n', r"line 2, column case: case 'x\\ny' holds a control char"),
        ('case,t1\n"x,s/a.nii\n', r"line 2: is no row of a table \(.*\); check its quotes"),
        (
            "case,t1\nreport,s/a.nii\n",
            r"case report would go into OUTPUT/report, but report is kept",
        ),
        (b"case,t1\nM\xfcller,s/a.nii\n", r"is no table in UTF-8; save it as 'CSV UTF-8'"),
        ("case,t1\n".encode("utf-16"), r"is no table in UTF-8"),
        (
            "case,t1,output\na,s/a.nii,x\na2,s/b.nii,x\nb,s/a.nii,Overlap/b\n",
            r"case b would go into OUTPUT/Overlap/b",
        ),
    ],
)
def test_faults_of_a_table(text, message, data):
    with pytest.raises(DataError, match=message) as error:
        find_cases(_table(data, text))
    assert error.value.exit_code == 65
    assert "cases.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("/abs", "is an absolute path"),
        ("~/x", "is an absolute path"),
        ("C:/x", "is an absolute path"),
        ("..", "leads out of OUTPUT by '..'"),
        ("a/../../b", "leads out of OUTPUT by '..'"),
        ("a//b", "has a part that is empty"),
        ("a/", "has a part that is empty"),
        ("./a", "has a part that starts with a dot"),
        ("a/.git", "has a part that starts with a dot"),
        ("a\\b", "has a part that holds a backslash"),
        ("a\x07b", "has a part that holds a control character"),
        ("a\u2028b", "has a part that holds a control character"),
        ("a/ b", "has a part that starts or ends with a space"),
    ],
)
def test_an_output_stays_below_the_output_folder(output, fault, data):
    with pytest.raises(DataError) as error:
        find_cases(_table(data, f"case,t1,output\na,s/a.nii,{output}\n"))
    assert "line 2, column output: output '" in str(error.value)
    assert f"{fault}" in str(error.value)
    assert "give a folder below OUTPUT such as group1/sub-01" in str(error.value)


def test_two_cases_may_share_a_folder(data):
    text = "case,t1,output\na,s/a.nii,all\nb,s/b.nii,all\n"
    assert [c.folder for c in find_cases(_table(data, text)).cases] == ["all", "all"]


@pytest.mark.parametrize(
    ("cell", "what"), [("s/x.nii", "is no file"), ("s", "is a folder"), ("a" * 300, "is no file")]
)
@pytest.mark.parametrize("column", ["t1", "truth"])
def test_a_missing_file_is_told_with_line_and_column(cell, what, column, data):
    rows = f"a,s/a.nii,s/b.nii,\nb,s/a.nii,{cell},\n"
    path = _table(data, f"case,t2,{column},pd\n{rows}")
    good, bad = find_cases(path).cases
    assert good.fault is None
    assert f"cases.csv, line 3, column {column}: {data / cell} {what}" in str(bad.fault)
    assert bad.fault.exit_code == 66
    assert (bad.name, bad.images) == ("b", {})


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        ("a,s/b.nii,", "line-3", r"line 3: case a is in line 2 already"),
        (",s/b.nii,", "line-3", r"line 3, column case: is empty; name the case"),
        ("x/y,s/b.nii,", "line-3", r"line 3, column case: case 'x/y' holds a slash"),
        ("b,s/b.nii", "b", r"line 3: the row has 2 cells and the header 3"),
        ("b,,", "b", r"line 3: case b has no scan"),
        ("b,s/b.nii,../x", "b", r"leads out of OUTPUT"),
    ],
)
def test_a_line_that_is_wrong_costs_its_own_case(line, name, message, data):
    cohort = find_cases(_table(data, f"case,t1,output\na,s/a.nii,\n{line}\nc,s/b.nii,\n"))
    wrong = {case.name: case for case in cohort.cases if case.fault is not None}
    assert [case.name for case in cohort.cases if case.fault is None] == ["a", "c"]
    assert list(wrong) == [name]
    assert re.search(message, str(wrong[name].fault))
    assert any(note.startswith("cannot be done, the others can:") for note in cohort.notes)


def test_an_empty_row_is_left_out_and_told(data):
    cohort = find_cases(_table(data, "case,t1\na,s/a.nii\n,\n"))
    assert [case.name for case in cohort.cases] == ["a"]
    assert cohort.notes == ("empty rows of the table that were left out: line 3",)


def test_where_every_line_is_wrong_nothing_runs_and_they_are_counted(data):
    with pytest.raises(
        InputNotFoundError, match=r"line 2, .*x.nii is no file.*\(and 4 more lines that are wrong\)"
    ):
        find_cases(_table(data, "case,t1\n" + "".join(f"{i},x.nii\n" for i in range(5))))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (PermissionError(13, "Permission denied"), InputNotFoundError),
        (OSError(5, "Input/output error"), ReadWriteError),
    ],
)
def test_a_table_that_cannot_be_read_is_told(fault, error, data, monkeypatch):
    def refuse(_):
        raise fault

    path = _table(data, "case,t1\na,s/a.nii\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(error, match=rf"cases.csv: .*\({fault.strerror}\)"):
        find_cases(path)


def test_options_for_folders_do_not_suit_a_table(data):
    path = _table(data, "case,t1\na,s/a.nii\n")
    with pytest.raises(UsageError, match="is a table: it takes no --pattern"):
        find_cases(path, patterns={"t1": "*"})
    with pytest.raises(UsageError, match="no label of BIDS"):
        find_cases(path, participants=["01"])


@settings(deadline=None)
@given(st.text(alphabet='case,t1\t;"\n\r \x00é/.~n', max_size=60))
def test_any_text_is_a_table_or_told_to_be_none(tmp_path_factory, text):
    path = _table(tmp_path_factory.getbasetemp(), text, "any.csv")
    with pytest.raises(StrokesegError) as error:
        find_cases(path)
    assert error.value.exit_code in (65, 66)


def test_a_cell_may_name_a_folder_of_dicom(tmp_path):
    pytest.importorskip("pydicom")
    (tmp_path / "p1").mkdir()
    made_series(tmp_path / "p1" / "dwi")
    (tmp_path / "p1" / "empty").mkdir()
    table = tmp_path / "cases.csv"
    table.write_text("case,dwi\np1,p1/dwi\n")
    (case,) = find_cases(table).cases
    assert case.images == {"dwi": tmp_path / "p1" / "dwi"}
    table.write_text("case,dwi\np1,p1/empty\n")
    with pytest.raises(InputNotFoundError, match="is a folder"):
        find_cases(table)


@pytest.mark.parametrize("word", ["lesion-free", "Lesion free"])
def test_a_truth_without_lesion_is_a_word_and_no_file(word, data):
    (case,) = find_cases(_table(data, f"case,t1,truth\na,s/a.nii,{word}\n")).cases
    assert case.truth is None
