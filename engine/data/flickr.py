"""Read Flickr8k and Flickr30k: their captions files, with the official split lists of Flickr8k if they exist.

Flickr30k's usual splits are Karpathy's; `dataset_flickr30k.json` has them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from engine.data.checks import caption_text, inside_name, ordered, photo_ids, read_text_file
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.files import rows
from engine.data.photo_formats import has_photo_suffix
from engine.data.placement import place
from engine.data.splits import hashed_split, listed_split
from engine.reading import head, quoted

_BARS = re.compile(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*")
_TOKENS = re.compile(r"[^\t\n]+#\d+\t")
_COMMAS = re.compile(r'"?(image|image_name)"?\s*,\s*("?comment_number"?\s*,\s*)?"?(caption|comment)"?\s*')


class FlickrReader:
    """Reads the captions of one of the two datasets with their folder of photos."""

    def __init__(self, name: str, files: tuple[str, ...], folders: tuple[str, ...]) -> None:
        """Create a reader.

        Args:
            name: the format.
            files: patterns of the captions file, in the order in which they are tried.
            folders: usual names of the folder of photos.
        """
        self.name, self._files, self._folders = name, files, folders

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        if path.is_file():
            # Any CSV with this header: Flickr8k's commas need no quotes.
            is_named = any(path.match(pattern) for pattern in self._files)
            return (is_named or (self.name == "flickr8k" and path.suffix == ".csv")) and is_flickr(path)
        return self._file(path) is not None

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        base = path.parent if path.is_file() else path
        file = path if path.is_file() else self._file(path)
        if file is None:
            raise DatasetError(f"{path}: no {' or '.join(self._files)}; expected the captions of {self.name}")
        base = base.parent if base.name == "Flickr8k_text" else base
        references: dict[str, list[str]] = defaultdict(list)
        for name, caption in _captions(file):
            references[name].append(caption)
        root, names = place(base, list(references), [base / folder for folder in self._folders])
        examples = [
            Example(image_id, name, tuple(texts))
            for image_id, name, texts in zip(photo_ids(names), names, references.values(), strict=True)
        ]
        dataset = Dataset(base.resolve().name, self.name, path, "all", root, ordered(examples))
        lists = _splits(file.parent, base)
        return listed_split(dataset, lists, split) if lists else hashed_split(dataset, split, hold_out)

    def files(self, folder: Path) -> list[Path]:
        """Return the annotation files of a folder."""
        file = self._file(folder)
        return [] if file is None else [file]

    def _file(self, folder: Path) -> Path | None:
        found = (
            file
            for pattern in self._files
            for place in (folder, folder / "Flickr8k_text")
            for file in sorted(place.glob(pattern))
        )
        return next(filter(is_flickr, found), None)


FLICKR8K = FlickrReader(
    "flickr8k",
    ("captions.txt", "captions.csv", "Flickr8k.token.txt", "*.txt"),
    ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset"),
)
FLICKR30K = FlickrReader(
    "flickr30k",
    ("results*.csv", "*.token"),
    ("flickr30k_images", "flickr30k-images", "flickr30k_images/flickr30k_images", "Images", "images"),
)


def is_flickr(file: Path) -> bool:
    """Return whether a file has captions in one of the forms of these datasets, by its first line."""
    first = head(file).lstrip("\n").split("\n", 1)[0].strip()
    return any(form.match(first) for form in (_BARS, _TOKENS)) or bool(_COMMAS.fullmatch(first))


def _captions(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (file name, caption)."""
    text = read_text_file(file)
    first = text.lstrip("\n").split("\n", 1)[0]
    read = _token_lines if _TOKENS.match(first) else _bar_lines if _BARS.fullmatch(first) else _csv_rows
    for where, name, caption in read(file, text):
        yield inside_name(name, file), caption_text(caption, where)


def _token_lines(file: Path, text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (where, file name, caption) of lines `name#number`, tab, caption."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab or "#" not in name:
            raise DatasetError(f"{file}: line {number} is {quoted(line)}, expected name#number, a tab, a caption")
        yield f"{file}: line {number}", name.rpartition("#")[0], caption


def _bar_lines(file: Path, text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (where, file name, caption) of lines `name| number| caption`.

    In a line of the published file the second bar is missing.
    """
    for number, line in enumerate(text.split("\n")[1:], 2):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*([^|]+?)\s*\|\s*\d+\s*[|\s]\s*(.*)", line)
        if found is None:
            raise DatasetError(f"{file}: line {number} is {quoted(line)}, expected name| number| caption")
        yield f"{file}: line {number}", found[1], found[2]


def _csv_rows(file: Path, text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (where, file name, caption) of a CSV file with the header `image,caption`."""
    table = rows(text, file, DatasetError)
    _, _, header = next(table, (0, 0, []))
    if not _COMMAS.fullmatch(",".join(header)):
        raise DatasetError(f"{file}: the first line is {quoted(header)}, expected the header image,caption")
    before = len(header) - 1
    lines = text.split("\n")
    for first, last, row in table:
        # Some copies of the file do not quote captions with commas, so everything after the name is the caption.
        if len(row) <= before:
            raise DatasetError(f"{file}: line {first} is {quoted(row)}, expected {','.join(header)}")
        swallowed = next((n for n in range(first + 1, last + 1) if has_photo_suffix(lines[n - 1].split(",")[0])), None)
        if swallowed is not None:
            raise DatasetError(
                f"{file}: line {first} opens a quote that is not closed before the next caption, in line {swallowed}"
            )
        yield f"{file}: line {first}", row[0], ",".join(row[before:])


def _splits(*folders: Path) -> dict[str, set[str]]:
    lists = {}
    for split, word in (("train", "train"), ("val", "dev"), ("test", "test")):
        for folder in folders:
            file = folder / f"Flickr_8k.{word}Images.txt"
            if file.is_file():
                lists[split] = {line.strip() for line in read_text_file(file).splitlines() if line.strip()}
    return lists
