"""Read Flickr8k: `captions.txt` or `Flickr8k.token.txt`, with the official split lists if they exist."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from engine.data.checks import caption_text, inside_name, ordered, read_text_file
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.files import quoted, rows
from engine.data.photos import is_photo
from engine.data.splits import hashed_split, listed_split


def _flickr_file(path: Path) -> Path | None:
    for name in ("captions.txt", "Flickr8k.token.txt"):
        for folder in (path, path / "Flickr8k_text"):
            if (folder / name).is_file():
                return folder / name
    return None


class Flickr8kReader:
    """Reads Flickr8k's captions with their folder of photos."""

    name = "flickr8k"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return path.suffix in (".txt", ".csv") if path.is_file() else _flickr_file(path) is not None

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        base = path.parent if path.is_file() else path
        file = path if path.is_file() else _flickr_file(path)
        if file is None:
            raise DatasetError(f"{path}: no captions.txt or Flickr8k.token.txt; expected Flickr8k's captions")
        base = base.parent if base.name == "Flickr8k_text" else base
        folders = (base / name for name in ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset"))
        root = next((folder for folder in folders if folder.is_dir()), None)
        if root is None:
            raise DatasetError(f"{file}: its photos are missing; expected them in {base / 'Images'}")
        references: dict[str, list[str]] = defaultdict(list)
        for name, caption in _flickr_captions(file):
            references[name].append(caption)
        examples = ordered(Example(Path(name).stem, name, tuple(texts)) for name, texts in references.items())
        dataset = Dataset(base.resolve().name, "flickr8k", path, "all", root, examples)
        lists = _flickr_splits(file.parent, base)
        return listed_split(dataset, lists, split) if lists else hashed_split(dataset, split, hold_out)


def _flickr_captions(file: Path) -> Iterable[tuple[str, str]]:
    """Yield (file name, caption) of `captions.txt` (CSV with header) or `Flickr8k.token.txt` (name#n, tab, caption)."""
    text = read_text_file(file)
    if "\t" in text.split("\n", 1)[0]:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            name, tab, caption = line.partition("\t")
            if not tab or "#" not in name:
                raise DatasetError(f"{file}: line {number} is {quoted(line)}, expected name#number, a tab, a caption")
            yield inside_name(name.rpartition("#")[0], file), caption_text(caption, f"{file}: line {number}")
        return
    table = rows(text, file, DatasetError)
    _, _, header = next(table, (0, 0, []))
    if [name.strip() for name in header] != ["image", "caption"]:
        raise DatasetError(f"{file}: the first line is {quoted(header)}, expected the header image,caption")
    lines = text.split("\n")
    for first, last, row in table:
        # Some copies of the file do not quote captions with commas, so everything after the name is the caption.
        if len(row) < 2:
            raise DatasetError(f"{file}: line {first} is {quoted(row)}, expected image,caption")
        swallowed = next((n for n in range(first + 1, last + 1) if is_photo(Path(lines[n - 1].split(",")[0]))), None)
        if swallowed is not None:
            raise DatasetError(
                f"{file}: line {first} opens a quote that is not closed before the next caption, in line {swallowed}"
            )
        yield inside_name(row[0], file), caption_text(",".join(row[1:]), f"{file}: line {first}")


def _flickr_splits(*folders: Path) -> dict[str, set[str]]:
    lists = {}
    for split, word in (("train", "train"), ("val", "dev"), ("test", "test")):
        for folder in folders:
            file = folder / f"Flickr_8k.{word}Images.txt"
            if file.is_file():
                lists[split] = {line.strip() for line in read_text_file(file).splitlines() if line.strip()}
    return lists
