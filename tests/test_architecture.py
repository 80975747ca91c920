"""The house rules that a reader relies on, checked on the source itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "strokeseg"
TRAINING = ROOT / "training"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *TRAINING.rglob("*.py")])

# From the floor up: a module imports from its own floor or from lower ones.
FLOORS = (
    ("_version", "arrays", "errors", "filenames", "inside", "tsv"),
    ("memory", "hashing", "atomic", "threads", "counting"),
    ("grid",),
    ("volume",),
    ("axiswise",),
    ("resample",),
    ("foreground",),
    ("intensity",),
    ("windows", "flips"),
    ("network",),
    ("engines",),
    ("stitching", "scan"),
    ("fusion",),
    ("models",),
    ("ensemble",),
    ("surface", "components"),
    ("lesions", "overlap"),
    ("brain", "brain_box", "hull"),
    ("staging", "outputs"),
    ("anonymous", "archive"),
    ("report",),
    ("budget",),
    ("options", "loaded"),
    ("decision", "memory_plan", "field_of_view"),
    ("record", "result"),
    ("passes",),
    ("pipeline",),
    ("demo", "diagnosis"),
    ("weights",),
    ("training",),
    ("evaluation",),
    ("cohort",),
    ("pages",),
    ("console", "console_batch"),
    ("cli",),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def name_of(path):
    """Dotted name of a source file, without the leading `strokeseg.`."""
    base = ROOT if TRAINING in path.parents else PACKAGE
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
    """Every module that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            if node.module == "strokeseg":
                yield from (f"strokeseg.{alias.name}" for alias in node.names)


def ids(path):
    return name_of(path) or "strokeseg"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_imports_point_down(path):
    here = name_of(path).split(".")[0]
    if not here:
        pytest.skip("the package's front door re-exports from every floor")
    for module in imports_of(path):
        parts = module.split(".")
        if parts[0] == "strokeseg" and len(parts) > 1 and not parts[1].startswith("__"):
            assert FLOOR_OF[parts[1]] <= FLOOR_OF[here], f"{here} imports {module} from above"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_each_library_lives_in_its_own_room(path):
    name = name_of(path)
    roots = {module.split(".")[0] for module in imports_of(path)}
    if "nibabel" in roots:
        assert name.startswith("volume.")
    if "torch" in roots:
        assert name.startswith(("engines.torch", "training"))
    if "rich" in roots:
        assert name.startswith("console")
    if not name.startswith("training"):
        assert not roots & {"pickle", "requests", "monai"}


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_modules_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.body[0].lineno + 1
            doc = node.body[0] if ast.get_docstring(node) else None
            length -= doc.end_lineno - doc.lineno + 1 if doc else 0
            assert length < 60, f"{node.name} has {length} lines"
            names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            if not name_of(path).startswith("cli."):  # options of a command are its parameters
                given = [name for name in names if name not in ("self", "cls")]
                assert len(given) <= 7, f"{node.name} has {len(given)} parameters"


def test_no_room_for_odds_and_ends():
    banned = {"utils", "util", "helpers", "common", "misc"}
    assert not banned & {path.stem for path in SOURCES}
