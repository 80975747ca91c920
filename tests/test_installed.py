"""What the pages say of Python runs in a clone's root after a plain and an editable installation.

Both are made offline, from a copy of the clone, in environments that see this one's packages.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("setuptools", minversion="77")

from tests.docs.pages import PAGES, ROOT, blocks
from tests.factories import KINDS, scan_image

NOT_COPIED = ("*.egg-info", ".*", "__pycache__", "build", "dist", "runs", "site", "*_demo")
MODULES = sorted(
    {
        name
        for page in (*PAGES, ROOT / "training" / "README.md")
        for name in re.findall(r"python -m ((?:tests|strokeseg)\.[\w.]+\w)", page.read_text())
    }
)


@pytest.fixture(scope="module", params=["plain", "editable"])
def clone(request, tmp_path_factory):
    """A copy of the clone, and the Python of an environment that it is installed in."""
    folder = tmp_path_factory.mktemp(request.param)
    root = folder / "clone"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
    venv.create(folder / "env", with_pip=False)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    ours = [entry for entry in sys.path if Path(entry).name == "site-packages"]
    (site / "base.pth").write_text("\n".join(ours) + "\n")
    python = folder / "env" / "bin" / "python"
    how = ["-e"] if request.param == "editable" else []
    asked = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    asked += ["--ignore-installed", "--disable-pip-version-check", *how, str(root)]
    run(python, folder, "-m", "pip", *asked)
    for name in ("a_T1w.nii.gz", "b_FLAIR.nii.gz"):
        nib.save(scan_image(KINDS["ras"], np.int16), root / name)
    return root, python


def run(python, folder, *arguments):
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(python), *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
    return ended.stdout


def test_every_module_that_a_page_runs_tells_its_options(clone):
    root, python = clone
    assert "tests.benchmarks.real_scans" in MODULES
    assert "strokeseg.training.export" in MODULES
    code = (
        "import contextlib, io, runpy, sys\n"
        "for name in sys.argv[1:]:\n"
        "    sys.argv = [name, '--help']\n"
        "    told = io.StringIO()\n"
        "    try:\n"
        "        with contextlib.redirect_stdout(told):\n"
        "            runpy.run_module(name, run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as left:\n"
        "        assert not left.code, f'{name} left with {left.code}'\n"
        "    assert 'usage' in told.getvalue().lower(), f'{name} told nothing'\n"
    )
    run(python, root, "-W", "ignore::RuntimeWarning", "-c", code, *MODULES)


def test_the_first_line_of_such_a_module_runs_by_itself(clone):
    root, python = clone
    assert "usage: python -m strokeseg.training.export" in run(
        python, root, "-m", "strokeseg.training.export", "--help"
    )


def test_the_python_of_the_readme_runs(clone):
    root, python = clone
    (example,) = blocks(ROOT / "README.md", "python")
    start = (
        "import nibabel\n"
        "scan = nibabel.load('b_FLAIR.nii.gz')\n"
        "array, affine = scan.get_fdata(), scan.affine\n"
    )
    run(python, root, "-c", start + example + "print(strokeseg.__file__)\n")
    assert list((root / "results").glob("a_*mask.nii.gz"))


def test_the_command_runs_there(clone):
    root, python = clone
    assert "synth-open" in run(python, root, str(python.parent / "strokeseg"), "weights", "list")
