"""Chromium without a window, drawing WebGL in software, driven as a reader would."""

import base64
import importlib.util
import io
import json
import shutil
import time

import numpy as np
from PIL import Image

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--window-size=1280,1039",
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 120


def find_browser():
    """Path of Chromium and of its driver, and what is missing of what the tests need."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        return (
            chromium,
            driver,
        ), "needs chromium and chromedriver (Debian: chromium, chromium-driver)"
    if importlib.util.find_spec("selenium") is None:
        return (chromium, driver), "needs selenium from PyPI"
    return (chromium, driver), None


class Browser:
    """A browser with a profile of its own in a folder, where its downloads go too."""

    def __init__(self, folder, *flags):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        (chromium, driver), _ = find_browser()
        self.downloads = folder / "downloads"
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", *flags):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option(
            "prefs", {"download.default_directory": str(self.downloads)}
        )
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self._messages = []

    def quit(self):
        self.driver.quit()

    def forget(self):
        """Empty the storage that all pages from disk share, and what was logged."""
        empty = self.downloads.parent / "empty.html"
        empty.write_text("<!doctype html>")
        self.driver.get(empty.as_uri())
        self.run("localStorage.clear(); sessionStorage.clear();")
        self._messages = []
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        shutil.rmtree(self.downloads, ignore_errors=True)

    def open(self, path, fragment=""):
        """Open a page from disk and wait until its script has run."""
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + fragment)
        self.wait("document.documentElement.dataset.ready")

    def open_viewer(self, path):
        """Open the page of a case and wait until its viewer has drawn."""
        self.open(path)
        self.wait("document.documentElement.dataset.viewer")
        assert self.run("return document.documentElement.dataset.viewer") == "ready", self.text(
            "#curtain"
        )

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, expression):
        """Wait until an expression is true, and give its value."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            value = self.run(f"return {expression}")
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"still not so after {WAIT_S} s: {expression}")

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def click(self, selector):
        element = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def type(self, selector, keys):
        self.find(selector).send_keys(keys)

    def choose(self, selector, text):
        """Choose an entry of a list."""
        from selenium.webdriver.support.select import Select

        Select(self.find(selector)).select_by_visible_text(text)

    def fill(self, selector, value):
        """Set a slider or a field to a value, tabs and all."""
        script = (
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
        )
        self.run(script, self.find(selector), value)

    def press(self, keys):
        """Press keys on the page, not in a field."""
        self.run("document.activeElement.blur()")
        self.find("body").send_keys(keys)

    def drawn(self):
        """What the viewer draws, (rows, columns, 3) uint8."""
        address = self.run(
            "window.strokesegViewer.viewer.drawScene();"
            "return document.getElementById('canvas').toDataURL();"
        )
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        return np.asarray(picture.convert("RGB"))

    def complaints(self):
        """What the console heard: errors and warnings, refused scripts among them."""
        self._messages += self.driver.get_log("browser")
        return [m["message"] for m in self._messages if m["level"] in ("SEVERE", "WARNING")]

    def requests_elsewhere(self):
        """Addresses that pages asked for, but files, and data that they hold themselves."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        own = ("file:", "data:", "blob:", "about:", "chrome:", "chrome-untrusted:")
        return [address for address in found if not address.startswith(own)]
