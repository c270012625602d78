"""Files of real users, from bug reports of captioning projects, with the scores that are correct for them.

Values with four decimals are those of pycocoevalcap on the inputs in `shared/cases`; they are read where they lie. The
same situations are also built here from our own sentences, and compared with pycocoevalcap.
"""

import csv
import json
from pathlib import Path

import pytest

from engine import __main__ as command
from engine.data import registry
from engine.data.dataset import DatasetError
from engine.store import records, tables
from tests.conftest import ROOT
from tests.support import caption_peers, tiny

CASES = ROOT.parent / "shared" / "cases"
has_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of the bug reports are not on this machine")
PREDICTED = tuple(f"{text.removesuffix('.')} today" for text in tiny.SENTENCES)


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in arguments])


def corpus(results: Path, name: str = "x") -> dict[str, float]:
    rows = tables.read_table(records.run_folder(results, name), "corpus_scores").to_pylist()
    return {row["metric"]: row["value"] for row in rows} | {"images": max(row["images"] for row in rows)}


def scored(results: Path, *arguments: object) -> dict[str, float]:
    assert run("score", *arguments, "--run", "x", "--results", results) == 0
    return corpus(results)


@has_cases
@pytest.mark.parametrize(
    ("predictions", "data", "more", "expected"),
    [
        (
            "02-karpathy-json/plain.json",
            "02-karpathy-json/karpathy",
            [],
            {"cider": 1.8731, "bleu_4": 0.7315, "rouge_l": 0.7977, "images": 8},
        ),
        (
            "02-karpathy-json/plain.json",
            "02-karpathy-json/karpathy/dataset_coco.json",
            [],
            {"cider": 1.8731, "bleu_4": 0.7315, "rouge_l": 0.7977, "images": 8},
        ),
        (
            "04-karpathy-test-over-val2014/four.json",
            "04-karpathy-test-over-val2014/kcoco",
            ["--split", "test"],
            {"cider": 1.7747, "bleu_4": 0.7608, "rouge_l": 0.7768, "images": 4},
        ),
        *(
            (
                "07-vizwiz-precanned/vizwiz.json",
                f"07-vizwiz-precanned/vizwiz{more}",
                [],
                {"cider": 2.0177, "bleu_4": 0.5694, "rouge_l": 0.6598, "images": 7},
            )
            for more in ("", "/annotations/val.json")
        ),
        (
            "10-captions-with-bars/weird.json",
            "10-captions-with-bars/base",
            [],
            {"cider": 0.0020, "bleu_1": 0.0291, "rouge_l": 0.1379, "images": 8},
        ),
    ],
)
def test_the_files_of_the_reports_have_their_correct_scores(tmp_path, predictions, data, more, expected):
    found = scored(tmp_path, CASES / predictions, "--data", CASES / data, *more)
    assert {key: round(found[key], 4) for key in expected} == expected


@has_cases
def test_every_image_of_each_split_of_the_reported_karpathy_file_is_read():
    counts = {}
    for split in ("train", "val", "test", "restval", "train+restval", "all"):
        dataset = registry.load(CASES / "02-karpathy-json" / "karpathy", split=split)
        counts[split] = len(dataset.examples)
        assert all(dataset.photo(example).is_file() and len(example.references) == 5 for example in dataset.examples)
    assert counts == {"train": 2, "val": 2, "test": 2, "restval": 2, "train+restval": 4, "all": 8}


@has_cases
@pytest.mark.parametrize(("folder", "count"), [("mixed", 8), ("avifonly", 3)])
def test_the_reported_folders_of_other_photo_formats_are_read_whole(folder, count):
    dataset = registry.load(CASES / "15-other-photo-formats" / folder)
    assert len(dataset.examples) == count
    assert not dataset.remarks


@has_cases
def test_the_reported_hidden_folder_is_not_searched():
    dataset = registry.load(CASES / "16-hidden-folder" / "nested")
    assert [example.image_id for example in dataset.examples] == ["000000037777", "000000252219", "000000397133"]


@has_cases
@pytest.mark.parametrize("name", ["floatlab", "zpad", "names", "bom"])
def test_the_reported_labels_are_right_for_two_of_three_photos(tmp_path, name, capsys):
    folder = CASES / "20-labels-as-floats" / "zs"
    arguments = ("--data", folder, "--predictions", folder / f"{name}.csv", "--run", "x", "--results", tmp_path)
    assert run("zeroshot", *arguments) == 0
    assert "66.67 %  of 6" in capsys.readouterr().out


@has_cases
@pytest.mark.parametrize("name", ["plain", "bom", "str", "id", "dup"])
def test_the_reported_ratings_are_read_with_the_split_that_has_their_images(name, capsys):
    folder = CASES / "25-ratings-on-coco"
    arguments = ("--data", folder / "base", "--metrics", "cider", "bleu_4")
    assert run("correlate", folder / "rat" / f"{name}.jsonl", *arguments) == 0
    shown = capsys.readouterr().out
    assert "CIDEr" in shown and "Pearson's r" in shown


@has_cases
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nan", "has the human_mean nan, expected a number"),
        ("null", "expected an object with image, caption and human_mean"),
        ("allsame", "rated captions have the human_mean 3; expected different ratings"),
        ("miss", "is not in"),
    ],
)
def test_the_reported_ratings_that_cannot_be_used_are_one_sentence(name, sentence, capsys):
    folder = CASES / "25-ratings-on-coco"
    arguments = ("--data", folder / "base", "--metrics", "cider")
    assert run("correlate", folder / "rat" / f"{name}.jsonl", *arguments) == 2
    shown = capsys.readouterr().err
    assert sentence in shown and shown.count("\n") == 1


def karpathy(folder: Path, count: int = 8) -> dict[str, list[str]]:
    """A file of Karpathy's splits with photos in two folders; returns the references by file name."""
    images, references = [], {}
    for number in range(count):
        name, split = f"{number:012d}.jpg", ("train", "val", "test", "restval")[number % 4]
        place = "train2014" if split == "train" else "val2014"
        tiny.photo(folder / place / name, seed=number)
        texts = [tiny.SENTENCES[(number + offset) % len(tiny.SENTENCES)] for offset in (0, 1)]
        sentences = [{"raw": text, "tokens": text.split(), "imgid": number, "sentid": number} for text in texts]
        images.append(
            {"filepath": place, "filename": name, "split": split, "cocoid": 100 + number, "sentences": sentences}
        )
        references[name] = texts
    tiny.write_json(folder / "dataset_coco.json", {"images": images, "dataset": "coco"})
    return references


def test_a_karpathy_file_is_scored_as_pycocoevalcap_scores_it(tmp_path):
    references = karpathy(tmp_path / "data")
    captions = {name: PREDICTED[number % len(PREDICTED)] for number, name in enumerate(references)}
    results = [{"image_id": 100 + int(name[:12]), "caption": text} for name, text in captions.items()]
    file = tiny.write_json(tmp_path / "p.json", results)
    found = scored(tmp_path / "r", file, "--data", tmp_path / "data")
    expected = caption_peers.corpus_scores(list(captions.values()), list(references.values()))
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)


def test_the_split_of_predictions_is_found_when_none_is_chosen(tmp_path, capsys):
    karpathy(tmp_path / "data")
    file = tiny.write_json(tmp_path / "p.json", [{"image_id": 102, "caption": "a"}, {"image_id": 106, "caption": "b"}])
    assert scored(tmp_path / "r", file, "--data", tmp_path / "data")["images"] == 2
    assert f"split test: it has the images of {file}" in capsys.readouterr().out


def test_the_training_split_says_that_restval_is_one_of_its_own(tmp_path):
    karpathy(tmp_path)
    assert registry.load(tmp_path, split="train").remarks == (
        "2 images of restval are not used; --split train+restval has both",
    )
    with pytest.raises(DatasetError, match="there is no split 'dev'; it has train, val, test, restval and all"):
        registry.load(tmp_path, split="val+dev")


def test_a_karpathy_split_as_coco_file_finds_its_photos_in_the_folder_of_another_split(tmp_path):
    folder = tiny.coco(tmp_path, count=4, split="val2014")
    content = json.loads((folder / "annotations" / "captions_val2014.json").read_text())
    kept = {image["id"] for image in content["images"][:2]}
    half = {
        "images": [image for image in content["images"] if image["id"] in kept],
        "annotations": [each for each in content["annotations"] if each["image_id"] in kept],
    }
    tiny.write_json(folder / "annotations" / "captions_test.json", half)
    dataset = registry.load(folder, split="test")
    assert (dataset.root, len(dataset.examples)) == (folder / "val2014", 2)
    # captions of a part of the images of the instances file
    half_file = tiny.write_json(folder / "annotations" / "captions_val2014.json", half)
    dataset = registry.load(half_file)
    assert [len(example.objects) for example in dataset.examples] == [1, 1]


def test_photos_of_a_split_that_lie_in_two_folders_are_all_found(tmp_path):
    folder = tiny.coco(tmp_path, count=4, split="val2014")
    (folder / "train2014").mkdir()
    moved = "000000000001.jpg"
    (folder / "val2014" / moved).rename(folder / "train2014" / moved)
    (folder / "annotations" / "captions_val2014.json").rename(folder / "annotations" / "captions_train.json")
    dataset = registry.load(folder, split="train")
    assert all(dataset.photo(example).is_file() for example in dataset.examples)
    assert dataset.examples[0].file_name == f"train2014/{moved}"


def vizwiz(folder: Path) -> Path:
    """Three images in VizWiz's form; the third has no reference that counts."""
    images, annotations = [], []
    for number in range(3):
        name = f"VizWiz_val_{number:08d}.jpg"
        tiny.photo(folder / "val" / name, seed=number)
        images.append({"id": 23431 + number, "file_name": name, "text_detected": False})
        marked = {"is_precanned": number == 2, "is_rejected": False}
        annotations.append({"image_id": 23431 + number, "caption": tiny.SENTENCES[number], **marked})
        quality = "Quality issues are too severe to recognize visual content."
        annotations.append({"image_id": 23431 + number, "caption": quality, "is_precanned": True, "is_rejected": True})
    tiny.write_json(folder / "annotations" / "val.json", {"info": {}, "images": images, "annotations": annotations})
    return folder


def test_rejected_and_precanned_captions_are_no_references_and_are_counted(tmp_path, capsys):
    folder = vizwiz(tmp_path / "vizwiz")
    results = [{"image_id": 23431 + number, "caption": PREDICTED[number]} for number in range(3)]
    found = scored(tmp_path / "r", tiny.write_json(tmp_path / "p.json", results), "--data", folder)
    expected = caption_peers.corpus_scores(list(PREDICTED[:2]), [[text] for text in tiny.SENTENCES[:2]])
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    assert found["images"] == 2
    remark = "4 of 6 references are marked is_precanned or is_rejected and are not used"
    assert f"data\n  {remark}" in capsys.readouterr().out
    assert records.read_record(records.run_folder(tmp_path / "r", "x"))["data"]["remarks"] == [remark]


def test_nocaps_is_read_with_the_domains_of_its_photos(tmp_path):
    for number in range(2):
        tiny.photo(tmp_path / "images" / f"0013ea{number}.jpg", seed=number)
    images = [{"id": n, "file_name": f"0013ea{n}.jpg", "domain": d} for n, d in enumerate(("in-domain", "out-domain"))]
    annotations = [{"image_id": number, "id": number, "caption": "a dog"} for number in (0, 0, 1)]
    tiny.write_json(tmp_path / "nocaps_val_4500_captions.json", {"images": images, "annotations": annotations})
    tiny.write_json(tmp_path / "nocaps_val_image_info.json", {"images": images, "annotations": []})
    dataset = registry.load(tmp_path)
    assert (dataset.format, dataset.split) == ("coco", "val")
    assert [(len(each.references), each.conditions) for each in dataset.examples] == [
        (2, ("in-domain",)),
        (1, ("out-domain",)),
    ]


TWO = [("val2014/a.jpg", "a dog"), ("val2014/b.jpg", "a cat"), ("val2014/a.jpg", 'a "red" dog')]


def write_pairs(folder: Path, name: str) -> None:
    """The captions of TWO in one of the forms people have."""
    file, suffix = folder / name, Path(name).suffix
    if suffix == ".json":
        grouped = name.startswith("coco_karpathy_val")
        entries = [{"image": image, "caption": text, "image_id": f"coco_{image}"} for image, text in TWO]
        if grouped:
            entries = [
                {"image": "val2014/a.jpg", "caption": [TWO[0][1], TWO[2][1]]},
                {"image": TWO[1][0], "caption": [TWO[1][1]]},
            ]
        tiny.write_json(file, entries)
    elif suffix == ".jsonl":
        file.write_text("".join(json.dumps({"file_name": image, "text": text}) + "\n" for image, text in TWO))
    else:
        with open(file, "w", newline="", encoding="utf-8-sig") as opened:
            writer = csv.writer(opened, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerows([*([("image", "caption")] if "headless" not in name else []), *TWO])


@pytest.mark.parametrize(
    "name",
    ["coco_karpathy_train.json", "coco_karpathy_val.json", "metadata.jsonl", "pairs.tsv", "headless.tsv", "p.csv"],
)
def test_lists_of_images_and_captions_are_read(tmp_path, name):
    for photo in ("a.jpg", "b.jpg"):
        tiny.photo(tmp_path / "images" / "val2014" / photo)
    write_pairs(tmp_path, name)
    for path in (tmp_path, tmp_path / name):
        first, second = registry.load(path, split=None).examples
        assert (first.references, second.references) == (("a dog", 'a "red" dog'), ("a cat",))
    dataset = registry.load(tmp_path)
    assert all(dataset.photo(example).is_file() for example in dataset.examples)


@pytest.mark.parametrize("name", ["results.csv", "results_20130124.token"])
def test_flickr30k_is_read_as_it_is_published(tmp_path, name):
    for photo in ("1.jpg", "2.jpg"):
        tiny.photo(tmp_path / "flickr30k_images" / photo)
    if name == "results.csv":
        # The last line has no second bar, like one line of the published file.
        lines = ["image_name| comment_number| comment", '1.jpg| 0| Two men , a "dog" .', "1.jpg| 1| A man ."]
        text = "\n".join([*lines, "2.jpg| 4   A dog runs .\n"])
    else:
        text = '1.jpg#0\tTwo men , a "dog" .\n1.jpg#1\tA man .\n2.jpg#4\tA dog runs .\n'
    (tmp_path / name).write_text(text)
    dataset = registry.load(tmp_path)
    assert dataset.format == "flickr30k"
    assert [each.references for each in dataset.examples] == [('Two men , a "dog" .', "A man ."), ("A dog runs .",)]
    assert all(dataset.photo(example).is_file() for example in dataset.examples)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.json", '{"photo.jpg": "a dog"}'),
        ("list.json", '[{"image_id": 1, "caption": "a"}]'),
        ("labels.csv", "photo,kind\na.jpg,dog\n"),
        ("data.parquet", "PAR1"),
        ("annotations/mine.xml", "<a/>"),
        ("captions_all.txt", "photo.jpg\tx\ty\n"),
    ],
)
def test_an_annotation_file_of_another_form_is_named_and_not_passed_over(tmp_path, name, text):
    tiny.photo(tmp_path / "photo.jpg")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError) as caught:
        registry.load(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / name}: not an annotation file of a supported form; expected COCO's captions"
    )
    assert "Karpathy" in message and "Flickr30k" in message and "pass --format folder" in message
    assert len(registry.load(tmp_path, "folder").examples) == 1
    with pytest.raises(DatasetError, match="not an annotation file of a supported form"):
        registry.load(tmp_path / name)


def test_score_with_nothing_to_compute_says_so(tmp_path, capsys):
    tiny.photo(tmp_path / "photos" / "a.jpg")
    file = tiny.write_json(tmp_path / "p.json", {"a.jpg": "a dog"})
    arguments = ("--data", tmp_path / "photos", "--run", "x", "--results", tmp_path / "r")
    assert run("score", file, *arguments) == 2
    assert "nothing to compute: the images of" in capsys.readouterr().err
    assert not records.run_folder(tmp_path / "r", "x").exists()


def test_text_metrics_need_no_photos(tmp_path, capsys):
    folder = tiny.coco(tmp_path / "data", count=3)
    file = tiny.write_json(tmp_path / "p.json", {f"{number:012d}": PREDICTED[number] for number in (1, 2, 3)})
    with_photos = scored(tmp_path / "a", file, "--data", folder)
    for photo in (folder / "val").iterdir():
        photo.unlink()
    (folder / "val").rmdir()
    assert scored(tmp_path / "b", file, "--data", folder) == with_photos
    assert f"the photos are not in {folder / 'val'}" in capsys.readouterr().out
    tiny.clip_folder(tmp_path / "clip")
    arguments = ("--data", folder, "--run", "y", "--results", tmp_path / "b", "--clip", tmp_path / "clip")
    assert run("score", file, *arguments) == 2
    assert "CLIPScore needs photos, and none is in" in capsys.readouterr().err
    ratings = tmp_path / "ratings.jsonl"
    lines = [{"image": str(number), "caption": PREDICTED[number + 1], "human_mean": number} for number in (1, 2, 3)]
    ratings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("correlate", ratings, "--data", folder, "--metrics", "cider") == 0
    assert run("evaluate", "--data", folder, "--captioner", "x", "--run", "z", "--results", tmp_path / "b") == 2
    assert "its photos are missing; expected them in" in capsys.readouterr().err


def test_a_bar_in_a_caption_is_a_word_except_for_meteor(tmp_path):
    captions = ["a dog ||| runs now", "two men ride"]
    references = [["a dog | runs"], ["two men ride horses"]]
    from engine.metrics.measure import score_captions

    found = score_captions({1: captions}, references, ["rouge_l", "cider"])[1]
    expected = caption_peers.corpus_scores(captions, references)
    for key in ("rouge_l", "cider"):
        assert found.corpus[key].value == pytest.approx(expected[key], abs=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        '{"image_id": 1, "caption": "one"}\n{"image_id": 2, "caption": "two"}\n',
        "image_id,caption\n1,one\n2,two\n",
        "image\tcaption\n000000000001.jpg\tone\n000000000002.jpg\ttwo\n",
        '{"1": ["one"], "2": ["two"]}',
        '{"image": "000000000001.jpg", "caption": "one"}\n\n{"image": "000000000002.jpg", "caption": ["two"]}',
    ],
)
def test_predictions_are_read_as_json_lines_tables_and_lists_of_one(tmp_path, text):
    from engine.data import predictions

    suffix = ".csv" if text.startswith("image_id,") else ".tsv" if "\t" in text else ".jsonl"
    dataset = registry.load(tiny.coco(tmp_path / "data", count=2))
    for path in (tmp_path / f"p{suffix}", tmp_path / "p.json"):
        if path.suffix == ".json" and suffix in (".csv", ".tsv"):
            continue
        path.write_text(text)
        if path.suffix == ".jsonl" and text.startswith('{"1"'):
            continue
        found = predictions.match(predictions.read(path), dataset, path, partial=False)
        assert found == {"000000000001": "one", "000000000002": "two"}


def test_two_captions_where_one_is_expected_are_refused(tmp_path):
    from engine.data import predictions

    path = tiny.write_json(tmp_path / "p.json", {"1": ["one", "two"]})
    with pytest.raises(predictions.PredictionsError, match="'1' has 2 captions, expected one; keep the best"):
        predictions.read(path)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["0.0", "1.0", "0.0"], 66.67),
        (["00", "01", "00"], 66.67),
        (["dog", "Bus", "dog"], 66.67),
        (["0", "1", "0"], 66.67),
    ],
)
def test_labels_are_numbers_in_any_form_or_names_of_classes(tmp_path, labels, expected, capsys):
    tiny.classes(tmp_path)
    rows = zip(("0_0.png", "1_1.png", "2_1.png"), labels, strict=True)
    (tmp_path / "p.csv").write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
    arguments = ["--predictions", tmp_path / "p.csv", "--results", tmp_path / "r"]
    assert run("zeroshot", "--data", tmp_path / "p1_data", *arguments, "--run", "x") == 0
    assert f"{expected} %  of 3" in capsys.readouterr().out
    if not labels[0].isalpha():
        assert run("zeroshot", *arguments, "--run", "y") == 0
        assert f"{expected} %  of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "with_classes", "sentence"),
    [
        ("wolf", True, "line 2: the label 'wolf' is not one of the 3 classes of"),
        ("7", True, "expected a number or a name, such as '0' or 'dog'"),
        ("1.5", True, "the label '1.5' is not one of"),
        ("", True, "the label '' is not one of"),
        ("dog", False, "line 2: the label 'dog' is not a whole number like the 0 in the file name"),
    ],
)
def test_a_label_that_is_no_class_is_named(tmp_path, label, with_classes, sentence, capsys):
    tiny.classes(tmp_path)
    (tmp_path / "p.csv").write_text(f"filename,label\n0_0.png,{label}\n")
    data = ["--data", tmp_path / "p1_data"] if with_classes else []
    arguments = ["--predictions", tmp_path / "p.csv", "--results", tmp_path / "r", "--run", "x"]
    assert run("zeroshot", *data, *arguments) == 2
    assert sentence in capsys.readouterr().err


def test_groups_of_ratings_are_reported_one_by_one(tmp_path, capsys):
    folder = tiny.coco(tmp_path / "data", count=4)
    lines = [
        {"image": str(n), "caption": tiny.SENTENCES[(n + shift) % 5], "human_mean": 5 - shift, "system": f"s{n % 2}"}
        for n in (1, 2, 3, 4)
        for shift in (0, 2)
    ]
    ratings = tmp_path / "r.jsonl"
    ratings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("correlate", ratings, "--data", folder, "--metrics", "rouge_l", "--group", "system") == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith(("all", "system"))] == [
        "all ratings",
        "system s1",
        "system s0",
    ]
    assert run("correlate", ratings, "--data", folder, "--group", "annotator") == 2
    assert "line 1 has no 'annotator' to group by; it has 'image', 'caption'" in capsys.readouterr().err


def test_the_summary_counts_every_skipped_photo(tmp_path, capsys):
    folder = tmp_path / "data"
    for number in range(1200):
        (folder / "Images").mkdir(parents=True, exist_ok=True)
        (folder / "Images" / f"{number}.jpg").write_bytes(b"no photo")
    tiny.photo(folder / "Images" / "1200.jpg")
    (folder / "captions.txt").write_text("image,caption\n" + "".join(f"{n}.jpg,a dog {n}\n" for n in range(1201)))
    file = tiny.write_json(tmp_path / "p.json", {f"{number}.jpg": "a dog" for number in range(1201)})
    scored(tmp_path / "r", file, "--data", folder, "--metrics", "bleu_1")
    shown = capsys.readouterr().out
    assert "skipped: 1,200 photos" in shown and "and 1,190 more, see the table skipped" in shown


def test_annotations_in_a_subfolder_are_named_and_not_passed_over(tmp_path):
    tiny.photo(tmp_path / "train" / "a.jpg")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\na.jpg,a dog\n")
    with pytest.raises(DatasetError, match=r"train has annotations \(pairs\); pass that folder, or --format folder"):
        registry.load(tmp_path)
    assert registry.load(tmp_path / "train").examples[0].references == ("a dog",)
    (tmp_path / "train" / "metadata.csv").write_text("name,kind\na.jpg,dog\n")
    with pytest.raises(DatasetError, match=r"train/metadata.csv: not an annotation file of a supported form"):
        registry.load(tmp_path)


def test_a_header_with_the_same_column_twice_is_refused(tmp_path):
    (tmp_path / "val.csv").write_text("image,caption,caption\na.jpg,one,two\n")
    with pytest.raises(DatasetError, match="the header has 'caption' twice; rename one of the columns"):
        registry.load(tmp_path / "val.csv")


def test_paths_written_on_windows_are_found(tmp_path):
    tiny.photo(tmp_path / "images" / "val" / "a.jpg")
    (tmp_path / "val.csv").write_text("image,caption\nimages\\val\\a.jpg,a dog\n")
    dataset = registry.load(tmp_path)
    assert dataset.photo(dataset.examples[0]).is_file()


def test_a_test_split_without_captions_is_read_and_says_so(tmp_path):
    tiny.photo(tmp_path / "test" / "a.jpg")
    tiny.write_json(tmp_path / "annotations" / "test.json", {"images": [{"id": 1, "file_name": "a.jpg"}]})
    dataset = registry.load(tmp_path)
    assert len(dataset.examples) == 1 and "has no captions" in dataset.remarks[0]


@pytest.mark.parametrize("key", ["annotations", "predictions", "results"])
def test_predictions_may_be_wrapped_in_an_object(tmp_path, key):
    from engine.data import predictions

    path = tiny.write_json(tmp_path / "p.json", {key: [{"image_id": 1, "caption": "one"}], "info": {}})
    assert [(each.name, each.caption) for each in predictions.read(path)] == [("1", "one")]


def test_blank_references_are_not_used_and_counted(tmp_path, capsys):
    folder = tiny.coco(tmp_path / "data", count=3)
    file = folder / "annotations" / "captions_val.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"][1::2]:
        annotation["caption"] = "  "
    tiny.write_json(file, content)
    captions = {f"{number:012d}": PREDICTED[number] for number in (1, 2, 3)}
    found = scored(tmp_path / "r", tiny.write_json(tmp_path / "p.json", captions), "--data", folder)
    references = [[each["caption"]] for each in content["annotations"][::2]]
    expected = caption_peers.corpus_scores(list(captions.values()), references)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    assert "3 references are blank and not used" in capsys.readouterr().out


def test_other_annotation_files_of_the_folder_are_named(tmp_path):
    tiny.photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,one\n")
    tiny.write_json(tmp_path / "other.json", [{"image": "a.jpg", "caption": "two"}])
    dataset = registry.load(tmp_path)
    assert dataset.examples[0].references == ("one",)
    assert dataset.remarks == (
        "other annotation files of the folder are not used: other.json; pass one of them as --data to use it",
    )
    assert registry.load(tmp_path / "other.json").examples[0].references == ("two",)


def test_captioned_photos_that_are_missing_are_named(tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        tiny.photo(tmp_path / "data" / "Images" / name)
    (tmp_path / "data" / "captions.txt").write_text("image,caption\na.jpg,one\nb.jpg,two\nc.jpg,three\n")
    tiny.captioner_folder(tmp_path / "captioner")
    arguments = ["--data", tmp_path / "data", "--captioner", tmp_path / "captioner", "--beams", 1, "--max-length", 3]
    assert run("evaluate", *arguments, "--run", "x", "--results", tmp_path / "r") == 0
    assert f"1 captioned photo is not in {tmp_path / 'data' / 'Images'}: c.jpg" in capsys.readouterr().out


def test_a_captioner_with_weights_that_are_not_finite_is_refused(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    from engine.captioners.native import checkpoints

    folder = tiny.captioner_folder(tmp_path / "captioner")
    weights = load_file(str(folder / "model.safetensors"))
    weights["head.bias"][3] = torch.nan
    save_file(weights, str(folder / "model.safetensors"))
    with pytest.raises(checkpoints.CheckpointError, match="the weight 'head.bias' is not finite"):
        checkpoints.load(folder)
