"""Looks at a report in a real browser: `python -m tests.browser_check runs/demo/report.html`.

At desktop and phone width, light and dark, everything folded out, it looks for requests to the
network, messages on the console, broken images, a page wider than the window, letters too small
and letters too pale; and leaves a screenshot of each. Exit code 1 where it found anything.

Needs a Chromium and `pip install playwright` (its own browsers need not be installed); it is no
part of the tests that pytest runs.
"""

import argparse
import os
import pathlib
import shutil
import sys

from playwright.sync_api import Page, sync_playwright

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
MIN_LETTER = 10.5  # pixels of CSS
MIN_CONTRAST = 4.5  # WCAG 2, level AA

# All text with its size on the screen and its contrast to what is behind it.
_LETTERS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgba(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || element.closest('title, style')) continue;
    const box = element.getBoundingClientRect();
    if (!box.width) continue;
    const style = getComputedStyle(element), svg = element.ownerSVGElement;
    const scale = svg ? svg.getScreenCTM().a : 1;
    const a = luminance(rgba(svg ? style.fill : style.color)), b = luminance(behind(element));
    found.push({text: text.slice(0, 40), size: parseFloat(style.fontSize) * scale,
                contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)});
  }
  return found;
}"""
_BROKEN = "() => [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)"
_UNFOLD = "() => document.querySelectorAll('details').forEach(d => d.open = true)"


def problems(page: Page, width: int) -> list[str]:
    """What is wrong with the page as it is shown."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [f"the page is {wide} pixels wide in a window of {width}"] if wide > width else []
    found += [f"broken image: {alt}" for alt in page.evaluate(_BROKEN)]
    letters = page.evaluate(_LETTERS)
    if not letters:
        found.append("the page has no text")
    for letter in letters:
        if letter["size"] < MIN_LETTER:
            found.append(f"letters of {letter['size']:.1f} pixels: {letter['text']!r}")
        if letter["contrast"] < MIN_CONTRAST:
            found.append(f"contrast of {letter['contrast']:.1f}: {letter['text']!r}")
    return list(dict.fromkeys(found))


def check(path: pathlib.Path, output: pathlib.Path, browser_path: str) -> list[str]:
    """Opens the page in every size and scheme; what is wrong, and screenshots in `output`."""
    output.mkdir(parents=True, exist_ok=True)
    address = path.resolve().as_uri()
    found = []
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        arguments = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
        for name, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                view = f"{name} {scheme}"
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                seen = []
                page.on("console", lambda m, seen=seen: seen.append(f"console: {m.text}"))
                page.on("pageerror", lambda e, seen=seen: seen.append(f"error: {e}"))
                page.on("request", lambda r, seen=seen: seen.append(f"request: {r.url[:80]}"))
                page.goto(address)
                page.screenshot(path=output / f"{name}_{scheme}.png", full_page=True)
                seen += problems(page, width)
                page.evaluate(_UNFOLD)
                seen += [text for text in problems(page, width) if text not in seen]
                asked = ("request: data:", f"request: {address}"[:80])
                found += [f"{view}: {text}" for text in seen if not text.startswith(asked)]
                page.close()
        browser.close()
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("screenshots"))
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    found = check(options.page, options.output, options.browser)
    print("\n".join(found) or "Nothing is wrong.")
    print(f"Screenshots: {options.output}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
