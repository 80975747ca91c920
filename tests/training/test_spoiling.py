import numpy as np
import pytest

torch = pytest.importorskip("torch")

from strokeseg.foreground import zscore_foreground  # noqa: E402
from strokeseg.training.settings import IntensityConfig  # noqa: E402
from strokeseg.training.spoiling import PADDINGS, Spoil, apply_spoil, draw_spoil  # noqa: E402

IMAGE = torch.from_numpy(np.random.default_rng(0).gamma(4, 20, (20, 24, 28)).astype(np.float32))


def test_without_a_share_nothing_is_drawn_and_no_random_number_is_used():
    rng = np.random.default_rng(0)
    assert draw_spoil(rng, IntensityConfig()) is None
    assert rng.random() == np.random.default_rng(0).random()
    assert apply_spoil(IMAGE, None) is IMAGE


def test_every_kind_is_drawn_and_breaks_few_voxels():
    config = IntensityConfig(spoil_share=1.0)
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(40):
        spoil = draw_spoil(rng, config)
        kinds.add(spoil.kind)
        before = IMAGE.clone()
        spoilt = apply_spoil(IMAGE, spoil)
        assert IMAGE.equal(before)
        changed = int((spoilt != IMAGE).sum())
        if spoil.kind == "voxel":
            assert changed == 1
        elif spoil.kind == "stripe":
            assert changed == IMAGE.shape[spoil.axis]
        else:
            assert spoilt.min() == spoil.value
            assert spoil.value in PADDINGS
            assert 0 < changed < 0.25 * IMAGE.numel()
    assert kinds == {"voxel", "stripe", "padding"}


def test_the_normalisation_minds_what_is_broken_in_its_own_voxels_alone():
    expected = zscore_foreground(IMAGE.numpy())
    spoilt = apply_spoil(IMAGE, Spoil("voxel", (0.5, 0.5, 0.5), 0, 100.0)).numpy()
    rest = spoilt == IMAGE.numpy()
    np.testing.assert_allclose(zscore_foreground(spoilt)[rest], expected[rest], atol=0.06)
