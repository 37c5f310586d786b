"""Pictures of what a user sees: the HTML report (light, dark, phone), the terminal (80 and 40 columns) and the site.

Run as `make screenshots`, after `make docs`; writes docs/screenshots/. Needs chromium and chromedriver.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text
from safetensors.torch import load_file, save_file
from selenium import webdriver

from depthgauge_testbeds.pocket import BASE

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "screenshots"
ZEROED = "layers.12.mlp."
DESKTOP, PHONE = (1200, 1500), (390, 1400)
HEIGHTS = {80: 660, 40: 1240}  # of a terminal's picture, by its columns
DARK = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}


def broken_copy(folder: Path) -> Path:
    """The pocket base with the MLP of layer 12 zeroed."""
    shutil.copytree(BASE, folder)
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if ZEROED in name:
            tensors[name].zero_()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def compared(place: Path, columns: int) -> str:
    """What the terminal shows, with its colours."""
    command = [sys.executable, "-m", "depthgauge", "compare", "./base", "./zeroed", "--testbed=pocket", "--all-stages"]
    environment = os.environ | {"COLUMNS": str(columns), "FORCE_COLOR": "1"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if not line.endswith("(seed 0)"))


def terminal(text: str, columns: int, path: Path) -> Path:
    """An SVG of a terminal of so many columns."""
    console = Console(record=True, width=columns, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(text))
    path.write_text(console.export_svg(title="depthgauge compare base zeroed"))
    return path


def shoot(browser: webdriver.Chrome, address: str, name: str, size: tuple[int, int], *, dark: bool = False) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size is PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", DARK if dark else {"features": []})
    browser.get(address)
    browser.execute_script("localStorage.clear()")  # the site keeps which colours it was shown in
    browser.refresh()
    browser.save_screenshot(str(OUT / f"{name}.png"))


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(word)
    driver = webdriver.ChromeService(shutil.which("chromedriver"))
    with tempfile.TemporaryDirectory() as folder, webdriver.Chrome(options=options, service=driver) as browser:
        place = Path(folder)
        shutil.copytree(BASE, place / "base")
        broken_copy(place / "zeroed")
        for columns in HEIGHTS:
            svg = terminal(compared(place, columns), columns, place / f"{columns}.svg")
            shoot(browser, svg.as_uri(), f"terminal-{columns}", (12 * columns + 60, HEIGHTS[columns]))
        report = (place / "reports" / "zeroed" / "report.html").as_uri()
        shoot(browser, report, "report-light", DESKTOP)
        shoot(browser, report, "report-dark", DESKTOP, dark=True)
        shoot(browser, report, "report-phone", PHONE)
        site = (ROOT / "site" / "concepts.html").as_uri()
        shoot(browser, site, "site-light", DESKTOP)
        shoot(browser, site, "site-dark", DESKTOP, dark=True)


if __name__ == "__main__":
    main()
