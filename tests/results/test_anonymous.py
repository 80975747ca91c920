"""`--anonymise`: no name of a file, path, host or patient in what is written or said."""

import errno
import json
import platform
import re
from pathlib import Path

import nibabel as nib
import pytest
from hypothesis import assume, given
from hypothesis.strategies import characters, text

import strokeseg
from strokeseg.cli import run
from strokeseg.errors import DataError
from strokeseg.files.checksums import sha256
from strokeseg.report.building import build_report
from strokeseg.results.anonymous import Redactor, pseudonym
from strokeseg.results.output_names import KINDS
from tests.factories import scan_file
from tests.patients import (
    HOST,
    IN_HEADER,
    IN_NAME,
    NAMED,
    as_host,
    copied,
    everything,
    leaks,
    patient_scan,
)
from tests.tiny_models import OWN, isolate, tiny_files, write_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    as_host(monkeypatch)
    own = OWN | {"threshold": 0.3, "window": 32, "brain_mask": False, "min_volume_ml": 0.0}
    write_files(tmp_path / "model", tiny_files(own, seed=3))
    return tmp_path


def predict(folder, *arguments, out="out"):
    command = ["predict", "-o", str(folder / out), "--model", str(folder / "model"), "--fast"]
    return run([*command, *map(str, arguments)])


def forbidden(folder):
    return (*IN_NAME, *IN_HEADER, str(folder), "pytest-of", HOST)


def test_nothing_that_is_written_or_said_names_the_patient_or_a_path(folder, capfd):
    path = patient_scan(folder / NAMED)
    assert predict(folder, "--t1", path, "--save", "all", "--anonymise") == 0
    shown = capfd.readouterr()
    found = everything(folder / "out", shown.out, shown.err)
    assert leaks(found, forbidden(folder)) == []
    name = f"sub-{sha256(path)[:12]}"
    assert all(place.startswith(name) for place in found if not place.startswith("text"))
    assert len(found) == len(KINDS) + 7 + 2
    record = json.loads((folder / "out" / f"{name}_strokeseg.json").read_text())
    assert record["anonymised"] is True
    assert record["inputs"]["t1"]["path"] is None
    assert record["inputs"]["t1"]["sha256"] == sha256(path)
    sidecar = json.loads((folder / "out" / f"{name}_label-L_mask.json").read_text())
    assert (sidecar["Sources"], sidecar["SpatialReference"]) == (["t1"], "t1")


def test_without_it_only_the_file_name_is_there_and_the_folder_in_the_record_alone(folder, capfd):
    path = patient_scan(folder / NAMED)
    assert predict(folder, "--t1", path, "--save", "all") == 0
    shown = capfd.readouterr()
    found = everything(folder / "out", shown.err)
    assert leaks(found, (*IN_HEADER, HOST)) == []
    assert {place for place, _ in leaks(found, [str(folder)])} == {f"{NAMED}_strokeseg.json"}
    sidecar = json.loads((folder / "out" / f"{NAMED}_label-L_mask.json").read_text())
    assert sidecar["Sources"] == [path.name]


def test_no_text_of_a_header_is_copied(folder):
    path = patient_scan(folder / "in")
    assert predict(folder, "--t1", path, "--save", "all") == 0
    images = list((folder / "out").glob("*.nii.gz"))
    assert len(images) == 5
    for image in map(nib.load, images):
        texts = [bytes(image.header[field]) for field in ("descrip", "aux_file", "intent_name")]
        assert set(b"".join([*texts, bytes(image.header["db_name"])])) <= {0}
        assert list(image.header.extensions) == []


def test_a_scan_of_another_name_gives_the_same_bytes(folder, capfd):
    first = patient_scan(folder / NAMED)
    second = copied(first, folder / "elsewhere", "x.nii.gz")
    said = []
    for path, out in ((first, "a"), (second, "b")):
        assert predict(folder, "--t1", path, "--save", "all", "--anonymise", out=out) == 0
        said.append(capfd.readouterr())
    one, other = everything(folder / "a"), everything(folder / "b")
    assert said[0] == said[1]
    assert one.keys() == other.keys()
    differing = [place for place in one if one[place] != other[place]]
    assert all(place.endswith("_strokeseg.json") for place in differing)  # it has seconds
    records = [
        json.loads(next((folder / out).glob("*_strokeseg.json")).read_text()) for out in ("a", "b")
    ]
    for record in records:
        del record["seconds"], record["peak_memory_bytes"]
    assert records[0] == records[1]


def cut(path):
    path.write_bytes(path.read_bytes()[:1500])


def as_folder(path):
    path.unlink()
    path.mkdir()


def unpaired(path):
    path.rename(path.with_name(f"{NAMED}.hdr"))


@pytest.mark.parametrize(
    ("spoil", "code", "word"),
    [
        (cut, 65, "t1|FILE"),
        (Path.unlink, 66, "FILE"),
        (as_folder, 66, "FILE"),
        (lambda path: path.write_bytes(b"no image"), 65, "FILE"),
    ],
)
def test_an_error_names_nobody(folder, capfd, spoil, code, word):
    path = patient_scan(folder / NAMED)
    spoil(path)
    assert predict(folder, "--t1", path, "--anonymise") == code
    shown = capfd.readouterr()
    assert leaks(everything(folder / "home", shown.out, shown.err), forbidden(folder)) == []
    (line,) = [line for line in shown.err.splitlines() if "error" in line]
    assert re.search(word, line)


def test_the_other_half_of_a_pair_is_not_named_either(folder, capfd):
    path = patient_scan(folder / NAMED, f"{NAMED}.img")
    path.with_suffix(".hdr").unlink()
    assert predict(folder, "--t1", path, "--anonymise") == 65
    shown = capfd.readouterr()
    assert leaks({"said": (shown.out + shown.err).encode()}, forbidden(folder)) == []
    assert "its other half FILE is not beside it" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--no-such-option"], 2, "No such option"),
        (["--model", f"/models/{NAMED}"], 69, "no model"),
        (["-o", f"{NAMED}_T1w.nii.gz/out"], 73, "is a file"),
        (["--prefix", "../x"], 2, "is no prefix"),
        (["--debug"], 2, "--debug shows names of files"),
    ],
)
def test_wrong_arguments_name_nobody(folder, capfd, monkeypatch, arguments, code, word):
    path = patient_scan(folder / NAMED)
    monkeypatch.chdir(path.parent)
    assert predict(folder, "--t1", path, "--anonymise", *arguments) == code
    said = capfd.readouterr().err
    assert leaks({"said": said.encode()}, forbidden(folder)) == []
    assert word in said
    assert "Traceback" not in said


def test_existing_results_and_a_fault_of_ours_name_nobody(folder, capfd, monkeypatch):
    path = patient_scan(folder / NAMED)
    assert predict(folder, "--t1", path, "--anonymise", "-q") == 0
    assert predict(folder, "--t1", path, "--anonymise") == 73
    said = capfd.readouterr().err
    assert "OUTPUT/sub-" in said

    def fault(*_args, **_kwargs):
        raise OSError(errno.EIO, "broken", str(path))

    monkeypatch.setattr("strokeseg.prediction.pipeline.predict", fault)
    assert predict(folder, "--t1", path, "--anonymise", "--overwrite") == 1
    said += capfd.readouterr().err
    assert "a fault of ours: OSError;" in said
    assert leaks({"said": said.encode()}, forbidden(folder)) == []


def test_a_prefix_that_was_given_stays(folder):
    path = patient_scan(folder / NAMED)
    assert predict(folder, "--t1", path, "--anonymise", "--prefix", "case-7") == 0
    found = everything(folder / "out")
    assert all(place.startswith("case-7_") for place in found)
    assert leaks(found, forbidden(folder)) == []


def test_patients_that_share_a_header_have_pseudonyms_of_their_own(folder):
    names = set()
    for shift in (0, 1):
        voxels = patient_scan(folder / f"in{shift}", "x.img", shift=shift)
        header = voxels.with_suffix(".hdr")
        names |= {pseudonym(voxels), pseudonym(header)}
        assert predict(folder, "--t1", header, "--anonymise", "-q", out=f"out{shift}") == 0
        assert (folder / f"out{shift}" / f"{pseudonym(voxels)}_strokeseg.json").exists()
    assert len(names) == 2
    headers = [folder.joinpath(f"in{shift}", "x.hdr").read_bytes() for shift in (0, 1)]
    assert headers[0] == headers[1]


def test_results_in_python_are_saved_without_names_too(folder):
    path = patient_scan(folder / NAMED)
    options = strokeseg.Options(tta=False)
    result = strokeseg.predict({"t1": path}, model=str(folder / "model"), options=options)
    written = result.save(folder / "out", anonymise=True)
    assert written[-1].name == f"{pseudonym(path)}_strokeseg.json"
    assert leaks(everything(folder / "out"), forbidden(folder)) == []
    image = nib.load(path)
    array = (image.get_fdata(), image.affine)
    unnamed = strokeseg.predict({"t1": array}, model=str(folder / "model"), options=options)
    assert unnamed.save(folder / "more", anonymise=True)[-1].name == "image_strokeseg.json"


def test_the_picture_says_the_pseudonym_where_it_says_the_file_else(folder):
    result = strokeseg.predict(
        {"t1": patient_scan(folder / NAMED)},
        model=str(folder / "model"),
        options=strokeseg.Options(tta=False),
    )
    result.save(folder / "out", anonymise=True)
    picture = next((folder / "out").glob("*_qc.png")).read_bytes()
    name = pseudonym(result.reference.path)
    assert picture == result.picture(name) != result.picture()
    result.save(folder / "named")
    assert next((folder / "named").glob("*_qc.png")).read_bytes() == result.picture()


def test_a_report_of_such_results_names_nobody_and_says_why_the_scan_is_missing(folder):
    path = patient_scan(folder / NAMED)
    assert predict(folder, "--t1", path, "--anonymise", "-q") == 0
    built = build_report(folder / "out", title="Cohort")
    assert built.cases == 1
    found = everything(folder / "out" / "report")
    found = {place: content for place, content in found.items() if "niivue" not in place}
    assert leaks(found, forbidden(folder)) == []
    page = next(content for place, content in found.items() if place.endswith(".html"))
    assert b"the record is anonymised and does not say where it lies" in page
    assert b"not named" in page


# --- the veil ---


def test_a_veil_hides_every_spelling_of_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = patient_scan(tmp_path / NAMED)
    (tmp_path / "link.nii.gz").symlink_to(path)
    veil = Redactor.over({"t1": Path("link.nii.gz")}, tmp_path / "out")
    for told in (path, path.name, path.parent, "link.nii.gz", tmp_path / "link.nii.gz", tmp_path):
        said = veil(f"{told}: is cut ({OSError(5, 'x', str(told))}); copy it")
        assert leaks({"said": said.encode()}, (*IN_NAME, str(tmp_path), "link")) == []
        assert said.endswith("; copy it")


def test_a_veil_hides_names_that_messages_escape():
    name = "DOE\n'JOHN' \udcff.nii"
    veil = Redactor([(f"/data/{name}", "t1")])
    for said in (name, str(DataError(name)), repr(name), ascii(name), repr(OSError(2, "x", name))):
        assert "DOE" not in veil(f"{said} is gone")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("see /home/jane/x/y.nii: gone", "see PATH: gone"),
        ("'C:\\Users\\jane\\x' is gone", "'PATH' is gone"),
        ("from https://huggingface.co/a/b and tcp://h:8786/x", None),
        ("and/or, 3/4, t1/t2/flair", None),
        ("pip install '.[gpu]' /", None),
    ],
)
def test_a_veil_hides_absolute_paths_and_leaves_the_rest(text, kept):
    assert Redactor([])(text) == (kept or text)


def test_a_veil_hides_the_host(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: HOST)
    assert Redactor([])(f"process 5 on {HOST} is at it") == "process 5 on HOST is at it"


@pytest.mark.parametrize(
    "words", [["-o", NAMED], [f"-o{NAMED}"], ["--output", NAMED], [f"--output={NAMED}"]]
)
def test_an_output_folder_is_hidden_however_it_is_given(words):
    veil = Redactor.over_arguments(["predict", *words, f"--t1=/in/{NAMED}.nii"])
    assert veil(f"{NAMED}/x_mask.nii.gz: exists") == "OUTPUT/x_mask.nii.gz: exists"
    assert veil(f"/in/{NAMED}.nii: is gone") == "FILE: is gone"


@given(text(min_size=4, alphabet=characters(exclude_characters="/\0", exclude_categories=["Cs"])))
def test_no_file_name_is_left_in_a_message(name):
    assume(name not in (".", "..") and not name.isspace())
    path = Path("/data", f"JOHN{name}.nii.gz")
    veil = Redactor.over({"t1": path}, Path("/out"))
    for told in (path, path.name, repr(str(path)), OSError(5, "x", str(path))):
        said = veil(str(DataError(f"{told}: its gzip stream is cut short; copy it again")))
        assert "JOHN" not in said
        assert said.endswith(": its gzip stream is cut short; copy it again")


def test_a_short_name_of_a_folder_is_not_taken_out_of_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scan_file(tmp_path)
    said = Redactor.over_arguments(["predict", "--t1", "ras.nii.gz", "-o", "."])(
        "ras.nii.gz is no ras"
    )
    assert said == "FILE is no ras"
