import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from strokeseg.cli.train import Lines, synthesise, train
from strokeseg.errors import EngineError, StrokesegError, UsageError
from strokeseg.images.reading import read_scan
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.devices import choose_device
from strokeseg.training.gallery import contact_sheet, sample_row
from tests.training.heads import config_text

app = typer.Typer()
app.command("train")(train)
app.command("synthesise")(synthesise)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config_file(data_folder, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(config_text(data_folder, optimiser="steps = 3\n"))
    return path


def test_train_writes_a_run_and_resumes_it(config_file, tmp_path):
    folder = tmp_path / "run"
    result = run("train", config_file, "-o", folder, "--workers", 0, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert load_checkpoint(folder / "last.pt").step == 3
    assert (folder / "curves.png").is_file()
    with pytest.raises(UsageError, match="go on with --resume"):
        run("train", config_file, "-o", folder)
    assert run("train", config_file, "-o", folder, "--workers", 0, "--resume").exit_code == 0


def test_synthesise_writes_images_targets_and_a_sheet(config_file, tmp_path):
    folder = tmp_path / "samples"
    assert run("synthesise", config_file, "-n", 5, "-o", folder, "--seed", 9).exit_code == 0
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 11
    image = read_scan(folder / "sample-004_image.nii.gz")
    target = read_scan(folder / "sample-004_target.nii.gz")
    assert image.grid.same_as(target.grid)
    assert image.grid.voxel_size_mm == (4, 4, 4)
    assert set(np.unique(target.data)) <= set(range(6))
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.mode == "RGB"
        assert np.asarray(sheet).std() > 10
    again = tmp_path / "again"
    run("synthesise", config_file, "-n", 1, "-o", again, "--seed", 9)
    first = "sample-000_image.nii.gz"
    assert (again / first).read_bytes() == (folder / first).read_bytes()


def test_smoke_trains_for_anybody_with_nothing_but_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("train", "smoke", "--workers", 0, "--device", "cpu")
    assert result.exit_code == 0, result.output
    state = load_checkpoint(tmp_path / "runs" / "smoke" / "last.pt")
    assert state.step == 60
    lines = (tmp_path / "runs" / "smoke" / "loss.tsv").read_text().splitlines()[1:]
    losses = [float(line.split("\t")[1]) for line in lines]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])


def test_smoke_draws_for_anybody_and_its_sheet_is_large_enough_to_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("synthesise", "smoke", "-n", 2, "-o", "samples").exit_code == 0
    assert (read_scan(tmp_path / "samples" / "sample-001_target.nii.gz").data == 5).any()
    with Image.open(tmp_path / "samples" / "contact_sheet.png") as sheet:
        assert sheet.width >= 6 * 160
        assert sheet.height >= 2 * 160


def test_the_layout_shows_every_path_its_source_and_whether_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", "synth-open-real", "--copy", "mine.toml").exit_code == 0
    (tmp_path / "data" / "lesions" / "soop").mkdir(parents=True)
    result = run("train", "mine.toml", "--layout")
    lines = result.stdout.splitlines()
    assert "label_maps: missing" in lines
    assert f"  {tmp_path / 'data' / 'label_maps'}" in lines
    assert "lesions: there, 0 files" in lines
    assert "start_from: missing" in lines
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    told = " ".join(result.stdout.split())
    assert (
        "https://github.com/BBillot/SynthSeg (data/training_label_maps); licence: Apache-2.0"
        in told
    )


def test_a_resumed_run_says_what_has_changed(config_file, tmp_path):
    command = ("train", config_file, "-o", tmp_path / "run", "--workers", 0, "--resume")
    assert "last.pt is not there: a new run begins" in " ".join(run(*command).output.split())
    assert "another configuration" not in run(*command).output
    text = config_file.read_text()
    config_file.write_text(re.sub(r"(?m)^seed = .*", "seed = 99", text))
    told = " ".join(run(*command).output.split())
    assert re.search(r"another configuration than it had: seed \d+ to 99 ", told)


def test_a_name_that_holds_nothing_out_is_told(data_folder, tmp_path):
    path = tmp_path / "tiny.toml"
    lines = 'held_out_maps = ["head-2", "haed-1"]\n'
    path.write_text(config_text(data_folder, data=lines, optimiser="steps = 1\n"))
    told = run("train", path, "-o", tmp_path / "run", "--workers", 0).output
    assert "held_out_maps: 'haed-1' matches nothing, and holds nothing out" in told
    assert "head-2" not in told


def test_a_limit_before_the_first_step_leaves_a_run_to_go_on_with(config_file, tmp_path):
    folder = tmp_path / "run"
    command = ("train", config_file, "-o", folder, "--workers", 0)
    run(*command, "--limit-minutes", "1e-9")
    assert [path.name for path in folder.iterdir()] == ["last.pt"]
    run(*command, "--resume")
    assert (folder / "curves.png").is_file()


def test_a_run_that_ran_out_of_time_says_so(capsys):
    lines = Lines(40)
    lines(12, 0.5)
    lines.say_where_it_stopped()
    assert "stopped at step 12 of 40: go on with --resume" in capsys.readouterr().err
    lines(40, 0.5)
    capsys.readouterr()
    lines.say_where_it_stopped()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [("train",), ("synthesise", "-n", "1")])
@pytest.mark.parametrize("fault", ["missing", "broken"])
def test_nothing_is_left_behind_where_it_fails(command, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text('name = "x"\n[data]\nlabel_maps = "maps"\n')
    if fault == "broken":
        (tmp_path / "maps").mkdir()
        (tmp_path / "maps" / "head.nii.gz").write_bytes(b"no image")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StrokesegError, match="maps"):
        run(command[0], "run.toml", *command[1:], "-o", "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_sheet_shows_the_lesion_in_its_colour():
    image = np.random.default_rng(0).normal(0, 1, (20, 24, 18)).astype(np.float32)
    target = np.zeros(image.shape, np.uint8)
    target[4:9, 5:9, 6:10] = 5
    row = sample_row(image, target)
    assert row.shape == (24, 6 * 24, 3)
    red = row[..., 0].astype(int) - row[..., 2]
    assert (red[:, 24:48] > 50).sum() > 10
    assert not (red[:, :24] > 0).any()
    # Brain of whatever tissue, and what nothing is known of, are left as they are.
    target[target == 0], target[0] = 254, 255
    assert np.array_equal(sample_row(image, target), row)
    assert contact_sheet([row] * 5).shape == (3 * 28, 2 * (6 * 24 + 4), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "none.toml"), "cannot be read"),
        (("train", "smoke", "--limit-minutes", "0"), "above 0"),
        (("train", "smoke", "-o", "x", "--limit-minutes", "nan"), "above 0"),
        (("train", "smoke", "-o", "x", "--device", "tpu"), "--device is 'tpu'"),
        (("synthesise", "none.toml", "-o", "x"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StrokesegError, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_here_is_refused():
    with pytest.raises(EngineError, match="no such GPU"):
        choose_device("cuda:63")
    assert choose_device("cpu").type == "cpu"
