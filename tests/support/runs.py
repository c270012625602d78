"""Small, complete results with known content: what the dashboard and the queries are tested against.

The tables are written through `engine.store.tables`; no number here comes from a model.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from engine.statistics import bootstrap_mean_interval
from engine.store import records, tables
from engine.store.schema import END_WORD

BEAMS = [1, 3, 5]
METRICS = ["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "clipscore", "refclipscore"]
TEMPLATES = ["This is a photo of {object}", "This is a {object} image.", "No {object}, no score."]
SCRIPT = "<script>alert('caption')</script> a **dog** on the $grass$"
"""A stranger's caption that must stay text: HTML, Markdown and a formula."""

SCRIPT_IMAGE = "scene_04"
ROTATED_IMAGE = "scene_05"
"""Stored lying on its side, with an EXIF orientation that turns it upright."""

_COLOURS = {"red": (200, 60, 50), "blue": (60, 90, 200), "green": (60, 150, 80), "yellow": (225, 190, 60)}
_SHAPES = ["circle", "square", "triangle"]
_SIGNATURES = {"clipscore": "clipscore|clip:demo|w:2.5|prefix:A photo depicts |v:0.1"}


def image_ids() -> list[str]:
    """The twelve images of the captioner run."""
    return [f"scene_{index:02d}" for index in range(12)]


def captioner_run(results: Path, run: str = "demo", grid: int = 14) -> Path:
    """A whole captioner run: twelve photos, three beam sizes, attention on a `grid` x `grid` raster, zero-shot."""
    photos = results.parent / "photos"
    folder = records.run_folder(results, run)
    captions = _captions()
    tables.write_table(folder, "images", tables.table_of("images", [_draw(photos, i) for i in range(12)]))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    _write_scores(folder, captions, METRICS)
    tables.write_table(folder, "attention", tables.table_of("attention", _attention(captions, grid)))
    tables.write_table(folder, "zero_shot", tables.table_of("zero_shot", _zero_shot()))
    tables.write_table(folder, "training", tables.table_of("training", _training()))
    aside = [{"image_id": "broken", "file_name": "broken.png", "reason": "the file ends in the middle of the picture"}]
    tables.write_table(folder, "skipped", tables.table_of("skipped", aside))
    records.write_record(folder, _captioner_record(run, photos))
    return folder


def partial_run(results: Path, run: str = "partial") -> Path:
    """Predictions for five photos of the captioner run and one of its own, scored by CIDEr on other terms."""
    folder = records.run_folder(results, run)
    names = [*image_ids()[:5], "elsewhere"]
    images = [{"image_id": name, "file_name": f"{name}.png", "references": ["A shape ."]} for name in names]
    captions = [{"image_id": name, "beam_size": 0, "caption": "a shape", "words": ["a", "shape"]} for name in names]
    scores = [{"image_id": name, "beam_size": 0, "tags": [], "cider": 0.1 * place} for place, name in enumerate(names)]
    corpus = {"beam_size": 0, "metric": "cider", "value": 0.25, "images": 6, "signature": "cider|tok:ptb|n:6|v:0.1"}
    tables.write_table(folder, "images", tables.table_of("images", images))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    tables.write_table(folder, "scores", tables.table_of("scores", scores, ["cider"]))
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", [corpus]))
    roots = {"images": str(results.parent / "photos")}
    records.write_record(folder, {"run": run, "kind": "predictions", "roots": roots, "data": {"name": "demo"}})
    return folder


HITS = {"scene_00": (True, False), "scene_01": (True, True), "scene_02": (False, False), "scene_03": (True, None)}
"""By image: whether the brightest patch of a noun lies in its box, and in another image's (None: there is none)."""


def add_grounding(folder: Path) -> Path:
    """At beam size 1 of a captioner run, the third words, shapes, held against their boxes as HITS says: two layers
    with a head each, whose second points as chance does, and the words beside the noun at the mean of heads."""
    measured = [(0, -1, 0), (0, 0, 0), (1, -1, 0), (1, 0, 0), (0, -1, -1), (1, -1, 1)]
    found = [
        {
            **{"image_id": image_id, "beam_size": 1, "word_index": 2, "word": shape, "label": shape},
            **{"layer": layer, "head": head, "offset": offset, "mass": 0.5, "lift": 4.0 if layer == 0 else 1.0},
            **{"hit": hit if layer == 0 else bool(chance), "shuffled_hit": chance},
        }
        for (image_id, (hit, chance)), shape in zip(HITS.items(), _SHAPES + _SHAPES[:1], strict=True)
        for layer, head, offset in measured
    ]
    tables.write_table(folder, "grounding", tables.table_of("grounding", found))
    return folder


WORTH = {1: [1.0], 3: [0.5, 1.5, 0.25], 5: [1.0, 0.5]}
"""CIDEr of each hypothesis of every image at a beam size; CLIPScore is half of it."""


def add_hypotheses(folder: Path) -> Path:
    """The n best of a captioner run, with the scores of WORTH; rank 1 says what the caption says."""
    rows = [
        {**{key: row[key] for key in ("image_id", "beam_size", "logprob", "score", "finished")}, "rank": rank}
        | {"caption": f"{row['caption']} again" * (rank > 1) or row["caption"], "cider": cider, "clipscore": cider / 2}
        for row in _captions()
        for rank, cider in enumerate(WORTH[row["beam_size"]], 1)
    ]
    tables.write_table(folder, "hypotheses", tables.table_of("hypotheses", rows, ["cider", "clipscore"]))
    return folder


ALARMS = {f"scene_{index:02d}": index / 20 for index in range(12)}
"""By image: the alarm of the third word of its caption at beam size 1, a shape."""


def add_words(folder: Path) -> Path:
    """At beam size 1 of a captioner run, the words of each caption, with ALARMS; ten samples of each image, of which
    images with an even number agree in all and the others in three; an alarm, bins, two methods and their maps."""
    captions = [row for row in _captions() if row["beam_size"] == 1 and row["image_id"] != SCRIPT_IMAGE]
    for name, rows in (
        ("words", [word for row in captions for word in _words_of(row)]),
        ("samples", [sample for row in captions for sample in _samples_of(row)]),
        ("explanations", [each for row in captions for each in _explained(row)]),
        ("certificates", [_certificate(name) for name in ("random", "attention", "gradient")]),
        ("alarms", [_ALARM]),
        ("alarm_bins", [_bin(n) for n in range(1, 6)]),
    ):
        tables.write_table(folder, name, tables.table_of(name, rows))
    record = records.read_record(folder) | {"plan": {"words": {"labels": _SHAPES}}}
    records.write_record(folder, record)
    return folder


_ALARM = {"beam_size": 1, "kind": "object", "words": 11, "wrong": 5, "auroc": 0.9, "low": 0.8, "high": 0.95}


def _bin(number: int) -> dict[str, Any]:
    key = {"beam_size": 1, "kind": "object", "bin": number}
    return key | {"words": 2, "said": number / 10, "wrong": number / 8}


def _words_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, word in enumerate(row["words"]):
        key = {"image_id": row["image_id"], "beam_size": 1, "word_index": place, "word": word}
        found.append(key | {"logprob": -0.5, "rank": 1 + place % 2, "entropy": 1.0, "gain_grey": place - 1.0})
    alarm = ALARMS[row["image_id"]]
    found[2] |= {
        **{"label": found[2]["word"], "label_words": 1, "fact": "object", "alarm": alarm, "agreement": 1 - alarm},
        **{"verdict": "wrong" if alarm > 0.3 else "correct", "evidence": "1 boxes, 3 of 3 references"},
        **{"region_effect": 1.5, "object_effect": 2.5},
    }
    return found


def _samples_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    shape, index = row["words"][2], int(row["image_id"].split("_")[1])
    agreeing = 5 if index % 2 == 0 else 3
    captions = [f"a {shape} of five"] * agreeing + ["nothing of the kind"] * (5 - agreeing)
    views = {"mirrored": captions, "zoomed": captions[:5] if index % 2 == 0 else ["nothing at all"] * 5}
    return [{"image_id": row["image_id"], "view": view, "captions": said} for view, said in views.items()]


def _explained(row: dict[str, Any]) -> list[dict[str, Any]]:
    key = {"image_id": row["image_id"], "beam_size": 1, "word_index": 2, "word": row["words"][2]}
    measured = {"hit": True, "chance": 0.1, "deletion": 0.2, "insertion": 0.5, "seconds": 0.01}
    peaks = {"random": 3, "attention": 100, "gradient": 101}
    shape = {"grid_height": 14, "grid_width": 14}
    return [
        key | measured | shape | {"label": row["words"][2], "method": name, "map": _one_cell(peak)}
        for name, peak in peaks.items()
    ]


def _one_cell(peak: int) -> bytes:
    return bytes(255 if place == peak else 20 for place in range(196))


def _certificate(method: str) -> dict[str, Any]:
    hit = {"random": 0.1, "attention": 0.8, "gradient": 0.9}[method]
    values = {"hit": hit, "deletion": 0.2, "insertion": 0.3 + hit / 5}
    gains = {} if method == "attention" else {f"{name}_gain": 0.1 for name in values}
    ends = {f"{name}_{end}": value + by for name, value in (values | gains).items() for end, by in _ENDS.items()}
    counts = {"beam_size": 1, "method": method, "nouns": 11, "images": 11, "chance": 0.15, "seconds": 0.01}
    return counts | values | gains | ends | {"certified": method != "random", "recommended": method == "gradient"}


_ENDS = {"low": -0.05, "high": 0.05}


def strangers_run(results: Path, run: str = "strangers") -> Path:
    """The demo run again, as if its images had only their ids from it."""
    folder, demo = records.run_folder(results, run), records.run_folder(results, "demo")
    for table in ("captions", "scores", "corpus_scores"):
        tables.write_table(folder, table, tables.read_table(demo, table))
    rows = [{**row, "references": ["nothing of the kind"]} for row in tables.read_table(demo, "images").to_pylist()]
    tables.write_table(folder, "images", tables.table_of("images", rows))
    records.write_record(folder, {"run": run})
    return folder


def imported_run(results: Path, run: str = "predictions") -> Path:
    """A scored prediction file: beam size 0, no logprob, no attention, and photos that are nowhere."""
    folder = records.run_folder(results, run)
    images = [
        {"image_id": f"flickr_{i}", "file_name": f"flickr_{i}.jpg", "references": ["A man rides a horse ."]}
        for i in range(5)
    ]
    words = ["a", "man", "on", "a", "horse"]
    captions = [
        {
            "image_id": row["image_id"],
            "beam_size": 0,
            "caption": " ".join(words),
            "words": words,
        }
        for row in images
    ]
    tables.write_table(folder, "images", tables.table_of("images", images))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    _write_scores(folder, captions, ["cider", "bleu_1", "bleu_4", "rouge_l"])
    record = {
        "run": run,
        "kind": "predictions",
        "created": "2026-01-03T10:00:00",
        "command": f"python -m engine score predictions.json --data flickr8k --run {run}",
        "data": {"name": "flickr8k", "split": "test", "images": 5, "references": 5},
        "captioner": None,
        "clip": None,
        "roots": {"images": str(results.parent / "nowhere")},
        "beam_sizes": [0],
    }
    records.write_record(folder, record)
    return folder


def unfinished_run(results: Path, run: str = "stopped") -> Path:
    """A run that was stopped before its record: it has tables and no run.json."""
    folder = records.run_folder(results, run)
    tables.write_table(folder, "images", tables.table_of("images", [{"image_id": "a", "file_name": "a.png"}]))
    return folder


def corrupt_table(folder: Path, table: str) -> Path:
    """Cuts a Parquet file of a finished run in half."""
    path = folder / f"{table}.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _scene(index: int) -> tuple[str, str]:
    return list(_COLOURS)[index % 4], _SHAPES[index % 3]


def _draw(photos: Path, index: int) -> dict[str, Any]:
    """Draws one photo and gives its row of `images`."""
    colour, shape = _scene(index)
    width, height = [(320, 240), (240, 320), (300, 300)][index % 3]
    image = Image.new("RGB", (width, height), (225, 228, 220))
    ImageDraw.Draw(image).rectangle([0, height * 0.7, width, height], fill=(150, 170, 130))
    box = _box(index, width, height)
    _draw_shape(ImageDraw.Draw(image), shape, box, _COLOURS[colour])
    photos.mkdir(parents=True, exist_ok=True)
    name = f"{image_ids()[index]}.png"
    _save(image, photos / name, rotated=image_ids()[index] == ROTATED_IMAGE)
    x0, y0, x1, y1 = box
    return {
        "image_id": image_ids()[index],
        "file_name": name,
        "width": width,
        "height": height,
        "references": [f"A {colour} {shape} on the grass .", f"There is a {shape} .", f"A {shape} that is {colour} ."],
        "objects": [{"label": shape, "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}],
        "conditions": [["dark"], [], ["small", "blurred"]][index % 3],
    }


def _box(index: int, width: int, height: int) -> tuple[float, float, float, float]:
    side = min(width, height) * 0.35
    x, y = (width - side) * (index % 5) / 4, (height - side) * (0.25 + 0.5 * (index % 2))
    return x, y, x + side, y + side


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, box: tuple[float, ...], fill: tuple[int, ...]) -> None:
    x0, y0, x1, y1 = box
    if shape == "circle":
        draw.ellipse(box, fill=fill)
    elif shape == "square":
        draw.rectangle(box, fill=fill)
    else:
        draw.polygon([(x0, y1), (x1, y1), ((x0 + x1) / 2, y0)], fill=fill)


def _save(image: Image.Image, path: Path, rotated: bool) -> None:
    if not rotated:
        image.save(path)
        return
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn a quarter clockwise to see it upright"
    image.rotate(90, expand=True).save(path, exif=exif)


def _captions() -> list[dict[str, Any]]:
    """Beam 1 ends images 2 and 7 unfinished; beam 3 changes every second caption; beam 5 changes none of beam 3's."""
    rows = []
    for index, image_id in enumerate(image_ids()):
        colour, shape = _scene(index)
        wrong, _ = _scene(index + 1)
        greedy = f"a {wrong} {shape} on the grass" if index % 2 else f"a {colour} {shape} on the grass"
        if image_id == SCRIPT_IMAGE:
            greedy = SCRIPT
        for beam in BEAMS:
            caption = greedy if beam == 1 or index % 2 == 0 else f"a {colour} {shape} is standing on the green grass"
            words = caption.split()
            logprob = -0.45 * len(words) - 0.1 * index + 0.05 * beam
            rows.append(
                {
                    "image_id": image_id,
                    "beam_size": beam,
                    "caption": caption,
                    "words": words,
                    "logprob": logprob,
                    "score": logprob / (len(words) + 1),
                    "finished": not (beam == 1 and index in (2, 7)),
                }
            )
    return rows


def _write_scores(folder: Path, captions: list[dict[str, Any]], metrics: list[str]) -> None:
    """Scores that fall with the image's number, and the corpus values that follow from them."""
    generator = np.random.default_rng(7)
    top = {"cider": 2.0, "clipscore": 1.0, "refclipscore": 0.9}
    rows = []
    for row in captions:
        quality = 0.9 - 0.06 * int(row["image_id"].split("_")[1]) + 0.01 * row["beam_size"]
        score = {"image_id": row["image_id"], "beam_size": row["beam_size"], "clip_truncated": False, "tags": []}
        for metric in metrics:
            score[metric] = float(np.clip(quality + generator.normal(0, 0.08), 0, 1) * top.get(metric, 0.8))
        if row["beam_size"] == 1 and int(row["image_id"].split("_")[1]) % 4 == 1:
            score["tags"] = [{"tag": "wrong colour", "evidence": "the references name another colour"}]
        rows.append(score)
    tables.write_table(folder, "scores", tables.table_of("scores", rows, metrics))
    corpus = [_corpus(rows, beam, metric) for beam in sorted({row["beam_size"] for row in rows}) for metric in metrics]
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", corpus))


def _corpus(rows: list[dict[str, Any]], beam: int, metric: str) -> dict[str, Any]:
    values = [row[metric] for row in rows if row["beam_size"] == beam]
    low, high = bootstrap_mean_interval(values)
    return {
        "beam_size": beam,
        "metric": metric,
        "value": float(np.mean(values)),
        "low": low,
        "high": high,
        "images": len(values),
        "signature": _SIGNATURES.get(metric, f"{metric}|tok:ptb|n:{len(values)}|v:0.1"),
    }


def _attention(captions: list[dict[str, Any]], grid: int) -> list[dict[str, Any]]:
    """A spot a word, walking from left to right; layer 1 is sharper than layer 0, head 1 sits lower than head 0."""
    rows = []
    for row in captions:
        words = [*row["words"], END_WORD]
        maps = np.stack([_spots(place / max(len(words) - 1, 1), grid) for place in range(len(words))])
        scale = maps.max(axis=-1)
        weights = np.round(maps / scale[..., None] * 255).astype(np.uint8)
        size = [(320, 240), (240, 320), (300, 300)][int(row["image_id"].split("_")[1]) % 3]
        side = min(size)
        crop = {"x": (size[0] - side) / 2, "y": (size[1] - side) / 2, "width": float(side), "height": float(side)}
        rows.append(
            {
                "image_id": row["image_id"],
                "beam_size": row["beam_size"],
                "words": words,
                "shape": list(weights.shape),
                "weights": weights.tobytes(),
                "scale": scale.ravel().tolist(),
                "grid_height": grid,
                "grid_width": grid,
                "crop": crop,
                "share": maps.sum(-1, dtype=np.float64).mean((1, 2)),
            }
        )
    return rows


def _spots(place: float, grid: int) -> np.ndarray:
    """float64[2 layers, 2 heads, grid * grid], each map summing to 1; a constant bright corner patch among them."""
    y, x = np.mgrid[0:grid, 0:grid] / (grid - 1)
    maps = np.empty((2, 2, grid * grid))
    for layer in range(2):
        for head in range(2):
            spread = 0.12 if layer else 0.25
            spot = np.exp(-((x - place) ** 2 + (y - (0.35 + 0.3 * head)) ** 2) / (2 * spread**2)) + 0.02
            spot[0, 0] += 0.6
            maps[layer, head] = (spot / spot.sum()).ravel()
    return maps


def _zero_shot() -> list[dict[str, Any]]:
    """Template 0 is right on 9 of 12 images, template 1 on 8, template 2 on 6."""
    rows = []
    for position, template in enumerate(TEMPLATES):
        for index, image_id in enumerate(image_ids()):
            shape = _SHAPES[index % 3]
            correct = index % 12 < (9, 8, 6)[position]
            predicted = shape if correct else _SHAPES[(index + 1) % 3]
            others = [name for name in (*_SHAPES, "star", "heart") if name != predicted]
            top = [predicted, *sorted(others, key=lambda name: name != shape)]
            chances = np.array([0.55, 0.22, 0.11, 0.08, 0.04])
            rows.append(
                {
                    "image_id": image_id,
                    "file_name": f"{image_id}.png",
                    "template": template,
                    "label": shape,
                    "predicted": predicted,
                    "correct": correct,
                    "top": [{"label": name, "probability": p} for name, p in zip(top, chances, strict=True)],
                }
            )
    return rows


def _training() -> list[dict[str, Any]]:
    steps = [
        {"step": step, "epoch": step // 40, "loss": 3.5 * 0.985**step + 0.4, "lr": 1e-4 * step / 120, "grad_norm": 1.0}
        for step in range(0, 121, 10)
    ]
    epochs = [
        {"step": 40 * (epoch + 1), "epoch": epoch, "validation_cider": 0.5 + 0.2 * epoch, "validation_clipscore": 0.6}
        for epoch in range(3)
    ]
    return [*steps, *epochs]


def _captioner_record(run: str, photos: Path) -> dict[str, Any]:
    return {
        "run": run,
        "kind": "captioner",
        "created": "2026-01-02T09:30:00",
        "command": f"python -m engine evaluate --data data/demo --captioner demo --beams 1 3 5 --run {run}",
        "data": {"name": "demo", "format": "coco", "split": "val", "images": 12, "references": 3, "fingerprint": "d0"},
        "captioner": {"name": "demo", "encoder": "vit_tiny", "decoder_layers": 2, "heads": 2, "d_model": 64},
        "clip": {"model": "demo", "name": "demo CLIP", "fingerprint": "c0", "demo": True, "prefix": "A photo depicts "},
        "roots": {"images": str(photos), "zero_shot": str(photos)},
        "beam_sizes": BEAMS,
        "decoding": {"max_length": 30, "length_penalty": 0.0, "rule": "batched"},
        "metrics": METRICS,
        "seconds_per_image": {"1": 0.011, "3": 0.02, "5": 0.031},
        "skipped": 1,
    }


def imported_classes_run(results: Path, name: str = "classes") -> Path:
    """Zero-shot predictions made elsewhere: labels without probabilities, no photos on disk."""
    rows = [
        {
            "image_id": f"{label}_{number}",
            "file_name": f"{label}_{number}.png",
            "template": "a photo of {object}",
            "label": label,
            "predicted": "dog",
            "correct": label == "dog",
            "top": [{"label": "dog", "probability": None}],
        }
        for label in ("dog", "cat")
        for number in range(2)
    ]
    folder = records.run_folder(results, name)
    tables.write_table(folder, "zero_shot", tables.table_of("zero_shot", rows))
    records.write_record(folder, {"run": name, "kind": "zero_shot", "data": {"name": "imported", "images": 4}})
    return folder


def zero_shot_run(results: Path, name: str = "labels") -> Path:
    """A run that only classified photos: the zero-shot results of the captioner run, and no captions."""
    folder = records.run_folder(results, name)
    tables.write_table(folder, "zero_shot", tables.table_of("zero_shot", _zero_shot()))
    record = _captioner_record(name, results.parent / "photos")
    kept = {key: record[key] for key in ("run", "created", "data", "clip", "roots")}
    records.write_record(folder, kept | {"kind": "zero_shot"})
    return folder


COURSE = ["bike", "girl", "sheep", "ski", "umbrella"]


def photos_run(results: Path, name: str = "photos") -> Path:
    """Five photos without references, captioned greedily: CLIPScore and attention, and no CIDEr."""
    folder, photos = records.run_folder(results, name), results.parent / "course"
    images, captions = [], []
    for index, image_id in enumerate(COURSE):
        drawn = _draw(photos, index) | {"image_id": image_id, "references": [], "objects": [], "conditions": []}
        (photos / drawn["file_name"]).rename(photos / f"{image_id}.jpg.png")
        images.append(drawn | {"file_name": f"{image_id}.jpg.png"})
        words = ["a", "photo", "of", "a", image_id]
        captions.append({"image_id": image_id, "beam_size": 1, "caption": " ".join(words), "words": words})
    tables.write_table(folder, "images", tables.table_of("images", images))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    scores = [
        {"image_id": row["image_id"], "beam_size": 1, "tags": [], "clipscore": 0.6 + 0.05 * place}
        for place, row in enumerate(captions)
    ]
    tables.write_table(folder, "scores", tables.table_of("scores", scores, ["clipscore"]))
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", [_corpus(scores, 1, "clipscore")]))
    maps = _attention([row | {"image_id": f"scene_{place:02d}"} for place, row in enumerate(captions)], 14)
    named = [each | {"image_id": image_id} for each, image_id in zip(maps, COURSE, strict=True)]
    tables.write_table(folder, "attention", tables.table_of("attention", named))
    record = _captioner_record(name, photos) | {"data": {"name": "course", "images": 5}, "beam_sizes": [1]}
    records.write_record(folder, record)
    return folder
