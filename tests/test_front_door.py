"""`import strokeseg`, from wherever Python runs and however the package was installed."""

import subprocess
import sys
from pathlib import Path

import strokeseg

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
