"""Models that lie elsewhere than on the Hub: fetched from a loopback server, checked, converted."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from strokeseg.errors import ModelFormatError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.models import conversion
from strokeseg.models import registry as registry_module
from strokeseg.models.finding import fetch_model, find_model, locate_model
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.registry import load_registry, registry_path
from strokeseg.models.verification import verify_model
from strokeseg.network.mesh_spec import MeshSpec
from tests.fake_hub import sha256 as digest_of
from tests.https_server import running_file_server
from tests.networks import needs_torch, random_state
from tests.tiny_models import isolate, write_registry

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "models"
COMMIT = "c" * 40
SPEC = MeshSpec(2, 3, (2, 1), "INSTANCE", "GELU", bias=False)
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="other people's models are not here")


@pytest.fixture
def server(monkeypatch, tmp_path):
    with running_file_server() as running:
        isolate(monkeypatch, tmp_path / "home")
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield running


def brainchop_files(spec=SPEC, seed=0):
    """Give model.json and model.bin as brainchop has them."""
    state, entries, data = random_state(spec, seed), [], b""
    names = [f"layers.{n}.conv.weight" for n in range(len(spec.dilations))]
    for name in (*names, "head.weight", "head.bias"):
        value = state[name]
        value = value.transpose(2, 3, 4, 1, 0) if value.ndim == 5 else value
        kind = "bias" if name.endswith("bias") else "kernel"
        called = "output" if name.startswith("head") else f"conv3d_{name.split('.')[1]}_gn"
        shape = list(value.shape)
        entries.append({"name": f"{called}/{kind}", "shape": shape, "dtype": "float32"})
        data += np.ascontiguousarray(value, "<f4").tobytes()
    manifest = {"weightsManifest": [{"paths": ["model.bin"], "weights": entries}]}
    return {"model.json": json.dumps(manifest).encode(), "model.bin": data}, state


def offer(monkeypatch, tmp_path, server, files, spec=SPEC, reader="brainchop", **fields):
    """Serve files, and know them by the name `mesh` in a registry of their own."""
    folder = tmp_path / "registry"
    (folder / "mesh").mkdir(parents=True, exist_ok=True)
    document = spec.to_config() | {"strokeseg": {"normalisation": "minmax", "finds": "brain"}}
    (folder / "mesh" / "config.json").write_text(json.dumps(document))
    (folder / "mesh" / "README.md").write_text("# mesh\n")
    entries = []
    for name, content in files.items():
        server.files[f"{COMMIT}/public/{name}"] = content
        sizes = {"size_bytes": len(content)} if reader == "brainchop" else {}
        entries.append({"path": f"public/{name}", "sha256": digest_of(content)} | sizes)
    entry = {
        "source": f"{server.address}{COMMIT}/",
        "revision": COMMIT,
        "reader": reader,
        "config_folder": "mesh",
        "files": entries,
        "classes": ["background", "brain"],
    }
    path = write_registry(folder, {"mesh": entry | fields}, "mesh")
    monkeypatch.setattr(registry_module, "registry_path", lambda: path)


def asked(server):
    return [path.rpartition("/")[2] for path, _ in server.requests]


# --- what is fetched ---


def test_what_is_fetched_becomes_a_model_folder_and_is_kept(server, monkeypatch, tmp_path):
    files, state = brainchop_files()
    offer(monkeypatch, tmp_path, server, files)
    found = find_model("mesh")
    model = found.read()
    assert (found.origin, found.revision) == ("fetched", COMMIT)
    assert model.config.finds == "brain"
    assert set(model.state) == set(state)
    assert all(np.array_equal(model.state[name], state[name]) for name in state)
    kept = {file.name for file in found.folder.iterdir()}
    assert kept == {"config.json", "model.safetensors", "README.md", "strokeseg.json"}
    assert found.folder.is_relative_to(tmp_path / "home" / "strokeseg")
    assert asked(server) == ["model.json", "model.bin"]
    assert find_model("mesh").folder == found.folder
    assert len(server.requests) == 2


def test_forced_it_is_fetched_again(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    find_model("mesh")
    fetch_model("mesh", hub_settings(), load_registry(), force=True)
    assert len(server.requests) == 4


def test_another_commit_in_the_registry_fetches_anew(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    find_model("mesh")
    text = registry_module.registry_path().read_text().replace(COMMIT, "d" * 40)
    registry_module.registry_path().write_text(text)
    assert locate_model("mesh", hub_settings(), load_registry()) is None


def test_a_cut_connection_goes_on_where_it_stopped(server, monkeypatch, tmp_path):
    files, _ = brainchop_files()
    offer(monkeypatch, tmp_path, server, files)
    server.cuts = 2
    find_model("mesh").read()
    half = len(files["model.json"]) // 2
    further = half + (len(files["model.json"]) - half) // 2
    assert [wanted for _, wanted in server.requests if wanted] == [
        f"bytes={half}-",
        f"bytes={further}-",
    ]


def test_a_server_without_ranges_sends_all_again(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    server.cuts, server.knows_ranges = 1, False
    find_model("mesh").read()


def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_told(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    server.passing = [503, 429]
    find_model("mesh").read()
    server.files.clear()
    with pytest.raises(WeightsUnavailableError, match="it answered 404") as caught:
        fetch_model("mesh", hub_settings(), load_registry(), force=True)
    assert "strokeseg weights export mesh DIR" in str(caught.value)
    assert caught.value.exit_code == 69


def test_nobody_there_is_told_with_what_to_do(server, monkeypatch, tmp_path):
    with running_file_server() as gone:
        address = gone.address
    files = brainchop_files()[0]
    offer(monkeypatch, tmp_path, server, files, source=f"{address}{COMMIT}/")
    with pytest.raises(WeightsUnavailableError, match="could not be fetched"):
        find_model("mesh")


# --- what is refused ---


@pytest.mark.parametrize("name", ["model.bin", "model.json"])
@pytest.mark.parametrize("size_known", [True, False])
def test_one_byte_that_differs_is_refused_and_leaves_again(
    server, monkeypatch, tmp_path, name, size_known
):
    files, _ = brainchop_files()
    offer(monkeypatch, tmp_path, server, files)
    if not size_known:
        path = registry_module.registry_path()
        path.write_text(re.sub(r", size_bytes = \d+", "", path.read_text()))
    right = files[name]
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    server.files[f"{COMMIT}/public/{name}"] = wrong
    with pytest.raises(WeightsUnavailableError) as caught:
        find_model("mesh")
    assert digest_of(wrong) in str(caught.value)
    assert digest_of(right) in str(caught.value)
    kept = [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert digest_of(wrong) not in {sha256(p) for p in kept}
    assert not (tmp_path / "home" / "strokeseg" / "models").exists()


def test_more_bytes_than_expected_are_not_taken(server, monkeypatch, tmp_path):
    files, _ = brainchop_files()
    offer(monkeypatch, tmp_path, server, files)
    server.files[f"{COMMIT}/public/model.json"] = files["model.json"] + b" " * 10_000_000
    with pytest.raises(WeightsUnavailableError, match="expected"):
        find_model("mesh")


def test_a_kept_file_that_changed_later_is_refused(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    weights = find_model("mesh").folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsUnavailableError, match="weights download mesh --force"):
        find_model("mesh").read()


def test_no_redirect_leaves_https(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    server.moved[f"{COMMIT}/public/model.json"] = "http://elsewhere.invalid/model.json"
    with pytest.raises(WeightsUnavailableError, match="is not https") as caught:
        find_model("mesh")
    assert "elsewhere.invalid" in str(caught.value)


def test_a_redirect_that_stays_safe_is_followed(server, monkeypatch, tmp_path):
    files, _ = brainchop_files()
    offer(monkeypatch, tmp_path, server, files)
    server.files["other.json"] = files["model.json"]
    server.moved[f"{COMMIT}/public/model.json"] = f"{server.address}other.json"
    find_model("mesh").read()


def test_plain_http_to_another_machine_is_refused_before_it_is_asked(server, monkeypatch, tmp_path):
    files = brainchop_files()[0]
    offer(monkeypatch, tmp_path, server, files, source=f"http://elsewhere.invalid/{COMMIT}/")
    with pytest.raises(WeightsUnavailableError, match="is not https"):
        find_model("mesh")


def test_offline_says_what_to_do_and_asks_nobody(server, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, server, brainchop_files()[0])
    with pytest.raises(WeightsUnavailableError, match="the network is switched off"):
        find_model("mesh", offline=True)
    assert server.requests == []


def test_files_of_another_network_are_refused(server, monkeypatch, tmp_path):
    files, _ = brainchop_files(MeshSpec(2, 4, (2, 1), "INSTANCE", "GELU", bias=False))
    offer(monkeypatch, tmp_path, server, files)
    with pytest.raises(ModelFormatError, match=r"config\.json asks for"):
        find_model("mesh")


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files | {"model.bin": files["model.bin"] + b"\0\0\0\0"},
        lambda files: files | {"model.bin": files["model.bin"][:-4]},
        lambda files: files | {"model.json": b'{"weightsManifest": []}'},
        lambda files: files | {"model.json": b"{"},
        lambda files: files | {"model.json": files["model.json"].replace(b"float32", b"float16")},
    ],
)
def test_a_manifest_that_does_not_fit_its_bytes_is_refused(server, monkeypatch, tmp_path, change):
    offer(monkeypatch, tmp_path, server, change(brainchop_files()[0]))
    with pytest.raises(ModelFormatError, match="manifest"):
        find_model("mesh")


# --- torch checkpoints ---


def checkpoint(state, **more):
    """Give what `torch.save` writes of a training's state."""
    import io

    import torch

    stream = io.BytesIO()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    torch.save({"model_state_dict": tensors, "epoch": 3} | more, stream)
    return stream.getvalue()


def arc_like(seed=0):
    """Give a MeshNet's tensors under the names that its own program gives them."""
    spec = MeshSpec(2, 3, (1, 2))
    state = {
        name: np.abs(value) if name.endswith("running_var") else value
        for name, value in random_state(spec, seed).items()
    }
    renamed = {}
    for name, value in state.items():
        plain = name.replace("head.", f"network.{len(spec.dilations)}.")
        renamed[plain.replace("layers.", "network.").replace(".norm.", ".bn.")] = value
    return renamed, state


@needs_torch
def test_a_torch_checkpoint_is_converted_where_torch_is(server, monkeypatch, tmp_path):
    spec = MeshSpec(2, 3, (1, 2), members=2)
    parts = [arc_like(seed=seed) for seed in (1, 2)]
    files = {f"{n}.pt": checkpoint(renamed) for n, (renamed, _) in enumerate(parts)}
    offer(monkeypatch, tmp_path, server, files, spec, "torch")
    model = find_model("mesh").read()
    assert model.config.spec == spec
    for number, (_, state) in enumerate(parts):
        for name, value in state.items():
            assert np.array_equal(model.state[f"member.{number}.{name}"], value)


def test_without_torch_it_is_said_what_to_do_before_anything_is_fetched(
    server, monkeypatch, tmp_path
):
    offer(monkeypatch, tmp_path, server, {"a.pt": b"x"}, MeshSpec(2, 3, (1, 2)), "torch")
    monkeypatch.setattr(conversion, "find_spec", lambda _: None)
    with pytest.raises(WeightsUnavailableError, match=r"install 'strokeseg\[torch\]'") as caught:
        find_model("mesh")
    assert "strokeseg weights export mesh DIR" in str(caught.value)
    assert server.requests == []


# --- the registry's own ---


def served_as(server, name, files):
    """Serve files under the registry's own paths; the registry itself is changed in its address."""
    entries = load_registry().entries
    entry = entries[name]
    text = registry_path().read_text().replace(entry.source, f"{server.address}{entry.revision}/")
    for file, content in files.items():
        server.files[f"{entry.revision}/{file}"] = content
    return text


@needs_models
def test_mindgrab_is_what_the_registry_pins(server, monkeypatch, tmp_path):
    folder = "public/models/mindgrab"
    files = {
        f"{folder}/{name}": (MODELS / "mindgrab" / name).read_bytes()
        for name in ("model.bin", "model.json")
    }
    text = served_as(server, "mindgrab", files)
    entry = load_registry().get("mindgrab")
    path = tmp_path / "weights" / "registry.toml"
    path.parent.mkdir()
    path.write_text(text)
    (path.parent / "mindgrab").symlink_to(entry.config_folder)
    monkeypatch.setattr(registry_module, "registry_path", lambda: path)
    found = find_model("mindgrab")
    verdict = verify_model(found)
    assert verdict.error is None
    assert verdict.sha256 == entry.sha256
    assert verdict.golden.passed
    assert found.read().config.axes == "LIA"


@needs_models
@needs_torch
def test_the_lesion_networks_give_the_weights_that_the_registry_pins():
    from strokeseg.models.tensors import read_tensors

    entry = load_registry().get("meshnet-arc-t2")
    document = json.loads((entry.config_folder / "config.json").read_text())
    state = {}
    for number in range(3):
        file = MODELS / "meshnet-arc-t2" / f"restart-{number}.safetensors"
        renamed = conversion.meshnet_names(dict(sorted(read_tensors(file).items())))
        state |= {f"member.{number}.{name}": value for name, value in renamed.items()}
    assert document["members"] == 3
    assert digest_of(conversion.write_tensors(state)) == entry.sha256


# --- weights convert ---


def convert(*arguments):
    from strokeseg.cli import run

    return run(["weights", "convert", *map(str, arguments)])


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def usual(seed=0):
    """Give tensors that fit the usual MeshNet, under its program's names."""
    spec = MeshSpec(2, 26, (1, 2, 4, 8, 16, 16, 8, 4, 2))
    state = random_state(spec, seed)
    renamed = {}
    for name, value in state.items():
        plain = name.replace("head.", "network.9.").replace("layers.", "network.")
        value = np.abs(value) if name.endswith("running_var") else value
        renamed[plain.replace(".norm.", ".bn.")] = value
    return renamed


@needs_torch
def test_convert_makes_a_model_folder_that_passes_its_own_check(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    files = [saved(tmp_path, f"{n}.pt", checkpoint(usual(n))) for n in range(2)]
    assert convert(*files, "--as", "meshnet", "-o", tmp_path / "made") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "made")
    found = find_model(str(tmp_path / "made"))
    model = found.read()
    assert model.config.spec.members == 2
    assert model.config.normalisation == "minmax"
    verdict = verify_model(found)
    assert verdict.error is None
    assert verdict.golden.passed
    assert digest_of(files[0].read_bytes()) in (tmp_path / "made" / "README.md").read_text()
    assert convert(*files, "-o", tmp_path / "made") == 73


@needs_torch
def test_a_state_dict_alone_and_a_config_of_ones_own_are_taken(tmp_path, monkeypatch):
    import io

    import torch

    isolate(monkeypatch, tmp_path / "home")
    renamed, state = arc_like()
    stream = io.BytesIO()
    torch.save({name: torch.tensor(value) for name, value in renamed.items()}, stream)
    config = tmp_path / "own.json"
    config.write_text(json.dumps(MeshSpec(2, 3, (1, 2)).to_config()))
    file = saved(tmp_path, "a.pt", stream.getvalue())
    assert convert(file, "--config", config, "-o", tmp_path / "made") == 0
    model = find_model(str(tmp_path / "made")).read()
    assert all(np.array_equal(model.state[name], value) for name, value in state.items())


class Harm:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@needs_torch
def test_a_checkpoint_that_would_run_something_is_refused_unrun(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    trace = tmp_path / "trace"
    file = saved(tmp_path, "a.pt", checkpoint(usual(), harm=Harm(trace)))
    assert convert(file, "-o", tmp_path / "made") == 65
    assert "could run code" in capsys.readouterr().err
    assert not trace.exists()
    assert not (tmp_path / "made").exists()


@needs_torch
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (lambda: b"\x80\x04N.", "is no checkpoint as torch writes them"),
        (lambda: b"PK\x03\x04 cut", "is no checkpoint that torch can read"),
        (lambda: checkpoint(usual())[:-3000], "is no checkpoint that torch can read"),
        (lambda: checkpoint(arc_like()[0]), "asks for"),
    ],
)
def test_what_is_no_such_network_is_refused(tmp_path, monkeypatch, capsys, content, word):
    isolate(monkeypatch, tmp_path / "home")
    file = saved(tmp_path, "a.pt", content())
    assert convert(file, "-o", tmp_path / "made") == 65
    assert word in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_another_kind_is_refused(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    file = saved(tmp_path, "a.pt", b"PK\x03\x04")
    assert convert(file, "--as", "transformer", "-o", tmp_path / "made") == 2
    assert "give meshnet" in capsys.readouterr().err
