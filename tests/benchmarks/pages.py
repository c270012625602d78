"""Measure the response times of the dashboard on a run of 100,000 images at eleven beam sizes.

`python tests/benchmarks/pages.py [--images 100000] [--folder FOLDER] [--small RESULTS RUN]`. Captions, references
and scores are generated from a seed and written through `engine.store`; the photos are 300 generated ones, shared. Then
the dashboard is started as users start it. In a real browser: seconds from the start of `streamlit run` until the first
view is complete. On the server: the duration of a page run after each interaction (AppTest; every interaction needs a
new result, so no cache helps), and the peak memory while a browser goes through the views. `--small` also measures the
interactions on an existing run, and how long its browser takes to draw a word's map.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path

from engine.store import records, tables
from engine.store.schema import TABLES, scored_schema
from tests.conftest import ROOT
from tests.support.servers import CHROMIUM, served

BEAMS = [1, 2, 3, 4, 5, 6, 8, 10, 20, 50, 100]
METRICS = ["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor", "clipscore", "refclipscore"]
RUN = "large"
_PHOTOS = 300
_TURNS = 20


# The run


def make_run(results: Path, images: int) -> None:
    """Write the run, unless it exists with the same number of images."""
    folder = records.run_folder(results, RUN)
    record = records.read_record(folder) if folder.is_dir() else None
    if record is not None and record["data"]["images"] == images:
        return
    generator = np.random.default_rng(0)
    names = np.array([f"photo_{number:06d}" for number in range(images)])
    words = _words()
    photos = _draw_photos(results.parent / "photos")
    tables.write_table(folder, "images", _images(names, photos, words, generator))
    quality = generator.beta(2, 2, images)
    captions = [_sentences(words, images, generator) for _ in BEAMS]
    tables.write_table(folder, "captions", _captions(names, captions, generator))
    tables.write_table(folder, "scores", _scores(names, quality, generator))
    tables.write_table(folder, "corpus_scores", _corpus(images))
    records.write_record(folder, _record(images, results.parent / "photos"))


def _words() -> np.ndarray:
    consonants, vowels = "bcdfghklmnprstvw", "aeiou"
    return np.array([a + b + c + d for a in consonants for b in vowels for c in consonants[:8] for d in vowels[:3]])


def _sentences(words: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return int[count, 10]: word numbers, of which low ones are frequent, as in natural language."""
    return np.minimum(generator.zipf(1.3, (count, 10)) - 1, len(words) - 1)


def _joined(words: np.ndarray, sentences: np.ndarray) -> list[str]:
    return [" ".join(row) for row in words[sentences].tolist()]


def _draw_photos(folder: Path) -> list[str]:
    """Write 300 photos of a typical size, so that thumbnails take a realistic time."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    names = [f"{number:03d}.jpg" for number in range(_PHOTOS)]
    for name in names:
        coarse = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        ImageDraw.Draw(image).text((20, 20), name, fill="white")
        image.save(folder / name, quality=90)
    return names


def _images(names: np.ndarray, photos: list[str], words: np.ndarray, generator: np.random.Generator) -> pa.Table:
    count = len(names)
    references = [_joined(words, _sentences(words, count, generator)) for _ in range(5)]
    kinds = [[], ["dark"], ["small"], ["dark", "blurred"]]
    return pa.table(
        {
            "image_id": names,
            "file_name": [photos[number % len(photos)] for number in range(count)],
            "width": np.full(count, 640, np.int32),
            "height": np.full(count, 480, np.int32),
            "references": pa.array(
                [list(five) for five in zip(*references, strict=True)], TABLES["images"].field(4).type
            ),
            "objects": pa.nulls(count, TABLES["images"].field("objects").type),
            "conditions": [kinds[kind] for kind in generator.integers(0, 4, count)],
        },
        schema=TABLES["images"],
    )


def _captions(names: np.ndarray, captions: list[np.ndarray], generator: np.random.Generator) -> pa.Table:
    """Return the rows of one beam size after the other, in the order of `evaluate`."""
    words, count = _words(), len(names) * len(BEAMS)
    sentences = np.concatenate(captions)
    starts = np.arange(0, sentences.size + 1, sentences.shape[1], dtype=np.int32)
    logprob = -generator.gamma(8, 1, count)
    return pa.table(
        {
            **_keys(names),
            "caption": _joined(words, sentences),
            "words": pa.ListArray.from_arrays(
                pa.array(starts), pa.array(words[sentences.ravel()].tolist(), pa.string())
            ),
            "logprob": logprob,
            "score": logprob / 11,
            "finished": generator.random(count) > 0.01,
        },
        schema=TABLES["captions"],
    )


def _keys(names: np.ndarray) -> dict[str, np.ndarray]:
    return {"image_id": np.tile(names, len(BEAMS)), "beam_size": np.repeat(np.array(BEAMS, np.int32), len(names))}


def _scores(names: np.ndarray, quality: np.ndarray, generator: np.random.Generator) -> pa.Table:
    count = len(names) * len(BEAMS)
    schema = scored_schema("scores", METRICS)
    tags = [
        [],
        [{"tag": "generic", "evidence": "said of 12 images"}],
        [{"tag": "repetition", "evidence": "a dog a dog"}],
    ]
    kinds = generator.choice(3, count, p=[0.8, 0.12, 0.08])
    base = np.tile(quality, len(BEAMS))
    columns = {
        **_keys(names),
        **{metric: np.clip(base + generator.normal(0, 0.15, count), 0, 1) for metric in METRICS},
        "clip_truncated": np.zeros(count, bool),
        "tags": pa.array([tags[kind] for kind in kinds], schema.field("tags").type),
        "bleu_counts": pa.nulls(count, schema.field("bleu_counts").type),
        "meteor_counts": pa.nulls(count, schema.field("meteor_counts").type),
    }
    return pa.table(columns, schema=schema)


def _corpus(images: int) -> pa.Table:
    rows = [
        {
            "beam_size": beam,
            "metric": metric,
            "value": 0.5,
            "low": 0.49,
            "high": 0.51,
            "images": images,
            "signature": "",
        }
        for beam in BEAMS
        for metric in METRICS
    ]
    return tables.table_of("corpus_scores", rows)


def _record(images: int, photos: Path) -> dict:
    return {
        "run": RUN,
        "kind": "captioner",
        "created": "2026-01-01T00:00:00",
        "data": {"name": "drawn", "split": "val", "images": images},
        "roots": {"images": str(photos)},
        "beam_sizes": BEAMS,
    }


# The server, one run of the page at a time


class Session:
    """The Failures view in Streamlit's own test runner: the work of the server without a browser."""

    def __init__(self, results: Path, run: str) -> None:
        os.environ["CAPTIONSCOPE_RESULTS"] = str(results)
        from streamlit.testing.v1 import AppTest

        self.app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=120)
        self.app.query_params["run"] = run
        self.app.run()
        self.app.switch_page("views/failures.py")
        self.timed(show="gallery", plots="1")

    def timed(self, **chosen: str | None) -> float:
        """Return the seconds of a page run after choices changed, as a click changes them."""
        for key, value in chosen.items():
            if value is None and key in self.app.query_params:
                del self.app.query_params[key]
            elif value is not None:
                self.app.query_params[key] = value
        start = time.perf_counter()
        self.app.run()
        seconds = time.perf_counter() - start
        assert not self.app.exception, self.app.exception
        return seconds

    def next_case(self) -> float:
        button = next(button for button in self.app.button if button.label == "Next")
        start = time.perf_counter()
        button.click().run()
        return time.perf_counter() - start


def interactions(results: Path, run: str, beams: list[int], turns: int = _TURNS) -> Iterator[tuple[str, list[float]]]:
    """Yield (interaction, seconds of each turn); every turn needs a result that no other turn needed."""
    session = Session(results, run)
    metrics = ["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "clipscore", "refclipscore"]
    sorts = [(metric, order) for order in ("asc", "desc") for metric in metrics]
    yield "sort", [session.timed(sort=metric, order=order) for metric, order in (sorts * 2)[:turns]]
    yield "brush", [session.timed(in_cider=f"{0.1 + 0.01 * n:g}:{0.6 + 0.01 * n:g}") for n in range(turns)]
    lassos = [f"cider,clipscore;{n / 90:g},0.2;0.7,{0.3 + n / 90:g};0.6,0.8;0.3,0.9;0.2,0.6" for n in range(turns)]
    yield "lasso", [session.timed(in_cider=None, lasso=lasso) for lasso in lassos]
    words = [f"b{a}{b}{c}" for a in "aeiou" for b in "bc" for c in "aei"]
    yield "search", [session.timed(lasso=None, text=word[: 2 + n % 3] + "") for n, word in enumerate(words[:turns])]
    session.timed(text=None, sort="cider", order="asc")
    yield "next case", [session.next_case() for _ in range(turns)]
    sizes = [beams[(n + 1) % len(beams)] for n in range(turns)]
    yield "other beam size", [session.timed(beam=str(size)) for size in sizes]


# The browser


def in_a_browser(results: Path, run: str, beams: list[int]) -> dict[str, float]:
    """Measure seconds until the first view and Failures are complete, and the server's peak memory, MB."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        start = time.perf_counter()
        with served(results) as (address, server):
            page.goto(f"{address}/?run={run}")
            page.get_by_text("The whole split").wait_for()
            found = {"first view, s": time.perf_counter() - start}
            before = time.perf_counter()
            page.goto(f"{address}/failures?run={run}&show=gallery&plots=1")
            page.locator("button.card").first.wait_for()
            found["Failures opened for the first time, s"] = time.perf_counter() - before
            for beam in beams:
                page.goto(f"{address}/failures?run={run}&beam={beam}&text=ba")
                page.locator("button.card").first.wait_for()
            for view in ("beams", "compare"):
                page.goto(f"{address}/{view}?run={run}")
                page.get_by_test_id("stDataFrame").first.wait_for()
            found["memory of the server, MB"] = _peak(server)
        browser.close()
    return found


def maps_drawn(results: Path, run: str) -> list[float]:
    """Measure the milliseconds per word map of the first caption in the attention viewer, five times."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, served(results) as (address, _):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1920, "height": 1000})
        page.goto(f"{address}/attention?run={run}")
        page.locator("canvas.large[data-word]").wait_for()
        page.wait_for_timeout(500)  # the photo below the map is decoded
        took = page.locator("button.word").first.evaluate(
            """first => {
                const words = [...first.parentElement.children];
                const draw = word => {
                    const start = performance.now();
                    word.dispatchEvent(new PointerEvent("pointerenter"));
                    return performance.now() - start;
                };
                words.forEach(draw);  // once to warm up
                return [...Array(5)].flatMap(() => words.map(draw));
            }"""
        )
        browser.close()
    return took


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _print_turns(title: str, turns: Iterator[tuple[str, list[float]]]) -> None:
    print(f"\n{title}: milliseconds of the server, {_TURNS} interactions each")
    for name, seconds in turns:
        print(
            f"{name:>16}: median {1000 * statistics.median(seconds):4.0f}, worst {1000 * max(seconds):4.0f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="folder in which the run is kept (a temporary folder)")
    parser.add_argument(
        "--small", nargs=2, metavar=("RESULTS", "RUN"), help="also measure this run of a few hundred images"
    )
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = (options.folder or Path(temporary)) / "results"
        make_run(results, options.images)
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        if not options.no_browser:
            for name, value in in_a_browser(results, RUN, BEAMS).items():
                print(f"{name}: {value:,.1f}", flush=True)
        _print_turns(f"{options.images:,} images x {len(BEAMS)} beam sizes", interactions(results, RUN, BEAMS))
        if options.small:
            folder, run = Path(options.small[0]), options.small[1]
            record = records.read_record(records.run_folder(folder, run))
            _print_turns(run, interactions(folder, run, record["beam_sizes"]))
            if not options.no_browser:
                took = maps_drawn(folder.resolve(), run)
                print(f"a word's map drawn, ms: median {statistics.median(took):.1f}, worst {max(took):.1f}")


if __name__ == "__main__":
    main()
