"""The tables of a cohort hold what the cases' own records say, and nothing else."""

import json
import os
import shutil

import pytest

from strokeseg.cohort import collect as collecting
from strokeseg.cohort.batch.claims import Claims
from strokeseg.cohort.collect import collect
from strokeseg.errors import CannotCreateError, InputNotFoundError
from strokeseg.files.checksums import sha256
from strokeseg.results.case_tables import LESION_COLUMNS
from tests.cohort.cohorts import hidden, make_cases, make_job, make_model, run_all


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    root = tmp_path_factory.mktemp("collect")
    job = make_job(root / "out", make_model(root / "model"), kinds=frozenset({"mask", "lesions"}))
    cases = make_cases(root / "in", 3)
    path = cases[2].images["flair"]
    path.write_bytes(path.read_bytes()[:1500])
    run_all(cases, job)
    return job.output


@pytest.fixture
def output(once, tmp_path):
    return shutil.copytree(once, tmp_path / "out")


def rows(path):
    head, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def record_of(output, name):
    return json.loads((output / name / f"{name}_strokeseg.json").read_bytes())


def edit(output, name, **changes):
    content = record_of(output, name) | changes
    (output / name / f"{name}_strokeseg.json").write_text(json.dumps(content))


def test_each_case_has_a_row_with_the_figures_of_its_record(output):
    edit(output, "s1", warnings=[], lesion_volume_interval_ml=[0.5, 7.25])
    edit(output, "s2", warnings=["one", "two\tlines\nof it"])
    tables = collect(output, "run")
    assert (tables.done, tables.failed, tables.warned) == (2, 1, 1)
    first, second, third = rows(output / "cohort.tsv")
    record = record_of(output, "s1")
    assert list(first) == [
        *("case", "status", "modalities", "reference", "lesion_volume_ml", "volume_low_ml"),
        *("volume_high_ml", "interval_low_ml", "interval_high_ml", "lesion_count"),
        *("CSF_ml", "GM_ml", "GM/WM_ml", "WM_ml", "brain_ml"),
        *("apart_mm", "turned_degrees", "warnings", "seconds", "model", "error", "record"),
    ]
    assert (first["case"], first["status"], first["modalities"]) == ("s1", "done", "flair")
    assert float(first["lesion_volume_ml"]) == pytest.approx(record["lesion_volume_ml"], abs=1e-4)
    low, high = record["lesion_volume_range_ml"]
    assert float(first["volume_low_ml"]) == pytest.approx(low, abs=1e-4)
    assert float(first["volume_high_ml"]) == pytest.approx(high, abs=1e-4)
    assert int(first["lesion_count"]) == record["lesion_count"]
    assert float(first["GM_ml"]) == pytest.approx(record["tissue_volumes_ml"]["GM"], abs=1e-4)
    assert float(first["brain_ml"]) == pytest.approx(record["brain_volume_ml"], abs=1e-4)
    assert float(first["seconds"]) == pytest.approx(sum(record["seconds"].values()), abs=0.06)
    assert (first["model"], first["error"]) == ("model", "n/a")
    assert first["record"] == "s1/s1_strokeseg.json"
    assert (first["interval_low_ml"], first["interval_high_ml"]) == ("0.5000", "7.2500")
    assert second["interval_low_ml"] == second["interval_high_ml"] == "n/a"
    assert second["warnings"] == "one | two lines of it"
    assert (third["case"], third["status"]) == ("s3", "failed")
    assert "damaged" in third["error"]
    assert third["lesion_volume_ml"] == third["record"] == "n/a"


def test_the_table_tells_of_the_scan_that_lies_furthest_off(output):
    near = {"overlap": 0.9, "apart_mm": 2.25, "turned_degrees": 4.0}
    far = {"overlap": 0.4, "apart_mm": 31.04, "turned_degrees": 1.0}
    edit(output, "s1", alignment={"t2": near, "dwi": far})
    collect(output, "run")
    first, second, _ = rows(output / "cohort.tsv")
    assert (first["apart_mm"], first["turned_degrees"]) == ("31.0", "4.0")
    assert (second["apart_mm"], second["turned_degrees"]) == ("n/a", "n/a")


def test_each_lesion_has_a_row_that_names_its_case(output):
    tables = collect(output, "run")
    found = rows(output / "lesions.tsv")
    assert list(found[0]) == ["case", *LESION_COLUMNS]
    counts = [record_of(output, name)["lesion_count"] for name in ("s1", "s2")]
    assert [row["case"] for row in found] == ["s1"] * counts[0] + ["s2"] * counts[1]
    assert tables.lesion_count == len(found) > 0
    own = rows(output / "s1" / "s1_label-L_lesions.tsv")
    assert [{"case": "s1"} | row for row in own] == found[: counts[0]]


def test_a_lesion_table_of_an_older_version_says_na_where_it_has_no_column(output):
    path = output / "s1" / "s1_label-L_lesions.tsv"
    lines = [line.rsplit("\t", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    files = record_of(output, "s1")["files"] | {path.name: sha256(path)}
    edit(output, "s1", files=files)
    collect(output, "run")
    found = {row["opposite_fluid"] for row in rows(output / "lesions.tsv") if row["case"] == "s1"}
    assert found == {"n/a"}


def test_parts_of_lesions_have_columns_before_the_tissues(output):
    edit(output, "s1", part_volumes_ml={"core": 1.25, "rim": 2.0})
    collect(output, "run")
    first, second = (row for row in rows(output / "cohort.tsv") if row["status"] == "done")
    assert (first["core_ml"], first["rim_ml"]) == ("1.2500", "2.0000")
    assert (second["core_ml"], second["rim_ml"]) == ("n/a", "n/a")
    columns = list(first)
    assert columns.index("lesion_count") < columns.index("core_ml") < columns.index("GM_ml")


def test_models_with_other_tissues_have_columns_of_their_own(output):
    edit(output, "s2", tissue_volumes_ml={"background": 9, "lesion": 1, "bone": 7.5})
    edit(output, "s1", brain_volume_ml=None)
    collect(output, "run")
    first, second, _ = rows(output / "cohort.tsv")
    assert (second["bone_ml"], second["GM_ml"], first["bone_ml"]) == ("7.5000", "n/a", "n/a")
    assert first["brain_ml"] == "n/a"
    assert list(first).index("WM_ml") < list(first).index("bone_ml") < list(first).index("brain_ml")


def test_modalities_come_in_their_usual_order(output):
    inputs = record_of(output, "s1")["inputs"]["flair"]
    edit(output, "s1", inputs={"adc": inputs, "dwi": inputs, "flair": inputs, "t1": inputs})
    collect(output, "run")
    assert rows(output / "cohort.tsv")[0]["modalities"] == "t1,flair,dwi,adc"


def test_a_case_whose_last_try_failed_shows_no_figures_of_an_earlier_one(output):
    error = {"case": "s1", "message": "no longer there", "inputs": {"t1": "x"}}
    (output / "s1" / "s1_error.json").write_text(json.dumps(error))
    tables = collect(output, "run")
    row = rows(output / "cohort.tsv")[0]
    assert (row["status"], row["error"], row["lesion_volume_ml"]) == (
        *("failed", "no longer there", "n/a"),
    )
    assert "s1" not in {row["case"] for row in rows(output / "lesions.tsv")}
    assert tables.failed == 2


def test_a_case_that_lacks_a_file_is_shown_as_failed(output):
    (output / "s1" / "s1_label-L_mask.nii.gz").unlink()
    collect(output, "run")
    row = rows(output / "cohort.tsv")[0]
    assert (row["status"], row["error"]) == (
        *("failed", "s1_label-L_mask.nii.gz is missing; run the batch again"),
    )


def test_a_lesion_table_that_was_changed_is_not_believed(output):
    with (output / "s1" / "s1_label-L_lesions.tsv").open("a") as stream:
        stream.write("1\t2\n")
    why = "s1/s1_label-L_lesions.tsv: was changed since it was written; run this case again"
    check_damaged(output, why)


@pytest.mark.parametrize("changes", [{"lesion_volume_ml": None}, {"models": 3}, {"seconds": [1]}])
def test_a_record_that_lacks_something_is_named(output, changes):
    edit(output, "s1", **changes)
    check_damaged(output, "s1/s1_strokeseg.json: is no whole record")


@pytest.mark.parametrize("content", [b"", b'{"case": "s', b"[1]", b"\xff\xfe\x00", b"[" * 100_000])
@pytest.mark.parametrize("ending", ["strokeseg", "error"])
def test_a_record_or_error_file_that_cannot_be_read_costs_its_own_case(output, ending, content):
    (output / "s1" / f"s1_{ending}.json").write_bytes(content)
    check_damaged(output, f"s1/s1_{ending}.json: ")


def check_damaged(output, why):
    """Check that s1 is a failed case that is told of, and that s2 is what it is without that."""
    tables = collect(output, "run")
    assert list(tables.damaged) == ["s1"]
    assert tables.damaged["s1"].startswith(why)
    assert (tables.done, tables.failed) == (1, 2)
    first, second, _ = rows(output / "cohort.tsv")
    assert (first["case"], first["status"], first["lesion_volume_ml"]) == ("s1", "failed", "n/a")
    assert first["error"] == tables.damaged["s1"]
    assert (second["case"], second["status"]) == ("s2", "done")
    assert [row["case"] for row in rows(output / "lesions.tsv")] == (
        ["s2"] * record_of(output, "s2")["lesion_count"]
    )
    assert hidden(output) == []


def test_cases_that_were_predicted_alone_and_saved_less_are_rows_too(output):
    record = record_of(output, "s1")
    for name in ("case", "truth"):
        record.pop(name)
    record["files"].pop("s1_label-L_lesions.tsv")
    (output / "s1" / "s1_strokeseg.json").write_text(json.dumps(record))
    tables = collect(output, "run")
    assert rows(output / "cohort.tsv")[0]["case"] == "s1"
    assert tables.lesion_count == record_of(output, "s2")["lesion_count"]


def test_an_output_without_cases_gives_tables_without_rows(tmp_path):
    tables = collect(tmp_path, "run")
    assert (tables.done, tables.failed, tables.lesion_count) == (0, 0, 0)
    assert (tmp_path / "cohort.tsv").read_text().startswith("case\tstatus\t")
    assert (tmp_path / "lesions.tsv").read_text().startswith("case\tindex\t")


def test_what_a_killed_run_left_of_the_tables_goes(output):
    (output / ".cohort.tsv.0123abcd.tmp").write_text("half")
    (output / ".mine.0123abcd.tmp").write_text("not ours")
    collect(output, "run")
    assert hidden(output) == [".mine.0123abcd.tmp"]


def test_two_runs_write_the_tables_one_after_the_other(output, monkeypatch):
    monkeypatch.setattr(collecting, "_PATIENCE_S", 0.0)
    other = Claims(output, "other")
    other.take("tables")
    with pytest.raises(CannotCreateError, match=rf"process {os.getpid()} on .* run `strokeseg"):
        collect(output, "run")
    other.close()
    collect(output, "run")
    assert hidden(output) == []


def test_a_folder_that_is_not_there_is_said_and_not_made(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        collect(tmp_path / "none", "run")
    assert list(tmp_path.iterdir()) == []


def test_files_that_save_by_name_and_register_write_are_not_missed(output):
    path = output / "s1" / "s1_strokeseg.json"
    record = json.loads(path.read_bytes())
    endings = (
        "_space-MNI152_label-L_mask.nii.gz",
        "_from-native_to-MNI152_mode-image_xfm.tfm",
        "_from-dwi_to-flair_mode-image_xfm.tfm",
        "_desc-lesionfilled_T1w.nii.gz",
    )
    for ending in endings:
        (path.parent / f"s1{ending}").write_bytes(b"x")
        record["files"][f"s1{ending}"] = "0" * 64
    path.write_text(json.dumps(record))
    assert rows(collect(output, "run").cohort)[0]["status"] == "done"
    (path.parent / f"s1{endings[2]}").unlink()
    first = rows(collect(output, "run").cohort)[0]
    assert first["status"] == "failed"
    assert first["error"] == f"s1{endings[2]} is missing; run the batch again"
