"""What the pages say can be run runs; what they name is there; messages are those of the code."""

import importlib
import re

import numpy as np
import pytest
import typer.main

from strokeseg import cli, errors
from strokeseg.demo import demo_case, demo_truth
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.space.grid import Grid
from strokeseg.space.resample import resample_image, resample_labels
from strokeseg.training.command_line import exit_code_of
from tests.docs.pages import PAGES, ROOT, anchors, blocks, inline_commands, lines_of, name_of
from tests.factories import scan_file
from tests.groups.made_cohorts import made_values, write_cohort

RUN = [page for page in PAGES if lines_of(page, "sh")]
# Coarser than the demo, so that a page takes seconds.
SPACING_MM = 3.0


@pytest.fixture(scope="session")
def patients():
    """Two scans of the demo's head with their truths, small, as arrays with their grids."""
    case = demo_case()
    scan, truth = read_scan(case.scan), demo_truth(case)
    linear = np.diag([SPACING_MM] * 3 + [1.0])
    shape = tuple(int(mm // SPACING_MM) for mm in scan.grid.field_of_view_mm)
    corner = scan.grid.corners_mm.min(axis=0)
    linear[:3, 3] = corner
    i, j, k = shape
    grid = Grid((i, j, k), linear)
    small = resample_image(scan.data, scan.grid, grid)
    mask = resample_labels(truth.astype(np.uint8), scan.grid, grid)
    return small, mask, grid


@pytest.fixture
def world(tmp_path, monkeypatch, patients):
    """The files that the pages speak of, in the working directory."""
    for name in ("a_T1w.nii.gz", "b_FLAIR.nii.gz"):
        scan_file(tmp_path).rename(tmp_path / name)
    small, mask, grid = patients
    like = read_scan((small, grid.affine))
    for number in ("01", "02"):
        for place in (
            tmp_path / "cases" / f"sub-{number}" / f"sub-{number}_FLAIR.nii.gz",
            tmp_path / "bids" / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz",
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, small, like)
        truth = tmp_path / "truths" / f"sub-{number}_mask.nii.gz"
        truth.parent.mkdir(exist_ok=True)
        write(truth, mask, like)
    (tmp_path / "bids" / "dataset_description.json").write_text(
        '{"Name": "made up", "BIDSVersion": "1.10.0"}'
    )
    write_cohort(tmp_path, made_values(), masks=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words):
    if words[0] == "strokeseg":
        return cli.run(words[1:])
    assert words[:2] == ["python", "-m"], words
    return exit_code_of(importlib.import_module(words[2]).main, words[3:])


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_command_of_a_page_runs(page, capfd):
    for words in lines_of(page, "sh"):
        code = run(words)
        assert code == 0, f"{' '.join(words)}: {capfd.readouterr().err}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_the_python_of_a_page_runs(page, world):
    array, affine = read_scan(world / "b_FLAIR.nii.gz").data, np.diag([1.5, 1.5, 1.5, 1.0])
    for body in blocks(page, "python"):
        exec(compile(body, name_of(page), "exec"), {"array": array, "affine": affine})


def options_of(command):
    commands = typer.main.get_command(cli.app).commands
    found = commands[command[0]]
    if hasattr(found, "commands") and len(command) > 1 and command[1] in found.commands:
        found = found.commands[command[1]]
    return {name for param in found.params for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_a_page_names_is_there(page):
    given = [words for words in lines_of(page, "bash") if words[0] == "strokeseg"]
    for words in (*given, *inline_commands(page)):
        if words[1].startswith("-") or words[1] == "COMMAND":
            continue
        known = options_of(words[1:]) | {"--help"}
        named = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert named <= known, f"{' '.join(words)}: {named - known}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)]*))?\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        meant = (page.parent / target).resolve() if target else page
        assert meant.exists(), target
        assert meant.is_relative_to(ROOT)
        if anchor and meant.suffix == ".md":
            assert anchor in anchors(meant), f"{target}#{anchor}"


def test_messages_of_the_faq_are_those_of_the_code():
    faq = (ROOT / "docs" / "faq.md").read_text()
    sources = [*(ROOT / "strokeseg").rglob("*.py"), *(ROOT / "training").rglob("*.py")]
    # Literals that stand one behind the other are one.
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in sources))
    messages = re.findall(r"^### `(.+)`$", faq, re.MULTILINE)
    assert len(messages) >= 10
    assert [message for message in messages if message not in code] == []


def test_the_exit_codes_of_the_faq_are_those_of_the_code():
    faq = (ROOT / "docs" / "faq.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", faq, re.MULTILINE)}
    tree = [errors.StrokesegError]
    for cls in tree:
        tree += cls.__subclasses__()
    ours = {cls.exit_code for cls in tree if cls.__module__ == errors.__name__}
    assert told == ours | {0}


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES[1:]:
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}" in menu


def test_the_readme_is_a_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
