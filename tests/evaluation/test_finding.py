import pytest

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.evaluation.finding import find_masks
from tests.evaluation.masks_on_disk import boxes, file_case, write

LESION = boxes(((4, 4, 4), 5))


def lay(folder, *names):
    for name in names:
        write(folder / name, LESION)
    return folder


def found(source):
    return {item.name: str(item.path.relative_to(source)) for item in find_masks(source).items}


def test_a_batchs_output_is_read_by_its_records(tmp_path):
    file_case(tmp_path, "sub-01", "sub-01", LESION, LESION * 0.5)
    file_case(tmp_path, "patient", "scan7", LESION)
    file_case(tmp_path, "sub-02", "sub-02")
    file_case(tmp_path, "sub-03", "sub-03", error="x.nii: is empty")
    lay(tmp_path, "sub-04_mask.nii.gz")  # nobody has recorded it
    masks = find_masks(tmp_path)
    assert [item.name for item in masks.items] == ["patient", "sub-01"]
    patient, one = masks.items
    assert patient.aliases == {"patient", "scan7"}
    assert patient.probability is None
    assert one.probability == tmp_path / "sub-01" / "sub-01_label-L_probseg.nii.gz"
    assert one.binary
    assert "--save mask" in masks.absent["sub-02"]
    assert masks.absent["sub-03"] == "it failed: x.nii: is empty"


def test_bids_derivatives_are_looked_through(tmp_path):
    lay(
        tmp_path,
        *("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_desc-brain_mask.nii.gz"),
        *("sub-01/anat/sub-01_label-L_mask.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz"),
        *("sub-02/ses-1/anat/sub-02_ses-1_dseg.nii.gz", ".hidden/sub-03_mask.nii.gz"),
    )
    assert found(tmp_path) == {
        "sub-01": "sub-01/anat/sub-01_label-L_mask.nii.gz",
        "sub-02_ses-1": "sub-02/ses-1/anat/sub-02_ses-1_dseg.nii.gz",
    }


def test_flat_names_are_taken_and_the_mask_goes_before_the_scan(tmp_path):
    lay(tmp_path, "p1.nii.gz", "p1_mask.nii.gz", "p2.nii", "p3_t1.nii.gz", "notes_adc.nii")
    assert found(tmp_path) == {"p1": "p1_mask.nii.gz", "p2": "p2.nii"}


def test_folders_name_cases_where_files_are_called_alike(tmp_path):
    lay(tmp_path, "p1/lesion.nii.gz", "p2/lesion.nii.gz", "p2/t1.nii.gz")
    assert found(tmp_path) == {"p1": "p1/lesion.nii.gz", "p2": "p2/lesion.nii.gz"}
    other = lay(tmp_path / "other", "p1/T1_x.nii", "p2/T1_x.nii", "sub-3/T1_x.nii")
    assert sorted(found(other)) == ["p1", "p2", "sub-3"]
    bids = lay(tmp_path / "bids", "sub-1/ses-a/mask.nii", "sub-1/ses-b/mask.nii")
    assert sorted(found(bids)) == ["sub-1_ses-a", "sub-1_ses-b"]


def test_a_map_beside_a_mask_is_found(tmp_path):
    lay(tmp_path, "p1_mask.nii.gz", "p1_probseg.nii.gz", "p2.nii", "p2_label-L_probseg.nii")
    one, two = find_masks(tmp_path).items
    assert one.probability == tmp_path / "p1_probseg.nii.gz"
    assert two.probability == tmp_path / "p2_label-L_probseg.nii"


def test_a_single_file_is_a_mask_whatever_its_name(tmp_path):
    lay(tmp_path, "sub-01_T1w.nii.gz")
    masks = find_masks(tmp_path / "sub-01_T1w.nii.gz")
    assert masks.single
    assert masks.items[0].entities == {"sub": "01"}


def table(folder, text, name="t.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "case,flair,truth\np1,a.nii,m/p1.nii\np2,b.nii,\n\n"),
        ("t.tsv", "truth\tCase\nm/p1.nii\tp1\nn/a\tp2\n"),
        ("t.csv", "\ufeffcase;truth\r\np1;m/p1.nii\r\np2;\r\n"),
    ],
)
def test_a_table_names_truths_from_its_own_folder(tmp_path, name, text):
    masks = find_masks(table(tmp_path, text, name))
    assert [(item.name, item.path) for item in masks.items] == [("p1", tmp_path / "m/p1.nii")]
    assert masks.absent == {"p2": "the table names no truth"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,mask\na,b\n", "no column case and no column truth, but name, mask"),
        ("case,truth\na,b\na,c\n", "line 3: names the case a again; give each case one row$"),
        ("case,truth\na\n,b\n", r"line 2: .* \(and 1 more lines that are wrong\)"),
        ("case,truth\n,b\n", "line 2: names no case"),
        ("case,truth\na\n", "line 2: the row has 1 cells and the header 2"),
        ('case,truth\na,"b\n', "no row of a table"),
        ("", "no column case"),
        ("case,truth,Truth\na,b,c\n", "has more than one column truth; keep one"),
    ],
)
def test_a_bad_table_is_told(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        find_masks(table(tmp_path, text))


def test_a_line_that_is_wrong_costs_its_own_case(tmp_path):
    lines = ["case,truth", "a,a.nii", "b", ",x.nii", "c,c.nii", "c,d.nii", "e,none", "c,e.nii"]
    masks = find_masks(table(tmp_path, "\n".join(lines)))
    assert [item.name for item in masks.items] == ["a", "e"]
    assert dict(masks.damaged) == {
        "b": f"{masks.source}, line 3: the row has 1 cells and the header 2; write n/a for what is "
        "missing",
        "line-4": f"{masks.source}, line 4: names no case; fill the column case",
        "c": f"{masks.source}, line 6: names the case c again; give each case one row",
    }
    assert masks.absent == masks.damaged


def test_a_table_that_is_no_text_is_told(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"case,truth\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="UTF-8"):
        find_masks(tmp_path / "t.csv")


def test_nothing_found_is_told(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such file or folder"):
        find_masks(tmp_path / "none")
    lay(tmp_path, "sub-01_T1w.nii.gz")
    with pytest.raises(InputNotFoundError, match="holds no mask; give a folder of masks"):
        find_masks(tmp_path)
    file_case(tmp_path, "sub-01", "sub-01", error="no")
    with pytest.raises(InputNotFoundError, match="its cases failed"):
        find_masks(tmp_path)
    with pytest.raises(InputNotFoundError, match="names no truth"):
        find_masks(table(tmp_path, "case,truth\na,\n"))
