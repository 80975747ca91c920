"""A plan of memory from headers: what it says, what it refuses, and what it does not change."""

from dataclasses import replace

import numpy as np
import pytest

from strokeseg import Hardware, Options, load_model, predict
from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.errors import DataError, UsageError
from strokeseg.images.reading import outline
from strokeseg.models.config import ModelConfig
from strokeseg.models.fusion import Fusion
from strokeseg.models.loading import LoadedModel, ensemble_of
from strokeseg.prediction import memory_plan
from strokeseg.prediction.ensemble import Member, posterior
from strokeseg.prediction.memory_forecast import Settings
from strokeseg.prediction.memory_plan import plan_memory
from strokeseg.space import axes
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image, resample_logits
from tests.factories import KINDS, affine_of, scan_file
from tests.mesh_models import mesh_folder
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files

LIMIT = 2_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    own = OWN | {"voxel_size_mm": 1.0, "window": 48, "brain_mask": False}
    return write_files(tmp_path_factory.mktemp("model") / "tiny", tiny_files(own, seed=3))


@pytest.fixture(scope="module")
def limited(folder):
    return load_model(str(folder), Hardware(max_memory_bytes=LIMIT, threads=2))


@pytest.fixture(autouse=True)
def slight(monkeypatch):
    """Plan as a process that holds little, which that of many tests does not."""
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 100_000_000)


class Heard:
    def __init__(self):
        self.notes = []

    def on_stage(self, name, windows=0):
        pass

    def on_window(self):
        pass

    def on_note(self, text):
        self.notes.append(text)


def test_a_limit_that_is_large_enough_changes_no_byte_and_is_in_the_record(folder, tmp_path):
    path, heard = scan_file(tmp_path), Heard()
    plain = predict({"t1": path}, model=str(folder))
    hardware = Hardware(max_memory_bytes=LIMIT)
    held = predict({"t1": path}, model=str(folder), hardware=hardware, progress=heard)
    assert plain.probability.tobytes() == held.probability.tobytes()
    assert plain.record["memory"]["limit_bytes"] is None
    memory = held.record["memory"]
    assert memory["limit_bytes"] == LIMIT
    assert 0 < memory["predicted_bytes"] <= LIMIT
    assert memory["window_reduced"] is False
    assert held.record["models"][0]["window"] == 48
    assert len(heard.notes) == 1
    assert heard.notes[0].startswith("memory: window 48, slabs of 8 MiB, ")
    assert heard.notes[0].endswith(f" of 2.00 GB ({memory['predicted_stage']})")
    assert not any("max-memory" in line for line in held.warnings)


def test_a_smaller_window_is_what_window_would_give_and_is_said(limited, tmp_path, monkeypatch):
    path = scan_file(tmp_path)
    settings = Settings((24,), 1, slab_bytes=1 << 20, kept_bytes=0, releases=True)
    with monkeypatch.context() as patched:
        patched.setattr(memory_plan, "choose_settings", lambda *_: settings)
        small = predict({"t1": path}, model=limited)
    asked = predict({"t1": path}, model=limited, options=Options(window=24))
    assert small.probability.tobytes() == asked.probability.tobytes()
    assert any("window is 24 voxels, not 48" in line for line in small.warnings)
    assert not any("max-memory" in line for line in asked.warnings)
    assert small.record["memory"]["window_reduced"] is True
    assert small.record["models"][0]["window"] == 24


def test_slabs_threads_and_kept_windows_change_no_byte(limited, tmp_path, monkeypatch):
    images = {"t1": scan_file(tmp_path, "oblique"), "t2": scan_file(tmp_path, "anisotropic")}
    options = Options(window=24, uncertainty=True)
    results = []
    for settings in (
        Settings((24,), 2),
        Settings((24,), 1, slab_bytes=1, kept_bytes=0, releases=True),
    ):
        monkeypatch.setattr(memory_plan, "choose_settings", lambda *_, s=settings: s)
        results.append(predict(images, model=limited, options=options))
    for name in ("mask", "probability", "tissue", "entropy", "flip_std"):
        first, second = (getattr(result, name) for result in results)
        assert first.tobytes() == second.tobytes(), name


@pytest.mark.parametrize("name", KINDS)
def test_a_slab_has_the_numbers_of_the_whole(name):
    native = Grid(KINDS[name].shape, affine_of(KINDS[name]))
    working = working_grid(native, 2.0)
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, *working.shape)).astype(np.float32)
    whole = resample_logits(logits, working, native, slice(0, native.shape[0]))
    for plane in (0, 1, native.shape[0] // 2, native.shape[0] - 1):
        one = resample_logits(logits, working, native, slice(plane, plane + 1))
        assert one.tobytes() == np.ascontiguousarray(whole[:, plane : plane + 1]).tobytes()
    odds = [FlipLesion(logits[-1], logits[-1] > 0)]
    members = [Member(ScanLogits(logits, odds), working, native)]
    thick = posterior(members, native, with_entropy=True)
    thin = posterior(members, native, with_entropy=True, slab_bytes=1)
    assert thick.probability.tobytes() == thin.probability.tobytes()
    assert thick.entropy.tobytes() == thin.entropy.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", KINDS)
def test_an_image_in_pieces_has_the_bytes_of_one_at_once(name, order, monkeypatch):
    native = Grid(KINDS[name].shape, affine_of(KINDS[name]))
    working = working_grid(native, 1.3)
    data = np.random.default_rng(0).standard_normal(native.shape).astype(np.float32)
    data = np.asarray(data, order=order)
    there, back = [], []
    for piece_bytes in (1 << 30, 1):
        monkeypatch.setattr(axes, "_PIECE_BYTES", piece_bytes)
        there.append(resample_image(data, native, working))
        back.append(resample_image(there[-1], working, native))
    assert there[0].flags.c_contiguous
    assert there[0].tobytes() == there[1].tobytes()
    assert back[0].tobytes() == back[1].tobytes()


def test_a_plan_needs_no_voxel(limited, tmp_path):
    path = scan_file(tmp_path, "plain")
    path.write_bytes(path.read_bytes()[:400])
    plan = plan_memory({"t1": outline(path)}, "t1", ensemble_of([limited]), Options(), None)
    assert plan.settings.windows == (48,)


def test_what_cannot_hold_is_refused_before_a_voxel_is_read(limited, tmp_path):
    path = scan_file(tmp_path, "plain")
    path.write_bytes(path.read_bytes()[:400])
    short = replace(limited, max_memory_bytes=300_000_000)
    with pytest.raises(DataError, match="40 x 48 x 36 voxels take up to"):
        predict({"t1": path}, model=short)
    with pytest.raises(DataError, match="cut short"):
        predict({"t1": path}, model=limited)


def test_the_smallest_of_several_limits_counts(limited, tmp_path):
    scans = {"t1": outline(scan_file(tmp_path))}
    wide = replace(limited, max_memory_bytes=10 * LIMIT)
    for models, asked in (([limited, wide], None), ([wide], LIMIT), ([limited], 10 * LIMIT)):
        assert plan_memory(scans, "t1", ensemble_of(models), Options(), asked).limit_bytes == LIMIT


def test_a_model_on_a_gpu_or_loaded_without_a_limit_is_refused(limited, folder, tmp_path):
    scans = {"t1": outline(scan_file(tmp_path))}

    class OnCuda:
        name, device, precision, classes = "torch", "cuda:0", "fp32", 6

    there = LoadedModel(limited.model, OnCuda(), None, LIMIT)
    with pytest.raises(UsageError, match="runs on cuda:0: choose --device cpu"):
        plan_memory(scans, "t1", ensemble_of([there]), Options(), None)
    free = load_model(str(folder))
    with pytest.raises(UsageError, match="loaded without a limit"):
        plan_memory(scans, "t1", ensemble_of([free]), Options(), LIMIT)
    assert plan_memory(scans, "t1", ensemble_of([free]), Options(), None).limit_bytes is None


def test_a_model_of_the_brain_is_held_to_the_limit_as_the_others_are(limited, tmp_path):
    scans = {"t1": outline(scan_file(tmp_path))}
    own = {"finds": "brain", "least_size": 48, "voxel_size_mm": 3.0}
    brain = load_model(str(mesh_folder(tmp_path / "brains", 0.5, **own)))
    with pytest.raises(UsageError, match="brains was loaded without a limit"):
        plan_memory(scans, "t1", ensemble_of([limited, brain]), Options(), LIMIT)
    held = replace(brain, max_memory_bytes=LIMIT)
    assert plan_memory(scans, "t1", ensemble_of([limited, held]), Options(), None).limit_bytes


def test_two_models_have_windows_of_their_own(limited, tmp_path):
    scans = {"t1": outline(scan_file(tmp_path))}
    config = replace(limited.model.config, window=96)
    larger = replace(limited, model=replace(limited.model, config=config))
    plan = plan_memory(scans, "t1", ensemble_of([limited, larger]), Options(), None)
    assert plan.settings.windows == (48, 96)
    assert "window 48 and 96" in replace(plan, predicted_bytes=1).note()


def test_the_rule_and_the_fusion_that_are_counted_are_those_that_will_hold(limited, tmp_path):
    scans = {name: outline(scan_file(tmp_path)) for name in ("t1", "t2")}
    two = ModelConfig.from_config(
        CONFIG | {"out_channels": 2, "strokeseg": {"voxel_size_mm": 1.0, "window": 48}}
    )
    plain = replace(limited, model=replace(limited.model, config=two))
    heard = replace(limited.model.config, fusion=Fusion("pooled"))
    leading = replace(limited, model=replace(limited.model, config=heard))
    demand = memory_plan._demand(scans, "t1", ensemble_of([plain, leading]), Options())
    assert demand.voices
    assert not demand.argmax
    assert memory_plan._demand(scans, "t1", ensemble_of([plain]), Options()).argmax
