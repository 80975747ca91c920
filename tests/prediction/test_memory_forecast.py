"""What is predicted of memory, by hand; what is chosen; and that a real run holds it."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from strokeseg.engines.footprint import footprint, window_bytes
from strokeseg.errors import DataError, UsageError
from strokeseg.measure.components import HELD_VOXELS
from strokeseg.models.config import ModelConfig
from strokeseg.network.blueprint import parameter_shapes
from strokeseg.network.ensemble_spec import EnsembleSpec
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.planar_spec import PlanarSpec, planar_parameter_shapes
from strokeseg.network.state import bytes_at_once
from strokeseg.prediction import memory_plan
from strokeseg.prediction.memory_forecast import (
    PROCESS_BYTES,
    SLACK_BYTES,
    Demand,
    ModelSize,
    ScanSize,
    Settings,
    stages,
)
from strokeseg.prediction.memory_plan import choose_settings, usual_settings
from strokeseg.space.grid import Grid
from tests.factories import huge_scan
from tests.networks import spec_of
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files

MI = 1 << 20
GRID = Grid((100, 100, 100), np.diag([2.0, 2.0, 2.0, 1.0]))
THIN = {"channels": [8, 16, 32, 64], "strides": [2, 2, 2]}


def model(**own):
    config = ModelConfig.from_config(CONFIG | THIN | {"strokeseg": OWN | own})
    return ModelSize(config, "openvino", "fp32")


def demand(*scans, **changes):
    fields = {
        "scans": scans or (ScanSize(GRID, 2, "a.nii"),),
        "models": (model(),),
        "flips": 8,
        "overlap": 0.5,
        "window": None,
        "uncertainty": False,
        "argmax": False,
    }
    return Demand(**(fields | changes))


def cube(edge, size_mm):
    return ScanSize(Grid((edge,) * 3, np.diag([size_mm] * 3 + [1.0])), 2, "a.nii")


def peak(case, settings, held=0):
    return max(stages(case, settings, held).values())


def test_a_window_is_its_tensors_at_full_resolution_and_the_weights_by_hand():
    # 6 classes: patch, logits, logits in 16 lanes; 8 + 8 features meet at an eighth of the voxels.
    spec = spec_of(channels=[8, 12, 16], strides=[2, 2])
    weights = 4 * sum(np.prod(shape) for shape in parameter_shapes(spec).values())
    per_voxel = 4 * (1 + 6) + 4 * (16 + 2)
    taken = window_bytes("openvino", "fp32", spec, (32, 32, 64))
    assert taken == pytest.approx(1.15 * per_voxel * 32 * 32 * 64 + 1.7 * weights + 20 * MI, abs=2)
    half = 4 * (1 + 6) + 2 * (16 + 2)
    taken = window_bytes("openvino", "bf16", spec, (32, 32, 64))
    assert taken == pytest.approx(1.15 * half * 32 * 32 * 64 + 1.7 * weights + 20 * MI, abs=2)


@pytest.mark.parametrize("every", [1, 4, 16])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_of_three_planes_is_counted_by_the_slices_that_it_looks_at_by_hand(
    every, precision
):
    spec = PlanarSpec(6, (32, 64, 128), every_vox=every)
    weights = 4 * sum(np.prod(shape) for shape in planar_parameter_shapes(spec).values())
    size = {"fp32": 4, "bf16": 2}[precision]
    # 3 features go in; at a quarter of the pixels a block takes 32 + 64 and gives 32, thrice.
    looking = size * (3 + (4 * 32 + 64) / 4) / every
    telling = 4 * 6 * (1 + 2 / every)
    # Patch and logits, logits in 16 lanes, the padded slices, the sum of the planes before.
    per_voxel = 4 * (1 + 6) + size * 16 + size + 4 * 6 + max(looking, telling)
    taken = window_bytes("openvino", precision, spec, (32, 32, 64))
    expected = 1.15 * per_voxel * 32 * 32 * 64 + 1.7 * weights + 20 * MI
    assert taken == pytest.approx(expected, abs=2)


def test_an_ensemble_has_the_tensors_of_its_costliest_network_beside_the_sum_before():
    unet, planes = spec_of(), PlanarSpec(6, (32, 64, 128), every_vox=4)
    both = EnsembleSpec((unet, planes))
    for size in (2, 4):
        costliest = max(bytes_at_once(one, 2, size) for one in (unet, planes))
        assert bytes_at_once(both, 2, size) == 4 * 6 + costliest


def test_stages_on_the_references_grid_by_hand():
    # A million voxels, on the working grid as on its own.
    case, settings = demand(), Settings((96,), 1, releases=True)
    found = stages(case, settings, 1_000_000_000)
    held = 1_000_000_000 + SLACK_BYTES
    scan, flips, maps = 4_000_000, 8_000_000, 5_000_000
    components = 3_000_000 + 12 * HELD_VOXELS
    assert found["decide"] == held + scan + flips + maps + components
    assert found["measure flips"] == held + scan + flips + maps + 14_000_000
    # Logits of 6 classes, and 8 flips' log-odds and masks.
    assert found["compare flips"] == held + scan + 24_000_000 + 40_000_000 + flips + 16_000_000
    # int16 in int16 and float32; without NaN once more, with a mask.
    assert found["read"] == held + scan + 5_000_000


def test_uncertainty_takes_two_more_maps():
    settings = Settings((96,), 1, releases=True)
    plain = stages(demand(), settings, 0)
    more = stages(demand(uncertainty=True), settings, 0)
    assert more["decide"] - plain["decide"] == 4_000_000 + 4_000_000  # entropy; deviation, working
    assert more["map uncertainty"] > plain["map uncertainty"] + 9_000_000


def test_a_second_scan_adds_what_a_network_sees_of_it_but_not_its_voxels():
    settings = Settings((96,), 1, releases=True)
    fine = ScanSize(Grid((400, 400, 400), np.diag([0.5] * 3 + [1.0])), 2)
    alone = stages(demand(), settings, 0)
    both = stages(demand(ScanSize(GRID, 2), fine), settings, 0)
    assert both["decide"] == alone["decide"]
    working = 4 * 100**3
    assert both["classify"] >= alone["classify"] + 6 * working
    assert both["read"] >= alone["read"] + 4 * 400**3


def test_an_engine_that_keeps_its_memory_is_counted_to_the_end():
    keeps, releases = Settings((96,), 1), Settings((96,), 1, releases=True)
    spec = model().config.spec
    window = window_bytes("openvino", "fp32", spec, (96, 96, 96))
    found, less = stages(demand(), keeps), stages(demand(), releases)
    assert found["measure"] - less["measure"] == window
    assert found["segment"] == less["segment"]


def test_opening_models_one_after_the_other():
    one = model()
    taken = footprint("openvino", one.config.spec)
    found = stages(demand(models=(one, one)), Settings((96, 96), 1), 0)["load model"]
    expected = PROCESS_BYTES + taken.opened + taken.library + taken.opening
    assert found == expected + SLACK_BYTES


def test_without_need_nothing_is_made_smaller():
    case = demand()
    usual = usual_settings(case, 2)
    assert (usual.windows, usual.threads) == ((96,), 2)
    chosen = choose_settings(case, 2, 10_000_000_000, 0)
    assert chosen == replace(usual, releases=True)


def test_what_changes_no_number_is_given_up_before_the_window():
    # Over 800 MiB of logits of windows would be kept in none; 27 windows of 64 are.
    case = demand(cube(128, 1.0), models=(model(voxel_size_mm=1.0, window=64),))
    usual = replace(usual_settings(case, 2), releases=True)
    limit = peak(case, usual) - 1
    chosen = choose_settings(case, 2, limit, 0)
    assert chosen.windows == usual.windows
    assert chosen.kept_bytes == 0
    assert peak(case, chosen) <= limit


@pytest.mark.parametrize("edge", [192, 256, 320])
def test_the_largest_window_that_holds_is_chosen(edge):
    case = demand(cube(edge, 1.0), models=(model(voxel_size_mm=1.0, window=192),))
    least = replace(usual_settings(case, 1), releases=True, kept_bytes=0, slab_bytes=MI)
    last = 0
    for limit in range(600 * MI, 6000 * MI, 200 * MI):
        try:
            chosen = choose_settings(case, 4, limit, 0)
        except (DataError, UsageError):
            assert last == 0
            continue
        window = chosen.windows[0]
        assert peak(case, chosen) <= limit
        assert window % 8 == 0
        assert 128 <= window <= 192
        assert window >= last
        if window < 192:
            assert peak(case, replace(least, windows=(window + 8,))) > limit
        last = window
    assert last == 192


def test_a_window_that_was_asked_for_is_never_made_larger():
    case = demand(models=(model(window=192),), window=40)
    assert choose_settings(case, 1, 10**12, 0).windows == (40,)
    tight = peak(case, replace(usual_settings(case, 1), releases=True, kept_bytes=0))
    assert choose_settings(case, 1, tight, 0).windows == (40,)


def test_a_scan_too_large_for_any_window_is_refused_with_what_it_takes():
    with pytest.raises(DataError) as caught:
        choose_settings(demand(cube(640, 0.4)), 2, 2_000_000_000, 0)
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert message.startswith("a.nii: its 640 x 640 x 640 voxels take up to 3.")
    assert "--max-memory is 2.00 GB" in message
    assert "uncertainty" not in message
    with pytest.raises(DataError, match="leave uncertainty out of --save"):
        choose_settings(demand(cube(640, 0.4), uncertainty=True), 2, 2_000_000_000, 0)


def test_a_limit_below_the_model_alone_is_refused_as_such():
    with pytest.raises(UsageError, match="to open the model alone takes"):
        choose_settings(demand(), 2, 100_000_000, 0)


def test_what_the_process_holds_already_counts():
    case = demand()
    limit = peak(case, replace(usual_settings(case, 1), releases=True))
    assert choose_settings(case, 1, limit, 0).windows == (96,)
    with pytest.raises(DataError):
        choose_settings(case, 1, limit, limit)


def write_head(path, edge):
    i, j, k = np.ogrid[:edge, :edge, :edge]
    middle = (edge - 1) / 2
    radius = np.sqrt((i - middle) ** 2 + (j - middle) ** 2 + (k - middle) ** 2)
    data = np.where(radius < 0.4 * edge, 200 + (i * 7 + j * 3 + k) % 50, 0).astype(np.int16)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


def strokeseg(*arguments):
    """Run the command line in a process of its own; gives exit code, peak bytes and stderr."""
    command = [sys.executable, "-c", "from strokeseg.cli import main; main()", *map(str, arguments)]
    # wait4 tells what this process has held too, as the least; a small one in between does not.
    starter = (
        "import os, sys, json\n"
        "child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n"
        "_, status, usage = os.wait4(child, 0)\n"
        "print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter, *command],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "500"},
    )
    code, held = json.loads(done.stdout.splitlines()[-1])
    return code, held, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units")
@pytest.mark.parametrize(
    ("engine", "limit"),
    [("openvino", 900_000_000), ("onnxruntime", 1_050_000_000), ("torch", 1_350_000_000)],
)
def test_a_real_prediction_holds_a_limit_that_its_own_window_would_not(tmp_path, engine, limit):
    files = tiny_files(OWN | {"voxel_size_mm": 1.0, "window": 160}, seed=3, **THIN)
    folder = write_files(tmp_path / "thin", files)
    for name in ("a_T1w.nii", "a_T2w.nii.gz"):
        write_head(tmp_path / name, 160)
    given = ["--t1", tmp_path / "a_T1w.nii", "--t2", tmp_path / "a_T2w.nii.gz", "--model", folder]
    given += ["-o", tmp_path / "out", "--fast", "--engine", engine, "--device", "cpu"]
    code, held, said = strokeseg("predict", *given, "--max-memory", f"{limit / 1e6:.0f}M")
    assert code == 0, said
    record = json.loads((tmp_path / "out" / "a_strokeseg.json").read_text())
    memory = record["memory"]
    assert memory["limit_bytes"] == limit
    assert memory["predicted_bytes"] <= limit
    assert 112 <= record["models"][0]["window"] < 160
    assert memory["window_reduced"] is True
    assert any("not 160, to hold --max-memory" in line for line in record["warnings"])
    assert f"memory: window {record['models'][0]['window']}, slabs of" in said
    assert record["peak_memory_bytes"] <= memory["predicted_bytes"]
    assert held <= limit


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units")
def test_a_scan_that_cannot_hold_is_refused_before_it_is_read(tmp_path):
    path = huge_scan(tmp_path / "huge.nii")
    os.truncate(path, 352 + 2 * 640**3)  # takes no room on the disk
    code, held, said = strokeseg(
        "predict", "--t1", path, "-o", tmp_path / "o", "--max-memory", "2G"
    )
    assert code == 65
    assert said.strip().splitlines()[-1].startswith("strokeseg: error:")
    assert "640 x 640 x 640" in said.splitlines()[-1]
    assert held < 1_000_000_000  # the voxels alone would be 1.05 GB
    assert not (tmp_path / "o").exists()


# --- networks that are seen whole, or in windows that change nothing ---


def mesh(**changes):
    spec = MeshSpec(2, 26, (1, 2, 4, 8, 16, 16, 8, 4, 2), **changes)
    own = {"normalisation": "minmax"}
    return ModelSize(
        ModelConfig.from_config(spec.to_config() | {"strokeseg": own}), "openvino", "fp32"
    )


def test_a_meshnet_is_asked_about_all_of_a_head_where_the_machine_has_room(monkeypatch):
    case = demand(cube(200, 1.0), models=(mesh(),), flips=1)
    usual = usual_settings(case, 2)
    assert usual.windows == (200,)
    needed = peak(case, usual)
    for room, edge in ((needed + MI, 200), (needed - (300 << 20), None)):
        monkeypatch.setattr(memory_plan, "available_memory_bytes", lambda room=room: room)
        fitting = memory_plan._that_fits(case, usual, 0)
        if edge is None:
            assert 2 * 61 < fitting.windows[0] < 200
            assert peak(case, fitting) <= room
        else:
            assert fitting.windows == (edge,)


def test_a_network_with_instance_norms_is_never_asked_about_less():
    case = demand(cube(200, 1.0), models=(mesh(norm="INSTANCE"),), flips=1)
    whole = peak(case, replace(usual_settings(case, 1), releases=True, kept_bytes=0))
    with pytest.raises(DataError, match="even in the smallest windows"):
        choose_settings(case, 1, whole - (500 << 20), 0)


def test_a_model_that_finds_the_brain_counts_too():
    case = demand(cube(200, 1.0))
    brain = replace(case, brain=mesh(norm="INSTANCE"))
    found = stages(brain, usual_settings(brain, 2))
    assert found["find the brain"] > stages(case, usual_settings(case, 2))["find the brain"] + (
        2 * 26 * 4 * 200**3
    )
    flipped = replace(brain, brain_flips=8)
    more = stages(flipped, usual_settings(brain, 2))["find the brain"] - found["find the brain"]
    assert more == 7 * 5 * 200**3


def test_a_limit_that_the_model_of_the_brain_breaks_is_refused_by_its_option():
    case = demand(cube(200, 1.0))
    brain = replace(case, brain=mesh(norm="INSTANCE"))
    limit = peak(case, usual_settings(case, 1))
    assert choose_settings(case, 1, limit, 0)
    with pytest.raises(DataError, match=r"--max-memory is .* GB: leave --brain-model out, crop"):
        choose_settings(brain, 1, limit, 0)
