"""A folder of results as a BIDS derivative: what it is, what made it, from which dataset."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from strokeseg._version import __version__
from strokeseg.errors import (
    CannotCreateError,
    DataError,
    InputNotFoundError,
    ReadWriteError,
    UsageError,
)
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import read_json, write_json
from strokeseg.files.links import is_link_out
from strokeseg.results.archive import COHORT_TABLE, LESION_TABLE, OVERLAP_FOLDER, REPORT_FOLDER
from strokeseg.results.other_formats import ENDINGS
from strokeseg.results.output_names import (
    ERROR_ENDING,
    LABEL,
    RECORD_ENDING,
    RESULT_FILES,
    TRANSFORM_ENDING,
)

BIDS_VERSION = "1.10.0"
NAME = "strokeseg"
RAW_LINK = "raw"
DESCRIPTION = "dataset_description.json"
IGNORE = ".bidsignore"
FMRIPREP_ENDING = "_fmriprep.json"
# What results have that BIDS has no name for; of which label a table is does not matter.
NOT_IN_BIDS = (
    *(f"*{ending}" for ending in (RECORD_ENDING, ERROR_ENDING, FMRIPREP_ENDING)),
    *(
        f"*{RESULT_FILES[name].ending.removeprefix(LABEL)}"
        for name in sorted(name for name, f in RESULT_FILES.items() if not f.in_bids)
        if name != "record"
    ),
    f"*{TRANSFORM_ENDING}",
    *(f"*{ending}" for ending in ENDINGS),
    f"/{COHORT_TABLE}",
    f"/{LESION_TABLE}",
    f"/{OVERLAP_FOLDER}",
    f"/{REPORT_FOLDER}",
)
# Set in the container's image; names it, as strokeseg:0.1.0.
IMAGE_VARIABLE = "STROKESEG_IMAGE"

_READMES = ("README", "README.md", "README.rst", "README.txt")
_README = """\
# Stroke lesions found by strokeseg

Derivatives of the dataset that `dataset_description.json` names under SourceDatasets, one folder
per participant and session. All images lie on the grid of the scan that their sidecar names under
SpatialReference.

- `*{mask}`: the lesion, 1 inside and 0 outside (L is lesion, not left).
- `*{probability}`: its probability, 0 to 1, where it was asked for.
- `*{tissue}`: tissues and lesion, where they were asked for; `*{tissue_table}` names the classes.
- `*{lesion_labels}`: each lesion with the number of its row in the table of lesions.

Not part of BIDS, and so named in `.bidsignore`:

- `*{lesions}`: one row per lesion.
- `*{uncertainty}`: entropy and deviation over the flips, where asked for.
- `*.nrrd`, `*.mha`: mask and maps in ITK's formats, where asked for.
- `*{qc}`: the picture to look at before a result is used.
- `*{record}`: how the results were made, with checksums of inputs, model and outputs.
- `*{error}`: why a participant or session could not be segmented.
- `*{fmriprep}`: which lesion mask was written beside the raw T1w for fMRIPrep.
- `cohort.tsv`, `lesions.tsv`, `report`, `overlap`: tables, pages and lesion map of all.

Research software, not a medical device.
"""


def _readme() -> str:
    endings = {name: file.ending for name, file in RESULT_FILES.items()}
    return _README.format(**endings, error=ERROR_ENDING, fmriprep=FMRIPREP_ENDING)


def check_folders(bids_dir: Path, out_dir: Path) -> None:
    """Check that results of a dataset can go where they shall; writes nothing.

    Raises
    ------
    InputNotFoundError
        There is no such dataset.
    UsageError
        The results would lie in the dataset's own files.
    CannotCreateError
        The output folder holds another dataset.
    """
    if not bids_dir.is_dir():
        raise InputNotFoundError(f"{bids_dir}: no such folder; give the root of a BIDS dataset")
    raw, out = bids_dir.resolve(), out_dir.resolve()
    if raw == out:
        raise UsageError(
            f"{out_dir}: is the dataset itself; give results a folder of their own, such as "
            f"{bids_dir / 'derivatives' / NAME}"
        )
    if raw in out.parents and out.relative_to(raw).parts[0].startswith("sub-"):
        raise UsageError(
            f"{out_dir}: lies in a participant's folder of the dataset; give results a folder of "
            f"their own, such as {bids_dir / 'derivatives' / NAME}"
        )
    found = _description_of(out_dir)
    if found and not _is_ours(found):
        raise CannotCreateError(
            f"{out_dir / DESCRIPTION}: describes another dataset ({found.get('Name', 'no name')}); "
            "give an OUT_DIR of its own"
        )


def describe(bids_dir: Path, out_dir: Path, *, anonymise: bool = False) -> None:
    """Make the output folder a BIDS derivative: description, README and .bidsignore.

    What a user added to them stays. Several runs may do this at once: each file is replaced
    whole, and what is right already is not touched.

    Parameters
    ----------
    bids_dir, out_dir
        The dataset, and where its results go; made if it is not there.
    anonymise
        Whether to leave out where the dataset and the container's image lie.

    Raises
    ------
    CannotCreateError
        The folder cannot be made or written in.
    """
    check_folders(bids_dir, out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"{out_dir}: cannot be made ({error.strerror}); give another OUT_DIR"
        ) from error
    _check_no_link(out_dir / DESCRIPTION)
    old = _description_of(out_dir)
    new = description(bids_dir, out_dir, old, anonymise=anonymise)
    if new != old:
        write_json(out_dir / DESCRIPTION, new)
    if not any((out_dir / name).exists() for name in _READMES):
        write_text(out_dir / "README", _readme())
    ignore(out_dir, NOT_IN_BIDS)


def description(
    bids_dir: Path, out_dir: Path, old: Mapping[str, Any], *, anonymise: bool = False
) -> dict[str, Any]:
    """Return the content of `dataset_description.json`, what a user added to `old` kept."""
    raw = _description_of(bids_dir)
    links = _mapping(old.get("DatasetLinks"))
    link = _link(bids_dir, out_dir)
    source = {"URL": link}
    if isinstance(raw.get("DatasetDOI"), str):
        source["DOI"] = raw["DatasetDOI"]
    sources = _others(old.get("SourceDatasets"), "URL", (link, links.get(RAW_LINK)))
    made = {"Name": NAME, "Version": __version__} | container()
    title = raw.get("Name") or bids_dir.resolve().name
    kept = {
        **old,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [made, *_others(old.get("GeneratedBy"), "Name", (NAME,))],
    }
    if anonymise:
        made.get("Container", {}).pop("URI", None)
        others = {name: where for name, where in links.items() if name != RAW_LINK}
        kept |= {"SourceDatasets": sources, "DatasetLinks": others}
        filled = {name: value for name, value in kept.items() if value}
        return {"Name": f"Stroke lesions, found by {NAME}", **filled}
    return {
        "Name": f"Stroke lesions of {title}, found by {NAME}",
        **kept,
        "SourceDatasets": [source, *sources],
        "DatasetLinks": {**links, RAW_LINK: link},
    }


def container(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the container that this runs in, as GeneratedBy names it; nothing outside of one."""
    tag = environment.get(IMAGE_VARIABLE)
    for kind in ("apptainer", "singularity"):
        image = environment.get(f"{kind.upper()}_CONTAINER")
        if image:
            named = {"Tag": tag} if tag else {}
            where = {"URI": Path(image).as_uri()} if Path(image).is_absolute() else {}
            return {"Container": {"Type": kind} | named | where}
    return {"Container": {"Type": "docker", "Tag": tag}} if tag else {}


def ignore(folder: Path, patterns: Sequence[str]) -> bool:
    """Add the patterns that a folder's .bidsignore lacks; return whether any was added."""
    path = folder / IGNORE
    _check_no_link(path)
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ReadWriteError(f"{path}: cannot be read ({error}); repair or remove it") from error
    lines = text.splitlines()
    missing = [pattern for pattern in patterns if pattern not in lines]
    if missing:
        write_text(path, "\n".join([*lines, *missing]) + "\n")
    return bool(missing)


def _check_no_link(path: Path) -> None:
    """Refuse a file whose content would be taken over from outside its folder."""
    if is_link_out(path, path.parent):
        raise CannotCreateError(f"{path}: is a link that leads out of its folder; remove it")


def _description_of(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        return read_json(path) if path.exists() else {}
    except DataError as error:
        raise DataError(f"{path}: is no JSON object; repair it") from error


def _is_ours(content: Mapping[str, Any]) -> bool:
    made_by = content.get("GeneratedBy")
    named = isinstance(made_by, list) and made_by != _others(made_by, "Name", (NAME,))
    return named and content.get("DatasetType") == "derivative"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _others(entries: object, key: str, own: Sequence[object]) -> list[Any]:
    """Return the entries of a list whose key has none of these values."""
    listed = entries if isinstance(entries, list) else []
    return [entry for entry in listed if _mapping(entry).get(key) not in own]


def _link(bids_dir: Path, out_dir: Path) -> str:
    """Name the dataset as seen from the results.

    By a relative path, which stays right when both are moved together; by a file URI where the
    two have nothing but the root of the file system in common.
    """
    raw, out = bids_dir.resolve(), out_dir.resolve()
    shared = Path(os.path.commonpath([raw, out]))
    if shared == Path(shared.anchor):
        return raw.as_uri()
    return quote(os.path.relpath(raw, out).replace(os.sep, "/"))
