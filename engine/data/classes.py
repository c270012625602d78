"""Read classification sets in the course's layout: `val/{label}_{id}.png` next to `id2label.json`."""

from pathlib import Path

from engine.data.checks import checked, ordered, read_json_file
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.folder import no_photos
from engine.data.photo_formats import files_in
from engine.reading import quoted


def load_classes(path: Path) -> Dataset:
    """Load a classification set in the course's layout: `val/{label}_{id}.png` next to `id2label.json`.

    `path` is that folder, or its parent if the folder is named `p1_data`.

    Raises:
        DatasetError: `path` does not have this layout, two classes share a name, a photo's label is unknown, or
            there are no photos.
    """
    folder = path / "p1_data" if (path / "p1_data").is_dir() else path
    table = folder / "id2label.json"
    if not table.is_file():
        raise DatasetError(f"{path}: no id2label.json; expected {{label}}_{{id}}.png under val/ next to id2label.json")
    names = read_json_file(table)
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise DatasetError(f"{table}: expected an object from label number to class name")
    _check_class_names(table, names)
    root = folder / "val" if (folder / "val").is_dir() else folder
    examples, files = [], files_in(root)
    for photo in files.photos:
        number = photo.stem.split("_")[0]
        if number not in names:
            raise DatasetError(
                f"{photo}: its label {quoted(number)} is not in {table.name}; expected {{label}}_{{id}}{photo.suffix}"
            )
        examples.append(Example(photo.stem, photo.name, label=names[number]))
    ids = tuple(sorted(names, key=lambda key: (len(key), key)))
    labels = tuple(names[key] for key in ids)
    real = folder.resolve()
    name = real.parent.name if real.name == "p1_data" else real.name
    dataset = Dataset(name, "classes", path, "val", root, ordered(examples), labels, ids)
    return checked(dataset.remarking(no_photos(files, root) if root != folder else ""))


def _check_class_names(table: Path, names: dict[str, str]) -> None:
    """Raise `DatasetError` if two classes share a name (as ImageNet's cranes do): names identify classes everywhere."""
    first: dict[str, str] = {}
    for number, name in names.items():
        other = first.setdefault(" ".join(name.split()), number)
        if other != number:
            raise DatasetError(
                f"{table}: the classes {other} and {number} have the same name {quoted(name)}; "
                f"give them different names, such as {quoted(name + ' (a kind of ...)')}"
            )
