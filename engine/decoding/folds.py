"""The prefixes of each image side by side, so that what belongs to an image is stored and read once for all of them."""

import torch
from torch import Tensor


class Folds:
    """Positions of R prefixes in a padded block [B, K, ...], K being the largest number of prefixes of an image."""

    def __init__(self, images: Tensor, count: int, room: int, slots: Tensor | None) -> None:
        """`images`: int64[R], ascending, the image of each prefix; `slots`: int64[R], None without padding."""
        self.images, self.count, self.room, self._slots = images, count, room, slots

    @classmethod
    def even(cls, count: int, each: int, device: torch.device) -> "Folds":
        """Return the positions for `count` images with `each` prefixes."""
        return cls(torch.arange(count, device=device).repeat_interleave(each), count, each, None)

    @classmethod
    def uneven(cls, images: Tensor, count: int) -> "Folds":
        """Return the positions for `count` images with at least one prefix each; `images`: int64[R], ascending."""
        counts = torch.bincount(images, minlength=count)
        room = int(counts.max())
        if room * count == len(images):
            return cls(images, count, room, None)
        first = counts.cumsum(0) - counts
        return cls(images, count, room, images * room + torch.arange(len(images), device=images.device) - first[images])

    def chosen(self, parents: Tensor) -> "tuple[Folds, Tensor]":
        """Return the positions after prefix r is replaced by the prefix at parents[r], int64[R'].

        The prefixes of an image must stay adjacent. Also returned are the images that have prefixes left, int64[B'];
        the others are dropped.
        """
        stay, places = self.images[parents].unique_consecutive(return_inverse=True)
        return Folds.uneven(places, len(stay)), stay

    def to(self, device: torch.device) -> "Folds":
        """Return the same positions on a device."""
        if self.images.device == device:
            return self
        slots = None if self._slots is None else self._slots.to(device)
        return Folds(self.images.to(device), self.count, self.room, slots)

    def fold(self, x: Tensor) -> Tensor:
        """Return [R, D] as [B, K, D], padded with zeros."""
        if self._slots is not None:
            x = x.new_zeros(self.count * self.room, x.shape[-1]).index_copy_(0, self._slots, x)
        return x.reshape(self.count, self.room, -1)

    def unfold(self, x: Tensor) -> Tensor:
        """Return [B, K, D] as [R, D], without padding."""
        x = x.reshape(self.count * self.room, -1)
        return x if self._slots is None else x.index_select(0, self._slots)
