"""Takes the README's picture of the page: `python docs/screenshot.py URL` beside `impasto up`.

Needs Chromium at /usr/bin/chromium and Pillow.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images" / "page.jpg"
SHARE_PAINTED = 0.75


def main(url: str) -> None:
    """Paint the samples on the page, and photograph it when most of the steps are done."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.goto(url)
        inputs = page.locator("input[type=file]")
        inputs.nth(0).set_input_files(ROOT / "samples" / "harbor.jpg")
        inputs.nth(1).set_input_files(ROOT / "samples" / "swirl.jpg")
        page.get_by_role("button", name="Paint", exact=True).click()
        page.wait_for_function(
            "share => document.querySelector('#job-progress')?.value >= share",
            arg=SHARE_PAINTED,
            timeout=600_000,
        )
        page.wait_for_timeout(2500)  # for a preview of that step
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(OUT, quality=85)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
