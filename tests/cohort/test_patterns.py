"""`--pattern MODALITY=GLOB` is read, and claims what `fnmatch` would."""

import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.cohort.cases.patterns import compile_patterns, parse_pattern, parse_patterns
from strokeseg.errors import UsageError


def test_a_pattern_is_a_modality_and_a_glob():
    assert parse_pattern("flair=*flair*.nii.gz") == ("flair", "*flair*.nii.gz")
    assert parse_pattern(" FLAIR = a=b ") == ("flair", "a=b")
    assert parse_patterns(["t1=a", "flair=b"]) == {"t1": "a", "flair": "b"}
    assert parse_patterns([]) == {}


@pytest.mark.parametrize("text", ["", "flair", "flair=", "*.nii"])
def test_a_pattern_without_both_is_refused(text):
    with pytest.raises(
        UsageError, match=r"give MODALITY='GLOB', such as --pattern flair="
    ) as error:
        parse_pattern(text)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("text", ["flare=*", "=*", "truth=*"])
def test_an_unknown_modality_is_refused(text):
    with pytest.raises(UsageError, match="is no modality; choose from t1, flair, t2"):
        parse_pattern(text)


def test_two_globs_for_a_modality_are_refused():
    with pytest.raises(UsageError, match=r"--pattern T1=b: t1 was given as 'a' already"):
        parse_patterns(["t1=a", "T1=b"])


def test_a_pattern_is_held_against_path_and_name():
    (pattern,) = compile_patterns({"t1": "anat/*_T1w.nii*"})
    assert pattern.matches("anat/sub-01_T1w.nii.gz")
    assert not pattern.matches("dwi/sub-01_T1w.nii.gz")
    (pattern,) = compile_patterns({"t1": "*T1w.nii.gz"})
    assert pattern.matches("deep/down/sub-01_T1w.nii.gz")
    assert not pattern.matches("sub-01_t1w.nii.gz")


def test_a_dot_and_slash_keep_a_pattern_to_the_case_s_own_folder():
    (pattern,) = compile_patterns({"t1": "./T1.nii"})
    assert pattern.matches("T1.nii")
    assert not pattern.matches("old/T1.nii")


def test_wildcards_are_told():
    (pattern,) = compile_patterns({"t1": "*_T1[wW].n?i*"})
    assert pattern.wild("P1_T1w.nii.gz") == ((0, 2), (5, 6), (8, 9), (10, 13))
    assert pattern.wild("P1_T2w.nii.gz") == ()


@settings(deadline=None)
@given(st.text("ab*?[]!-^.", max_size=8), st.text("ab[]!-^.\n", max_size=6))
def test_globs_match_as_fnmatch_has_it(glob, name):
    (pattern,) = compile_patterns({"t1": glob})
    assert pattern.matches(name) == fnmatch.fnmatchcase(name, glob)
