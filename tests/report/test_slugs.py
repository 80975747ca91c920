import re
from importlib import resources

import pytest

from strokeseg.report.slugs import plain_names


def test_a_plain_name_stays():
    keys = [("sub-01", "sub-01/anat/sub-01"), ("sub-01_ses-02", "x"), ("a.b", "y")]
    assert plain_names(keys) == ["sub-01", "sub-01_ses-02", "a.b"]


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>",
        "../../etc/passwd",
        "",
        "..",
        "a b",
        "ä",
        "con",
        "CON.html",
        "x" * 300,
        "\udc80",
        "100%",
        "a#b?c",
    ],
)
def test_any_other_becomes_letters_that_need_no_escaping(name):
    (plain,) = plain_names([(name, "key")])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", plain)
    assert not plain.startswith(".")
    assert plain.lower() not in ("con", "con.html")


def test_no_case_is_taken_for_a_part_of_the_index():
    page = (resources.files("strokeseg.report") / "templates" / "index.html").read_text()
    parts = re.findall(r' id="([^"{]+)"', page)
    assert len(parts) == 17
    for part in parts:
        (plain,) = plain_names([(part, "key")])
        assert plain.startswith(f"{part}-")


def test_no_two_cases_share_a_file_on_any_file_system():
    names = plain_names(
        [
            ("sub-01", "a/sub-01"),
            ("sub-01", "b/sub-01"),
            ("SUB-01", "c"),
            ("a b", "d"),
            ("a?b", "e"),
        ]
    )
    assert len({name.lower() for name in names}) == 5


def test_names_are_the_same_from_run_to_run():
    keys = [("sub 01", "a"), ("sub-02", "b")]
    assert plain_names(keys) == plain_names(keys)
    assert plain_names(keys)[0] == plain_names([("sub 01", "a")])[0]
