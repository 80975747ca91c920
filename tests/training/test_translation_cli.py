"""`train-translator`, `train-lesions`, and the commands around them, from a shell's words."""

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from strokeseg.cli.other_training import train_lesions, train_translator
from strokeseg.errors import DataError, StrokesegError, UsageError
from strokeseg.training import slice_labels, translation_gallery, translation_trial
from strokeseg.training.data.lesion_bank import LesionMask
from strokeseg.training.translation.classes import HYPERINTENSITY, LESION
from strokeseg.training.translation.pairs import read_pairs
from strokeseg.training.translation.settings import read_translator_config
from tests.training.test_lesion_masks import write_config
from tests.training.test_translation import config_of, made_labels, write_labelled

app = typer.Typer()
app.command("train-translator")(train_translator)
app.command("train-lesions")(train_lesions)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    path = config_of(folder, steps=2)
    return folder, path, run("train-translator", path, "-o", folder / "run")


def test_a_translator_is_trained_and_resumed(trained):
    folder, path, result = trained
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(folder / "run" / "translator.safetensors")
    with pytest.raises(UsageError, match="go on with --resume"):
        run("train-translator", path, "-o", folder / "run")
    assert run("train-translator", path, "-o", folder / "run", "--resume").exit_code == 0


def test_masks_are_trained(tmp_path, data_folder):
    path = write_config(tmp_path, data_folder, steps=2)
    result = run("train-lesions", path, "-o", tmp_path / "run")
    assert result.stdout.strip() == str(tmp_path / "run" / "masks.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train-translator", "none.toml"), "cannot be read"),
        (("train-lesions", "none.toml"), "cannot be read .* or one of lesions"),
        (("train-translator", "{path}", "--limit-minutes", "0"), "above 0"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = config_of(tmp_path)
    with pytest.raises(StrokesegError, match=message) as caught:
        run(*(argument.replace("{path}", str(path)) for argument in arguments))
    assert "\n" not in str(caught.value)


def test_labels_of_a_slice_are_the_model_s_tissues_the_mask_and_what_is_bright():
    rng = np.random.default_rng(0)
    logits = np.zeros((6, 30, 30), np.float32)
    logits[3] = 2
    logits[1, :10] = 4
    logits[5, 20:22, 20:22] = 9
    grey = 100 + rng.normal(0, 2, (30, 30)).astype(np.float32)
    grey[:, :3] = 0
    grey[20:22, 20:22] = 200
    grey[25:27, 25:27] = 190
    lesion = np.zeros((30, 30), bool)
    lesion[25:27, 25:27] = True
    labels = slice_labels.draw_labels(grey, lesion, logits)
    assert not labels[:, :3].any()
    assert (labels[:10, 3:] == 1).all()
    assert (labels[20:22, 20:22] == HYPERINTENSITY).all()
    assert (labels[lesion] == LESION).all()
    assert (labels[12:18, 5:] == 3).all()


def test_a_trial_writes_a_table_and_does_nothing_twice(trained, tmp_path):
    folder, _, _ = trained
    # The last of them without lesion, to be drawn in.
    labels = made_labels(6)
    labels[3:5][labels[3:5] == LESION] = 1
    images = np.asarray((0, 120, 140, 160, 40, 220, 250), np.uint8)[labels]
    subjects = [11, 12, 14, 15, 13, 23]
    write_labelled(tmp_path / "six.npz", axial=images, axial_labels=labels, axial_subject=subjects)
    given = (str(tmp_path / "six.npz"), "--translator", str(folder / "run"))
    more = ("-o", str(tmp_path / "out"), "--sizes", "2", "0", "--seeds", "1", "--steps", "2")
    table = translation_trial.main((*given, *more))
    text = (tmp_path / "out" / "table.md").read_text()
    assert table == str(tmp_path / "out" / "table.md")
    assert [line.split("|")[1:3] for line in text.splitlines()[2:]] == [
        [" 2 ", " real "],
        [" 2 ", " translated "],
        [" all ", " real "],
        [" all ", " translated "],
    ]
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")}
    translation_trial.main((*given, *more))
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")}
    assert before == after
    assert len(before) == 4


def test_masks_of_a_bank_are_cut_where_the_slices_lie():
    affine = np.eye(4)
    affine[:3, 3] = (-20.0, -30.0, 10.0)
    mask = LesionMask("ball", np.ones((10, 12, 14), np.uint8), affine, 1.7, (0, 0, 0))
    cut = translation_trial.masks_of_bank([mask], 96, (78, 94))[0]
    # 10 by 12 mm on pixels of 2 mm; the canvas begins 9 and 1 pixels before the slice.
    assert cut.sum() == 5 * 6
    first = np.argwhere(cut)[0]
    assert first.tolist() == [9 + (-20 + 78) // 2, 1 + (-30 + 112) // 2]


def test_pictures_show_labels_every_translator_and_the_real_slice(trained, tmp_path):
    folder, path, _ = trained
    pairs = read_pairs(read_translator_config(path).data)
    with pytest.raises(DataError, match="enough lesion"):
        translation_gallery.translator_sheet(pairs, [])
    given = (str(folder / "slices.npz"), "--translator", *2 * (str(folder / "run"),))
    translation_gallery.LEAST_LESION_VOX, before = 4, translation_gallery.LEAST_LESION_VOX
    try:
        translation_gallery.main((*given, "-o", str(tmp_path)))
    finally:
        translation_gallery.LEAST_LESION_VOX = before
    with Image.open(tmp_path / "translators.png") as sheet:
        assert sheet.size == (2 * 4 * 96 + 8, 96)
        assert np.asarray(sheet.convert("RGB")).std() > 10
