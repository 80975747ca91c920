import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError, InputNotFoundError, Interrupted, StrokesegError
from strokeseg.training.config import read_config
from strokeseg.training.data.sources import load_sources
from strokeseg.training.fitting import batches, loop, objective
from strokeseg.training.fitting.batches import Generation, make_batches
from strokeseg.training.fitting.checkpoint import code_revision, load_checkpoint
from strokeseg.training.fitting.curves import draw_curves, read_columns, running_mean
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.fitting.run import learning_rate, start_run
from strokeseg.training.fitting.slice_batches import make_slice_batches
from strokeseg.training.parts import export_parts, join_parts
from strokeseg.training.settings import OptimiserConfig

CPU = torch.device("cpu")


def session(**changes):
    return Session(CPU, workers=0, **changes)


def losses(folder):
    return read_columns(folder / "loss.tsv")["loss"]


def stop_after(step):
    def hear(now, _loss):
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return hear


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The unbroken run of 12 steps."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    train(config, folder, session())
    return folder


def test_thirty_steps_of_smoke_halve_the_loss(config, tmp_path):
    smoke = replace(read_config("smoke"), data=config.data)
    stop = Session(CPU, workers=0, on_step=stop_after(35))
    with pytest.raises(Interrupted):
        train(smoke, tmp_path, stop)
    found = losses(tmp_path)
    assert found[26:35].mean() < found[0] / 2, found


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_has_the_loss_curve_of_an_unbroken_one(config, whole, tmp_path, workers):
    with pytest.raises(Interrupted, match="stopped at step 5; go on with --resume") as caught:
        train(config, tmp_path, session(on_step=stop_after(5)))
    assert caught.value.exit_code == 130
    assert losses(tmp_path).size == 5
    train(config, tmp_path, Session(CPU, workers=workers), resume=True)
    np.testing.assert_array_equal(losses(tmp_path), losses(whole))
    ours, theirs = (load_checkpoint(folder / "last.pt") for folder in (tmp_path, whole))
    assert ours.step == theirs.step == 12
    for name, value in theirs.model.items():
        assert value.equal(ours.model[name]), name
        assert theirs.average[name].equal(ours.average[name]), name


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(config, whole, tmp_path):
    class PowerCutError(Exception):
        pass

    def cut(step, _loss):
        if step == 7:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(config, tmp_path, session(on_step=cut))
    assert load_checkpoint(tmp_path / "last.pt").step == 4
    assert losses(tmp_path).size == 7
    train(config, tmp_path, session(), resume=True)
    np.testing.assert_array_equal(losses(tmp_path), losses(whole))


def test_a_time_limit_leaves_a_good_checkpoint(config, tmp_path):
    train(config, tmp_path, session(limit_s=1e-9))
    state = load_checkpoint(tmp_path / "last.pt")
    assert state.step == 0
    assert state.revision == code_revision()
    assert "cpu" in state.random
    assert state.config["name"] == "tiny"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("make", [make_batches, make_slice_batches])
def test_what_a_user_can_mend_comes_out_of_a_worker_in_one_line(config, workers, make):
    """A translator is only looked for when a sample is painted by it."""
    wanted = replace(
        config,
        spatial=replace(config.spatial, crop_vox=(32, 32, 32)),
        data=replace(config.data, translators=("no-such-folder",)),
        contrast=replace(config.contrast, translated_share=1.0, plausible_share=1.0),
    )
    sources = load_sources(config.data)
    made = make(sources, wanted, 0, Generation(CPU, workers))
    with pytest.raises(InputNotFoundError, match="no-such-folder") as caught:
        next(made)
    assert "Traceback" not in str(caught.value)


def test_without_resume_a_run_starts_anew(config, whole, tmp_path):
    (tmp_path / "loss.tsv").write_text((whole / "loss.tsv").read_text())
    train(config, tmp_path, session(limit_s=1e-9))
    assert not (tmp_path / "loss.tsv").exists() or losses(tmp_path).size <= 1


def test_a_loss_that_is_not_finite_stops_with_the_samples_index(config, tmp_path, monkeypatch):
    genuine = batches.make_step

    def spoilt(index, *rest):
        images, targets = genuine(index, *rest)
        if index == 3:
            images[0, 0, 0, 0, 0] = float("nan")
        return images, targets

    monkeypatch.setattr(batches, "make_step", spoilt)
    with pytest.raises(StrokesegError, match=r"at step 3: samples 3 to 3 of seed 3") as caught:
        train(config, tmp_path, session())
    assert "\n" not in str(caught.value)
    assert losses(tmp_path).size == 3


def test_a_step_that_is_not_finite_in_bf16_is_taken_in_fp32(make_config, tmp_path, monkeypatch):
    genuine = objective.segmentation_loss
    seen = []

    def faulty(logits, *rest, **more):
        seen.append(logits.dtype)
        value = genuine(logits, *rest, **more)
        return value * float("nan") if len(seen) == 2 else value

    monkeypatch.setattr(objective, "segmentation_loss", faulty)
    train(make_config(optimiser='precision = "bf16"\nsteps = 3\n'), tmp_path, session())
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32, torch.bfloat16]
    assert np.isfinite(losses(tmp_path)).all()
    assert losses(tmp_path).size == 3


def test_validation_on_the_way_is_written_down_and_drawn(make_config, tmp_path):
    config = make_config(top="validation_steps = 2\n", optimiser="steps = 4\n")
    train(config, tmp_path, session())
    found = read_columns(tmp_path / "validation.tsv")
    np.testing.assert_array_equal(found["step"], [2, 4])
    assert ((found["GM"] >= 0) & (found["GM"] <= 1)).all()
    draw_curves({"tiny": tmp_path}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_validation_on_the_way_does_not_change_the_run(make_config, whole, tmp_path):
    config = make_config(top="validation_steps = 5\n", validation="cases_in_run = 1\n")
    train(config, tmp_path, session())
    np.testing.assert_array_equal(losses(tmp_path), losses(whole))


def test_bf16_trains_too(make_config, tmp_path):
    train(make_config(optimiser='steps = 2\nprecision = "bf16"\n'), tmp_path, session())
    assert np.isfinite(losses(tmp_path)).all()


def test_a_run_can_start_from_the_weights_of_another(make_config, whole, tmp_path):
    config = make_config(top=f'start_from = "{whole / "last.pt"}"\n')
    run = start_run(config, tmp_path, resume=False, device=CPU)
    assert run.step == 0
    average = load_checkpoint(whole / "last.pt").average
    assert all(value.equal(average[name]) for name, value in run.model.state_dict().items())
    other = make_config(top=f'start_from = "{whole / "last.pt"}"\nlesion_only = true\n')
    with pytest.raises(DataError, match="is not the configuration's"):
        start_run(other, tmp_path, resume=False, device=CPU)


def test_weights_travel_in_parts_and_a_run_goes_on_from_them(config, whole, tmp_path):
    parts = export_parts(whole / "last.pt", tmp_path / "parts", part_bytes=12_000)
    assert len(parts) > 2
    assert all(part.stat().st_size <= 12_000 for part in parts)
    folder = tmp_path / "run"
    joined = join_parts(tmp_path / "parts", folder / "last.pt")
    assert joined.step == 12
    average = load_checkpoint(whole / "last.pt").average
    for name, value in load_checkpoint(folder / "last.pt").model.items():
        torch.testing.assert_close(value, average[name], atol=1e-3, rtol=1e-3)
    run = start_run(config, folder, resume=True, device=CPU)
    assert run.step == 12


def test_a_damaged_or_missing_part_is_named(whole, tmp_path):
    parts = export_parts(whole / "last.pt", tmp_path, part_bytes=12_000)
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="sha256 is"):
        join_parts(tmp_path, tmp_path / "last.pt")
    parts[1].unlink()
    with pytest.raises(InputNotFoundError, match="part-01"):
        join_parts(tmp_path, tmp_path / "last.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    with pytest.raises(InputNotFoundError):
        load_checkpoint(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="not a readable checkpoint") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)
    torch.save({"step": 1}, path)
    with pytest.raises(DataError, match="not a checkpoint of strokeseg"):
        load_checkpoint(path)


def test_an_older_checkpoint_without_random_states_is_read(whole, tmp_path):
    content = torch.load(whole / "last.pt", weights_only=True)
    del content["random"], content["revision"]
    torch.save(content, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt").random == {}


def test_the_learning_rate_warms_up_and_decays():
    config = OptimiserConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert np.argmax(rates) == 9
    assert rates[50] == pytest.approx(0.5**0.9)
    assert rates[-1] < 0.02


def test_no_temporary_is_left(whole):
    assert {p.name for p in whole.iterdir()} == {"last.pt", "loss.tsv"}
    assert loop.LAST == "last.pt"


def test_the_running_mean_is_over_what_there_is():
    values = np.array([4, 2, 0, 6], np.float32)
    np.testing.assert_allclose(running_mean(values, 2), [4, 3, 1, 3])
