"""A finished run with CHAIR, whose counts can be checked by hand."""

from pathlib import Path

import numpy as np

from engine.data.dataset import Box
from engine.data.split import Split
from engine.metrics import registry
from engine.metrics.measure import measure
from engine.store import records, tables

IMAGES = {
    "a": (["a dog"], ["dog"], []),
    "b": ([], [], ["person"]),
    "c": (["a fridge"], ["oven"], []),
    "d": ([], [], []),
    "e": (["grass"], ["cat"], []),
}
"""Image -> references, labels of objects, labels of crowds."""
CAPTIONS = {
    1: ["a dog and a horse", "people", "a fridge on a plant", "a zebra", "grass"],
    3: ["a dog", "a man with a bus", "an oven", "a zebra", "a cat and a cow"],
}
TAGGED = {(1, "a"): "horse", (1, "c"): "plant (potted plant)", (3, "b"): "bus"}
"""(Beam size, image) -> evidence of the tag `hallucinated object`."""


def box(label):
    return {"label": label, "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0}


def write(results: Path) -> Path:
    """Write the run `run` into a results folder."""
    folder = records.run_folder(results, "run")
    objects, crowds = (
        tuple(tuple(Box(**box(label)) for label in each[place]) for each in IMAGES.values()) for place in (1, 2)
    )
    references = tuple(tuple(each[0]) for each in IMAGES.values())
    split = Split(tuple(IMAGES), references, objects=objects, crowds=crowds)
    found = measure(CAPTIONS, split, registry.named(["chair_i", "chair_s"]))
    rows = {"images": [], "captions": [], "scores": [], "corpus_scores": []}
    for image, (references, objects, crowds) in IMAGES.items():
        labelled = {"objects": [*map(box, objects)], "crowds": [*map(box, crowds)]}
        rows["images"].append({"image_id": image, "references": references, **labelled})
    for size, captions in CAPTIONS.items():
        for place, (image, caption) in enumerate(zip(IMAGES, captions, strict=True)):
            key = {"image_id": image, "beam_size": size}
            rows["captions"].append({**key, "caption": caption, "words": caption.split(), "finished": image != "a"})
            counts, evidence = found[size].counts["chair_counts"][place], TAGGED.get((size, image))
            tags = [{"tag": "hallucinated object", "evidence": evidence}] if evidence else []
            known = {name: values[place] for name, values in found[size].per_image.items()}
            numbers = {name: None if np.isnan(value) else value for name, value in known.items()}
            counted = None if np.isnan(counts).any() else [int(count) for count in counts]
            rows["scores"].append({**key, "tags": tags, "chair_counts": counted, **numbers})
        for name, corpus in found[size].corpus.items():
            bounds = {"value": corpus.value, "low": corpus.low, "high": corpus.high}
            rows["corpus_scores"].append({"beam_size": size, "metric": name, "images": 4, **bounds})
    for table, of in rows.items():
        more = ["chair_i", "chair_s"] if table == "scores" else []
        tables.write_table(folder, table, tables.table_of(table, of, more))
    records.write_record(folder, {"run": "run", "kind": "captioner", "beam_sizes": [1, 3]})
    return results
