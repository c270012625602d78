"""Read the layout of the study's course: `p2_data/images/<split>` and `p2_data/<split>.json`."""

from dataclasses import replace
from pathlib import Path

from engine.data.coco import coco_content, is_coco
from engine.data.dataset import Dataset, DatasetError


class CourseReader:
    """Reads the folder of the study's course, or its `p2_data`."""

    name = "course"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return (path / "p2_data").is_dir() or ((path / "images").is_dir() and is_coco(path / "val.json"))

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        folder = path / "p2_data" if (path / "p2_data").is_dir() else path
        name = split or "val"
        file, root = folder / f"{name}.json", folder / "images" / name
        if not file.is_file():
            raise DatasetError(f"{path}: expected {file} and {root}; choose a split with --split")
        content = coco_content(file, folder / f"instances_{name}.json")
        tokenizer = next((each for each in (folder, path) if (each / "caption_tokenizer.json").is_file()), None)
        found = tokenizer / "caption_tokenizer.json" if tokenizer else None
        dataset = content.dataset(folder, path, "course", name, [root])
        return replace(dataset, name=path.resolve().name, tokenizer=found)
