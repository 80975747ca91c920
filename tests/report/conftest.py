"""The browser of the tests, and where it looks."""

import pytest

from tests.report.browsing import Browser, find_browser


@pytest.fixture(scope="session")
def _browser(tmp_path_factory):
    missing = find_browser()[1]
    if missing:
        pytest.skip(missing)
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(_browser):
    """A browser that has seen nothing, and whose console and requests are checked at the end."""
    _browser.forget()
    yield _browser
    assert _browser.complaints() == []
    assert _browser.requests_elsewhere() == []
