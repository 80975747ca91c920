"""The model and the scan that come with the package."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from strokeseg import Hardware, Options, load_model, predict
from strokeseg.cli import run
from strokeseg.demo import demo_case, demo_truth
from strokeseg.engines.choice import available_engines
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.images.reading import read_scan
from strokeseg.models import diagnosis
from strokeseg.models.finding import load_model_files
from strokeseg.models.golden import check_golden
from strokeseg.models.registry import load_registry
from strokeseg.results.picture import OUTLINE, TRUTH
from strokeseg.space.grid import Grid
from tests.factories import ALL_AXCODES, SCANS
from tests.networks import ENGINES, needs_torch

# Every order of the axes twice, every choice of their directions at least once.
AXCODES = [ALL_AXCODES[8 * order + signs] for order in range(6) for signs in (order, 7 - order)]
CHRONIC = SCANS / "sub-chronic_T2w.nii.gz"


@pytest.fixture(scope="module")
def bundled():
    return load_model(hardware=Hardware(engine="openvino"))


def test_the_default_is_bundled_and_is_what_the_registry_says():
    registry = load_registry()
    entry = registry.entries[registry.default]
    model = load_model_files(offline=True)
    assert model.sha256 == entry.checksums["model.safetensors"]
    size = sum(file.stat().st_size for file in model.folder.iterdir())
    assert size < 45e6
    assert model.config.class_names == entry.classes
    assert (model.folder / "README.md").is_file()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reproduces_the_golden_record(engine):
    assert engine in {info.name for info in available_engines()}
    loaded = load_model(hardware=Hardware(engine=engine, device="cpu"))
    result = check_golden(loaded.model, loaded.engine)
    assert result is not None
    assert result.passed, result


def test_engines_give_the_same_lesion(bundled):
    case = demo_case()
    first = predict({"flair": case.scan}, model=bundled, options=Options(tta=False))
    assert first.volume_ml > 1
    for engine in ENGINES[1:]:
        other = load_model(hardware=Hardware(engine=engine, device="cpu"))
        mask = predict({"flair": case.scan}, model=other, options=Options(tta=False)).mask
        assert dice(mask, first.mask) >= 0.999, engine


def test_one_scan_in_12_orientations_has_one_lesion_on_its_own_grid(bundled):
    scan = read_scan(demo_case().scan)
    data, affine = scan.data[::2, ::2], scan.grid.affine @ np.diag([2, 2, 1, 1])
    axes_of = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    first = None
    for axcodes in AXCODES:
        order = [axes_of[code] for code in axcodes]
        turned, matrix = data.transpose(order), affine[:, [*order, 3]]
        flips = [axis for axis, code in enumerate(axcodes) if code not in "LPS"]
        moved = np.flip(turned, flips)
        for axis in flips:
            matrix = matrix.copy()
            matrix[:3, 3] += matrix[:3, axis] * (turned.shape[axis] - 1)
            matrix[:3, axis] *= -1
        result = predict({"x": (moved, matrix)}, model=bundled, options=Options(tta=False))
        assert result.grid.same_as(Grid(moved.shape, matrix)), axcodes
        assert "".join(result.grid.axcodes) == axcodes
        mask = np.flip(result.mask, flips).transpose(np.argsort(order))
        first = mask if first is None else first
        assert np.count_nonzero(first) > 100
        assert dice(mask, first) >= 0.999, axcodes


@needs_torch
def test_the_whole_chain_gives_the_mask_of_the_published_one(bundled):
    from tests.monai_chain import Chain

    if not CHRONIC.exists():
        pytest.skip("the real scans are not beside the project")
    plain = Options(brain_mask=False, min_volume_ml=0.0, min_peak=0.0, field_of_view="whole")
    ours = predict({"t2": CHRONIC}, model=bundled, options=plain)
    chain = Chain(bundled.model)
    theirs = chain.mask(CHRONIC, "t2")
    assert np.count_nonzero(theirs) > 100
    assert dice(ours.mask, theirs) >= 0.999


def test_the_demo_writes_everything_tells_the_dice_and_draws_the_truth(tmp_path, capsys):
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    said = float(re.search(r"Dice +([0-9.]+)", out).group(1))
    record = json.loads((tmp_path / "demo" / "sub-demo_strokeseg.json").read_text())
    mask = read_scan(tmp_path / "demo" / "sub-demo_label-L_mask.nii.gz").data > 0
    assert said == pytest.approx(dice(mask, demo_truth(demo_case())), abs=1e-3)
    assert f"{record['lesion_volume_ml']:.2f} ml" in out
    assert len(list((tmp_path / "demo").iterdir())) == 13
    with Image.open(tmp_path / "demo" / "sub-demo_qc.png") as picture:
        pixels = np.asarray(picture).astype(int)
    for colour in (OUTLINE, TRUTH):
        assert (np.abs(pixels - colour).max(axis=-1) <= 40).sum() > 1000
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 73
    assert "--overwrite" in capsys.readouterr().err
    assert run(["demo", "-o", str(tmp_path / "demo"), "--overwrite", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_doctor_says_where_things_are_without_the_users_name(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis, "available_engines", list)
    monkeypatch.setattr(diagnosis.Path, "home", lambda: tmp_path / "jane")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "jane" / "hf"))
    assert diagnosis.diagnose()["system"]["cache"] == "~/hf/hub"
    monkeypatch.setenv("HF_HOME", "/elsewhere")
    assert diagnosis.diagnose()["system"]["cache"] == "/elsewhere/hub"


def test_doctor_tells_of_an_engine_that_is_there_but_broken(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # the import fails, the files are there
    monkeypatch.delitem(sys.modules, "strokeseg.engines.onnxruntime", raising=False)
    monkeypatch.setattr(diagnosis.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(diagnosis, "available_engines", list)
    assert run(["doctor", "--json"]) == 70
    shown = capsys.readouterr()
    checks = {check["engine"]: check for check in json.loads(shown.out)["engines"]}
    assert checks["openvino"]["passed"]
    assert not checks["onnxruntime"]["passed"]
    assert "onnxruntime is broken" in checks["onnxruntime"]["problem"]
    assert "fails its golden check on onnxruntime" in shown.err


def test_doctor_says_that_the_cache_cannot_be_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis, "available_engines", list)
    monkeypatch.setattr(diagnosis.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    (tmp_path / "file").touch()
    assert diagnosis.diagnose()["system"]["cache"].endswith("hub (read-only)")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "new" / "hub"))
    assert diagnosis.diagnose()["system"]["cache"].endswith("hub")


def test_doctor_passes_on_every_engine(capsys):
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {check["engine"] for check in report["engines"]} == set(ENGINES)
    assert all(check["passed"] for check in report["engines"])


def test_threads_change_next_to_nothing(bundled):
    # OpenVINO adds up in another order with another number of threads.
    case = demo_case()
    one = load_model(hardware=Hardware(engine="openvino", threads=1))
    a = predict({"flair": case.scan}, model=bundled, options=Options(tta=False))
    b = predict({"flair": case.scan}, model=one, options=Options(tta=False))
    assert dice(a.mask, b.mask) >= 0.999
    assert np.allclose(a.probability, b.probability, atol=1e-3)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_threads_change_no_byte_of_a_result(engine):
    one, two = (
        predict(
            {"flair": demo_case().scan},
            hardware=Hardware(engine, "cpu", threads=threads),
            options=Options(tta=False, uncertainty=True),
        )
        for threads in (1, 2)
    )
    for name in ("mask", "probability", "tissue", "entropy", "flip_std"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
