"""What users come for, done in Chromium: clicks, key presses and seconds of each job, from Overview to the answer.

`python tests/benchmarks/jobs.py results` needs a run `demo` of `make evaluate`. Seconds include drawing. A click is a
mouse click or a choice in a list.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path
from tests.support.servers import CHROMIUM, served

_TIMEOUT = 60_000  # milliseconds


@dataclass
class Hand:
    """A page, and how often it was clicked and a key was pressed."""

    page: Page
    clicks: int = 0
    keys: int = 0

    def click(self, locator: Locator) -> None:
        """Click, and count it."""
        locator.first.click(timeout=_TIMEOUT)
        self.clicks += 1

    def press(self, key: str) -> None:
        """Press a key, and count it."""
        self.page.keyboard.press(key)
        self.keys += 1

    def choose(self, label: str, option: str) -> None:
        """Open a list and choose an option: two clicks."""
        self.click(self.page.get_by_role("combobox", name=label, exact=False))
        self.click(self.page.get_by_role("option", name=option))

    def view(self, name: str) -> None:
        """Open a view from the sidebar."""
        self.click(self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True))
        self.page.get_by_role("heading", name=name, exact=True).wait_for(timeout=_TIMEOUT)
        settled(self.page)


def settled(page: Page) -> None:
    """Wait until the page has been computed."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=_TIMEOUT)


def worst_five(hand: Hand) -> None:
    """The five worst by CLIPScore, and why the first is bad."""
    hand.view("Failures")
    hand.page.locator("button.card").nth(4).wait_for(timeout=_TIMEOUT)
    expect(hand.page.locator('[data-testid="stMarkdownBadge"], .stMarkdownBadge').first).to_be_visible(timeout=_TIMEOUT)


def worse_than_greedy(hand: Hand) -> None:
    """All images where the best beam size is worse than greedy search."""
    hand.view("Compare")
    hand.click(hand.page.get_by_role("link").filter(has_text="Open these").nth(1))
    hand.page.get_by_role("heading", name="Failures", exact=True).wait_for(timeout=_TIMEOUT)
    hand.page.locator("button.card").first.wait_for(timeout=_TIMEOUT)


def many_runs(hand: Hand) -> None:
    """All runs of the same images in one table with tests, and in one figure."""
    hand.view("Compare")
    hand.click(hand.page.get_by_text("Any number of settings"))
    hand.page.locator(".js-plotly-plot").first.wait_for(timeout=_TIMEOUT)


def where_it_looked(hand: Hand) -> None:
    """Where the model looked for the most suspicious word, by all layers and heads."""
    hand.view("Attention")
    hand.page.locator("canvas.large[data-word]").wait_for(timeout=_TIMEOUT)
    hand.click(hand.page.get_by_text("All layers and heads"))
    hand.page.locator(".head-maps img").first.wait_for(timeout=_TIMEOUT)


def slice_to_photos(hand: Hand) -> None:
    """From the worst slice to its photos."""
    hand.click(hand.page.get_by_role("link").filter(has_text="crowded"))
    hand.page.get_by_role("heading", name="Failures", exact=True).wait_for(timeout=_TIMEOUT)
    hand.page.locator("button.card").first.wait_for(timeout=_TIMEOUT)


def verdict(hand: Hand) -> None:
    """A verdict that is given, saved, and found at the same address in another window."""
    hand.view("Failures")
    hand.click(hand.page.get_by_role("radio", name="no", exact=True))
    hand.page.get_by_text("Saved ", exact=False).first.wait_for(timeout=_TIMEOUT)
    other = hand.page.context.browser.new_page()
    other.goto(hand.page.url)
    other.get_by_text("Saved ", exact=False).first.wait_for(timeout=_TIMEOUT)
    other.close()


def by_keyboard(hand: Hand) -> None:
    """The next case, by keyboard only."""
    hand.page.goto(hand.page.url.split("?")[0].rstrip("/") + "/failures?run=demo")
    hand.page.locator("button.card").first.wait_for(timeout=_TIMEOUT)
    settled(hand.page)
    hand.press("n")
    hand.page.get_by_text("2 of ", exact=False).first.wait_for(timeout=_TIMEOUT)


JOBS: dict[str, Callable[[Hand], None]] = {
    "five worst by CLIPScore, and why": worst_five,
    "all images where beam 3 is worse than greedy": worse_than_greedy,
    "all runs of the images compared": many_runs,
    "where the model looked, all heads": where_it_looked,
    "from the worst slice to its photos": slice_to_photos,
    "a verdict, saved and opened elsewhere": verdict,
    "the next case by keyboard": by_keyboard,
}


def main() -> None:
    """Print a row per job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (options.results / "runs" / "demo" / "run.json").exists():
        sys.exit(f"{options.results} has no run 'demo': make it with `make evaluate`")
    with served(options.results) as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        print(f"{'job':46} {'clicks':>6} {'keys':>5} {'seconds':>8}")
        for name, job in JOBS.items():
            seconds, hand = [], None
            for _ in range(options.rounds):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(f"{url}/?run=demo")
                page.get_by_role("heading", name="Overview", exact=True).wait_for(timeout=_TIMEOUT)
                settled(page)
                hand, start = Hand(page), time.perf_counter()
                job(hand)
                seconds.append(time.perf_counter() - start)
                page.close()
            print(f"{name:46} {hand.clicks:6} {hand.keys:5} {statistics.median(seconds):8.1f}")
        browser.close()


if __name__ == "__main__":
    main()
