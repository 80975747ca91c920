import re

import pytest

from strokeseg.errors import ModelFormatError, WeightsUnavailableError
from strokeseg.models.registry import load_registry, registry_path
from tests.tiny_models import write_registry

TISSUES = ("background", "GM", "GM/WM", "WM", "CSF", "lesion")


def test_installed_registry_has_the_bundled_default_and_the_six_published_models():
    registry = load_registry()
    assert registry.default == "synth-open"
    assert registry.entries["synth-open"].folder == registry_path().parent / "synth-open"
    published = [entry for entry in registry.entries.values() if entry.repository]
    assert [entry.repository for entry in published] == [
        f"liamchalcroft/synthstroke-{suffix}"
        for suffix in ("baseline", "synth", "synth-plus", "synth-pseudo", "qsynth", "qatlas")
    ]
    assert all(entry.licence == "MIT" and entry.citation for entry in registry.entries.values())


def test_installed_registry_pins_what_is_known_and_nothing_else():
    entries = load_registry().entries
    pins = {name: entry.revision for name, entry in entries.items() if entry.revision}
    assert pins == {
        "synthstroke-baseline": "b693a650026359705688fbce409219c4dbb5d6be",
        "synthstroke-synth": "ced72e683ed68d3d110b675714e1a07bac584948",
        "synthstroke-synth-plus": "e9774354fe78eac705d0b98b56e758d47b363ad3",
    }
    assert entries["synthstroke-baseline"].checksums == {
        "model.safetensors": "d56c089e8c4bcc0ad2281f1e80b7c0e265f3b7138dee17fb2d160487604eee66",
        "config.json": "2d9e7eb2ab4cb0a696ce6a845ad3123b77b31867f7ba74a271b81132cca38b1e",
    }
    assert entries["synthstroke-synth"].checksums == {}


def test_tissues_of_the_published_models_follow_the_training_script_and_say_so():
    entries = load_registry().entries
    six = [e for e in entries.values() if e.repository and len(e.classes) == 6]
    assert len(six) == 4
    assert all(entry.classes == TISSUES for entry in six)
    assert all("contradicts itself" in entry.note for entry in six)
    assert entries["synthstroke-qatlas"].classes == ("background", "lesion")


def test_unknown_name_lists_the_known_ones(tmp_path):
    registry = load_registry(write_registry(tmp_path, {"one": {"folder": "one"}}, "one"))
    with pytest.raises(WeightsUnavailableError, match=r"no model 'two'.*one of one") as caught:
        registry.get("two")
    assert caught.value.exit_code == 69
    with pytest.raises(WeightsUnavailableError, match="is written hub:lab/two"):
        registry.get("lab/two")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": "a", "repository": "x/y"}, "either a folder or a repository"),
        ({}, "either a folder or a repository"),
        ({"folder": "../a"}, "folder '../a' is not of the right form"),
        ({"repository": "x/y", "revision": "main"}, "revision 'main' is not of the right form"),
        ({"repository": "x/y", "sha256": "abc"}, "sha256 'abc' is not of the right form"),
        ({"folder": "a", "classes": ["background", "GM"]}, "ends in 'lesion'"),
        ({"folder": "a", "colour": "red"}, "unknown field 'colour'"),
        ({"folder": "a", "licence": ""}, "licence must be a text"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, fields, message):
    path = write_registry(tmp_path, {"one": fields}, "one")
    with pytest.raises(ModelFormatError, match=re.escape(message)) as caught:
        load_registry(path)
    assert "model one" in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_registry_that_is_missing_broken_or_without_default_is_refused(tmp_path):
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_registry(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("default = ")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_registry(broken)
    with pytest.raises(ModelFormatError, match="default 'two' is not among"):
        load_registry(write_registry(tmp_path, {"one": {"folder": "one"}}, "two"))
