"""The report as a reader meets it, in Chromium, from disk."""

import csv

import numpy as np
import pytest

from strokeseg.report.building import build_report
from tests.factories import KINDS, affine_of
from tests.report.cohorts import (
    LARGE,
    MODEL,
    SMALL,
    balls,
    centre_of,
    file_case,
    file_error,
    file_rich_case,
)

NASTY = "<img src=x onerror=window.hacked=1>"
WAIT_FOR_DOWNLOAD = 100


def make_report(output, viewer_mb):
    """Five cases: two lesions, one, none, a warning, and a failure."""
    file_case(output, "sub-01")
    file_case(output, "sub-02", lesions=(LARGE,), warnings=["voxels are up to 6 mm long"])
    file_case(output, "sub-03", lesions=())
    file_case(output, "sub-10", lesions=(SMALL,), kind="oblique")
    file_error(output, "sub-bad")
    return build_report(output, title="A cohort", viewer_mb=viewer_mb).index.parent


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A report with viewers, which take a while to start where WebGL is drawn in software."""
    return make_report(tmp_path_factory.mktemp("cohort") / "out", 4.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same without viewers."""
    return make_report(tmp_path_factory.mktemp("plain") / "out", 0.0)


def page_of(cohort, name):
    return cohort / "cases" / f"{name}.html"


def shown(browser):
    return browser.run(
        "return [...document.querySelectorAll('#cases tbody tr')]"
        ".filter((row) => !row.hidden).map((row) => row.dataset.name)"
    )


def direction(browser, by):
    return browser.find(f"th[data-sort={by}]").get_attribute("aria-sort")


def orange(picture):
    """Where the lesion's colour is, (n, 2): row and column."""
    r, g, b = (picture[..., channel].astype(int) for channel in range(3))
    return np.argwhere((r > 130) & (r - b > 60) & (r > g) & (g > b))


def grey(picture):
    return np.count_nonzero((np.ptp(picture, axis=2) < 12) & (picture.mean(axis=2) > 50))


def place(browser):
    return np.array(browser.run("return window.strokesegViewer.position()"))


# ----- the index


def test_the_index_opens_from_disk_with_its_table_and_distributions(browser, plain):
    browser.open(plain / "index.html")
    assert browser.text("h1") == "A cohort"
    assert shown(browser) == EVERYBODY
    assert len(browser.all(".chart rect.fill")) == 4
    assert len(browser.all(".chart circle.dot")) == 3
    assert browser.text("#sub-bad .badge") == "failed"
    assert "is cut: 120 of 4000 bytes" in browser.text("#sub-bad .lines")
    assert browser.run(
        "const image = document.querySelector('#sub-01 img');"
        "return [image.loading, image.naturalWidth]"
    ) == ["lazy", 96]
    assert "csp" not in str(browser.complaints()).lower()


def test_the_table_sorts_by_click_and_by_keyboard(browser, plain):
    browser.open(plain / "index.html")
    assert direction(browser, "name") == "ascending"
    browser.click("th[data-sort=volume] button")
    assert direction(browser, "volume") == "descending"
    assert direction(browser, "name") == "none"
    assert shown(browser) == ["sub-01", "sub-02", "sub-10", "sub-03", "sub-bad"]  # missing last
    browser.find("th[data-sort=volume] button").send_keys("\ue007")  # Enter
    assert direction(browser, "volume") == "ascending"
    assert shown(browser) == ["sub-03", "sub-10", "sub-02", "sub-01", "sub-bad"]
    browser.find("th[data-sort=name] button").send_keys(" ")
    assert shown(browser) == ["sub-01", "sub-02", "sub-03", "sub-10", "sub-bad"]
    browser.click("th[data-sort=name] button")
    assert shown(browser) == ["sub-bad", "sub-10", "sub-03", "sub-02", "sub-01"]


EVERYBODY = ["sub-01", "sub-02", "sub-03", "sub-10", "sub-bad"]
FILTERS = (
    ("#filter-text", "SUB-0", ["sub-01", "sub-02", "sub-03"]),
    ("#filter-text", "6 mm", ["sub-02"]),
    ("#filter-text", "4000 cut", ["sub-bad"]),
    ("#filter-text", "nobody", []),
    ("#filter-status", "failed", ["sub-bad"]),
    ("#filter-warnings", "with", ["sub-02"]),
    ("#filter-review", "not yet", EVERYBODY),
    ("#filter-review", "accept", []),
    ("#filter-low", "0.5", ["sub-01", "sub-02"]),
    ("#filter-high", "0.5", ["sub-03", "sub-10"]),
)


def test_filters_leave_the_cases_that_are_wanted(browser, plain):
    browser.open(plain / "index.html")
    for selector, value, left in FILTERS:
        is_list = browser.find(selector).tag_name == "select"
        (browser.choose if is_list else browser.type)(selector, value)
        assert shown(browser) == left, value
        assert browser.text("#shown") == f"{len(left)} of 5 cases"
        assert browser.find("#nothing").is_displayed() == (not left)
        browser.click("#filter-reset")
        browser.wait("document.querySelectorAll('#cases tbody tr:not([hidden])').length === 5")


def test_order_and_filters_are_still_there_after_a_case_was_looked_at(browser, plain):
    browser.open(plain / "index.html")
    browser.type("#filter-text", "sub-0")
    browser.click("th[data-sort=volume] button")
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "filter-text"
    browser.click("#sub-02 th a")
    browser.wait("document.documentElement.dataset.ready && document.getElementById('place')")
    assert browser.text("#place") == "2 of 3 shown in the index"
    browser.press("n")
    browser.wait(
        "location.pathname.endsWith('sub-03.html') && document.documentElement.dataset.ready"
    )
    assert not browser.find("#next").is_displayed()
    browser.press("i")
    browser.wait("document.getElementById('shown') && document.documentElement.dataset.ready")
    assert shown(browser) == ["sub-01", "sub-02", "sub-03"]
    assert direction(browser, "volume") == "descending"


# ----- the viewer


def test_the_viewer_draws_the_scan_with_the_lesion_on_it(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-01"))
    browser.click("#crosshair")
    picture = browser.drawn()
    assert grey(picture) > 20_000
    lesion = len(orange(picture))
    assert lesion > 500
    browser.fill("#opacity-mask", 0.2)
    browser.wait("window.strokesegViewer.images.get('mask').opacity === 0.2")
    assert len(orange(browser.drawn())) < lesion / 2
    browser.fill("#opacity-mask", 1)
    browser.click("#show-mask")
    browser.wait("window.strokesegViewer.images.get('mask').opacity === 0")
    assert len(orange(browser.drawn())) == 0
    browser.click("#show-scan")
    browser.wait("window.strokesegViewer.images.get('scan').opacity === 0")
    assert grey(browser.drawn()) < 2_000


def test_probability_and_tissues_are_unpacked_when_they_are_asked_for(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-01"))
    loaded = "[...window.strokesegViewer.viewer.volumes].map((v) => v.name).join(' ')"
    assert browser.run(f"return {loaded}") == "scan.nii.gz mask.nii.gz"
    assert browser.text("#values").endswith("lesion 1")
    plain = browser.drawn()
    browser.click("#show-probability")
    browser.wait(f"{loaded} === 'scan.nii.gz probability.nii.gz mask.nii.gz'")
    browser.wait("document.getElementById('values').textContent.endsWith('p 0.80')")
    assert not np.array_equal(browser.drawn(), plain)
    assert not browser.find("#legend").is_displayed()
    browser.fill("#opacity-tissue", 0.7)  # a slider that is moved shows its layer
    browser.wait(f"{loaded} === 'scan.nii.gz tissue.nii.gz probability.nii.gz mask.nii.gz'")
    browser.wait("document.getElementById('values').textContent.endsWith('class lesion')")
    assert [item.text for item in browser.all("#legend li")] == ["GM", "WM"]


def test_further_scans_uncertainty_and_truth_are_layers_with_a_scale(browser, tmp_path):
    file_rich_case(tmp_path / "out")
    report = build_report(tmp_path / "out").index.parent
    browser.open_viewer(page_of(report, "sub-01"))
    titles = [cell.text.split("\n")[0] for cell in browser.all(".layers tbody label")]
    assert titles[:2] == ["Scan (flair)", "Scan (t1)"]
    assert titles[-2:] == ["Uncertainty (entropy)", "Truth, drawn by hand"]
    scales = [scale.text.split() for scale in browser.all(".scale")]
    assert scales == [["0.1", "1"], ["0", "1.2", "nat"]]
    seen = [browser.drawn()]
    for name, told in (("scan-t1", "t1 "), ("uncertainty", "entropy 1.20"), ("truth", "truth: l")):
        browser.click(f"#show-{name}")
        browser.wait(f"document.getElementById('values').textContent.includes('{told}')")
        picture = browser.drawn()
        assert not any(np.array_equal(picture, other) for other in seen), name
        seen.append(picture)


@pytest.mark.parametrize("name", ["sub-01", "sub-10"])
def test_a_click_on_a_row_moves_the_crosshair_to_the_lesion(browser, cohort, name):
    kind = {"sub-01": "ras", "sub-10": "oblique"}[name]
    lesions = {"sub-01": (LARGE, SMALL), "sub-10": (SMALL,)}[name]
    browser.open_viewer(page_of(cohort, name))
    for row, lesion in reversed([*enumerate(lesions)]):
        browser.run("window.strokesegViewer.viewer.scene.crosshairPos = [0.1, 0.1, 0.1]")
        browser.click(f"tr[data-lesion='{row}'] td:nth-child(3)")
        centre = centre_of(balls(KINDS[kind], [lesion]), affine_of(KINDS[kind]))
        assert np.linalg.norm(place(browser) - centre) < 1.4  # half a diagonal of 1.5 mm voxels
        x, y, z = place(browser)
        assert browser.text("#position").split() == [
            *("R" if x > 0 else "L", f"{abs(x):.1f}", "A" if y > 0 else "P", f"{abs(y):.1f}"),
            *("S" if z > 0 else "I", f"{abs(z):.1f}", "mm"),
        ]
        assert f"· lesion {row + 1}" in browser.text("#values")
        assert browser.find(f"tr[data-lesion='{row}']").get_attribute("class") == "chosen"


def test_a_row_is_reached_by_keyboard_too(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-01"))
    before = place(browser)
    browser.find("tr[data-lesion='1'] button").send_keys("\ue007")
    assert np.linalg.norm(place(browser) - before) > 5


def test_the_convention_puts_the_patients_right_on_either_side(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-02"))  # its lesion is on the right
    browser.click("#crosshair")
    browser.choose("#view", "axial")
    radiological = browser.drawn()
    width = radiological.shape[1]
    assert orange(radiological)[:, 1].mean() < width / 2
    browser.choose("#convention", "neurological (left on the left)")
    neurological = browser.drawn()
    assert orange(neurological)[:, 1].mean() > width / 2
    browser.open_viewer(page_of(cohort, "sub-01"))
    assert browser.find("#convention").get_attribute("value") == "neurological"


def test_the_nose_is_on_the_left_as_in_the_picture(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-02"))  # its lesion lies behind the middle
    browser.click("#crosshair")
    browser.choose("#view", "sagittal")
    picture = browser.drawn()
    seen = np.argwhere(np.ptp(picture, axis=2) + picture.mean(axis=2) > 60)
    assert orange(picture)[:, 1].mean() > seen[:, 1].mean()


@pytest.mark.parametrize("name", ["sub-01", "sub-10"])
def test_the_crosshair_is_wide_enough_to_see_in_every_view(browser, cohort, name):
    browser.open_viewer(page_of(cohort, name))
    for view in ("three planes", "axial", "coronal", "sagittal"):
        browser.choose("#view", view)
        with_it = browser.drawn().astype(int)
        browser.click("#crosshair")
        differing = np.abs(browser.drawn() - with_it).max(axis=2) > 40
        browser.click("#crosshair")
        # One line from top to bottom and one across, whole pixels wide, over half of the canvas.
        assert differing.any(axis=1).mean() > 0.5, view
        assert differing.sum() > 0.5 * sum(differing.shape), view


def test_a_click_on_a_slice_tells_where_it_is(browser, cohort):
    from selenium.webdriver import ActionChains

    browser.open_viewer(page_of(cohort, "sub-02"))
    before = place(browser)
    ActionChains(browser.driver).move_to_element_with_offset(
        browser.find("#canvas"), -100, 60
    ).click().perform()
    browser.wait(f"Math.abs(window.strokesegViewer.position()[0] - {before[0]}) > 3")
    x = place(browser)[0]
    assert browser.text("#position").startswith(f"{'R' if x > 0 else 'L'} {abs(x):.1f}")


def test_the_outline_leaves_the_inside_of_the_lesion_free(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-02"))
    browser.click("#crosshair")
    filled = len(orange(browser.drawn()))
    browser.click("#outline")
    browser.wait("window.strokesegViewer.images.get('mask').cal_min === 1.5")
    assert 0 < len(orange(browser.drawn())) < 0.8 * filled
    assert browser.text("#values").endswith("· lesion 1")
    browser.click("#outline")
    browser.wait("window.strokesegViewer.images.get('mask').cal_min === 0.5")
    assert len(orange(browser.drawn())) == pytest.approx(filled, rel=0.05)


def test_every_view_draws(browser, cohort):
    browser.open_viewer(page_of(cohort, "sub-01"))
    seen = []
    for view in ("three planes", "axial", "coronal", "sagittal", "3D"):
        browser.choose("#view", view)
        picture = browser.drawn()
        assert picture.mean() > 3, view
        assert not any(np.array_equal(picture, other) for other in seen), view
        seen.append(picture)


def test_a_scan_that_is_gone_leaves_the_mask_and_a_word_about_it(browser, tmp_path):
    file_case(tmp_path / "out", "sub-01", kinds=("mask", "lesions"))
    (tmp_path / "scans" / "sub-01_FLAIR.nii.gz").unlink()
    build_report(tmp_path / "out")
    browser.open_viewer(tmp_path / "out" / "report" / "cases" / "sub-01.html")
    browser.click("#crosshair")
    assert "any more" in browser.text(".notes")
    picture = browser.drawn()
    assert len(orange(picture)) > 500
    assert grey(picture) < 2_000
    assert browser.text("#values") == "lesion 1"
    assert not browser.all("#show-scan")


def test_a_browser_without_webgl_says_so_and_shows_the_rest(browser, cohort):
    hide = (
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind === 'webgl2' ? null : get.call(this, kind, ...rest); };"
    )
    added = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": hide}
    )
    try:
        browser.open(page_of(cohort, "sub-01"))
        browser.wait("document.documentElement.dataset.viewer === 'failed'")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert "needs WebGL 2" in browser.find("#curtain").text
    assert browser.find("#lesions").is_displayed()


# ----- keys and reviews


def test_keys_lead_from_case_to_case_and_back(browser, plain):
    browser.open(page_of(plain, "sub-02"))
    for keys, name in (
        ("n", "sub-03"),
        ("\ue014", "sub-10"),
        ("\ue012", "sub-03"),
        ("p", "sub-02"),
    ):
        browser.press(keys)
        browser.wait(
            f"location.pathname.endsWith('/{name}.html') && document.documentElement.dataset.ready"
        )
    browser.open(page_of(plain, "sub-01"))
    browser.press("p")  # there is none before the first
    assert browser.run("return location.pathname").endswith("sub-01.html")


def test_a_mark_and_a_comment_are_kept_and_seen_in_the_index(browser, plain):
    browser.open(plain / "index.html")
    browser.type("#reviewer", "AB")
    browser.open(page_of(plain, "sub-01"))
    browser.press("e")
    assert browser.find("[data-mark=edit]").get_attribute("aria-pressed") == "true"
    browser.press("c")
    browser.find("#comment").send_keys("near a ventricle: n, p, a, r")  # letters, not keys
    assert browser.run("return location.pathname").endswith("sub-01.html")
    browser.find("#comment").send_keys("\ue00c")  # Escape
    assert "by AB" in browser.text("#kept")
    browser.press("i")
    browser.wait("document.getElementById('reviewed') && document.documentElement.dataset.ready")
    assert browser.text("#sub-01 .review") == "editnear a ventricle: n, p, a, r"
    assert browser.text("#reviewed") == "1 of 5 reviewed: 0 accept, 1 edit, 0 reject"
    browser.choose("#filter-review", "edit")
    assert shown(browser) == ["sub-01"]


def test_edit_tells_where_the_mask_is_and_how_drawing_programs_open_it(browser, plain):
    browser.open(page_of(plain, "sub-01"))
    assert not browser.find("#editing").is_displayed()
    browser.press("e")
    told = browser.text("#editing")
    assert "sub-01/sub-01_label-L_mask.nii.gz" in told
    assert "itksnap -g " in told
    assert "Slicer --python-code" in told
    browser.press("a")
    assert not browser.find("#editing").is_displayed()


def test_a_review_without_initials_asks_for_them_once(browser, plain):
    browser.open(page_of(plain, "sub-01"))
    browser.press("a")
    assert "Write your initials above" in browser.text("#kept")
    browser.type("#reviewer", "KL\t")
    browser.wait("document.getElementById('kept').textContent.includes('by KL')")
    assert "initials" not in browser.text("#kept")
    browser.open(page_of(plain, "sub-02"))
    browser.press("r")
    assert "by KL" in browser.text("#kept")


def test_a_mark_is_changed_and_taken_back(browser, plain):
    browser.open(page_of(plain, "sub-01"))
    browser.press("a")
    browser.press("r")
    pressed = (
        "[...document.querySelectorAll('.marks [aria-pressed=true]')].map((b) => b.textContent)"
    )
    assert browser.run(f"return {pressed}") == ["Reject"]
    browser.press("r")
    assert browser.run(f"return {pressed}") == []
    assert browser.text("#kept") == "Not reviewed yet."


def test_a_mark_can_lead_to_the_next_case(browser, plain):
    browser.open(page_of(plain, "sub-01"))
    browser.click("#advance")
    browser.press("a")
    browser.wait(
        "location.pathname.endsWith('sub-02.html') && document.documentElement.dataset.ready"
    )
    browser.press("p")
    browser.wait(
        "location.pathname.endsWith('sub-01.html') && document.documentElement.dataset.ready"
    )
    assert browser.find("[data-mark=accept]").get_attribute("aria-pressed") == "true"


def exported(browser):
    browser.click("#export")
    path = browser.downloads / "reviews.tsv"
    for _ in range(WAIT_FOR_DOWNLOAD):
        if path.is_file() and path.stat().st_size:
            break
        browser.run("return new Promise((done) => setTimeout(done, 100))")
    return list(
        csv.DictReader(path.read_text("utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    ), path


def test_reviews_go_out_as_a_table_and_come_in_again(browser, plain):
    browser.open(page_of(plain, "sub-01"))
    browser.press("a")
    browser.open(page_of(plain, "sub-10"))
    browser.press("r")
    browser.fill("#comment", 'tab\tand "quotes" and é')
    browser.open(page_of(plain, "sub-02"))
    browser.fill("#comment", "=HYPERLINK(1)")
    browser.open(plain / "index.html")
    rows, path = exported(browser)
    assert [row["case"] for row in rows] == ["sub-01", "sub-02", "sub-03", "sub-10", "sub-bad"]
    marks = {row["case"]: row["mark"] for row in rows}
    assert marks == {
        "sub-01": "accept",
        "sub-02": "n/a",
        "sub-03": "n/a",
        "sub-10": "reject",
        "sub-bad": "n/a",
    }
    assert rows[3]["comment"] == 'tab and "quotes" and é'
    assert rows[1]["comment"] == "'=HYPERLINK(1)"
    assert rows[0]["result"] == rows[0]["result_now"]
    assert float(rows[0]["lesion_volume_ml"]) > 1
    assert rows[4]["lesion_volume_ml"] == "n/a"
    kept = path.rename(path.with_name("kept.tsv"))
    browser.run("localStorage.clear()")
    browser.open(plain / "index.html")
    assert browser.text("#reviewed") == ""
    browser.run("document.getElementById('import-file').hidden = false")
    browser.find("#import-file").send_keys(str(kept))
    browser.wait("document.getElementById('message').textContent.startsWith('3 reviews')")
    assert browser.text("#reviewed") == "2 of 5 reviewed: 1 accept, 0 edit, 1 reject"
    assert browser.text("#sub-02 .comment") == "=HYPERLINK(1)"
    again, _ = exported(browser)
    assert again == rows


def test_a_file_that_is_no_table_of_reviews_is_refused(browser, plain, tmp_path):
    (tmp_path / "other.tsv").write_text(f"a\tb\n{NASTY}\t2\n")
    browser.open(plain / "index.html")
    browser.run("document.getElementById('import-file').hidden = false")
    browser.find("#import-file").send_keys(str(tmp_path / "other.tsv"))
    browser.wait("!document.getElementById('message').hidden")
    assert "no table of reviews" in browser.text("#message")


def test_two_reports_do_not_mix(browser, plain, tmp_path):
    file_case(tmp_path / "out", "sub-01")
    build_report(tmp_path / "out", viewer_mb=0)
    browser.open(page_of(plain, "sub-01"))
    browser.press("r")
    browser.open(tmp_path / "out" / "report" / "cases" / "sub-01.html")
    assert browser.text("#kept") == "Not reviewed yet."


def test_a_mark_of_an_earlier_result_says_so(browser, tmp_path):
    output = tmp_path / "out"
    file_case(output, "sub-01")
    build_report(output, viewer_mb=0)
    browser.open(output / "report" / "cases" / "sub-01.html")
    browser.press("a")
    file_case(output, "sub-01", lesions=(SMALL,))
    build_report(output, viewer_mb=0)
    browser.open(output / "report" / "cases" / "sub-01.html")
    assert "The result has changed since." in browser.text("#kept")
    browser.open(output / "report" / "index.html")
    assert "of an earlier result" in browser.text("#sub-01 .review")


def test_where_storage_is_kept_apart_for_each_file_reviews_travel_in_the_address(browser, plain):
    browser.open(page_of(plain, "sub-01"))  # the index was never here: nothing seems shared
    browser.press("a")
    followed = browser.run(
        "let seen = null;"
        "addEventListener('click', (event) => {"
        "  event.preventDefault(); seen = event.target.getAttribute('href'); });"
        "document.getElementById('up').click(); return seen;"
    )
    page, _, carried = followed.partition("#")
    assert page == "../index.html"
    browser.run("localStorage.clear()")
    browser.open(plain / "index.html", f"#{carried}")
    assert browser.text("#sub-01 .review") == "accept"
    assert browser.run("return location.hash") == ""


# ----- what others wrote


def test_markup_in_names_and_texts_shows_as_text_and_runs_nowhere(browser, tmp_path):
    output = tmp_path / "out"
    texts = ("</script><script>window.hacked=1</script>", NASTY)
    file_case(
        output,
        "sub-01",
        case=NASTY,
        warnings=texts,
        models=[MODEL | {"name": NASTY}],
        inputs={"flair": {"path": NASTY}},
        platform=NASTY,
    )
    file_error(output, "sub-02", message=NASTY, case="sub-02")
    built = build_report(output, title=NASTY)
    browser.open(built.index)
    assert browser.text("h1") == NASTY
    assert browser.text("#cases tbody th a") == NASTY
    assert browser.text("#cases .lines p:last-child") == NASTY
    assert not browser.all("img[src=x]")
    browser.run(
        "window.strokesegReview.set(document.querySelector('#cases tbody tr').dataset.key,"
        "{mark: 'accept', comment: arguments[0], time: new Date().toISOString()})",
        NASTY,
    )
    assert browser.text("#cases .comment") == NASTY
    browser.click("#cases tbody th a")
    browser.wait("document.getElementById('comment') && document.documentElement.dataset.viewer")
    assert browser.text("h1").startswith(NASTY)
    assert browser.find("#comment").get_attribute("value") == NASTY
    assert not browser.all("img[src=x]")
    assert browser.run("return window.hacked") is None


def test_the_policy_stops_what_a_page_was_made_to_do(browser, plain):
    browser.open(plain / "index.html")
    browser.run(
        "window.refused = [];"
        "addEventListener('securitypolicyviolation', (e) => refused.push(e.effectiveDirective));"
        "const script = document.createElement('script');"
        "script.append('window.hacked = 1');"
        "document.body.append(script);"
        "try { document.body.innerHTML += '<b>x</b>'; } catch { refused.push('markup'); }"
        "const image = new Image(); image.src = 'https://example.org/x.png';"
        "fetch('https://example.org/').catch(() => {});"
    )
    browser.wait("refused.includes('connect-src') && refused.includes('img-src')")
    assert browser.run("return refused.includes('markup')")
    assert browser.run("return window.hacked") is None
    assert any("Content Security Policy" in line for line in browser.complaints())
    browser.forget()  # these complaints were wanted
