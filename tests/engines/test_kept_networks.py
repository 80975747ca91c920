"""Compiled networks are taken up by the next process, and never cost more than time."""

import os

import numpy as np
import pytest

from strokeseg import Hardware, load_model, predict
from strokeseg.engines import kept_networks
from strokeseg.engines.choice import open_engine
from strokeseg.engines.kept_networks import KeptNetworks
from strokeseg.models.hub_settings import hub_settings
from tests.networks import random_image, random_state, spec_of
from tests.tiny_models import tiny_files, write_files

IMAGE = random_image((16, 16, 16))


def opened(kept, *, seed=0, **choices):
    spec = spec_of(out_channels=2)
    return open_engine(spec, random_state(spec, seed), engine="openvino", kept=kept, **choices)


def files_of(kept):
    return sorted(kept.folder.glob("*"))


@pytest.fixture
def kept(tmp_path):
    return KeptNetworks(tmp_path / "not" / "there", "weights 0")


@pytest.fixture
def unwritten(monkeypatch):
    """Let nobody write a graph, once this is called."""

    def refuse(*_, **__):
        pytest.fail("the graph was written again")

    return lambda: monkeypatch.setattr("strokeseg.network.state.build_onnx", refuse)


def test_the_next_engine_takes_up_what_was_compiled_and_says_the_same(kept, unwritten):
    plain = opened(None).logits(IMAGE)
    first = opened(kept).logits(IMAGE)
    assert len(files_of(kept)) == 1
    unwritten()
    again = opened(kept)
    assert np.array_equal(again.logits(IMAGE), first)
    assert np.array_equal(first, plain)
    again.release()
    assert np.array_equal(again.logits(IMAGE), first)


def test_another_window_setting_or_model_is_another_file(kept):
    for choices in ({}, {"threads": 1}, {"threads": 2}):
        opened(kept, **choices).logits(IMAGE)
    opened(kept).logits(random_image((16, 16, 24)))
    other = KeptNetworks(kept.folder, "weights 1")
    assert not np.array_equal(
        opened(other, seed=1).logits(IMAGE), opened(kept).logits(IMAGE)
    )  # or it would have been taken for the first
    assert len(files_of(kept)) == 5


def test_other_code_does_not_take_up_what_was_compiled(kept, monkeypatch):
    opened(kept).logits(IMAGE)
    monkeypatch.setattr(kept_networks, "_program", lambda: "another")
    opened(kept).logits(IMAGE)
    assert len(files_of(kept)) == 2


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_written_anew(kept, harm):
    expected = opened(kept).logits(IMAGE)
    (path,) = files_of(kept)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"cut": whole[:-9], "flipped": flipped, "empty": b""}[harm])
    engine = opened(kept)
    assert np.array_equal(engine.logits(IMAGE), expected)
    assert kept.read(engine._setting((16, 16, 16), 1)) is not None
    assert path.stat().st_size == len(whole)


def test_what_openvino_does_not_take_up_is_written_anew(kept, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    expected = opened(kept).logits(IMAGE)
    (path,) = files_of(kept)
    size = path.stat().st_size
    for engine in (opened(kept), opened(kept)):
        kept.write(engine._setting((16, 16, 16), 1), b"nothing that OpenVINO wrote")
        assert np.array_equal(engine.logits(IMAGE), expected)
        assert path.stat().st_size == size
    assert list((tmp_path / "here").iterdir()) == []  # older releases put streams there


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")
def test_what_somebody_else_wrote_is_not_read(kept, monkeypatch):
    kept.write("setting", b"compiled")
    assert kept.read("setting") == b"compiled"
    assert kept.folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert kept.read("setting") is None


def test_a_link_is_not_followed(kept, tmp_path):
    kept.write("setting", b"compiled")
    (path,) = files_of(kept)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept.read("setting") is None


def test_what_was_used_longest_ago_leaves(tmp_path):
    kept = KeptNetworks(tmp_path, "weights", most_bytes=1000)
    for number, name in enumerate("abc"):
        kept.write(name, bytes(250))
        os.utime(kept._path(name), (number, number))
    assert kept.read("a") == bytes(250)  # and is the newest now
    stale = tmp_path / f".left{kept_networks.ENDING}.1234.tmp"
    stale.write_bytes(b"half")
    os.utime(stale, (0, 0))
    kept.write("d", bytes(250))
    assert [kept.read(name) is not None for name in "abcd"] == [True, False, True, True]
    assert not stale.exists()
    kept.write("e", bytes(2000))
    assert kept.read("e") is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    kept = KeptNetworks(tmp_path / "file" / "compiled", "weights")
    assert np.array_equal(opened(kept).logits(IMAGE), opened(None).logits(IMAGE))


def test_the_environment_says_where_or_not_at_all(tmp_path):
    home = {"HF_HOME": str(tmp_path)}
    assert hub_settings(environment=home).compiled == tmp_path / "strokeseg" / "compiled"
    assert hub_settings(environment={**home, "STROKESEG_COMPILED": "off"}).compiled is None
    named = {**home, "STROKESEG_COMPILED": str(tmp_path / "here")}
    assert hub_settings(environment=named).compiled == tmp_path / "here"


def test_a_model_keeps_its_networks_but_not_under_a_limit_of_memory(
    tmp_path, monkeypatch, unwritten
):
    monkeypatch.setenv("STROKESEG_COMPILED", str(tmp_path / "compiled"))
    folder = str(tmp_path / "model")
    write_files(tmp_path / "model", tiny_files())
    scan = (IMAGE, np.diag([2.0, 2.0, 2.0, 1.0]))
    limited = load_model(folder, Hardware("openvino", max_memory_bytes=8 << 30))
    expected = predict({"t1": scan}, model=limited)
    assert not (tmp_path / "compiled").exists()
    predict({"t1": scan}, model=load_model(folder, Hardware("openvino")))
    assert len(list((tmp_path / "compiled").iterdir())) == 1
    unwritten()
    found = predict({"t1": scan}, model=load_model(folder, Hardware("openvino")))
    assert np.array_equal(found.probability, expected.probability)
