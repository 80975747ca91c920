"""Free text that people type at a scanner, and that may name a patient: taken out of what is made.

dcm2niix leaves names, birth dates and dates out of its sidecars, and copies comments.
"""

import gzip
import json
from pathlib import Path
from shutil import copyfileobj

_KEYS = ("ImageComments", "PatientComments", "StudyComments", "AdditionalPatientHistory")
# Of a NIfTI-1 header.
_HEADER_BYTES = 348
_COMMENT = slice(228, 252)
_BLANK = bytes(_COMMENT.stop - _COMMENT.start)


def remove_comments(folder: Path) -> None:
    """Remove comments from the sidecars and the packed NIfTI-1 files of a folder."""
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        if any(key in content for key in _KEYS):
            kept = {key: value for key, value in content.items() if key not in _KEYS}
            path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    for path in folder.glob("*.nii.gz"):
        _blank(path)


def _blank(path: Path) -> None:
    """Blank the comment in a header; no other byte of the image changes."""
    with gzip.open(path) as packed:
        header = packed.read(_HEADER_BYTES)
        if header[_COMMENT] == _BLANK or len(header) < _HEADER_BYTES:
            return
        beside = path.with_name(f".{path.name}")
        with gzip.GzipFile(beside, "wb", compresslevel=1, mtime=0) as out:
            out.write(header[: _COMMENT.start] + _BLANK + header[_COMMENT.stop :])
            copyfileobj(packed, out)
    beside.replace(path)
