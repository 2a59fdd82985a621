"""A headless Chromium, where it is installed (``make tools``): what a person sees of the status page."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from selenium import webdriver

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it has none as root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--lang=en-US",
)


def lacking() -> str:
    """Return what is not installed, in words, or ""."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed (make tools)" if missing else ""


@contextlib.contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Give a browser with a profile of its own, which speaks to nobody but the pages it is sent to."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"), env={**os.environ, "SE_AVOID_STATS": "true"})
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def look(driver: webdriver.Chrome, *, width: int = 1200, height: int = 900, **media: str) -> None:
    """Look at the page in a window of this size, with media features such as ``prefers_color_scheme="dark"``."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def requested(driver: webdriver.Chrome) -> list[str]:
    """Return the URLs that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]


def complaints(driver: webdriver.Chrome) -> list[dict[str, Any]]:
    """Return what the console was told since the last call: errors of scripts, refusals of the Content-Security-Policy."""
    found: list[dict[str, Any]] = driver.get_log("browser")
    return found
