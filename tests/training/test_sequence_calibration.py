import json
import math

import numpy as np
import pytest

pytest.importorskip("torch")

from strokeseg.errors import UsageError
from strokeseg.models.finding import load_model_files
from strokeseg.models.loading import load_model
from strokeseg.training import sequence_calibration
from strokeseg.training.calibrated_model import CalibratedModel
from strokeseg.training.data.sources import load_sources
from strokeseg.training.sequence_calibration import (
    DRAWN,
    FREE,
    PASTED,
    Row,
    chosen_row,
    rows_of,
    sequence_cases,
    tables,
)
from tests.tiny_models import OWN, tiny_files, write_files
from tests.training.real_images import write_scans
from tests.training.test_scan_calibration import LESION, case, member


@pytest.fixture(scope="module")
def held_out_scans(make_config, tmp_path_factory):
    table = write_scans(tmp_path_factory.mktemp("scans"))
    data = f'scans = "{table}"\nheld_out_scans = ["old-*"]\nscan_share = 0.1\n'
    config = make_config(data=data)
    return config, load_sources(config.data, held_out=True)


def config_of(tmp_path, **own):
    files = tiny_files(OWN | {"threshold": 0.5, "min_peak": 0.7, "min_volume_ml": 0.1} | own)
    return load_model_files(str(write_files(tmp_path / "m", files))).config


def dim(truth, far=-6.0):
    """A scan whose lesion has log-odds of -1, as the brain around has of `far`."""
    return member("t2", LESION if truth is None else truth, far=far, near=-1.0)


def row(offset, dice, false_ml):
    return Row(offset, {DRAWN: dice}, false_ml)


def test_cases_of_each_sequence_show_their_lesion_and_are_the_same_again(held_out_scans, tmp_path):
    config, sources = held_out_scans
    first = list(sequence_cases(sources, config, tmp_path, 2))
    again = list(sequence_cases(sources, config, tmp_path, 2))
    kinds = {(c.group, *c.scans) for c in first}
    assert {(DRAWN, "t1"), (DRAWN, "t2"), (DRAWN, "flair"), (PASTED, "t1")} <= kinds
    assert (PASTED, "t2") not in kinds, "there is no real T2w to paste on"
    assert [c.name for c in first if c.group == FREE] == ["old-1_T1w", "old-2_T1w"]
    for one, other in zip(first, again, strict=True):
        assert one.group == FREE or one.truth.any(), one.name
        (scan,), (twin,) = one.scans.values(), other.scans.values()
        np.testing.assert_array_equal(scan.data, twin.data)
    assert sum(c.group == DRAWN and "t1" in c.scans for c in first) <= 2


def test_an_offset_finds_a_dim_lesion_and_in_the_end_all_of_the_brain(tmp_path):
    seen = [case(dim(LESION), group=DRAWN)]
    seen += [case(dim(LESION * False), truth=None, group=FREE) for _ in range(2)]
    rows = rows_of(seen, config_of(tmp_path))["t2"]
    assert [r.offset for r in rows] == list(sequence_calibration.OFFSETS)
    # Log-odds of -1 reach a peak of 0.7, which has 0.85, from an offset of 1.85 on.
    assert [r.dice[DRAWN] for r in rows] == [0, 0, 0, 0, 1, 1, 1]
    assert {r.false_ml for r in rows} == {0.0}


def test_with_one_scan_without_stroke_nobody_can_tell_and_nothing_is_added(tmp_path):
    seen = [case(dim(LESION), group=DRAWN), case(dim(LESION), truth=None, group=FREE)]
    rows = rows_of(seen, config_of(tmp_path))["t2"]
    assert {r.false_ml for r in rows} == {math.inf}
    assert chosen_row(rows, 0.5).offset == 0.0


def test_the_least_of_those_as_good_as_the_best_that_invents_little_is_chosen():
    rows = [row(0.0, 0.3, 0.0), row(0.5, 0.395, 0.2), row(1.0, 0.4, 0.4), row(1.5, 0.6, 0.6)]
    assert chosen_row(rows, 0.5).offset == 0.5
    assert chosen_row(rows, 0.7).offset == 1.5
    # Where more is invented without an offset than the limit, no more may be.
    invents = [row(0.0, 0.3, 2.0), row(0.5, 0.4, 2.0), row(1.0, 0.5, 2.1)]
    assert chosen_row(invents, 0.5).offset == 0.5


def test_a_model_without_a_threshold_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has no threshold"):
        rows_of([case(dim(LESION))], config_of(tmp_path, threshold=None, min_peak=0.0))


def test_the_table_marks_what_was_chosen():
    rows = {"t2": [row(0.0, 0.3, 0.0), Row(0.5, {DRAWN: 0.4, PASTED: 0.5}, math.inf)]}
    text = tables(rows, {"t2": rows["t2"][1]}, {"t2": "1, 1, 0"})
    assert "| t2 | 1, 1, 0 | 0 | 0.300 | - | 0.00 |" in text
    assert "| t2 | 1, 1, 0 | 0.5 (chosen) | 0.400 | 0.500 | - |" in text


def test_the_command_sees_chooses_and_writes(tmp_path, monkeypatch, held_out_scans):
    config, sources = held_out_scans
    own = OWN | {"window": 32, "voxel_size_mm": 4.0, "threshold": 0.4}
    folder = write_files(tmp_path / "m", tiny_files(own, seed=3))

    def small(model, *_others):
        return CalibratedModel(load_model(model), config, sources)

    chosen = [Row(0.0, {DRAWN: 0.1}, 0.0), Row(1.0, {DRAWN: 0.2}, 0.0)]
    monkeypatch.setattr(sequence_calibration, "open_calibrated", small)
    arguments = [str(folder), "-o", str(tmp_path / "out"), "--data", str(tmp_path), "--fast"]
    arguments += ["--count", "1"]
    assert "lesion_offsets.json" in sequence_calibration.main(arguments)
    text = (tmp_path / "out" / "lesion_offsets.md").read_text()
    assert "| flair | 1, 0, 0 | 0 (chosen) |" in text, (
        "with no scan without stroke nothing is added"
    )
    monkeypatch.setattr(sequence_calibration, "rows_of", lambda *_given: {"t1": chosen})
    sequence_calibration.main([*arguments, "--write"])
    settings = json.loads((tmp_path / "out" / "lesion_offsets.json").read_text())
    assert settings == {"lesion_offsets": {"t1": 1.0}}
    assert load_model_files(str(folder)).config.lesion_offsets == {"t1": 1.0}
    with pytest.raises(UsageError, match="has lesion_offsets already"):
        sequence_calibration.main(arguments)
