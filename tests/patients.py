"""Scans that carry a patient's name wherever one can be, and a search for it in all of a folder."""

import gzip
import platform
import shutil

import nibabel as nib

from tests.factories import KINDS, scan_image

# In the names of file and folder, and in the header: what may be where differs.
NAMED = "DOERING^JOHN_19500101"
IN_NAME = ("DOERING", "JOHN", "19500101")
IN_HEADER = ("ROEMER", "JANE", "19601231")
HOST = "ward7-pacs"


def patient_scan(folder, name=f"{NAMED}_T1w.nii.gz", kind="ras", shift=0):
    """Write a scan of a patient into a folder of that patient's name."""
    image = scan_image(KINDS[kind])
    image = nib.Nifti1Image(image.get_fdata().astype("int16") + shift, image.affine, image.header)
    header = image.header
    header["descrip"] = b"ROEMER^JANE 19601231 MPRAGE"
    header["aux_file"] = b"ROEMER^JANE.dcm"
    header["intent_name"] = b"ROEMER^JANE"
    header["db_name"] = b"19601231"
    comment = b"PatientName ROEMER^JANE, born 19601231"
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", comment))
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(image, folder / name)
    return folder / name


def as_host(monkeypatch):
    """Give this machine a name that no text has by chance."""
    monkeypatch.setattr(platform, "node", lambda: HOST)


def everything(folder, *said):
    """All that is below a folder: names and bytes, unpacked where they are packed, and texts."""
    found = {f"text {at}": text.encode() for at, text in enumerate(said)}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        content = b"" if path.is_dir() else path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        found[place] = place.encode() + b"\n" + content
    return found


def leaks(found, words):
    """Which of these words are where."""
    return sorted(
        (place, word)
        for place, content in found.items()
        for word in words
        if word.encode() in content
    )


def copied(path, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.copy(path, folder / name)
