"""Malformed TOML and tables."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import DataError, ModelFormatError, UsageError
from strokeseg.models.registry import load_registry
from tests.fuzz.seeds import seeds

MEGABYTE = 1_000_000


DEEP = {
    "arrays": "a = " + "[" * 3000,
    "tables": "a = " + "{a = " * 3000,
    "digits": "a = " + "9" * 5000,
}


@pytest.mark.parametrize("kind", DEEP)
def test_toml_without_end_is_refused_by_every_reader(kind, tmp_path):
    training = pytest.importorskip("strokeseg.training.config")
    from strokeseg.training.data.contrast_table import read_sequences
    from strokeseg.training.data.label_table import read_table

    path = tmp_path / "a.toml"
    path.write_text(DEEP[kind])
    for reader, error in (
        (load_registry, ModelFormatError),
        (training.read_config, UsageError),
        (read_table, UsageError),
        (lambda file: read_sequences(("gm",), file), UsageError),
    ):
        with pytest.raises(error, match=r"a\.toml"):
            reader(path)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "9" * 400])
def test_settings_that_no_run_can_have_are_refused(value, tmp_path):
    from strokeseg.training.config import read_config

    path = tmp_path / "a.toml"
    for text in (f"[spatial]\nrotation_deg = {value}", f"[lesion]\nvolume_ml = [1.0, {value}]"):
        path.write_text(text)
        with pytest.raises(UsageError, match="expected a number, got"):
            read_config(path)


def test_a_long_value_of_a_setting_is_cut(tmp_path):
    from strokeseg.training.config import read_config

    path = tmp_path / "a.toml"
    path.write_text(f'seed = "{"x" * 100_000}"')
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("labels = [0]", "labels = [0.5]"),
        ("labels = [0]", "labels = [-1]"),
        ("labels = [0]", "labels = [99999999999999]"),
        ("labels = [0]", 'labels = "0"'),
        ('name = "border"', 'name = "gm"'),
        ("sigma_mm = 0.6", "sigma_mm = nan"),
        ("sigma_mm = 0.6", "sigma_mm = -1"),
        ("10 = [-11.0, -19.0, 6.0]", "10 = [-11.0]"),
        ("10 = [-11.0, -19.0, 6.0]", "10 = [inf, 0, 0]"),
        ("[landmarks_mm]", "[landmarks]\n[[landmarks_mm]]"),
        ("[classes.background]", "[[classes]]"),
    ],
)
def test_a_label_table_that_makes_no_sense_is_refused(old, new, tmp_path):
    from strokeseg.training.data.label_table import read_table

    text = seeds("label-table")[0].decode()
    assert old in text
    path = tmp_path / "a.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=r"label table .*a\.toml"):
        read_table(path)


def test_a_label_beyond_the_table_is_refused_before_labels_are_counted(tmp_path):
    """Counting labels to two thousand million takes 17 GB."""
    from strokeseg.training.data.label_maps import prepare_subject
    from strokeseg.training.data.label_table import read_table

    data = np.zeros((40, 40, 40), np.float32)
    data[10:20, 10:20, 10:20] = 2e9
    path = tmp_path / "labels.nii"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="label 2000000000 is not in the label table"):
            prepare_subject(path, read_table(), 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE
    nib.save(nib.Nifti1Image(data * np.float32(1e5), np.eye(4)), path)
    with pytest.raises(DataError, match="not a label map"):
        prepare_subject(path, read_table(), 1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("share = 1.0", "share = nan"),
        ("share = 1.0", "share = -1"),
        ("share = 1.0", "share = 0"),
        ("share = 1.0", 'share = "all"'),
        ("gm = [0.3, 0.5]", "gm = [0.5, 0.3]"),
        ("gm = [0.3, 0.5]", "gm = [inf, inf]"),
        ("core = [0.1, 0.2]", "core = 3"),
        ("[sequences.T1w]", "[[sequences]]"),
    ],
)
def test_a_contrast_table_that_makes_no_sense_is_refused(old, new, tmp_path):
    from strokeseg.training.data.contrast_table import read_sequences

    text = seeds("contrast-table")[0].decode()
    assert old in text
    path = tmp_path / "a.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match="contrast table"):
        read_sequences(("background", "gm", "wm", "border"), path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    from strokeseg.training.data.contrast_table import read_sequences
    from strokeseg.training.data.label_table import read_table

    path = tmp_path / "a.toml"
    path.write_bytes(b"a = \xff")
    with pytest.raises(UsageError, match="not TOML"):
        read_table(path)
    with pytest.raises(UsageError, match="not TOML"):
        read_sequences((), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label_map\n" + "x" * 140_000, "cannot be read as a CSV or TSV"),
        ("label_map\tage\n\t55\n", "row 1 has no label_map"),
        ("label_map,age\na.nii,55\n,60\n", "row 2 has no label_map"),
    ],
)
def test_a_table_with_an_endless_or_an_empty_cell_is_refused(content, message, tmp_path):
    from strokeseg.training.data.inputs import label_map_paths

    path = tmp_path / "a.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        label_map_paths(str(path))
