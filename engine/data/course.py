"""Read the layout of the study's course: `p2_data/images/<split>` and `p2_data/<split>.json`."""

from pathlib import Path

from engine.data.coco import coco_examples
from engine.data.dataset import Dataset, DatasetError


class CourseReader:
    """Reads the folder of the study's course, or its `p2_data`."""

    name = "course"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return (path / "p2_data").is_dir() or ((path / "images").is_dir() and (path / "val.json").is_file())

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        folder = path / "p2_data" if (path / "p2_data").is_dir() else path
        name = split or "val"
        file, root = folder / f"{name}.json", folder / "images" / name
        if not file.is_file() or not root.is_dir():
            raise DatasetError(f"{path}: expected {file} and {root}; choose a split with --split")
        examples = coco_examples(file, folder / f"instances_{name}.json")
        tokenizer = next((each for each in (folder, path) if (each / "caption_tokenizer.json").is_file()), None)
        found = tokenizer / "caption_tokenizer.json" if tokenizer else None
        return Dataset(path.resolve().name, "course", path, name, root, examples, tokenizer=found)
