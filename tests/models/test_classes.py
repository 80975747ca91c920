import pytest

from strokeseg.models.classes import (
    CLASSES,
    default_classes,
    end_in_a_finding,
    grey_of,
    is_matter,
    is_tissue,
)


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (2, ("background", "lesion")),
        (4, ("background", "class 1", "class 2", "lesion")),
        (6, ("background", "GM", "GM/WM", "WM", "CSF", "lesion")),
    ],
)
def test_classes_without_names_get_some(count, names):
    assert default_classes(count) == names
    assert end_in_a_finding(names)


def test_a_model_of_brains_ends_in_the_brain():
    assert default_classes(2, "brain") == ("background", "brain")
    assert end_in_a_finding(("background", "brain"))


def test_what_each_class_is():
    assert [name for name in CLASSES if is_tissue(name)] == ["GM", "GM/WM", "WM", "CSF"]
    assert [name for name in CLASSES if is_matter(name)] == ["GM", "GM/WM", "WM"]
    assert is_matter("Grey matter")
    assert not is_matter("bone")
    assert [grey_of(name) for name in ("CSF", "GM", "WM", "bone")] == [0.25, 0.6, 1.0, 0.5]


@pytest.mark.parametrize("names", [[], ["lesion"], ["lesion", "background"]])
def test_a_lesion_alone_or_not_last_makes_no_model(names):
    assert not end_in_a_finding(names)
