import base64
import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.report.case_volumes import read_stack
from strokeseg.report.facts import gather_facts
from strokeseg.report.lesion_places import lesion_voxels
from strokeseg.report.viewer_layers import VARIABLE, is_volume_script, pack_layers
from strokeseg.results.archive import find_filed_cases
from tests.factories import KINDS, affine_of
from tests.report.cohorts import LARGE, balls, file_case, file_rich_case, write_scan


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def stack_of(output):
    return read_stack(gather_facts(find_filed_cases(output)[0], output), output)


def images_of(packed):
    text = packed.script.decode()
    head, tail = f"window.{VARIABLE}=", ";\n"
    assert text.startswith(head)
    assert text.endswith(tail)
    volumes = json.loads(text[len(head) : -len(tail)])
    return {
        name: nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(content)))
        for name, content in volumes.items()
    }


@pytest.mark.parametrize("kind", ["ras", "lps", "oblique", "anisotropic"])
def test_volumes_are_where_they_were_and_worth_what_they_were(output, kind):
    file_case(output, "sub-01", kind=kind)
    stack, notes = stack_of(output)
    packed = pack_layers(stack, [], 4.0)
    images = images_of(packed)
    assert notes == []
    assert list(images) == ["scan", "tissue", "probability", "mask"]
    scales = {layer["name"]: (layer["slope"], layer["inter"]) for layer in packed.layers}
    scan = nib.load(output.parent / "scans" / "sub-01_FLAIR.nii.gz")
    for name, image in images.items():
        assert np.allclose(image.affine, affine_of(KINDS[kind]), atol=1e-4), name
        assert image.get_data_dtype() == np.uint8
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    seen = np.asarray(images["scan"].dataobj) * scales["scan"][0] + scales["scan"][1]
    top = seen.max()
    assert np.abs(seen - np.clip(scan.get_fdata(), None, top)).max() <= scales["scan"][0]
    assert np.array_equal(np.asarray(images["mask"].dataobj) > 0, stack.mask)
    probability = np.asarray(images["probability"].dataobj) * scales["probability"][0]
    assert np.abs(probability - stack.probability).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(np.asarray(images["tissue"].dataobj), stack.tissue)
    assert not packed.coarse


SCRIPT = b'window.strokesegVolumes={"scan": "QUJD/+==", "mask": "QQ=="};\n'


def test_what_is_packed_is_known_as_volumes(output):
    file_case(output, "sub-01")
    stack, _ = stack_of(output)
    assert is_volume_script(pack_layers(stack, [], 4.0).script)
    assert is_volume_script(SCRIPT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"window", b"alert(1);window"),
        (b";\n", b";alert(1);\n"),
        (b";\n", b";location=name;\n"),
        (b"};\n", b"};\nwindow.hacked=1;\n"),
        (b'"QQ=="', b"alert(1)"),
        (b'"QQ=="', b"`${alert(1)}`"),
        (b'"scan"', b"[alert(1)]"),
        (b'"QQ=="', b'"QQ==", "x": (() => 1)()'),
        (b'"QQ=="', b'"\\u0022"'),
        (b"strokesegVolumes", b"onload"),
        (b"Volumes=", b"Volumes=location="),
        (SCRIPT, b""),
        (b"\n", b""),
        (b";\n", b""),
    ],
)
def test_what_could_run_is_no_volumes(old, new):
    assert SCRIPT.count(old) == 1
    assert not is_volume_script(SCRIPT.replace(old, new))


def test_a_volume_over_the_budget_is_shown_in_larger_voxels_with_every_lesion(output):
    tiny = ((affine_of(KINDS["ras"]) @ [9, 24, 18, 1])[:3], 0.8)  # one voxel
    file_case(output, "sub-01", lesions=(LARGE, tiny))
    stack, _ = stack_of(output)
    whole = pack_layers(stack, [], 4.0)
    seed = tuple(np.argwhere(balls(KINDS["ras"], [tiny]))[0].tolist())
    packed = pack_layers(stack, [seed], 0.01)
    assert packed.coarse
    assert len(packed.script) < len(whole.script) / 2
    assert packed.voxel_size_mm == (3.0, 3.0, 1.5)
    mask = images_of(packed)["mask"]
    voxel = np.linalg.solve(mask.affine, stack.grid.affine @ [*seed, 1])[:3].round().astype(int)
    assert mask.dataobj[tuple(voxel)] == 1


def test_a_scan_that_is_gone_leaves_the_mask_on_a_blank(output):
    file_case(output, "sub-01")
    (output.parent / "scans" / "sub-01_FLAIR.nii.gz").unlink()
    stack, notes = stack_of(output)
    assert stack.scan is None
    assert len(notes) == 1
    assert "scans/sub-01_FLAIR.nii.gz any more" in notes[0]
    images = images_of(pack_layers(stack, [], 4.0))
    assert list(images) == ["blank", "tissue", "probability", "mask"]
    assert not np.asarray(images["blank"].dataobj).any()


def test_a_scan_that_changed_is_not_shown_and_told(output):
    file_case(output, "sub-01", kind="ras")
    scan = output.parent / "scans" / "sub-01_FLAIR.nii.gz"
    image = nib.load(scan)
    nib.save(nib.Nifti1Image(image.get_fdata() * 2, image.affine), scan)
    stack, notes = stack_of(output)
    assert stack.scan is None
    assert notes == [f"The scan is not shown: {scan} is not the file that was segmented."]


def test_a_result_on_another_grid_is_not_shown_and_told(output):
    record = file_case(output, "sub-01", kind="ras")
    other = read_scan(write_scan(output.parent / "las.nii.gz", "las"))
    write(record.with_name("sub-01_dseg.nii.gz"), np.ones(other.grid.shape, np.uint8), other)
    stack, notes = stack_of(output)
    assert stack.tissue is None
    assert notes == ["sub-01_dseg.nii.gz is not on the grid of the results and is not shown."]


def test_a_relative_path_is_found_from_the_output_by_its_checksum(output, tmp_path, monkeypatch):
    record = file_case(output, "sub-01")
    content = json.loads(record.read_text())
    content["inputs"]["flair"]["path"] = "scans/sub-01_FLAIR.nii.gz"
    record.write_text(json.dumps(content))
    elsewhere = tmp_path / "elsewhere"
    write_scan(elsewhere / "scans" / "sub-01_FLAIR.nii.gz", "las")  # another scan of that name
    monkeypatch.chdir(elsewhere)
    stack, notes = stack_of(output)
    assert stack.scan is not None
    assert notes == []


def test_damaged_and_missing_files_are_told_and_the_rest_is_shown(output):
    record = file_case(output, "sub-01")
    record.with_name("sub-01_label-L_mask.nii.gz").write_bytes(b"\x1f\x8bcut")
    record.with_name("sub-01_dseg.nii.gz").unlink()
    stack, notes = stack_of(output)
    assert stack.mask is None
    assert stack.tissue is None
    assert stack.probability is not None
    assert len(notes) == 2
    assert notes[0].startswith("sub-01_label-L_mask.nii.gz is not shown: ")
    assert notes[1] == "sub-01_dseg.nii.gz is missing: it was there when the record was written."


def test_a_result_that_was_never_saved_is_no_fault(output):
    file_case(output, "sub-01", kinds=("mask",))
    stack, notes = stack_of(output)
    assert (stack.probability, stack.tissue, notes) == (None, None, [])


@pytest.mark.parametrize("path", [None, "", 7, "no\0name", "/dev/zero", "x" * 5000])
def test_a_path_that_leads_to_no_scan_is_told(output, path):
    file_case(output, "sub-01", inputs={"flair": {"path": path, "sha256": None}})
    stack, notes = stack_of(output)
    assert stack.scan is None
    assert notes[0].startswith("The scan is not shown: ")


def test_an_empty_mask_is_shown(output):
    file_case(output, "sub-01", lesions=())
    stack, notes = stack_of(output)
    assert notes == []
    assert not stack.mask.any()


@pytest.fixture
def rich(output):
    return file_rich_case(output)


@pytest.mark.usefixtures("rich")
def test_every_scan_uncertainty_and_truth_are_layers_on_the_results_grid(output):
    stack, notes = stack_of(output)
    assert notes == []
    packed = pack_layers(stack, [], 4.0)
    images = images_of(packed)
    expected = ["scan", "scan-t1", "tissue", "probability", "uncertainty", "truth", "mask"]
    assert list(images) == expected
    assert len({image.shape for image in images.values()}) == 1
    worth = {layer["name"]: layer for layer in packed.layers}
    seen = np.asarray(images["uncertainty"].dataobj) * worth["uncertainty"]["slope"]
    inside = balls(KINDS["ras"], (LARGE,))
    assert seen[inside] == pytest.approx(1.2, abs=0.01)
    assert not seen[~inside].any()
    assert np.array_equal(np.asarray(images["truth"].dataobj) > 0, inside)
    t1 = np.asarray(images["scan-t1"].dataobj) * worth["scan-t1"]["slope"]
    flair = np.asarray(images["scan"].dataobj) * worth["scan"]["slope"]
    assert np.corrcoef(t1.ravel(), flair.ravel())[0, 1] > 0.8  # the same head, seen by both


def test_a_further_scan_is_shown_where_the_prediction_moved_it(output, rich):
    record, _, _ = rich
    before = stack_of(output)[0].others["t1"]
    shift = np.eye(4)
    shift[0, 3] = 6.0
    content = json.loads(record.read_text())
    for kept, expected in ((False, before), (True, np.roll(before, 4, axis=0))):
        entry = {"t1": {"matrix": shift.tolist(), "kept": kept}}
        record.write_text(json.dumps(content | {"registration": entry}))
        found = stack_of(output)[0].others["t1"]
        assert np.abs(found - expected)[6:].max() < 1e-2 * before.max()


def test_a_further_scan_that_changed_and_a_truth_that_is_gone_are_told(output, rich):
    _, other, truth = rich
    other.write_bytes(other.read_bytes() + b"x")
    truth.unlink()
    stack, notes = stack_of(output)
    assert not stack.others
    assert stack.truth is None
    assert len(notes) == 2
    assert "The truth is not shown" in notes[0]
    assert "The t1 is not shown" in notes[1]


def test_the_mask_holds_the_number_of_each_lesions_row(output):
    file_case(output, "sub-01")
    facts = gather_facts(find_filed_cases(output)[0], output)
    stack, _ = stack_of(output)
    seeds = lesion_voxels(stack.mask, stack.grid, facts.lesions)
    numbers = np.asarray(images_of(pack_layers(stack, seeds, 4.0))["mask"].dataobj)
    assert set(np.unique(numbers)) == {0, 1, 2}
    for row, lesion in enumerate(facts.lesions, start=1):
        volume = (numbers == row).sum() * stack.grid.voxel_volume_ml
        assert volume == pytest.approx(lesion.volume_ml, abs=1e-3)
    unknown = np.asarray(images_of(pack_layers(stack, [None, seeds[1]], 4.0))["mask"].dataobj)
    assert set(np.unique(unknown)) == {0, 2, 255}
