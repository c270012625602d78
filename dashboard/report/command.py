"""The command `python -m dashboard.report`: the report of a run as a zip, one HTML file or one PDF.

python -m dashboard.report RUN --out report.zip
"""

import argparse
import sys
from pathlib import Path

from dashboard.figures.heatmaps import SCALES, SUBTRACT, AttentionView
from dashboard.report import archive, exports, forms, web
from dashboard.report.archive import ReportError
from dashboard.report.source import PARTS, Source
from engine.store import atomic, queries
from engine.store.errors import ResultsError


def _check_options(options: argparse.Namespace, source: Source) -> None:
    """Raise if --layer or --head does not exist or --out cannot be written."""
    run, stored = source.run, source.query(queries.attention_parts, source.run.name)
    for name, part in (("layer", "decoder_layers"), ("head", "heads")):
        # Large maps are averaged over heads: the stored ones count.
        most = run.part("captioner", part) if stored.empty else int(stored[f"{name}s"].item())
        value = getattr(options, name)
        if value is not None and isinstance(most, int) and not 0 <= value <= most:
            raise ReportError(f"--{name} {value}: run {run.name!r} has {most}; expected 1 to {most}, or 0 for the mean")
    if options.out.is_dir():
        raise ReportError(
            f"--out {options.out} is a folder; expected a file such as report.zip, report.html or report.pdf"
        )
    if next(parent for parent in options.out.parents if parent.exists()).is_file():
        raise ReportError(f"--out {options.out}: one of its folders is a file; choose another --out")
    options.out.parent.mkdir(parents=True, exist_ok=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m dashboard.report`."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard.report",
        description="Write a whole report: a zip of figures, tables and report.md, one HTML file, or one PDF.",
    )
    parser.add_argument("run", metavar="RUN", help="name of a finished run")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file to write: report.zip, report.html or report.pdf"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="FOLDER", help="results folder (default: results)"
    )
    parser.add_argument("--beam", type=int, metavar="SIZE", help="beam size of the report (default: the best one)")
    parser.add_argument("--images", nargs="+", default=[], metavar="ID", help="images whose attention maps are shown")
    parser.add_argument("--zero-shot", metavar="RUN", help="run with zero-shot results, if RUN has none")
    parser.add_argument("--photos", metavar="RUN", help="run with attention maps of the photos to show")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    parser.add_argument(
        "--layer", type=int, metavar="N", help="layer of the maps; 0 is the mean over layers (default: the last)"
    )
    parser.add_argument("--head", type=int, metavar="N", help="head of the maps; 0 is the mean over heads (default: 0)")
    parser.add_argument(
        "--subtract", choices=SUBTRACT, help="subtract each caption's mean map, or only its sinks (default: none)"
    )
    parser.add_argument(
        "--subtract-mean", dest="subtract", action="store_const", const="mean", help="the same as --subtract mean"
    )
    parser.add_argument("--colours", choices=SCALES, help=f"colour scale of the maps (default: {AttentionView.scale})")
    parser.add_argument(
        "--opacity",
        type=_percent,
        metavar="PERCENT",
        help=f"opacity of the maps over the photo (default: {AttentionView.opacity})",
    )
    return parser


def _percent(written: str) -> int:
    if written not in map(str, range(101)):
        raise argparse.ArgumentTypeError(f"{written!r}: expected a whole number from 0 to 100")
    return int(written)


def main(arguments: list[str] | None = None) -> int:
    """Write a report and return the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        attention = {
            "layer": options.layer,
            "head": options.head,
            "subtract": options.subtract,
            "opacity": options.opacity,
            "scale": options.colours,
        }
        parts = {part: name for part in PARTS if (name := getattr(options, part))}
        source, problems = archive.open_source(
            options.results, options.run, options.beam, options.images, attention, parts
        )
        _check_options(options, source)
        for problem in problems:
            print(f"skipped: {problem.path}: {problem.reason}", file=sys.stderr)
        make = forms.maker(options.out)
        if make is archive.make and exports.browser_missing():
            print(f"{exports.browser_missing()} The report contains HTML figures instead.", file=sys.stderr)
        atomic.write_bytes(options.out, make(source) if options.quiet else make(source, _say))
    except (ReportError, ResultsError, exports.NoBrowser, web.PrintError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        exports.close_browser()
    print(options.out)
    return 0


def _say(done: int, total: int, title: str) -> None:
    if title:
        print(f"{done + 1} of {total}: {title}", file=sys.stderr)
