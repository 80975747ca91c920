"""What a page tells a person to type can be typed."""

import ast
import shlex

from strokeseg.report.facts import gather_facts
from strokeseg.report.wording import editing_lines
from strokeseg.results.archive import find_filed_cases
from tests.report.cohorts import file_case


def test_drawing_programs_get_the_scan_and_the_mask_by_lines_that_a_shell_reads(tmp_path):
    output = tmp_path / "it's here" / "out"
    file_case(output, "sub-01")
    told = dict(editing_lines(gather_facts(find_filed_cases(output)[0], output)))
    scan, mask = str(output.parent / "scans" / "sub-01_FLAIR.nii.gz"), told["mask"]
    assert (output / mask).is_file()
    assert shlex.split(told["ITK-SNAP"]) == ["itksnap", "-g", scan, "-s", mask]
    *start, code = shlex.split(told["3D Slicer"])
    assert start == ["Slicer", "--python-code"]
    calls = [statement.value for statement in ast.parse(code).body]
    assert [ast.unparse(call.func) for call in calls] == [
        "slicer.util.loadVolume",
        "slicer.util.loadSegmentation",
    ]
    assert [ast.literal_eval(call.args[0]) for call in calls] == [scan, mask]


def test_the_line_for_slicer_is_plain_where_names_are(tmp_path):
    output = tmp_path / "out"
    file_case(output, "sub-01")
    told = dict(editing_lines(gather_facts(find_filed_cases(output)[0], output)))
    assert """'"'"'""" not in told["3D Slicer"]
