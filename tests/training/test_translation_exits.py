"""Bad input of translators at the level of processes: one line on stderr, and the exit code."""

import json
import subprocess

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.translators import train_translator
from strokeseg.training.translation.classes import NAMES
from strokeseg.training.translation.settings import read_translator_config
from strokeseg.training.translation.translator import RECORD
from tests.cohort.cohorts import COMMAND
from tests.training.heads import config_text, save
from tests.training.test_translated import write_untrained
from tests.training.test_translation import GREYS, config_of, made_labels, write_labelled


def other_grid(folder, _data):
    """Images and label maps that do not lie on each other."""
    labels = np.ones((20, 20, 20), np.uint8)
    save(folder / "own" / "a.nii.gz", labels.astype(np.float32), np.diag([2.0, 2, 2, 1]))
    save(folder / "own" / "a_labels.nii.gz", labels, np.diag([3.0, 2, 2, 1]))
    (folder / "own.toml").write_text('[data]\npairs = "own"\n')
    return ("train-translator", folder / "own.toml", "-o", folder / "run")


def unknown_label(folder, _data):
    """A number that no table names."""
    path = config_of(folder)
    labels = made_labels()
    labels[0, 20, 20] = len(NAMES)
    write_labelled(folder / "slices.npz", axial_labels=labels)
    return ("train-translator", path, "-o", folder / "run")


def one_image(folder, _data):
    """A single slice to learn from."""
    path, labels = config_of(folder), made_labels(1)
    image = np.asarray(GREYS, np.uint8)[labels]
    write_labelled(folder / "slices.npz", axial=image, axial_labels=labels, axial_subject=[11])
    return ("train-translator", path, "-o", folder / "run")


def other_kind(folder, _data):
    """The checkpoint of a SPADE, for a pix2pix."""
    session = Session(torch.device("cpu"))
    train_translator(read_translator_config(config_of(folder, steps=1)), folder / "run", session)
    return ("train-translator", config_of(folder, "pix2pix"), "-o", folder / "run", "--resume")


def other_labels(folder, data):
    """A run's translator that draws from classes which are not the run's."""
    made = write_untrained(folder / "flair")
    record = json.loads((made / RECORD).read_text())
    record["classes"][1] = "putamen"
    (made / RECORD).write_text(json.dumps(record))
    share = "translated_share = 1.0\n"
    text = config_text(data, data=f'translators = ["{made}"]\n', contrast=share)
    (folder / "run.toml").write_text(text)
    return ("synthesise", folder / "run.toml", "-n", 1, "-o", folder / "out")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (other_grid, "is not on the grid of"),
        (unknown_label, "is none of the translator's"),
        (one_image, "holds 1 labelled slices"),
        (other_kind, "checkpoint of another kind"),
        (other_labels, "draws from background, putamen"),
    ],
)
def test_bad_input_ends_a_process_with_its_code_and_one_line(fault, told, tmp_path, data_folder):
    arguments = fault(tmp_path, data_folder)
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == DataError.exit_code, done.stderr
    assert not done.stdout
    assert told in done.stderr
    assert done.stderr.splitlines()[-1].startswith("strokeseg: ")
    assert "Traceback" not in done.stderr
