"""Names, tables, sidecars, and the checks that come before any work."""

import csv
import io
import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from strokeseg.errors import CannotCreateError, UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.files.safe_names import LONGEST_BYTES
from strokeseg.files.tables import table
from strokeseg.files.targets import check_outputs
from strokeseg.measure.lesions import Lesion
from strokeseg.results.case_tables import LESION_COLUMNS, lesion_table, tissue_table
from strokeseg.results.output_names import (
    DEFAULT_KINDS,
    KINDS,
    RESULT_FILES,
    OutputNames,
    check_prefix,
    parse_kinds,
    prefix_of,
)
from strokeseg.results.sidecars import (
    mask_sidecar,
    probability_sidecar,
    tissue_sidecar,
    uncertainty_sidecar,
)


def _lesion(**changes):
    values = {
        "index": 1,
        "volume_ml": 12.34567,
        "centroid_mm": (-10.123, 0.0, 33.5),
        "hemisphere": "left",
        "start_vox": (1, 2, 3),
        "stop_vox": (4, 5, 6),
        "mean_probability": 0.75,
        "max_probability": 0.99999,
        "surface_area_mm2": 1234.5,
        "touches_border": False,
    }
    return Lesion(**{**values, **changes})


def _rows(text):
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def _listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_are_called_as_the_design_says(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "sub-01")
    assert [path.name for path in names.chosen(KINDS)] == [
        "sub-01_label-L_mask.nii.gz",
        "sub-01_label-L_mask.json",
        "sub-01_label-L_probseg.nii.gz",
        "sub-01_label-L_probseg.json",
        "sub-01_dseg.nii.gz",
        "sub-01_dseg.json",
        "sub-01_dseg.tsv",
        "sub-01_desc-uncertainty_map.nii.gz",
        "sub-01_desc-uncertainty_map.json",
        "sub-01_label-L_lesions.tsv",
        "sub-01_desc-lesions_dseg.nii.gz",
        "sub-01_qc.png",
        "sub-01_strokeseg.json",
    ]
    assert names.directory == tmp_path


def test_what_is_saved_by_default_and_always(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    assert names.chosen(DEFAULT_KINDS) == (
        names.mask,
        names.mask_sidecar,
        names.lesions,
        names.lesion_labels,
        names.qc,
        names.record,
    )
    assert names.chosen(()) == (names.record,)


@pytest.mark.parametrize("prefix", ["", ".hidden", "..", "a/b", "a\\b", "/abs"])
def test_a_prefix_that_is_no_file_name_is_refused(prefix, tmp_path):
    with pytest.raises(UsageError, match="is no prefix for file names"):
        OutputNames.for_prefix(tmp_path, prefix)


@pytest.mark.parametrize(
    ("prefix", "fault"),
    [
        ("", "is empty"),
        ("../x", "starts with a dot"),
        ("a/../../x", "holds a slash"),
        ("a\0b", "holds a control character"),
        ("a\nb", "holds a control character"),
        ("-o", "starts with a dash"),
        ("=HYPERLINK(1)", "starts with ="),
        ("aux", "Windows"),
        ("x" * 201, "has 201 bytes"),
    ],
)
def test_a_prefix_that_some_disk_or_program_takes_otherwise_is_refused(prefix, fault):
    with pytest.raises(UsageError, match="is no prefix for file names") as caught:
        check_prefix(prefix)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("sub-01_T1w.nii.gz", "sub-01"),
        ("sub-01_FLAIR.nii", "sub-01"),
        ("sub-01_ses-2_run-1_dwi.nii.gz", "sub-01_ses-2_run-1"),
        ("sub-acute_adc.nii.gz", "sub-acute"),
        ("sub-01_task-rest_bold.nii.gz", "sub-01_task-rest"),
        ("sub-01_space-MNI_desc-preproc_T2w.nii.gz", "sub-01_space-MNI"),
        ("patient7_flair.NII.GZ", "patient7"),
        ("a.nii", "a"),
        ("a.b.nii.gz", "a.b"),
        ("scan.mgz", "scan"),
        ("scan.img", "scan"),
        ("scan.hdr", "scan"),
        ("T1w.nii.gz", "T1w"),
        ("_T1w.nii.gz", "_T1w"),
        ("abct.nii", "abct"),
        (".nii.gz", "image"),
        ("noending", "noending"),
    ],
)
def test_prefix_comes_from_the_file_name(name, prefix, tmp_path):
    assert prefix_of(Path("/data") / name) == prefix
    assert OutputNames.for_prefix(tmp_path, prefix).record.name == f"{prefix}_strokeseg.json"


def test_an_image_without_a_file_has_a_prefix_too():
    assert prefix_of(None) == "image"


def test_save_option():
    assert parse_kinds("mask, LESIONS,") == {"mask", "lesions"}
    assert parse_kinds("all") == set(KINDS)
    with pytest.raises(UsageError, match=r"does not know masks, qq: choose from mask, .* or all"):
        parse_kinds("mask,qq,masks")
    with pytest.raises(UsageError, match="was given nothing"):
        parse_kinds(" , ")


def test_lesion_table_holds_every_field():
    (row,) = _rows(lesion_table([_lesion()]))
    assert tuple(row) == LESION_COLUMNS
    assert list(row.values()) == [
        *("1", "12.3457", "-10.12", "0.00", "33.50", "left", "1", "2", "3", "4", "5", "6"),
        *("0.7500", "1.0000", "1234.50", "false", "n/a"),
    ]


def test_lesion_table_writes_na_for_an_unknown_side():
    rows = _rows(lesion_table([_lesion(), _lesion(index=2, hemisphere=None, touches_border=True)]))
    assert [row["hemisphere"] for row in rows] == ["left", "n/a"]
    assert rows[1]["touches_border"] == "true"


@pytest.mark.parametrize(("found", "told"), [(True, "true"), (False, "false"), (None, "n/a")])
def test_lesion_table_tells_what_lies_opposite(found, told):
    (row,) = _rows(lesion_table([_lesion(opposite_fluid=found)]))
    assert row["opposite_fluid"] == told


def test_no_lesion_leaves_the_header():
    text = lesion_table([])
    assert text == "\t".join(LESION_COLUMNS) + "\n"


def test_tissue_table_is_a_bids_lookup_table():
    text = tissue_table(["background", "GM/WM"], [1000.0, 2.5])
    assert text == "index\tname\tvolume_ml\n0\tbackground\t1000.0000\n1\tGM/WM\t2.5000\n"


def test_the_longest_prefix_leaves_room_for_every_name(tmp_path):
    prefix = check_prefix("x" * LONGEST_BYTES)
    for path in OutputNames.for_prefix(tmp_path, prefix).chosen(KINDS):
        write_atomically(path, [b""])


def test_no_cell_of_a_table_is_a_formula_and_numbers_stay_numbers():
    assert table(["a"], [["+" + 20_000 * "1" + "x"]]).startswith("a\n'+1")  # at once
    cells = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-1.5", "+2e-3", "-inf", "-"]
    kept = ["'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "'@SUM(A1)", " =1", "-1.5", "+2e-3", "-inf"]
    assert table(["a"], [[cell] for cell in cells]).split("\n")[1:-1] == [*kept, "-"]


def test_a_cell_cannot_break_the_table():
    assert table(["a", "b"], [["x\ty\nz", ""]]) == "a\tb\nx y z\tn/a\n"


def test_sidecars_are_json_and_say_where_the_image_comes_from():
    mask = json.loads(json.dumps(mask_sidecar(["a.nii", "b.nii"], "a.nii", "synth-open")))
    assert mask["Type"] == "Lesion"
    assert mask["Sources"] == ["a.nii", "b.nii"]
    assert mask["SpatialReference"] == "a.nii"
    assert "synth-open" in mask["Description"]
    for sidecar in (probability_sidecar, tissue_sidecar):
        about = json.loads(json.dumps(sidecar(["a.nii", "b.nii"], "b.nii", "synth-open")))
        assert about["Sources"] == ["a.nii", "b.nii"]
        assert about["SpatialReference"] == "b.nii"
        assert "synth-open" in about["Description"]
    assert tissue_sidecar(["a.nii"], "a.nii", "m")["volume_ml"]["Units"] == "mL"
    maps = json.loads(json.dumps(uncertainty_sidecar(["a.nii"], "a.nii", 8)))
    assert [volume["Name"] for volume in maps["Volumes"]] == ["entropy", "standard deviation"]
    assert maps["Volumes"][1]["Flips"] == 8


def test_a_new_folder_passes_the_check_and_is_not_made(tmp_path):
    names = OutputNames.for_prefix(tmp_path / "new" / "deeper", "a")
    check_outputs(names.chosen(KINDS), [], overwrite=False)
    assert _listing(tmp_path) == []


def test_existing_outputs_are_refused_unless_overwriting(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    names.mask.touch()
    names.record.touch()
    with pytest.raises(CannotCreateError, match=r"a_label-L_mask\S+ exists already \(and 1 more\)"):
        check_outputs(names.chosen({"mask"}), [], overwrite=False)
    check_outputs(names.chosen({"mask"}), [], overwrite=True)
    names.record.unlink()
    check_outputs(names.chosen({"tissue"}), [], overwrite=False)


def test_refusal_has_exit_code_73_and_one_line(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    names.record.touch()
    with pytest.raises(CannotCreateError, match="pass --overwrite") as caught:
        check_outputs(names.chosen({"mask"}), [], overwrite=False)
    assert caught.value.exit_code == 73
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_an_output_that_is_an_input_is_refused_even_when_overwriting(link, tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    scan = names.mask
    if link is not None:
        scan = tmp_path / "scan.nii.gz"
        scan.touch()
        link(scan, names.mask)
    scan.touch()
    with pytest.raises(CannotCreateError, match="is an input and would be overwritten"):
        check_outputs(names.chosen({"mask"}), [tmp_path / "gone.nii", scan], overwrite=True)


def test_a_dangling_link_counts_as_an_existing_output(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    names.mask.symlink_to(tmp_path / "gone")
    with pytest.raises(CannotCreateError, match="exists already:"):
        check_outputs(names.chosen({"mask"}), [], overwrite=False)
    check_outputs(names.chosen({"mask"}), [], overwrite=True)


def test_an_output_that_is_a_folder_is_refused(tmp_path):
    names = OutputNames.for_prefix(tmp_path, "a")
    names.qc.mkdir()
    with pytest.raises(CannotCreateError, match=r"a_qc.png is a folder"):
        check_outputs(names.chosen({"qc"}), [], overwrite=True)


@pytest.mark.parametrize("deeper", ["", "more/folders"])
def test_a_file_where_the_folder_should_be_is_refused(deeper, tmp_path):
    (tmp_path / "out").touch()
    names = OutputNames.for_prefix(tmp_path / "out" / deeper, "a")
    with pytest.raises(CannotCreateError, match="out is a file, not a folder"):
        check_outputs(names.chosen(()), [], overwrite=False)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    names = OutputNames.for_prefix(tmp_path / "out", "a")
    with pytest.raises(CannotCreateError, match=r"cannot write in .*out: Permission denied"):
        check_outputs(names.chosen(()), [], overwrite=False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    names = OutputNames.for_prefix(tmp_path, "a")
    try:
        with pytest.raises(CannotCreateError, match="Permission denied"):
            check_outputs(names.chosen(()), [], overwrite=False)
    finally:
        tmp_path.chmod(0o700)


def test_the_table_of_files_has_a_row_for_every_field():
    assert list(RESULT_FILES) == [field.name for field in fields(OutputNames)]
    assert list(RESULT_FILES)[-1] == "record"
    assert len({file.ending for file in RESULT_FILES.values()}) == len(RESULT_FILES)
