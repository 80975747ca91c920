import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from strokeseg.cli.weights import app
from strokeseg.engines import choice
from strokeseg.errors import (
    CannotCreateError,
    EngineError,
    InputNotFoundError,
    ModelFormatError,
    UsageError,
    WeightsUnavailableError,
)
from strokeseg.files.checksums import sha256
from strokeseg.models import registry as registry_module
from strokeseg.models.finding import find_model, load_model_files
from strokeseg.models.golden import make_golden
from strokeseg.network.spec import NetworkSpec
from tests.fake_hub import running_hub
from tests.tiny_models import OWN, isolate, tiny_files, write_files, write_registry

COMMIT = "c" * 40
OPEN_ENGINE = choice.open_engine


def mix(patch):
    return np.stack([(channel - 2) * patch for channel in range(6)])


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Give a machine with one bundled model, `own`, and one published one, `tiny`."""
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    folder = write_files(tmp_path / "registry" / "own", tiny_files())
    spec = NetworkSpec.from_config(json.loads((folder / "config.json").read_text()))
    (folder / "golden.json").write_text(json.dumps(make_golden(mix, spec, 1, edge_vox=16)))
    (folder / "README.md").write_text("# own\n")
    models = {
        "own": {"folder": "own", "sha256": sha256(folder / "model.safetensors")},
        "tiny": {"repository": "lab/tiny", "revision": COMMIT, "note": "a note"},
    }
    path = write_registry(tmp_path / "registry", models, "own")
    monkeypatch.setattr(registry_module, "registry_path", lambda: path)
    use_engine(monkeypatch, mix)
    return tmp_path / "home"


def use_engine(monkeypatch, logits):
    opened = SimpleNamespace(name="stand-in", device="cpu", precision="fp32", logits=logits)
    monkeypatch.setattr(choice, "open_engine", lambda *_, **__: opened)


@pytest.fixture
def hub(home, monkeypatch):
    import huggingface_hub

    assert not home.exists()
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        server.add("lab/tiny", tiny_files(seed=1) | {"README.md": b"# tiny\n"}, COMMIT)
        yield server
    getattr(huggingface_hub, "close_session", lambda: None)()


def run(*arguments, fails=None):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if fails is None:
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == 0
    else:
        assert isinstance(result.exception, fails), result.exception
        assert "\n" not in str(result.exception)
    return result


def data(*arguments, fails=None):
    return json.loads(run(*arguments, "--json", fails=fails).stdout)


# --- list, show ---


@pytest.mark.usefixtures("hub")
def test_list_shows_every_model_and_where_it_is(tmp_path):
    lines = run("list").stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [["*", "own", "bundled"], ["tiny", "-", "s"]]
    run("download", "tiny")
    run("import", write_files(tmp_path / "mine", tiny_files()))
    assert {row["name"]: row["here"] for row in data("list")} == {
        "own": "bundled",
        "tiny": "cache",
        "mine": "imported",
    }


def test_list_and_show_make_no_request(hub):
    run("list")
    run("show", "tiny")
    assert hub.requests == []


@pytest.mark.usefixtures("home")
def test_list_works_where_the_bundled_folder_is_missing(tmp_path):
    for file in (tmp_path / "registry" / "own").iterdir():
        file.unlink()
    (tmp_path / "registry" / "own").rmdir()
    assert data("list")[0]["here"] is None


@pytest.mark.usefixtures("home")
def test_show_tells_what_the_registry_and_the_files_say():
    facts = data("show", "own")
    assert (facts["licence"], facts["citation"], facts["here"]) == ("MIT", "c", "bundled")
    assert (facts["voxel_size_mm"], facts["window"], facts["default"]) == (2.0, 96, True)
    assert facts["classes"][-1] == "lesion"
    assert facts["card"].endswith("README.md")
    published = data("show", "tiny")
    assert (published["here"], published["revision"], published["note"]) == (None, COMMIT, "a note")
    text = run("show", "tiny")
    assert f"revision:       {COMMIT}" in text.stdout
    assert "sequences:      any" in text.stdout
    assert "files:" not in text.stdout
    assert "strokeseg weights download tiny" in text.stderr
    assert "strokeseg weights" not in text.stdout


@pytest.mark.usefixtures("home")
def test_show_tells_which_sequences_count_for_less(tmp_path):
    fusion = {"rule": "pooled", "weights": {"adc": 0.0, "t1": 0.5, "t2": 1.0}}
    write_files(tmp_path / "registry" / "own", tiny_files(OWN | {"fusion": fusion}))
    facts = data("show", "own")
    assert (facts["fusion"], facts["fusion_weights"]) == ("pooled", fusion["weights"])
    text = run("show", "own").stdout
    said = "pooled; adc is not heard beside others; t1 counts 0.5 beside others"
    assert f"fusion:         {said}\n" in text
    assert "fusion_weights" not in text


@pytest.mark.usefixtures("home")
def test_show_says_the_rule_alone_where_all_sequences_count_alike():
    assert "fusion:         mean_logits\n" in run("show", "own").stdout


@pytest.mark.usefixtures("home")
def test_show_refuses_an_unknown_name():
    error = run("show", "none", fails=WeightsUnavailableError).exception
    assert "own, tiny" in str(error)
    assert error.exit_code == 69


# --- download ---


@pytest.mark.usefixtures("hub")
def test_download_writes_the_folder_to_stdout_and_the_rest_to_stderr(home):
    result = run("download", "tiny")
    folder = home / "hub" / "models--lab--tiny" / "snapshots" / COMMIT
    assert result.stdout == f"{folder}\n"
    assert "fetching" in result.stderr
    assert (folder / "model.safetensors").is_file()


def test_download_asks_nothing_for_what_is_here_unless_forced(hub):
    run("download", "tiny")
    hub.requests.clear()
    assert "is here already" in run("download", "tiny").stderr
    assert "is here already" in run("download", "tiny", "--offline").stderr
    assert hub.requests == []
    run("download", "tiny", "--force")
    assert hub.sent("store") != []


def test_download_offline_says_what_to_copy(hub):
    error = run("download", "tiny", "--offline", fails=WeightsUnavailableError).exception
    assert "weights export tiny DIR" in str(error)
    assert hub.requests == []


def test_download_of_a_bundled_model_has_nothing_to_do(hub):
    assert "bundled" in run("download", "own", "--force").stderr
    assert hub.requests == []


def test_download_refuses_weights_that_do_not_fit_their_config(hub):
    files = tiny_files() | {"config.json": tiny_files(channels=[4, 8, 16])["config.json"]}
    hub.add("lab/odd", files)
    run("download", "hub:lab/odd", fails=ModelFormatError)


# --- verify ---


@pytest.mark.usefixtures("hub")
def test_verify_checks_all_that_is_here():
    run("download", "tiny")
    rows = data("verify")
    assert [(row["name"], row["ok"], row["checksum_known"]) for row in rows] == [
        ("own", True, True),
        ("tiny", True, True),
    ]
    assert rows[0]["golden"]["passed"]
    assert rows[1]["golden"] is None
    assert rows[0]["engine"] == "stand-in on cpu in fp32"


def test_verify_makes_no_request(hub):
    run("download", "tiny")
    hub.requests.clear()
    run("verify")
    error = run("verify", "hub:lab/other", fails=WeightsUnavailableError).exception
    assert "weights download hub:lab/other" in str(error)
    assert hub.requests == []


@pytest.mark.usefixtures("home")
def test_verify_fails_on_an_engine_that_computes_something_else(monkeypatch):
    use_engine(monkeypatch, lambda patch: mix(patch) * 1.01)
    result = run("verify", fails=EngineError)
    assert "own: FAILED" in result.stdout
    assert "differs from the golden record" in str(result.exception)
    assert result.exception.exit_code == 70
    assert "ok" in run("verify", "--files-only").stdout


@pytest.mark.usefixtures("home")
def test_verify_runs_the_real_engines_on_a_record_that_another_made(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "open_engine", OPEN_ENGINE)
    folder = write_files(tmp_path / "mine", tiny_files())
    model = load_model_files(str(folder))
    maker = choice.open_engine(model.config.spec, model.state, engine="onnxruntime", device="cpu")
    golden = make_golden(maker.logits, model.config.spec, 7, edge_vox=32)
    (folder / "golden.json").write_text(json.dumps(golden))
    row = data("verify", folder, "--engine", "openvino", "--device", "cpu")[0]
    assert row["engine"].startswith("openvino on cpu")
    assert 0 < row["golden"]["worst_difference"] < 1e-3
    write_files(folder, {"model.safetensors": tiny_files(seed=1)["model.safetensors"]})
    run("verify", folder, "--engine", "openvino", "--device", "cpu", fails=EngineError)


@pytest.mark.usefixtures("home")
def test_verify_fails_on_an_engine_that_gives_no_numbers(monkeypatch):
    use_engine(monkeypatch, lambda patch: mix(patch) * np.nan)
    assert "not finite" in str(run("verify", "own", fails=EngineError).exception)


@pytest.mark.usefixtures("hub")
def test_verify_fails_on_changed_weights_and_goes_on_with_the_rest(tmp_path):
    run("download", "tiny")
    path = tmp_path / "registry" / "own" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    rows = data("verify", fails=WeightsUnavailableError)
    assert [row["ok"] for row in rows] == [False, True]
    assert "sha256 is" in rows[0]["problem"]


@pytest.mark.usefixtures("hub")
def test_verify_names_all_that_failed(tmp_path):
    run("download", "tiny")
    for path in (
        tmp_path / "registry" / "own" / "model.safetensors",
        find_model("tiny").folder / "model.safetensors",
    ):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    error = run("verify", fails=WeightsUnavailableError).exception
    assert "2 models failed the check: own, tiny" in str(error)


@pytest.mark.usefixtures("home")
def test_verify_says_where_nothing_was_compared(tmp_path):
    folder = write_files(tmp_path / "mine", tiny_files())
    assert "nothing to compare" in run("verify", folder).stdout


# --- export, import ---


def move_to_another_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("name", ["tiny", "hub:lab/tiny", f"hub:lab/tiny@{COMMIT}"])
def test_a_model_is_carried_to_a_machine_without_internet(hub, monkeypatch, tmp_path, name):
    exported = run("export", name, tmp_path / "stick")
    assert exported.stdout == f"{tmp_path / 'stick'}\n"
    first = load_model_files(name)
    move_to_another_machine(monkeypatch, tmp_path)
    hub.requests.clear()
    run("download", name, fails=WeightsUnavailableError)
    imported = run("import", tmp_path / "stick")
    assert imported.stdout == f"{name.partition('@')[0]}\n"
    model = load_model_files(name)
    assert model.folder.is_relative_to(tmp_path / "other" / "strokeseg" / "models")
    assert (model.name, model.sha256, model.revision) == (name, first.sha256, COMMIT)
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_an_imported_hub_model_is_not_taken_for_another_revision(monkeypatch, tmp_path):
    run("export", "hub:lab/tiny", tmp_path / "stick")
    move_to_another_machine(monkeypatch, tmp_path)
    run("import", tmp_path / "stick")
    run("verify", "hub:lab/tiny")
    run("verify", f"hub:lab/tiny@{'d' * 40}", fails=WeightsUnavailableError)


@pytest.mark.usefixtures("hub")
def test_export_copies_files_not_links_and_a_manifest(tmp_path):
    run("export", "tiny", tmp_path / "stick")
    files = {path.name: path for path in (tmp_path / "stick").iterdir()}
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", "strokeseg.json"]
    assert not any(path.is_symlink() for path in files.values())
    manifest = json.loads(files["strokeseg.json"].read_text())
    assert (manifest["name"], manifest["repository"], manifest["revision"]) == (
        "tiny",
        "lab/tiny",
        COMMIT,
    )
    assert manifest["checksums"] == {
        name: sha256(path) for name, path in files.items() if name != "strokeseg.json"
    }
    assert load_model_files(str(tmp_path / "stick")).sha256


@pytest.mark.usefixtures("home")
def test_export_into_a_folder_that_is_there_makes_a_subfolder(tmp_path):
    (tmp_path / "stick").mkdir()
    assert run("export", "own", tmp_path / "stick").stdout == f"{tmp_path / 'stick' / 'own'}\n"
    assert (tmp_path / "stick" / "own" / "golden.json").is_file()
    assert run("import", tmp_path / "stick", "--name", "mine").stdout == "mine\n"


def test_export_and_import_replace_nothing_unless_told(home, tmp_path):
    (tmp_path / "stick").mkdir()
    run("export", "own", tmp_path / "stick")
    error = run("export", "own", tmp_path / "stick", fails=CannotCreateError).exception
    assert "--overwrite" in str(error)
    assert error.exit_code == 73
    run("export", "own", tmp_path / "stick", "--overwrite")
    one, two = (write_files(tmp_path / n / "mine", tiny_files(seed=i)) for i, n in enumerate("ab"))
    run("import", one)
    run("import", two, fails=CannotCreateError)
    assert load_model_files("mine").sha256 == sha256(one / "model.safetensors")
    run("import", two, "--overwrite")
    assert load_model_files("mine").sha256 == sha256(two / "model.safetensors")
    assert [p.name for p in (home / "strokeseg" / "models").iterdir()] == ["mine"]


@pytest.mark.usefixtures("home")
def test_a_failed_export_leaves_nothing(monkeypatch, tmp_path):
    import shutil

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    (tmp_path / "stick").mkdir()
    result = CliRunner().invoke(app, ["export", "own", str(tmp_path / "stick")])
    assert result.exception.exit_code == 74
    assert list((tmp_path / "stick").iterdir()) == []


@pytest.mark.usefixtures("home")
def test_export_where_nothing_can_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    run("export", "own", tmp_path / "file", fails=CannotCreateError)
    run("export", "own", tmp_path / "file" / "below", fails=CannotCreateError)


@pytest.mark.usefixtures("hub")
def test_a_folder_damaged_on_the_way_is_not_imported(home, tmp_path):
    run("export", "tiny", tmp_path / "stick")
    path = tmp_path / "stick" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    error = run("import", tmp_path / "stick", fails=WeightsUnavailableError).exception
    assert "export and copy the folder again" in str(error)
    assert not (home / "strokeseg" / "models").exists()


@pytest.mark.usefixtures("home")
def test_a_link_out_of_a_model_is_neither_carried_away_nor_taken_in(home, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("TOPSECRET")
    model = write_files(tmp_path / "evil", tiny_files())
    (model / "README.md").symlink_to(secret)
    error = run("import", model, fails=ModelFormatError).exception
    assert "README.md: is a link that leads out of the model's folder" in str(error)
    run("export", model, tmp_path / "stick", fails=ModelFormatError)
    assert not (tmp_path / "stick").exists()
    assert "TOPSECRET" not in "".join(p.read_text() for p in home.rglob("*.md"))


@pytest.mark.usefixtures("home")
def test_a_folder_of_the_hubs_cache_whose_files_are_links_is_imported(tmp_path):
    cache = tmp_path / "models--lab--own"
    blobs = write_files(cache / "blobs", tiny_files() | {"README.md": b"# card"})
    snapshot = cache / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    assert run("import", snapshot, "--name", "linked").stdout == "linked\n"


def test_a_pickle_is_not_imported(tmp_path):
    folder = write_files(tmp_path / "p", {"config.json": b"{}", "model.pt": b"PK\x03\x04"})
    assert run("import", folder, fails=ModelFormatError).exception.exit_code == 65
    run("import", tmp_path / "nothing", fails=InputNotFoundError)


def test_import_refuses_the_bundled_name_and_names_that_are_paths(home, tmp_path):
    folder = write_files(tmp_path / "mine", tiny_files())
    run("import", folder, "--name", "own", fails=UsageError)
    for name in ("../x", "a/b", "/abs", "hub:x", ".hidden", "a\nb", "hub:../x"):
        run("import", folder, "--name", name, fails=UsageError)
    assert not (home / "strokeseg").exists()


@pytest.mark.parametrize(
    "change",
    [{"name": "../../x"}, {"checksums": {"../config.json": "0"}}, {"checksums": 3}, {"name": None}],
)
@pytest.mark.usefixtures("hub")
def test_a_manifest_that_makes_no_sense_is_refused(home, tmp_path, change):
    run("export", "tiny", tmp_path / "stick")
    path = tmp_path / "stick" / "strokeseg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run("import", tmp_path / "stick", fails=ModelFormatError)
    assert not (home / "strokeseg" / "models").exists()


@pytest.mark.usefixtures("home")
def test_import_of_a_folder_of_several_models_names_them(tmp_path):
    for name in ("a", "b"):
        write_files(tmp_path / "all" / name, tiny_files())
    error = run("import", tmp_path / "all", fails=ModelFormatError).exception
    assert "several models (a, b)" in str(error)
