"""Look up the images of a dataset by any name that other tools give them: ids, file names, with or without folders."""

import unicodedata
from functools import cached_property
from pathlib import Path

from engine.data.dataset import Dataset
from engine.data.photo_formats import has_photo_suffix
from engine.reading import quoted


class ImageNames:
    """The images of a dataset by name."""

    def __init__(self, dataset: Dataset, path: Path, error: type[ValueError]) -> None:
        """Index a dataset.

        Args:
            path: the file that the names come from, for messages.
            error: the exception to raise.
        """
        self._dataset, self._path, self._error = dataset, path, error
        self.known = {example.image_id for example in dataset.examples}
        self._by_id = {each.source_id: each.image_id for each in dataset.examples if each.source_id is not None}

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        return {_spelling(image_id): image_id for image_id in self.known}

    @cached_property
    def _by_number(self) -> dict[str, list[str]]:
        if self._by_id:
            numbers = ((source_id, image_id) for source_id, image_id in self._by_id.items())
        else:
            numbers = ((image_id.rpartition("_")[2], image_id) for image_id in sorted(self.known))
        found: dict[str, list[str]] = {}
        for text, image_id in numbers:
            if text.isdecimal():
                found.setdefault(_number(text), []).append(image_id)
        return found

    def find(self, name: str, is_id: bool = False) -> str:
        """Return the image id of a name.

        Args:
            is_id: the name was given as COCO's `image_id`. It is looked up among the ids of the annotation file, then
                among the file names; any other name in the opposite order. A number matches the file name that ends in
                it only if the dataset has no ids.

        Raises:
            The exception class of this object: the dataset has no such image, or several file names end in the number.
        """
        short = key(name)
        by_name = self._by_name(name.replace("\\", "/"), short)
        # A name with a photo's extension is a file name; its digits are not an id.
        by_id = self._by_id.get(name) if short == name else None
        image_id = (by_id or by_name) if is_id else (by_name or by_id)
        return image_id or self._by_digits(name, short)

    def _by_name(self, whole: str, short: str) -> str | None:
        # Ids include folders, or even extensions, if file names are not unique; the id of a.jpg.png is a.jpg.
        names = whole, without_extension(whole), short
        known = next((name for name in names if name in self.known), None)
        if known is not None:
            return known
        return next(filter(None, (self._by_spelling.get(_spelling(name)) for name in names)), None)

    def _by_digits(self, name: str, short: str) -> str:
        is_file_name = short != name and self._by_id
        close = self._by_number.get(_number(short), []) if short.isdecimal() and not is_file_name else []
        if len(close) > 1:
            raise self._error(
                f"{self._path}: the image {quoted(name)} matches both {quoted(close[0])} and {quoted(close[1])}; "
                f"use the file names of {self._dataset.path} instead"
            )
        if not close:
            raise self._error(
                f"{self._path}: the image {quoted(name)} is not in {self._dataset.path} (split {self._dataset.split}, "
                f"{len(self.known)} images); choose the dataset or --split that the file was made for"
            )
        return close[0]


def key(name: str) -> str:
    """Return a file name or id without folder and photo extension."""
    return without_extension(name.replace("\\", "/").rpartition("/")[2])


def without_extension(name: str) -> str:
    """Return a file name without a photo's extension; a number after a dot is not one."""
    return name.rpartition(".")[0] if has_photo_suffix(name) and name.rpartition(".")[0] else name


def _number(digits: str) -> str:
    """Return a number without leading zeros."""
    return digits.lstrip("0") or "0"


def _spelling(name: str) -> str:
    """Return a name in Unicode NFC: an é may be one code point or, on macOS, two."""
    return unicodedata.normalize("NFC", name)
