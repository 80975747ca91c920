"""A case is skipped only if its record says that what is there was made the same way, whole."""

import gzip
import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from strokeseg._version import __version__
from strokeseg.cohort.batch.plan import states_of
from strokeseg.cohort.batch.resume import look_at, remove_leftovers
from strokeseg.cohort.cases.case import Case
from strokeseg.engines.choice import open_engine
from strokeseg.files.staging import Staging, staging_prefix
from strokeseg.models.loading import Hardware
from strokeseg.prediction.options import Options
from strokeseg.results.output_names import KINDS, OutputNames
from tests.cohort.cohorts import (
    hidden,
    make_case,
    make_cases,
    make_job,
    make_model,
    run_all,
    statuses,
    with_prints,
)
from tests.factories import KINDS as SCANS
from tests.factories import scan_image


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Three cases that are done, all outputs saved."""
    root = tmp_path_factory.mktemp("once")
    cases = make_cases(root / "in", 3)
    job = job_below(root, make_model(root / "model"))
    assert set(statuses(cases, job).values()) == {"done"}
    return root


def job_below(root, model):
    options = Options(tta=False, uncertainty=True)
    return make_job(root / "out", model, kinds=frozenset(KINDS), options=options)


@pytest.fixture
def done(once, tmp_path):
    """The same three cases for one test alone; gives cases and job."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    cases = tuple(
        Case(name, {"flair": tmp_path / "in" / name / f"{name}_flair.nii.gz"}, name, name)
        for name in ("s1", "s2", "s3")
    )
    return cases, job_below(tmp_path, tmp_path / "model")


def only_second(outcomes):
    """The reason why s2 was done, where the others were skipped."""
    assert [outcomes[name].status for name in ("s1", "s3")] == ["skipped", "skipped"]
    assert outcomes["s2"].status == "done"
    return outcomes["s2"].message


def test_whole_cases_are_skipped_and_no_engine_is_opened(done, monkeypatch):
    cases, job = done

    def refuse(*_arguments, **_keywords):
        raise AssertionError

    monkeypatch.setattr("strokeseg.models.loading.open_engine", refuse)
    before = {p: p.stat().st_mtime_ns for p in job.output.rglob("*") if p.is_file()}
    assert set(statuses(cases, job).values()) == {"skipped"}
    assert {p: p.stat().st_mtime_ns for p in job.output.rglob("*") if p.is_file()} == before


ENDINGS = [
    "_label-L_mask.nii.gz",
    "_label-L_mask.json",
    "_label-L_probseg.nii.gz",
    "_dseg.nii.gz",
    "_dseg.tsv",
    "_desc-uncertainty_map.nii.gz",
    "_label-L_lesions.tsv",
    "_desc-lesions_dseg.nii.gz",
    "_qc.png",
    "_strokeseg.json",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_deleted_output_redoes_its_case_alone(done, ending):
    cases, job = done
    path = job.output / "s2" / f"s2{ending}"
    content = path.read_bytes()
    path.unlink()
    why = only_second(run_all(cases, job))
    assert ending == "_strokeseg.json" or path.name in why
    if not ending.endswith(".json"):  # those name the inputs, which were moved
        assert path.read_bytes() == content


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_output_redoes_its_case_alone(done, ending):
    cases, job = done
    path = job.output / "s2" / f"s2{ending}"
    path.write_bytes(path.read_bytes()[:-3])
    assert "again" in only_second(run_all(cases, job))
    assert set(statuses(cases, with_prints(job)).values()) == {"skipped"}


def test_a_changed_byte_of_the_mask_redoes_its_case_alone(done):
    cases, job = done
    path = job.output / "s2" / "s2_label-L_mask.nii.gz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert only_second(run_all(cases, job)) == f"again: {path.name} was changed"


def test_other_bytes_of_an_input_redo_its_case_alone(done):
    cases, job = done
    path = cases[1].images["flair"]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))  # the same voxels
    assert only_second(run_all(cases, job)) == "again: the inputs were others"


def test_the_same_bytes_at_another_place_are_the_same_input(done):
    cases, job = done
    moved = cases[1].images["flair"].with_name("renamed.nii.gz")
    cases[1].images["flair"].rename(moved)
    cases = (cases[0], replace(cases[1], images={"flair": moved}), cases[2])
    assert set(statuses(cases, job).values()) == {"skipped"}


def test_another_modality_or_one_more_redoes_the_case(done):
    cases, job = done
    path = cases[1].images["flair"]
    cases = (cases[0], replace(cases[1], images={"flair": path, "t1": path}), cases[2])
    assert only_second(run_all(cases, job)) == "again: the inputs were others"
    cases = (cases[0], replace(cases[1], images={"t2": path}), cases[2])
    assert only_second(run_all(cases, with_prints(job))) == "again: the inputs were others"


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.4},
        {"overlap": 0.25},
        {"min_volume_ml": 1.0},
        {"min_peak": 0.5},
        {"tta": True},
    ],
)
def test_another_option_redoes_every_case_once(done, changes):
    cases, job = done
    other = with_prints(job, options=replace(job.options, **changes))
    outcomes = run_all(cases, other)
    assert {o.message for o in outcomes.values()} == {"again: the options were others"}
    assert set(statuses(cases, with_prints(other)).values()) == {"skipped"}


def test_fewer_kinds_leave_what_is_there_and_do_nothing(done):
    cases, job = done
    before = sorted(job.output.rglob("*"))
    plain = replace(job.options, uncertainty=False)
    fewer = with_prints(job, kinds=frozenset({"mask"}), options=plain)
    assert set(statuses(cases, fewer).values()) == {"skipped"}
    assert sorted(job.output.rglob("*")) == before


def test_a_case_that_is_done_again_with_fewer_kinds_gets_all_that_it_had(done):
    cases, job = done
    before = sorted(path for path in job.output.rglob("*") if path.is_file())
    options = replace(job.options, uncertainty=False, threshold=0.4)
    fewer = with_prints(job, kinds=frozenset({"mask"}), options=options)
    assert set(statuses(cases, fewer).values()) == {"done"}
    assert sorted(path for path in job.output.rglob("*") if path.is_file()) == before
    for path in job.output.rglob("*_strokeseg.json"):
        record = json.loads(path.read_text())
        assert set(record["kinds"]) == set(KINDS)
        assert record["options"]["threshold"] == 0.4
    assert set(statuses(cases, with_prints(fewer)).values()) == {"skipped"}


def test_more_kinds_come_beside_those_that_are_there(done):
    cases, job = done
    for case in cases:
        for ending in ("_qc.png", "_dseg.nii.gz", "_dseg.json", "_dseg.tsv"):
            (job.output / case.folder / f"{case.prefix}{ending}").unlink()
    for path in job.output.rglob("*_strokeseg.json"):
        record = json.loads(path.read_text())
        record["kinds"] = [kind for kind in record["kinds"] if kind not in ("qc", "tissue")]
        path.write_text(json.dumps(record))
    more = with_prints(job, kinds=frozenset({"qc"}))
    messages = {outcome.message for outcome in run_all(cases, more).values()}
    assert messages == {"again: other results were asked for"}
    assert len(list(job.output.rglob("*_qc.png"))) == len(cases)
    assert len(list(job.output.rglob("*_probseg.nii.gz"))) == len(cases)
    assert len(list(job.output.rglob("*_desc-lesions_dseg.nii.gz"))) == len(cases)
    assert not list(job.output.rglob("*_dseg.tsv"))


def test_names_in_a_record_are_wanted_or_not(done):
    cases, job = done
    hidden_job = with_prints(job, anonymise=True)
    messages = {outcome.message for outcome in run_all(cases, hidden_job).values()}
    assert messages == {"again: it was not anonymised"}
    assert set(statuses(cases, with_prints(hidden_job)).values()) == {"skipped"}
    messages = {outcome.message for outcome in run_all(cases, with_prints(job)).values()}
    assert messages == {"again: it was anonymised"}


def test_other_weights_or_another_config_redo_every_case(done, tmp_path):
    cases, job = done
    make_model(tmp_path / "model", seed=4)
    outcomes = run_all(cases, with_prints(job))
    assert {o.message for o in outcomes.values()} == {"again: the model was another"}
    make_model(tmp_path / "model", seed=4, threshold=0.35)
    outcomes = run_all(cases, with_prints(job))
    assert {o.message for o in outcomes.values()} == {"again: the model was another"}


def test_the_same_model_at_another_place_is_the_same(done, tmp_path):
    cases, job = done
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    moved = with_prints(job, models=(str(tmp_path / "elsewhere"),))
    assert set(statuses(cases, moved).values()) == {"skipped"}


def test_engine_and_threads_do_not_matter_but_precision_and_version_do(done):
    cases, job = done
    other = replace(job, hardware=Hardware("onnxruntime", "cpu", threads=1))
    assert set(statuses(cases, with_prints(other)).values()) == {"skipped"}
    coarse = replace(job, hardware=Hardware(precision="bf16"))
    assert look_at(cases[0], coarse).reason == "the model was another"
    assert look_at(cases[0], replace(job, version="0.0.1")).reason == f"strokeseg was {__version__}"


def test_no_resume_redoes_every_case(done):
    cases, job = done
    outcomes = run_all(cases, with_prints(job, resume=False))
    assert {(o.status, o.message) for o in outcomes.values()} == {("done", "again: --no-resume")}


def edited(record, **changes):
    content = json.loads(record.read_bytes())
    record.write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.write_text(""),
        lambda record: record.write_text("{"),
        lambda record: record.write_text("{}"),
        lambda record: record.write_text("[1]"),
        lambda record: record.write_bytes(b"\xff\xfe\x00"),
        lambda record: edited(record, files={}),
        lambda record: edited(record, files=None),
        lambda record: edited(record, kinds=[]),
        lambda record: edited(record, kinds=None),
        lambda record: edited(record, models=[]),
        lambda record: edited(record, models=[None]),
        lambda record: edited(record, inputs=[]),
        lambda record: edited(record, case="s1"),
    ],
)
def test_a_record_that_cannot_be_trusted_redoes_its_case_alone(done, damage):
    cases, job = done
    damage(job.output / "s2" / "s2_strokeseg.json")
    only_second(run_all(cases, job))
    assert set(statuses(cases, with_prints(job)).values()) == {"skipped"}


def test_a_failed_case_is_tried_again_and_its_error_file_goes_when_it_is_done(done):
    cases, job = done
    path = cases[1].images["flair"]
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    error = job.output / "s2" / "s2_error.json"
    for _ in range(2):
        assert statuses(cases, with_prints(job))["s2"] == "failed"
        assert error.exists()
    path.write_bytes(content)  # what was made from it before is there and right
    assert set(statuses(cases, with_prints(job)).values()) == {"skipped"}
    assert not error.exists()
    (job.output / "s2" / "s2_strokeseg.json").unlink()
    error.write_text("{}")
    assert statuses(cases, with_prints(job))["s2"] == "done"
    assert not error.exists()


def test_another_truth_is_written_down_and_nothing_is_done_again(done, tmp_path):
    cases, job = done
    truth = tmp_path / "truth.nii.gz"
    cases = (cases[0], replace(cases[1], truth=truth), cases[2])
    assert set(statuses(cases, job).values()) == {"skipped"}
    record = job.output / "s2" / "s2_strokeseg.json"
    assert json.loads(record.read_bytes())["truth"] == str(truth)
    assert set(statuses(cases, with_prints(job)).values()) == {"skipped"}


def test_both_halves_of_a_pair_count(tmp_path):
    image = scan_image(SCANS["ras"])
    pair = nib.Nifti1Pair(np.asarray(image.dataobj), image.affine)
    nib.save(pair, tmp_path / "a.img")
    job = make_job(tmp_path / "out", make_model(tmp_path / "model"))
    for name in ("a.img", "a.hdr"):
        case = Case("a", {"flair": tmp_path / name}, "a", "a")
        assert statuses([case], with_prints(job))["a"] == "done"
        for other in ("a.img", "a.hdr"):
            assert statuses([case], with_prints(job))["a"] == "skipped"
            content = bytearray((tmp_path / other).read_bytes())
            content[-1 if other == "a.img" else 150] ^= 1  # a voxel; a letter of its description
            (tmp_path / other).write_bytes(content)
            assert statuses([case], with_prints(job))["a"] == "done"
        shutil.rmtree(job.output)


def test_what_a_killed_run_left_goes_when_the_case_is_looked_at(done):
    cases, job = done
    folder = job.output / "s2"
    for name in (".strokeseg-abc", ".strokeseg-def/tmpold"):
        (folder / name).mkdir(parents=True)
    (folder / ".strokeseg-abc" / "s2_label-L_mask.nii.gz").write_bytes(b"1")
    (folder / ".s2_error.json.0123abcd.tmp").write_bytes(b"1")
    (folder / ".mine").write_bytes(b"1")
    assert set(statuses(cases, job).values()) == {"skipped"}
    assert hidden(job.output) == [".mine"]


def test_in_a_shared_folder_only_what_is_the_cases_own_goes(tmp_path):
    def leave(staging, *names):
        (tmp_path / staging).mkdir()
        for name in names:
            (tmp_path / staging / name).write_bytes(b"1")

    own, other = (staging_prefix(f"{name}_strokeseg.json") for name in ("a", "a_b"))
    leave(f"{own}1", "a_qc.png", ".a_label-L_mask.nii.gz.0123abcd.tmp")
    leave(f"{own}2")
    leave(f"{other}1", "a_b_qc.png")
    leave(f"{other}2")
    (tmp_path / ".a_error.json.0123abcd.tmp").write_bytes(b"1")
    (tmp_path / ".a_b_error.json.0123abcd.tmp").write_bytes(b"1")
    remove_leftovers(OutputNames.for_prefix(tmp_path, "a"), shared=True)
    assert hidden(tmp_path) == [".a_b_error.json.0123abcd.tmp", f"{other}1", f"{other}2"]


def test_a_case_killed_just_as_its_saving_began_leaves_nothing_beside_others(tmp_path):
    with Staging(tmp_path, last="a_strokeseg.json"):
        (begun,) = hidden(tmp_path)
    (tmp_path / begun).mkdir()  # what SIGKILL would have left of it: an empty folder
    remove_leftovers(OutputNames.for_prefix(tmp_path, "a_b"), shared=True)
    assert hidden(tmp_path) == [begun]
    remove_leftovers(OutputNames.for_prefix(tmp_path, "a"), shared=True)
    assert hidden(tmp_path) == []


def test_cases_of_one_output_folder_resume_each_by_itself(tmp_path):
    cases = tuple(
        replace(make_case(tmp_path / "in", name), folder="", prefix=name) for name in ("a", "a_b")
    )
    job = make_job(tmp_path / "out", make_model(tmp_path / "model"), shared=frozenset({""}))
    assert statuses(cases, job) == {"a": "done", "a_b": "done"}
    (tmp_path / "out" / "a_qc.png").unlink()
    assert statuses(cases, with_prints(job)) == {"a": "done", "a_b": "skipped"}
    assert hidden(job.output) == []


def test_the_engine_that_resume_does_without_is_the_one_that_is_used(done, monkeypatch):
    cases, job = done
    opened = []
    monkeypatch.setattr(
        "strokeseg.models.loading.open_engine",
        lambda *a, **k: opened.append(1) or open_engine(*a, **k),
    )
    (job.output / "s2" / "s2_qc.png").unlink()
    only_second(run_all(cases, job))
    assert opened == [1]


def test_the_plan_tells_done_from_to_do_and_why(done):
    cases, job = done
    asked = replace(job, prints=())  # as the command line has it, before models are looked for
    new = Case("s9", dict(cases[0].images), "s9", "s9")
    (job.output / "s2" / "s2_qc.png").unlink()
    before = sorted(job.output.rglob("*"))
    assert states_of((*cases, new), asked) == (
        "done",
        "to do again: s2_qc.png was missing",
        "done",
        "to do",
    )
    assert sorted(job.output.rglob("*")) == before
    other = replace(asked, options=replace(job.options, threshold=0.9))
    assert states_of(cases[:1], other) == ("to do again: the options were others",)
    assert states_of(cases[:1], replace(asked, kinds=frozenset({"mask"}))) == ("done",)


def test_a_plan_with_a_model_that_is_not_here_fetches_nothing(done):
    cases, job = done
    absent = replace(job, prints=(), models=("synthstroke-baseline",))
    assert states_of(cases[:1], absent) == ("to do again: the model was another",)


def test_results_that_are_written_by_name_alone_are_kept(tmp_path):
    pytest.importorskip("SimpleITK")
    case = make_case(tmp_path / "in", "a", modality="t1")
    model, by_name = make_model(tmp_path / "model"), frozenset({"mask", "mni", "filled"})
    named = Options(tta=False, mni=True, filled=True)
    job = make_job(tmp_path / "out", model, kinds=by_name, options=named)
    names = job.names(case)
    files = [names.mni_mask, names.mni_probability, names.mni_transform, names.filled]
    assert statuses([case], job) == {"a": "done"}
    first = [path.read_bytes() for path in files]
    plain = with_prints(job, kinds=frozenset({"mask"}), options=Options(tta=False))
    assert statuses([case], plain) == {"a": "skipped"}
    # A case that is done again has them again, of the new mask.
    other = with_prints(plain, options=Options(tta=False, threshold=0.5))
    assert statuses([case], other) == {"a": "done"}
    second = [path.read_bytes() for path in files]
    assert second[0] != first[0]
    assert second[3] != first[3]
    record = json.loads(names.record.read_text())
    assert record["kinds"] == ["filled", "mask", "mni"]
    assert set(record["files"]) >= {path.name for path in files}
    names.mni_mask.unlink()
    assert statuses([case], with_prints(other)) == {"a": "done"}
    assert names.mni_mask.is_file()
