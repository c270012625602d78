"""Stored values, read without `queries`."""


def scored(cursor, metric: str, run: str = "demo", beam: int = 1) -> dict[str, float]:
    """Return the stored values, read without `queries`."""
    rows = cursor.execute(f'SELECT image_id, "{metric}" FROM scores WHERE run = ? AND beam_size = ?', [run, beam])
    return dict(rows.fetchall())


def values_of(cursor, x: str, y: str) -> dict[str, tuple[float, float]]:
    first, second = scored(cursor, x), scored(cursor, y)
    return {image: (first[image], second[image]) for image in first}
