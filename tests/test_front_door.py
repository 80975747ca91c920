"""`import strokeseg`, from wherever Python runs and however the package was installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import strokeseg
import strokeseg.errors
from strokeseg.images.reading import read_map
from strokeseg.space.grid import Grid

ROOT = Path(__file__).resolve().parents[1]
# What an editable installation adds to Python's search is taken away: what is left is what a plain
# one gives in the root of a checkout, whose package shadows the installed one.
PLAIN = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [entry for entry in sys.path if "editable" not in entry]
"""


def run(code, folder):
    command = [sys.executable, "-c", PLAIN + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_checkouts_root_has_training_and_weights_without_an_editable_installation():
    code = "import strokeseg, strokeseg.weights, strokeseg.training.export"
    code += "; print(strokeseg.__file__, strokeseg.weights.__file__)"
    ended = run(code, ROOT)
    assert ended.returncode == 0, ended.stderr
    package, weights = ended.stdout.split()
    assert Path(package).parent == ROOT / "strokeseg"
    assert Path(weights).parent == ROOT / "weights"


def test_the_command_line_runs_in_a_checkouts_root():
    ended = run("from strokeseg.cli import run; sys.exit(run(['weights', 'list']))", ROOT)
    assert ended.returncode == 0, ended.stderr
    assert "synth-open" in ended.stdout


def test_an_installed_package_alone_looks_nowhere_else(tmp_path):
    code = "import strokeseg; print(any('_Checkout' in str(finder) for finder in sys.meta_path))"
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "strokeseg").mkdir()
    for file in ("__init__.py", "_version.py"):
        (tmp_path / "plain" / "strokeseg" / file).write_text(
            (ROOT / "strokeseg" / file).read_text()
        )
    ended = run(code, tmp_path / "plain")
    assert ended.stdout.strip() == "False", ended.stderr


def test_dir_lists_the_front():
    assert dir(strokeseg) == sorted(strokeseg.__all__)
    assert all(getattr(strokeseg, name) is not None for name in dir(strokeseg))


def test_every_error_that_a_user_meets_is_in_the_front():
    tree = [strokeseg.errors.StrokesegError]
    for cls in tree:
        tree += cls.__subclasses__()
    ours = {cls.__name__ for cls in tree if cls.__module__ == "strokeseg.errors"}
    assert ours <= set(dir(strokeseg))
    assert strokeseg.DataError is strokeseg.errors.DataError
    assert strokeseg.DataError.exit_code == 65


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ("a.nii", r"scans are of type str: give each scan by its contrast, as in predict\(\{"),
        (None, "scans are of type NoneType: give each scan"),
        (["a.nii"], "scans are of type list"),
        ({1: "a.nii"}, "a contrast is 1"),
        ({"t1": None}, "t1 is None: give a path, a nibabel image, or"),
        ({"t1": np.zeros((4, 5, 6))}, r"t1 is an array \(4, 5, 6\) without a place"),
    ],
)
def test_what_is_no_named_scan_is_told_what_is_wanted(images, told):
    with pytest.raises(strokeseg.UsageError, match=told):
        strokeseg.predict(images)


def test_a_result_tells_of_itself_in_five_lines():
    grid = Grid((40, 50, 12), np.diag([1.0, 1.0, 3.0, 1.0]))
    mask = np.zeros(grid.shape, bool)
    record = {
        "inputs": {"t1": {"path": "a.nii"}, "flair": {"path": "b.nii"}},
        "reference": "t1",
        "models": [{"name": "tiny"}],
    }
    plain = mask.astype(np.float32)
    scan = read_map((plain, grid.affine))
    result = strokeseg.Result(
        *(mask, plain, mask.astype(np.uint8), None, None, grid, ("background", "lesion"), ()),
        *(0.0, (0.0, 0.0), {}, None, ("voxels are\n6 mm long", "and more"), record, scan),
    )
    assert repr(result).split("\n") == [
        "<strokeseg.Result: 0 lesions, 0 ml",
        " grid: 40 x 50 x 12 voxels of 1 x 1 x 3 mm, that of t1",
        " from: t1, flair; by tiny",
        " arrays: mask, probability, tissue",
        " warnings: voxels are\\n6 mm long (and 1 more)>",
    ]


def test_a_model_is_told_without_its_weights():
    assert len(repr(strokeseg.load_model())) < 5000
