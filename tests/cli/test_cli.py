import json
import os
import pickle
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.engines import openvino as openvino_engine
from tests.factories import KINDS, huge_scan, scan_file, scan_image
from tests.tiny_models import CONFIG, OWN, isolate, tiny_files, write_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"threshold": 0.3, "window": 32, "brain_mask": False, "min_volume_ml": 0.0}
    write_files(tmp_path / "model", tiny_files(own, seed=3))
    return tmp_path


def predict(folder, *arguments):
    return run(["predict", "-o", str(folder / "out"), "--model", str(folder / "model"), *arguments])


def one_line(capsys):
    """The error, which is the last line of stderr and the only one of its kind."""
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("strokeseg: error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert "Traceback" not in "".join(lines)
    return errors[0]


def test_predict_writes_results_and_tells_their_names(folder, capsys):
    path = scan_file(folder)
    assert predict(folder, "--t1", str(path)) == 0
    shown = capsys.readouterr()
    assert "lesion volume" in shown.out
    assert "segment t1 (16 passes of the network)" in shown.err  # 2 windows, 8 flips
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "ras_desc-lesions_dseg.nii.gz",
        "ras_label-L_lesions.tsv",
        "ras_label-L_mask.json",
        "ras_label-L_mask.nii.gz",
        "ras_qc.png",
        "ras_strokeseg.json",
    ]


def test_quiet_says_nothing_and_json_gives_the_record(folder, capsys):
    path = scan_file(folder)
    assert predict(folder, "--t1", str(path), "-q", "--min-volume-ml", "0", "--fast") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert all("warning" in line for line in shown.err.splitlines())
    assert predict(folder, "--t1", str(path), "--json", "--overwrite", "--no-tta", "-q") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["flips"] == 1
    assert record["options"]["tta"] is False


def test_lesions_that_reach_the_peak_nowhere_are_left_out(folder, capsys):
    path = scan_file(folder)
    volumes = {}
    for peak in ("0", "0.99999"):
        arguments = ("--min-peak", peak, "--fast", "--json", "--overwrite", "-q")
        assert predict(folder, "--t1", str(path), *arguments) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["rule"]["min_peak"] == float(peak)
        volumes[peak] = record["lesion_volume_ml"]
    assert volumes["0"] > volumes["0.99999"] == 0


def test_other_contrasts_come_as_name_and_file(folder, capsys):
    path = scan_file(folder)
    assert predict(folder, "--image", f"swi={path}", "--prefix", "case", "--json", "-q") == 0
    assert list(json.loads(capsys.readouterr().out)["inputs"]) == ["swi"]
    assert (folder / "out" / "case_label-L_mask.nii.gz").exists()


def gz_cut(folder):
    path = folder / "cut.nii.gz"
    path.write_bytes(scan_file(folder).read_bytes()[:2000])
    return path


def saved(folder, data, affine=None, name="odd.nii"):
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), folder / name)
    return folder / name


def text_file(folder):
    (folder / "text.nii").write_text("not an image\n" * 100)
    return folder / "text.nii"


def rgb(folder):
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return saved(folder, np.zeros((40, 40, 40), kind))


def edited(folder, **fields):
    image = scan_image(KINDS["plain"])
    nib.save(image, folder / "edited.nii")
    content = bytearray((folder / "edited.nii").read_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    (folder / "edited.nii").write_bytes(content)
    return folder / "edited.nii"


BAD_SCANS = {
    "missing": (lambda f: f / "none.nii", 66, "no such file"),
    "folder": (lambda f: f, 66, "folder"),
    "truncated": (gz_cut, 65, "cut"),
    "not an image": (text_file, 65, "text.nii"),
    "2D": (lambda f: saved(f, np.ones((40, 40), np.float32)), 65, "40"),
    "many volumes": (lambda f: saved(f, np.ones((40, 40, 40, 7), np.float32)), 65, "7"),
    "colours": (rgb, 65, "RGB"),
    "complex": (lambda f: saved(f, np.ones((40, 40, 40), np.complex64)), 65, "complex"),
    "constant": (lambda f: saved(f, np.full((40, 40, 40), 3, np.float32)), 65, "all voxels"),
    "all NaN": (lambda f: saved(f, np.full((40, 40, 40), np.nan, np.float32)), 65, "NaN"),
    "small": (lambda f: saved(f, np.random.rand(20, 40, 40).astype("f4")), 65, "mm"),  # noqa: NPY002
    "metres": (lambda f: edited(f, xyzt_units=1), 65, "met"),
    "huge claim": (lambda f: edited(f, dim=[3, 4000, 4000, 4000, 1, 1, 1, 1]), 65, "edited.nii"),
    "singular": (
        lambda f: edited(f, srow_x=[0, 0, 0, 0], sform_code=1, qform_code=0),
        65,
        "singular",
    ),
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_a_bad_scan_gives_one_line_and_its_code_and_writes_nothing(folder, capsys, name):
    make, code, word = BAD_SCANS[name]
    assert predict(folder, "--t1", str(make(folder))) == code
    assert word in one_line(capsys)
    assert not (folder / "out").exists()


def test_some_nan_is_a_warning(folder, capsys):
    image = scan_image(KINDS["ras"], np.float32)
    data = np.array(image.dataobj)
    data[3, 3, 3] = np.nan
    path = saved(folder, data, image.affine, "nan.nii")
    assert predict(folder, "--t1", str(path), "--fast") == 0
    assert "warning: t1:" in capsys.readouterr().err


def wrong_model(folder, **files):
    return str(write_files(folder / "wrong", tiny_files(OWN) | files))


def four_channels(folder):
    config = CONFIG | {"in_channels": 4}
    return wrong_model(folder, **{"config.json": json.dumps(config).encode()})


def other_shape(folder):
    config = CONFIG | {"channels": [4, 8, 16]}
    return wrong_model(folder, **{"config.json": json.dumps(config).encode()})


def cut_weights(folder):
    content = tiny_files(OWN)["model.safetensors"][:-50]
    return wrong_model(folder, **{"model.safetensors": content})


def pickled(folder):
    return wrong_model(folder, **{"model.safetensors": pickle.dumps({"a": 1})})


def only_pickle(folder):
    return str(write_files(folder / "pickled", {"config.json": b"{}", "model.pt": b"PK"}))


BAD_MODELS = {
    "unknown": (lambda _: "nobody", 69, "nobody"),
    "four channels": (four_channels, 65, "in_channels"),
    "other architecture": (other_shape, 65, "shape"),
    "cut": (cut_weights, 65, "model.safetensors"),
    "pickle in disguise": (pickled, 65, "pickle"),
    "pickle": (only_pickle, 65, "pickle"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_gives_one_line_and_its_code(folder, capsys, name):
    make, code, word = BAD_MODELS[name]
    arguments = ["--t1", str(scan_file(folder)), "--model", make(folder), "-o", str(folder / "out")]
    assert run(["predict", *arguments]) == code
    assert word in one_line(capsys)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--engine", "abacus"], 2, "abacus"),
        (["--device", "cuda:9"], 70, "cuda:9"),
        (["--threads", "0"], 2, "--threads"),
        (["--precision", "int1"], 2, "int1"),
        (["--save", "everything"], 2, "everything"),
        (["--threshold", "2"], 2, "--threshold"),
        (["--overlap", "x"], 2, "--overlap"),
        (["--nonsense"], 2, "--nonsense"),
        (["--image", "swi"], 2, "NAME=FILE"),
        (["--reference", "dwi"], 2, "dwi"),
        (["--prefix", "a/b"], 2, "a/b"),
    ],
)
def test_bad_options_give_one_line_and_their_code(folder, capsys, arguments, code, word):
    assert predict(folder, "--t1", str(scan_file(folder)), *arguments) == code
    assert word in one_line(capsys)
    assert not (folder / "out").exists()


def test_an_existing_output_is_kept(folder, capsys):
    path = scan_file(folder)
    (folder / "out").mkdir()
    kept = folder / "out" / "ras_label-L_mask.nii.gz"
    kept.write_bytes(b"mine")
    assert predict(folder, "--t1", str(path)) == 73
    assert "--overwrite" in one_line(capsys)
    assert kept.read_bytes() == b"mine"


def test_an_output_folder_that_is_a_file_is_refused(folder, capsys):
    (folder / "out").write_text("")
    assert predict(folder, "--t1", str(scan_file(folder))) == 73
    assert "out" in one_line(capsys)


def test_an_input_that_would_be_overwritten_is_refused(folder, capsys):
    (folder / "out").mkdir()
    path = folder / "out" / "x_label-L_mask.nii.gz"
    scan_file(folder).rename(path)
    before = path.read_bytes()
    assert predict(folder, "--t1", str(path), "--prefix", "x", "--overwrite") == 73
    assert "input" in one_line(capsys)
    assert path.read_bytes() == before


def test_a_fault_of_ours_is_one_line_unless_debugging(folder, capsys, monkeypatch):
    def fail(*_arguments, **_keywords):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("strokeseg.prediction.pipeline.posterior", fail)
    path = str(scan_file(folder))
    assert predict(folder, "--t1", path) == 1
    assert "oops" in one_line(capsys)
    assert predict(folder, "--t1", path, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupting_leaves_nothing_and_ends_with_130(folder, capsys, monkeypatch):
    def interrupt(*_arguments, **_keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("strokeseg.results.result.draw", interrupt)
    assert predict(folder, "--t1", str(scan_file(folder))) == 130
    assert "interrupted" in one_line(capsys)
    assert not (folder / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_ends_the_process_with_130(folder, number):
    command = [sys.executable, "-c", "from strokeseg.cli import main; main()", "predict"]
    command += ["--t1", str(scan_file(folder)), "--model", str(folder / "model")]
    command += ["-o", str(folder / "out"), "--overlap", "0.97"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "segment" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert not (folder / "out").exists()


def test_an_engine_that_fails_is_an_engine_error(folder, capsys, monkeypatch):
    from strokeseg.errors import EngineError

    def fail(*_arguments, **_keywords):
        raise EngineError("openvino: out of memory")

    monkeypatch.setattr(openvino_engine.OpenVINOEngine, "logits", fail)
    assert predict(folder, "--t1", str(scan_file(folder))) == 70
    assert "out of memory" in one_line(capsys)
    assert not (folder / "out").exists()


def test_help_and_version_need_no_model(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2
    assert run(["predict", "--help"]) == 0
    assert "--flair" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from strokeseg.cli import run; run(['--help']); "
        "heavy = {'torch', 'openvino', 'onnxruntime', 'scipy', 'nibabel', 'huggingface_hub', "
        "'onnx', 'PIL'} & set(sys.modules); sys.exit(f'{heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", ["4", "lots", "-1G", "0G"])
def test_a_limit_that_is_no_size_is_a_usage_error(folder, capsys, size):
    path = scan_file(folder)
    for command in (
        ["predict", "--t1", str(path), "-o", str(folder / "out")],
        ["batch", str(folder), str(folder / "out")],
    ):
        assert run([*command, f"--max-memory={size}"]) == 2
        assert f"--max-memory is '{size}'" in one_line(capsys)
    assert not (folder / "out").exists()


def test_a_limit_is_told_on_stderr_and_kept_in_the_record(folder, capsys):
    path = scan_file(folder)
    assert predict(folder, "--t1", str(path), "--max-memory", "20G", "--fast", "--json") == 0
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("memory: ")]
    assert len(lines) == 1
    assert "window 32" in lines[0]
    assert "of 20.00 GB" in lines[0]
    memory = json.loads(shown.out)["memory"]
    assert memory["limit_bytes"] == 20_000_000_000
    assert 0 < memory["predicted_bytes"] < 20_000_000_000


def test_a_limit_that_cannot_hold_ends_with_the_code_of_bad_data_or_usage(folder, capsys):
    path = huge_scan(folder / "huge.nii")
    assert predict(folder, "--t1", str(path), "--max-memory", "1500M") == 65
    assert "640 x 640 x 640 voxels take up to" in one_line(capsys)
    assert predict(folder, "--t1", str(path), "--max-memory", "10M") == 2
    assert "to open the model alone takes" in one_line(capsys)
