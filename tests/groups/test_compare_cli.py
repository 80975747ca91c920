"""`strokeseg compare` from end to end, and its errors: one line and an exit code."""

import io
import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from strokeseg import cli
from strokeseg.groups.symptom_map import PEAK_COLUMNS
from strokeseg.groups.writing import NAMES
from tests.groups.made_cohorts import made_values, write_cohort


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("strokeseg.groups.ranks.RESAMPLES", 200)


def run(output, by, *more):
    return cli.run(["compare", str(output), "--by", by, *more])


def test_a_cohort_is_compared_and_everything_written(tmp_path, capfd):
    output, people = write_cohort(tmp_path, made_values(), masks=True)
    assert run(output, f"{people}:group", "--covariates", "age, sex") == 0
    out, err = capfd.readouterr()
    assert "lesion_volume_ml" in out
    assert max(map(len, out.splitlines())) <= 100  # no terminal: the last line is one of words
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith(("│", "┃")))
    assert "family-wise" in out
    assert "written" in err
    target = output / "compare"
    assert sorted(path.name for path in target.iterdir()) == sorted(NAMES)
    with Image.open(io.BytesIO((target / "compare.png").read_bytes())) as page:
        assert page.width > 1000
    image = nib.load(target / "symptom_t.nii.gz")
    assert image.header["sform_code"] == 4
    assert image.header.get_zooms() == (4.0, 4.0, 4.0)
    record = json.loads((target / "compare.json").read_text())
    assert record["covariates"] == ["age", "sex"]
    assert record["symptom_map"]["permutations"] == 1000
    threshold = record["symptom_map"]["threshold_t"]
    lines = [line.split("\t") for line in (target / "symptom_peaks.tsv").read_text().splitlines()]
    assert lines[0] == list(PEAK_COLUMNS)
    assert lines[1][5] == "yes"
    assert np.abs(image.get_fdata()).max() > threshold


def test_again_it_gives_the_same_bytes_and_numbers_a_scatter(tmp_path):
    output, people = write_cohort(tmp_path, made_values(), masks=True)
    for name in ("one", "two"):
        assert run(output, f"{people}:score", "-o", str(tmp_path / name), "-q", "--no-volume") == 0
    for name in NAMES[:-1]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_without_masks_there_is_a_table_and_a_word_why_there_is_no_map(tmp_path, capfd):
    output, people = write_cohort(tmp_path, made_values())
    assert run(output, f"{people}:group", "-o", str(tmp_path / "out")) == 0
    assert "no map of voxels" in capfd.readouterr().err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["compare.json", "compare.png", "compare.tsv"]


def broken(tmp_path, what):
    rows = made_values(number=4 if what == "few" else 12)
    if what == "one":
        for row in rows:
            row["group"] = "a"
    if what == "small":
        rows[0]["group"] = "z"
    output, people = write_cohort(tmp_path, rows)
    if what == "strangers":
        people.write_text(people.read_text().replace("sub-", "sub-x"))
    if what == "twice":
        people.write_text(people.read_text() + people.read_text().splitlines()[-1] + "\n")
    if what == "short":
        people.write_text(people.read_text() + "sub-99\t3\n")
    if what == "no key":
        people.write_text(people.read_text().replace("participant_id", "who"))
    if what == "no table":
        (output / "cohort.tsv").unlink()
    if what == "no cohort":
        (output / "cohort.tsv").write_text("a\tb\n")
    return output, people


@pytest.mark.parametrize(
    ("what", "column", "code", "words"),
    [
        ("", "nothing", 65, "has no column nothing, but participant_id"),
        ("one", "group", 65, "all cases are a; two groups are needed"),
        ("small", "group", 65, "group z has 1 of the cases"),
        ("few", "group", 65, "4 cases are too few"),
        ("strangers", "group", 65, "no case can be compared"),
        ("twice", "group", 65, "is there already"),
        ("short", "group", 65, "2 cells and the header 5"),
        ("no key", "group", 65, "no column case or participant_id"),
        ("no table", "group", 66, "strokeseg collect"),
        ("no cohort", "group", 65, "is no table of a cohort"),
        ("", "", 2, "name table and column"),
    ],
)
def test_bad_input_is_one_line_and_its_code(tmp_path, capfd, what, column, code, words):
    output, people = broken(tmp_path, what)
    assert run(output, f"{people}:{column}") == code
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line
    assert not (output / "compare").exists()


def test_missing_files_odd_covariates_and_files_of_others_are_refused(tmp_path, capfd):
    output, people = write_cohort(tmp_path, made_values(number=12))
    by = f"{people}:group"
    assert run(tmp_path / "gone", by) == 66
    assert run(output, "gone.tsv:group") == 66
    assert run(output, by, "--covariates", "age,,sex") == 2
    assert run(output, by, "--covariates", "weight") == 65
    (output / "compare").mkdir()
    (output / "compare" / "compare.tsv").write_text("mine")
    assert run(output, by) == 73
    assert len(capfd.readouterr().err.splitlines()) == 5
