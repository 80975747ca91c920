"""The house rules that a reader relies on, checked on the source itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "strokeseg"
TRAINING = ROOT / "training"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *TRAINING.rglob("*.py")])

# From the ground up: a room imports from lower floors alone, and from no sibling on its own.
FLOORS = (
    ("_version", "arrays", "errors", "phrases"),
    ("files", "machine", "network"),
    ("space", "engines"),
    ("images", "measure"),
    ("models", "results", "demo", "weights"),
    ("prediction", "lesion_map", "evaluation", "report"),
    ("cohort", "training", "groups"),
    ("cli",),
    ("__main__",),
)
# The same inside a room, for what a newcomer has to know the order of.
ORDERS = {
    "cohort": (("cases", "bids_derivative"), ("batch", "fmriprep"), ("collect",)),
    "cohort.cases": (
        ("case", "diffusion", "entities", "lexicon", "patterns", "run_names"),
        ("case_names", "hints", "image_names"),
        ("findings", "pseudonyms"),
        ("sorting", "table", "told_scans"),
        ("bids",),
        ("folder",),
        ("find",),
    ),
    "cohort.batch": (
        ("claims", "job", "shard"),
        ("agenda", "resume"),
        ("case_scans", "failure", "plan"),
        ("worker",),
        ("processes", "cluster"),
        ("run",),
    ),
    "cohort.batch.cluster": (("slurm", "task"), ("connection",), ("drive",)),
    "models": (
        ("classes", "config_fields", "fusion", "hub_settings", "tensors"),
        ("second_stage", "volume_interval"),
        ("config", "https_files"),
        ("conversion", "folder"),
        ("golden", "registry", "store"),
        ("hub",),
        ("fetching",),
        ("finding",),
        ("checkpoints", "loading", "carrying", "verification"),
        ("diagnosis",),
    ),
    "models.hub": (("cache", "errors", "guard", "progress"), ("download",)),
    "results": (
        (
            "output_names",
            "record",
            "case_tables",
            "filled",
            "in_mni",
            "moved_scan",
            "sidecars",
            "page",
            "outlining",
            "slice_choice",
        ),
        ("archive", "anonymous", "dicom_seg", "lesion_numbers", "lesion_parts", "other_formats"),
        ("case_words", "picture"),
        ("brain_files", "result"),
    ),
    "prediction": (
        (
            *("options", "preparation", "progress", "leaving_out", "plausibility"),
            "second_memory",
        ),
        ("second_channels", "second_look"),
        ("ensemble",),
        ("second_stage",),
        ("filling", "flip_spread", "mni", "given_scans", "parts"),
        ("alignment", "decision", "field_of_view", "memory_forecast"),
        ("brain_extraction", "window_choice", "volume_interval"),
        ("memory_plan", "registration", "sequences"),
        ("scans",),
        ("measures",),
        ("record",),
        ("pipeline",),
    ),
    "evaluation": (
        ("mask_names", "masks", "metrics", "truths"),
        ("common_grid", "finding", "statistics"),
        ("pairs",),
        ("evaluating",),
        ("comparison",),
        ("figure", "tables"),
        ("bench",),
        ("writing",),
    ),
    "evaluation.metrics": (("distances", "matching", "voxels"), ("case_metrics",)),
    "groups": (
        ("participants", "ranks"),
        ("measures",),
        ("comparing", "symptom_map"),
        ("tables",),
        ("figure",),
        ("writing",),
    ),
    "report": (
        ("blocks", "facts", "folder", "model_cards", "slugs"),
        ("case_volumes", "charts", "lesion_places", "wording"),
        ("rendering", "thumbnails", "viewer_layers"),
        ("case_files",),
        ("contents",),
        ("building",),
    ),
    "training": (
        ("slice_settings",),
        ("settings", "command_line"),
        ("config_checks",),
        ("config", "data"),
        ("mni_template",),
        # What translators are and draw; how they are fitted is fitting's, as of any network.
        ("translation",),
        ("synthesis",),
        ("validation", "gallery", "demo", "made_heads"),
        # What a second stage learns from; how it is fitted is fitting's.
        ("stage_two",),
        ("fitting", "model_card", "stage_thresholds"),
        ("calibration", "export", "parts", "scan_table", "slice_labels"),
        ("held_out_gallery", "stage_comparison", "stage_gallery"),
        ("held_out", "join", "translation_gallery", "translation_trial"),
        ("calibrated_model",),
        ("scan_calibration", "sequence_calibration", "volume_calibration"),
        ("ablation",),
    ),
    "training.data": (
        ("contrast_table", "inputs", "label_table", "layout", "lesion_bank"),
        ("label_maps", "pairs", "slices"),
        ("real_scans", "soft_maps"),
        ("sources", "unmatched"),
    ),
    "training.synthesis": (
        ("contrasts", "defects", "field_of_view", "filters", "visibility"),
        ("lesion_placement", "painting", "soft_cp", "susceptibility", "warp"),
        ("ageing", "scanner", "soft_target"),
        ("normalising", "translated"),
        ("pasting", "real_pairs", "slices"),
        ("sample",),
    ),
    "training.validation": (
        ("cases",),
        ("scoring", "whole_heads"),
        ("groups", "held_out_crops", "scaling", "whole_scans", "volume_errors"),
        ("parity", "seen_scans"),
        ("scan_rules",),
    ),
    "training.translation": (
        ("classes", "settings"),
        ("generators", "pairs"),
        ("adversary", "translator"),
        ("objectives",),
        ("mask_model",),
        ("masks",),
    ),
    "training.fitting": (
        ("batches", "checkpoint", "curves", "devices", "losses", "stopping"),
        ("starting",),
        ("run", "slice_batches"),
        ("objective",),
        ("loop",),
        ("task",),
        ("stage_two_task",),
        ("masks", "stage_two", "translators"),
    ),
    "training.stage_two": (("settings",), ("store",), ("samples",)),
}
# Where a library may be imported: a module, or a room and all below it.
LIBRARIES = {
    "SimpleITK": ("images.itk", "space.registration"),
    "PIL": (
        *("results", "lesion_map", "report", "training.gallery", "training.data.slices"),
        *("training.translation_gallery", "training.stage_gallery", "training.fitting.curves"),
        "training.held_out_gallery",
    ),
    "dcm2niix": ("images.dicom",),
    "dask": ("cohort.batch.cluster",),
    "dask_jobqueue": ("cohort.batch.cluster",),
    "distributed": ("cohort.batch.cluster",),
    "highdicom": ("results.dicom_seg",),
    "huggingface_hub": ("models.hub",),
    "jinja2": ("report",),
    "matplotlib": ("evaluation.figure", "groups.figure", "training"),
    "nibabel": ("images",),
    "onnx": ("network.onnx_graph", "network.onnx_writer", "network.mesh_graph"),
    "onnxruntime": ("engines.onnxruntime",),
    "openvino": ("engines.openvino",),
    "rich": ("cli.show",),
    "safetensors": ("models.tensors", "training"),
    "torch": (
        "engines.torch",
        *(f"network.torch_{name}" for name in ("unet", "half", "mesh", "planar", "ensemble")),
        *("network.torch_modules", "network.torch_checkpoint"),
        "training",
    ),
    "pydicom": ("results.dicom_seg",),
    "typer": ("cli",),
    **dict.fromkeys(("monai", "requests"), ()),
    # To name the errors of torch's reader, which runs nothing.
    "pickle": ("training", "network.torch_checkpoint"),
}


def name_of(path):
    """Dotted name of a source file, without the leading `strokeseg.`."""
    parts = path.relative_to(ROOT if TRAINING in path.parents else PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in SOURCES}


def imports_of(path):
    """Every module that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("strokeseg.") in MODULES else node.module


def own_imports(path):
    """What a file imports of this package, without the leading `strokeseg.`."""
    for module in imports_of(path):
        if module.startswith("strokeseg.") and not module.startswith("strokeseg.__"):
            yield module.removeprefix("strokeseg.")


def level_of(name, floors, where):
    """On which floor a name stands; it has to be given one."""
    found = [level for level, names in enumerate(floors) if name in names]
    assert len(found) == 1, f"say in this test on which floor of {where} {name} stands"
    return found[0]


def ids(path):
    return name_of(path) or "strokeseg"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_imports_point_down_and_never_aside(path):
    here = name_of(path).split(".")[0]
    if not here:
        pytest.skip("the package's front door re-exports from every floor")
    for module in own_imports(path):
        there = module.split(".")[0]
        if there != here:
            below = level_of(there, FLOORS, "strokeseg") < level_of(here, FLOORS, "strokeseg")
            assert below, f"{name_of(path)} imports {module}, which is not below it"


@pytest.mark.parametrize("room", ORDERS)
def test_inside_a_room_imports_point_down_too(room):
    floors = ORDERS[room]
    files = {name: path for name, path in MODULES.items() if name.startswith(f"{room}.")}
    units = {name.removeprefix(f"{room}.").split(".")[0] for name in files}
    assert units == {name for names in floors for name in names}
    for name, path in files.items():
        here = name.removeprefix(f"{room}.").split(".")[0]
        for module in own_imports(path):
            there = module.removeprefix(f"{room}.").split(".")[0]
            if module.startswith(f"{room}.") and there != here:
                below = level_of(there, floors, room) < level_of(here, floors, room)
                assert below, f"{name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_each_library_lives_in_its_own_room(path):
    name = name_of(path)
    for module in imports_of(path):
        rooms = LIBRARIES.get(module.split(".")[0])
        if rooms is not None:
            inside = any(name == room or name.startswith(f"{room}.") for room in rooms)
            assert inside, f"{name} imports {module}; its room is {', '.join(rooms) or 'nowhere'}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name == "__init__.py"], ids=ids)
def test_an_inner_front_holds_a_docstring_alone(path):
    if name_of(path) in ("", "evaluation", "cli", "demo"):
        pytest.skip("a front, or a module that is a folder for the data beside it")
    (only,) = ast.parse(path.read_text()).body
    assert ast.literal_eval(only.value)


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
                assert len(given) <= 8, f"{node.name} has {len(given)} parameters"


def test_no_room_for_odds_and_ends():
    banned = {"utils", "util", "helpers", "common", "misc"}
    assert not banned & {path.stem for path in SOURCES}
