"""A picture of an HTML report: `python -m benchmarks.screenshot reports/CANDIDATE/report.html docs/html.png`.

Light on the left and dark on the right, with the first claim open; by Debian's chromium and its driver.
"""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import image
from selenium import webdriver

FLAGS = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync", "no-first-run")
WIDTH, HEIGHT = 900, 1000


def main() -> None:
    report, picture = map(Path, sys.argv[1:])
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
    )
    image.imsave(picture, np.hstack([shot(browser, report, scheme) for scheme in ("light", "dark")]))
    browser.quit()


def shot(browser: webdriver.Chrome, report: Path, scheme: str) -> np.ndarray:
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.get("about:blank")  # so that the next is not taken for the same page, scrolled
    browser.get(report.resolve().as_uri())
    browser.execute_script("document.querySelector('.toggle').click(); scrollTo(0, 0)")
    return image.imread(BytesIO(browser.get_screenshot_as_png()))[:, :, :3]


if __name__ == "__main__":
    main()
