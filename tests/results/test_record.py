import json

import pytest

from strokeseg.results.record import (
    SCHEMA,
    InputRecord,
    LeftOutRecord,
    ModelRecord,
    Record,
    read_inputs,
)

WHOLE = Record(
    schema=SCHEMA,
    strokeseg="0.1.0",
    python="3.11.7",
    platform="Linux",
    inputs={
        "flair": InputRecord(
            *("a.nii", "12ab", (2, 3, 4), (1.0, 1.0, 5.5), "LAS"), scanner={"field_strength_t": 3.0}
        ),
        "t1": InputRecord(shape=(2, 3, 4), voxel_size_mm=(1.0, 1.0, 1.0), orientation="RAS"),
    },
    left_out={"dwi": LeftOutRecord("b.nii", "cd12", "holds 7 volumes")},
    reference="flair",
    models=(ModelRecord("tiny", None, "34cd", "openvino", "cpu", "fp32", 96),),
    options={"tta": True, "window": None},
    rule={"threshold": 0.3},
    flips=8,
    lesion_volume_ml=1.5,
    lesion_volume_range_ml=(1.0, 2.0),
    lesion_volume_interval_ml=(0.5, 4.0),
    lesion_count=2,
    tissue_volumes_ml={"GM": 600.0, "lesion": 1.5},
    brain_volume_ml=None,
    memory={"limit_bytes": None},
    peak_memory_bytes=None,
    alignment={"t1": {"overlap": 0.9, "apart_mm": 3.0, "turned_degrees": 1.5}},
    registration={"t2": {"matrix": [[1.0]], "kept": True}},
    warnings=("mind the gap",),
    seconds={"read": 0.5},
)
OF_A_BATCH = Record(
    **{
        **vars(WHOLE),
        "inputs": {"flair": InputRecord("a.img", "12ab", pair_sha256="56ef")},
        "left_out": {"dwi": LeftOutRecord("b.img", "cd12", "cut short", "34ef")},
        "models": (ModelRecord("tiny", config_sha256="78ab"),),
        "kinds": ("lesions", "mask"),
        "files": {"a_mask.nii.gz": "90cd"},
        "case": "sub-01",
        "anonymised": True,
    }
)
ODD = (None, True, "x", 3, -1.5, float("nan"), [], [None, {}], {}, {"a": []})


@pytest.mark.parametrize("record", [WHOLE, OF_A_BATCH], ids=["alone", "of a batch"])
def test_what_was_written_is_read_again(record):
    assert Record.read(json.loads(json.dumps(record.write()))) == record


def test_what_a_case_alone_does_not_have_is_left_out_and_what_is_not_known_is_null():
    content = WHOLE.write()
    assert not {"kinds", "files", "case", "truth", "anonymised"} & set(content)
    assert set(content["inputs"]["t1"]) == {
        *("path", "sha256", "shape", "voxel_size_mm", "orientation")
    }
    assert "config_sha256" not in content["models"][0]
    assert content["inputs"]["t1"]["path"] is None
    assert content["brain_volume_ml"] is None
    assert content["lesion_volume_range_ml"] == [1.0, 2.0]
    of_a_batch = OF_A_BATCH.write()
    assert (of_a_batch["case"], of_a_batch["truth"]) == ("sub-01", None)
    assert of_a_batch["anonymised"] is True
    assert of_a_batch["inputs"]["flair"]["pair_sha256"] == "56ef"


@pytest.mark.parametrize("name", sorted(WHOLE.write()))
@pytest.mark.parametrize("value", ODD, ids=str)
def test_what_is_not_of_its_kind_is_missing_and_hurts_nothing_else(name, value):
    damaged = Record.read({**WHOLE.write(), name: value})
    for other, content in vars(WHOLE).items():
        if other != name:
            assert getattr(damaged, other) == content
    json.dumps(damaged.write())


def test_numbers_and_texts_are_told_apart():
    record = Record.read(
        {
            "flips": "8",
            "lesion_volume_ml": True,
            "lesion_count": 2.5,
            "strokeseg": 1,
            "lesion_volume_range_ml": [1],
            "models": [1, {"name": 2}],
            "warnings": "none",
            "seconds": {"read": "fast", "save": 1},
            "files": {"a": 1},
            "anonymised": 1,
        }
    )
    assert record == Record(
        models=(ModelRecord(),), seconds={"save": 1.0}, files={"a": ""}, anonymised=False
    )
    assert Record.read({}) == Record()


def test_an_error_file_names_inputs_by_their_paths_alone():
    found = read_inputs({"inputs": {"t1": "a.nii", "flair": None}})
    assert found == {"t1": InputRecord(path="a.nii"), "flair": InputRecord()}
    assert read_inputs({"inputs": ["a.nii"]}) == {}


def test_the_reference_is_one_of_the_inputs_or_none():
    assert WHOLE.reference_input.path == "a.nii"
    assert Record(reference="t2", inputs=WHOLE.inputs).reference_input == InputRecord()
    assert Record().reference_input == InputRecord()
