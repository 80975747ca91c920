import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from strokeseg.images.intensity import normalise
from strokeseg.images.reading import read_scan
from strokeseg.space.grid import Grid, canonical_grid, working_grid
from strokeseg.space.resample import coverage, resample_image, resample_labels, resample_logits
from tests.factories import (
    ALL_AXCODES,
    KINDS,
    REAL_SCANS,
    SCANS,
    Kind,
    affine_of,
    head,
    head_at,
    scan_file,
)

ALL = slice(None)


def grid_of(kind):
    return Grid(kind.shape, affine_of(kind))


def positions(source, target):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in target.shape), indexing="ij"))
    matrix = np.linalg.solve(source.affine, target.affine)
    return np.tensordot(matrix[:3, :3], index, axes=1) + matrix[:3, 3, None, None, None]


def by_coordinates(data, source, target, order):
    return ndimage.map_coordinates(data, positions(source, target), order=order, mode="nearest")


def monai_chain(path):
    pytest.importorskip("monai")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai import transforms

        load = transforms.Compose(
            [
                transforms.LoadImage(image_only=True),
                transforms.EnsureChannelFirst(),
                transforms.Orientation("RAS"),
                transforms.Spacing(pixdim=1, mode="bilinear", padding_mode="border"),
                transforms.HistogramNormalize(),
                transforms.NormalizeIntensity(nonzero=False),
            ]
        )
        image = load(path)
    return image.numpy()[0], np.asarray(image.affine)


def assert_working_image_is_monais(path):
    expected, affine = monai_chain(path)
    volume = read_scan(path)
    grid = working_grid(volume.grid, 1.0)
    assert grid.shape == expected.shape
    np.testing.assert_allclose(grid.affine, affine, atol=1e-3)
    image = normalise(resample_image(volume.data, volume.grid, grid), "histogram")
    np.testing.assert_allclose(image, expected, atol=5e-3)


@pytest.mark.parametrize("name", [name for name in KINDS if not KINDS[name].volumes])
def test_working_image_of_every_kind_is_monais(tmp_path, name):
    assert_working_image_is_monais(scan_file(tmp_path, name))


@pytest.mark.parametrize("name", REAL_SCANS)
def test_working_image_of_a_real_scan_is_monais(name):
    if not (SCANS / name).is_file():
        pytest.skip("the real scans are not here")
    assert_working_image_is_monais(SCANS / name)


@pytest.mark.parametrize("trial", range(12))
def test_working_grid_of_awkward_affines_is_monais(trial):
    """Sheared, tilted, half-millimetre and nearly-1-mm voxels: where shapes go off by one."""
    transforms = pytest.importorskip("monai.transforms")
    data_module = pytest.importorskip("monai.data")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(trial)
    sizes = [(0.5, 0.5, 1.0), (1.0004, 0.9375, 2.0), (0.45, 0.45, 5.0)][trial % 3]
    shape = [(128, 128, 20), (33, 47, 21), (65, 64, 9)][trial % 3]
    tilt = tuple(rng.uniform(-30, 30, 3)) if trial % 2 else (0.0, 0.0, 0.0)
    affine = affine_of(Kind(ALL_AXCODES[int(rng.integers(48))], sizes, shape, tilt))
    if trial % 4 == 3:
        affine[:3, :3] = affine[:3, :3] @ (np.eye(3) + np.triu(rng.uniform(-0.1, 0.1, (3, 3)), 1))
    data = rng.random(shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain = transforms.Compose([transforms.Orientation("RAS"), transforms.Spacing(pixdim=1)])
        expected = chain(data_module.MetaTensor(torch.as_tensor(data)[None], affine=affine))
    native = Grid(shape, affine)
    working = working_grid(native, 1.0)
    assert working.shape == tuple(expected.shape[1:])
    np.testing.assert_allclose(working.affine, np.asarray(expected.affine), atol=1e-6)
    np.testing.assert_allclose(resample_image(data, native, working), expected[0], atol=1e-3)


@settings(max_examples=96, deadline=None)
@given(st.sampled_from(ALL_AXCODES), st.sampled_from(["C", "F"]), st.booleans())
def test_reorientation_there_and_back_changes_nothing(axcodes, layout, tilted):
    tilt = (7.0, -5.0, 3.0) if tilted else (0.0, 0.0, 0.0)
    native = grid_of(Kind(axcodes, (1.0, 1.25, 2.0), (5, 6, 7), tilt))
    data = np.arange(5 * 6 * 7, dtype=np.float32).reshape(native.shape, order=layout)
    canonical = canonical_grid(native)
    turned = resample_image(data, native, canonical)
    assert turned.shape == canonical.shape
    np.testing.assert_array_equal(resample_image(turned, canonical, native), data)
    logits = np.stack([turned, -turned])
    np.testing.assert_array_equal(resample_logits(logits, canonical, native, ALL)[1], -data)
    labels = data.astype(np.uint8)
    there = resample_labels(labels, native, canonical, fill=99)
    np.testing.assert_array_equal(resample_labels(there, canonical, native, fill=99), labels)


@pytest.mark.parametrize("axcodes", ALL_AXCODES)
def test_one_head_stored_in_any_orientation_has_one_working_image(axcodes):
    sizes = {"L": 1.5, "R": 1.5, "P": 1.25, "A": 1.25, "I": 2.0, "S": 2.0}
    shapes = {"L": 30, "R": 30, "P": 40, "A": 40, "I": 20, "S": 20}
    images = []
    for codes in ("RAS", axcodes):
        kind = Kind(codes, tuple(sizes[c] for c in codes), tuple(shapes[c] for c in codes))
        data, affine = head(kind)
        native = Grid(kind.shape, affine)
        working = working_grid(native, 1.0)
        images.append((working, resample_image(data, native, working)))
    (first, expected), (second, image) = images
    assert second.same_as(first)
    np.testing.assert_allclose(image, expected, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.tuples(*[st.floats(-40, 40)] * 3),
    st.tuples(*[st.integers(2, 9)] * 3),
)
def test_resampling_onto_the_own_grid_is_identity(name, tilt, shape):
    kind = Kind(KINDS[name].axcodes, KINDS[name].voxel_size_mm, shape, tilt)
    grid, twin = grid_of(kind), grid_of(kind)
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    labels = (data * 5).astype(np.uint8)
    assert resample_image(data, grid, twin) is data
    assert resample_labels(labels, grid, twin) is labels
    np.testing.assert_array_equal(
        resample_logits(data[None], grid, twin, slice(1, 2))[0], data[1:2]
    )
    assert coverage(grid, twin, ALL).all()


SCALED = Kind("SPL", (0.7, 1.3, 2.1), (30, 25, 20))
TURNED = Kind("SPL", (0.7, 1.3, 2.1), (70, 40, 20), (9.0, -6.0, 4.0))


@pytest.mark.parametrize("target_kind", [SCALED, TURNED], ids=["along axes", "turned"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_interpolation_is_linear_with_the_border_repeated(target_kind, layout):
    source, target = grid_of(KINDS["lps"]), grid_of(target_kind)
    data = np.random.default_rng(1).random(source.shape).astype(np.float32)
    expected = by_coordinates(data.astype(np.float64), source, target, order=1)
    out = resample_image(np.asarray(data, order=layout), source, target)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=2e-3)


@pytest.mark.parametrize("name", KINDS)
def test_a_smooth_head_comes_out_where_the_world_says(name):
    data, affine = head(KINDS[name])
    source = Grid(KINDS[name].shape, affine)
    target = Grid((20, 20, 12), np.diag([1.0, 1.0, 1.0, 1.0]) + 0.0)
    out = resample_image(data, source, target)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in target.shape), indexing="ij"), axis=-1)
    tolerance = 60.0 if "anisotropic" in name else 12.0
    np.testing.assert_allclose(out, head_at(index.astype(float)), atol=tolerance)


@pytest.mark.parametrize("target_kind", [SCALED, TURNED], ids=["along axes", "turned"])
def test_slabs_of_logits_join_to_the_whole(target_kind):
    source, target = grid_of(KINDS["lps"]), grid_of(target_kind)
    logits = np.random.default_rng(2).normal(size=(3, *source.shape)).astype(np.float32)
    slabs = [slice(start, start + 7) for start in range(0, target.shape[0], 7)]
    joined = np.concatenate([resample_logits(logits, source, target, s) for s in slabs], axis=1)
    assert joined.shape == (3, *target.shape)
    for channel in range(3):
        whole = resample_image(logits[channel], source, target)
        np.testing.assert_allclose(joined[channel], whole, atol=1e-4)
    reach = np.concatenate([coverage(source, target, s) for s in slabs])
    np.testing.assert_array_equal(reach, coverage(source, target, ALL))


@pytest.mark.parametrize("target_kind", [SCALED, TURNED], ids=["along axes", "turned"])
def test_labels_take_their_nearest_neighbour_and_are_filled_outside(target_kind):
    source, target = grid_of(KINDS["lps"]), grid_of(target_kind)
    labels = np.random.default_rng(3).integers(1, 9, source.shape).astype(np.uint8)
    out = resample_labels(labels, source, target, fill=77)
    inside = coverage(source, target, ALL)
    assert out.dtype == np.uint8
    assert (out[~inside] == 77).all()
    expected = by_coordinates(labels, source, target, order=0)
    assert np.mean(out[inside] == expected[inside]) > 0.999


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (15.0, 8.0, -12.0)])
def test_coverage_ends_half_a_voxel_beyond_the_outer_centres(tilt):
    source = grid_of(Kind("LAS", (2.0, 2.0, 2.0), (20, 20, 20), tilt))
    target = grid_of(Kind("RAS", (1.0, 1.1, 0.9), (60, 50, 70)))
    where = positions(source, target)
    expected = np.ones(target.shape, dtype=bool)
    for axis, size in enumerate(source.shape):
        expected &= (where[axis] >= -0.5 - 1e-4) & (where[axis] <= size - 0.5 + 1e-4)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(coverage(source, target, ALL), expected)


def test_coverage_counts_the_outer_half_voxel():
    source = Grid((4, 4, 4), np.eye(4))
    edge = np.eye(4)
    edge[0, 3] = -0.5
    assert coverage(source, Grid((1, 4, 4), edge), ALL).all()
    edge[0, 3] = -0.51
    assert not coverage(source, Grid((1, 4, 4), edge), ALL).any()


def test_plain_slices_of_one_axis_are_a_flip():
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.diag([1.0, -1.0, 1.0, 1.0])
    affine[1, 3] = 2.0
    out = resample_image(data, Grid((2, 3, 4), np.eye(4)), Grid((2, 3, 4), affine))
    np.testing.assert_array_equal(out, data[:, ::-1])


def test_every_second_voxel_is_taken_without_interpolation():
    data = np.arange(6 * 6 * 6, dtype=np.float32).reshape(6, 6, 6)
    target = Grid((3, 3, 3), np.diag([2.0, 2.0, 2.0, 1.0]))
    out = resample_image(data, Grid((6, 6, 6), np.eye(4)), target)
    np.testing.assert_array_equal(out, data[::2, ::2, ::2])


def test_a_single_plane_is_repeated():
    data = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    source = Grid((3, 3, 1), np.diag([1.0, 1.0, 5.0, 1.0]))
    out = resample_image(data, source, Grid((3, 3, 4), np.eye(4)))
    np.testing.assert_array_equal(out, np.repeat(data, 4, axis=2))


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    source, target = grid_of(KINDS["lps"]), grid_of(TURNED)
    logits = np.random.default_rng(4).normal(size=(4, *source.shape)).astype(np.float32)
    expected = resample_logits(logits, source, target, ALL)
    monkeypatch.setattr("strokeseg.machine.thread_count", lambda: 1)
    assert resample_logits(logits, source, target, ALL).tobytes() == expected.tobytes()
