"""Guided masks: a faithful map from few masks, whose peak is that of attention.

RISE needs hundreds of masks because the mean over masks that show a cell also varies with all other cells. Here p(word)
under M random masks is explained by a sum over visible cells: a Gaussian process whose prior mean follows attention and
whose neighbouring cells are similar. Attention points at objects better than masks do, so its largest cell comes first;
all other cells are ordered by what the masks showed.
"""

import numpy as np

MASKS = 60
_REACH = 1.2
"""Standard deviation, in cells, of the similarity of cells."""
_NOISE = 0.2
"""Variance of p(word) that single cells do not explain, relative to the variance that they do."""


def guided(found: np.ndarray, visible: np.ndarray, attention: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return maps float64[W, P].

    Args:
        found: p(word) of each word under each mask, float64[W, M].
        visible: bool[M, P].
        attention: float[W, P].
    """
    masks = visible.astype(np.float64)
    similar = _similarity(grid)
    cross = masks @ similar  # covariance of masks and cells, [M, P]
    joint = cross @ masks.T
    size = np.trace(joint) / len(joint)
    inverse = np.linalg.inv(joint / size + _NOISE * np.eye(len(joint)))
    smooth = attention @ (similar / similar.sum(0))
    maps = [_posterior(*each, masks, cross / size, inverse) for each in zip(found, smooth, strict=True)]
    peaks = np.eye(masks.shape[1])[attention.argmax(1)]
    return np.stack(maps) + 2 * peaks


def _similarity(grid: tuple[int, int]) -> np.ndarray:
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    distances = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    return np.exp(-distances / (2 * _REACH**2))


def _posterior(
    found: np.ndarray, attention: np.ndarray, masks: np.ndarray, cross: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """Return the mean of the cells' effects given p(word) under the masks, scaled to 0..1: float64[P]."""
    prior = attention / max(attention.sum(), 1e-12)
    design = np.column_stack([np.ones(len(masks)), masks @ prior])
    weighted = design.T @ inverse
    level = np.linalg.lstsq(weighted @ design, weighted @ found, rcond=None)[0]
    effects = cross.T @ inverse @ (found - design @ level) + max(level[1], 0.0) * prior
    spread = np.ptp(effects)
    return (effects - effects.min()) / (spread if spread > 0 else 1.0)
