"""The command `export`: a run as a file of other programs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser

if TYPE_CHECKING:
    from engine.export.source import Source

FORMATS = ("coco", "csv", "parquet", "fiftyone", "html")


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "export",
        run,
        "write the captions of a run for other programs",
        "python -m engine export demo --to html --beam 3",
    )
    command.add_argument("name", metavar="RUN", help="name of a finished run")
    command.add_argument(
        "--to",
        required=True,
        choices=FORMATS,
        help="COCO results for the test server; a table as CSV or Parquet; a FiftyOne dataset; a gallery of HTML",
    )
    command.add_argument(
        "--beam", type=int, metavar="SIZE", help="beam size (default: the best one by CIDEr, as for compare)"
    )
    command.add_argument(
        "--out", type=Path, metavar="PATH", help="file or folder to write (default: a name in the current folder)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.export import source, target

    if options.out is not None:
        target.check(options.out)  # before the run is read, which takes longer
    found = source.read(options.results, options.name, options.beam)
    default, write = _writer(options.to, found)
    out = options.out or Path(default)
    said = write(found, out)
    size = f", beam size {found.beam_size}" if found.beam_size else ""
    print(f"{out}: {len(found.cases):,} captions of run {found.run}{size}")
    if said:
        print(said)
    return 0


def _writer(format: str, found: "Source") -> "tuple[str, Callable[[Source, Path], str | None]]":
    """Return the default name of an export and what writes it."""
    from engine.export import coco, fiftyone_folder, flat, gallery

    return {
        "coco": (coco.file_name(found), coco.write),
        "csv": (f"{found.name}.csv", flat.write_csv),
        "parquet": (f"{found.name}.parquet", flat.write_parquet),
        "fiftyone": (f"{found.name}_fiftyone", fiftyone_folder.write),
        "html": (f"{found.name}_html", gallery.write),
    }[format]
