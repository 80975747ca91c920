"""What spoils a scan's range changes no mask of the default model, on real scans."""

from functools import cache

import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.images.reading import read_scan
from tests.factories import SCANS

pytestmark = pytest.mark.skipif(not SCANS.is_dir(), reason="no ../shared/data/scans here")

LEAST_DICE = 0.95
# A field that doubles from corner to corner changes more: 0.93 to 0.98 of a mask is left (n = 3).
LEAST_DICE_OF_BIAS = 0.92
WHAT = {"dwi": "sub-acute_dwi", "flair": "sub-acute_FLAIR", "t2": "sub-chronic_T2w"}


def hot_voxel(data, inside):
    data[tuple(np.argwhere(inside)[1000])] = 1e6


def hot_voxels(data, inside):
    rng = np.random.default_rng(0)
    places = rng.choice(np.argwhere(inside), 40, replace=False)
    data[tuple(places.T)] = 30 * data.max()


def hot_stripe(data, _inside):
    data[data.shape[0] // 2, :, 3] = 40 * data.max()


def padded(value):
    def spoil(data, inside):
        frame = np.ones(data.shape, np.bool_)
        frame[5:-5, 5:-5] = False
        data[frame & ~inside] = value

    return spoil


def background_of_nan(data, inside):
    data[~inside] = np.nan


def slope(data, _inside):
    data *= 0.0037


def offset(data, _inside):
    data += 500


def bias(data, _inside):
    """Twice as bright at one corner as at the opposite one."""
    along = sum(np.meshgrid(*(np.linspace(-1 / 6, 1 / 6, n) for n in data.shape), indexing="ij"))
    data *= (2.0**along).astype(np.float32)


SPOILS = {
    "one hot voxel": hot_voxel,
    "forty hot voxels": hot_voxels,
    "a hot stripe": hot_stripe,
    "padding of -1024": padded(-1024),
    "padding of -2000": padded(-2000),
    "padding of -32768": padded(-32768),
    "a background of NaN": background_of_nan,
    "a slope": slope,
    "an offset": offset,
    "a bias field": bias,
}


@cache
def model():
    return load_model()


@cache
def scan(modality):
    return read_scan(SCANS / f"{WHAT[modality]}.nii.gz")


def mask_of(modality, data, flips):
    image = (np.ascontiguousarray(data), scan(modality).grid.affine)
    return predict({modality: image}, model=model(), options=Options(tta=flips)).mask > 0


@cache
def unspoilt(modality, flips):
    return mask_of(modality, scan(modality).data, flips)


@pytest.mark.parametrize("modality", WHAT)
@pytest.mark.parametrize("name", SPOILS)
def test_a_spoilt_scan_has_the_mask_of_the_unspoilt_one(modality, name):
    data = scan(modality).data.copy()
    SPOILS[name](data, data > 0)
    # Of a bias field the usual eight flips keep more than one pass: 0.94 of the FLAIR's mask.
    flips = name == "a bias field"
    before = unspoilt(modality, flips)
    assert before.any()
    least = LEAST_DICE_OF_BIAS if flips else LEAST_DICE
    assert dice(mask_of(modality, data, flips), before) >= least
