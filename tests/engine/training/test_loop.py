import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from engine.captioners.native import checkpoints
from engine.config import ModelConfig, Recipe, TrainingConfig, from_dict
from engine.data import registry
from engine.training import images, loop
from engine.training.build import build_captioner
from engine.training.errors import TrainingError
from tests.conftest import ROOT
from tests.support import tiny

MODEL = ModelConfig(**tiny.ENCODER, d_model=32, num_layers=1, nhead=2, dim_feedforward=48)


def recipe(**changes: object) -> Recipe:
    values = {"epochs": 2, "batch_size": 4, "learning_rate": 5e-3, "warmup_steps": 2, "vocab_size": 90, "log_steps": 1}
    return Recipe(MODEL, from_dict(TrainingConfig, {**values, **changes}, "test"))


@pytest.fixture
def sets(tmp_path):
    train = registry.load(tiny.coco(tmp_path / "data", 6, "train"), split="train")
    return train, registry.load(tiny.coco(tmp_path / "data2", 3))


def weights(folder):
    return checkpoints.load(folder)[0].state_dict()


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"freeze_encoder": False},
        {"augment": True},
        {"scheduled_sampling": True, "label_smoothing": 0.1},
        {"precision": "bf16"},
        {"group_captions": True, "freeze_encoder": False},
    ],
    ids=["frozen", "whole", "augmented", "sampled", "bf16", "grouped"],
)
def test_every_way_of_training_logs_its_steps_and_leaves_a_captioner(tmp_path, sets, changes):
    rows = []
    done = loop.train(*sets, recipe(**changes), tmp_path / "out", log=lambda logged: rows.extend(logged[len(rows) :]))
    assert (done.epoch, done.step) == (2, 6)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [*range(6)]
    assert all(row["grad_norm"] > 0 and row["loss"] > 0 for row in steps)
    assert [row["epoch"] for row in rows if "validation_cider" in row] == [0, 1]
    assert list((tmp_path / "out" / "tensorboard").glob("events*"))
    checkpoints.load(tmp_path / "out")


def test_a_captioner_learns_by_heart_what_it_is_shown(tmp_path, sets):
    rows = []
    loop.train(
        sets[0],
        sets[0],
        recipe(epochs=30, freeze_encoder=False),
        tmp_path / "out",
        log=lambda logged: rows.append(logged),
    )
    losses = [row["loss"] for row in rows[-1] if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
    assert max(row.get("validation_cider", 0) for row in rows[-1]) > 1


def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path, sets):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    rows: dict[str, list] = {}
    loop.train(*sets, recipe(epochs=3), whole, log=lambda logged: rows.update(whole=list(logged)))

    class Killed(Exception):
        pass

    calls = []

    def log(logged):
        calls.append(len(logged))
        if len(calls) == 2:  # in the second epoch, before its state is kept
            raise Killed

    with pytest.raises(Killed):
        loop.train(*sets, recipe(epochs=3), broken, log=log)
    loop.train(*sets, recipe(epochs=3), broken, log=lambda logged: rows.update(broken=list(logged)))
    assert rows["broken"] == rows["whole"]
    assert equal(weights(broken), weights(whole))


def test_features_of_a_frozen_encoder_are_computed_once(tmp_path, sets, monkeypatch):
    out = tmp_path / "out"
    loop.train(*sets, recipe(epochs=1), out)
    before = (out / "features_train.f16").stat().st_mtime_ns
    (out / "state.pt").unlink()
    monkeypatch.setattr(images, "read_ahead", _no_reading_of_pixels(images.read_ahead))
    loop.train(*sets, recipe(epochs=1), out)
    assert (out / "features_train.f16").stat().st_mtime_ns == before


def test_features_cut_short_are_computed_again_and_a_full_disk_is_an_error(tmp_path, sets):
    out = tmp_path / "out"
    loop.train(*sets, recipe(epochs=1), out)
    kept = out / "features_train.f16"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-2])
    (out / "state.pt").unlink()
    loop.train(*sets, recipe(epochs=1), out)
    assert kept.read_bytes() == whole
    kept.unlink()
    kept.symlink_to("/dev/full")
    (out / "state.pt").unlink()
    with pytest.raises(OSError, match=r"No space left on device: '.*features_train.f16'"):
        loop.train(*sets, recipe(epochs=1), out)


def test_features_that_were_deleted_or_half_replaced_are_computed_again(tmp_path, sets, monkeypatch):
    out, file = tmp_path / "out", tmp_path / "out" / "features_train.f16"
    loop.train(*sets, recipe(epochs=1), out)
    features = file.read_bytes()
    file.unlink()
    (out / "state.pt").unlink()
    loop.train(*sets, recipe(epochs=1), out)
    assert file.read_bytes() == features

    class Killed(Exception):
        pass

    def killed(*_):
        raise Killed

    for name in ("state.pt", "model.safetensors"):
        (out / name).unlink()
    smaller = Recipe(replace(MODEL, crop_pct=1.0), recipe(epochs=1).training)
    monkeypatch.setattr(images, "_batched", killed)
    with pytest.raises(Killed):
        loop.train(*sets, smaller, out)
    monkeypatch.undo()
    loop.train(*sets, recipe(epochs=1), out)
    assert file.read_bytes() == features


def _no_reading_of_pixels(read_ahead):
    """Photos may be checked again, but no pixels be prepared: that is what the kept features spare."""

    def guarded(items, read, **options):
        for item in read_ahead(items, read, **options):
            assert not hasattr(item, "dtype"), "pixels were prepared again"
            yield item

    return guarded


def test_a_captioner_remembers_which_images_it_was_trained_on(tmp_path, sets):
    loop.train(*sets, recipe(epochs=1), tmp_path / "out")
    sizes = {each.image_id: sets[0].photo(each).stat().st_size for each in sets[0].examples}
    assert checkpoints.trained_on(tmp_path / "out") == sizes
    assert checkpoints.trained_on(tmp_path / "elsewhere") == {}
    (tmp_path / "out" / checkpoints.TRAINED_ON).write_text("a\nb c\n")  # as earlier trainings wrote it
    assert checkpoints.trained_on(tmp_path / "out") == {"a": None, "b c": None}


def test_another_recipe_does_not_continue_in_the_same_folder(tmp_path, sets):
    loop.train(*sets, recipe(epochs=1), tmp_path / "out")
    with pytest.raises(TrainingError, match="choose another --out"):
        loop.train(*sets, recipe(epochs=1, seed=7), tmp_path / "out")


def test_clipscore_is_validated_where_there_is_a_clip_and_keeps_its_best(tmp_path, sets):
    from engine.models import clip

    rows = []
    scorer = clip.load(str(tiny.clip_folder(tmp_path / "clip")))
    loop.train(*sets, recipe(epochs=1), tmp_path / "out", clip=scorer, log=rows.extend)
    assert 0 <= rows[-1]["validation_clipscore"] <= 2.5
    checkpoints.load(tmp_path / "out" / "best_clipscore")


def test_a_broken_photo_is_named_and_training_continues(tmp_path, sets, capsys):
    sets[0].photo(sets[0].examples[0]).write_bytes(b"")
    done = loop.train(*sets, recipe(epochs=1), tmp_path / "out")
    assert done.step == 3  # 5 photos x 2 captions in batches of 4
    assert "skipped 000000000001.jpg: the file is empty" in capsys.readouterr().out


def test_encoder_weights_start_the_encoder_and_a_classifier_is_dropped(tmp_path):
    encoder = tiny.captioner(seed=9).encoder
    extra = {"head.weight": torch.zeros(5, 32)}
    save_file({**encoder.state_dict(), **extra}, str(tmp_path / "encoder.safetensors"))
    built = build_captioner(recipe(encoder_weights=str(tmp_path / "encoder.safetensors")), 50)
    assert equal(built.encoder.state_dict(), encoder.state_dict())
    assert not any(parameter.requires_grad for parameter in built.encoder.parameters())


def test_encoder_weights_that_do_not_fit_say_so(tmp_path):
    save_file({"conv.weight": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(TrainingError, match="does not fit the encoder"):
        build_captioner(recipe(encoder_weights=str(tmp_path / "other.safetensors")), 50)
    with pytest.raises(TrainingError, match="there is no such file"):
        build_captioner(recipe(encoder_weights="nowhere.safetensors"), 50)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine():
    config = TrainingConfig(learning_rate=1.0, warmup_steps=10)
    rates = [loop.learning_rate(step, 110, config) for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


def test_data_without_captions_cannot_be_learned_from(tmp_path):
    tiny.photo(tmp_path / "photos" / "a.jpg")
    bare = registry.load(tmp_path / "photos")
    with pytest.raises(TrainingError, match="no captions in split 'all'"):
        loop.train(bare, bare, recipe(), tmp_path / "out")


def test_empty_captions_teach_nothing(tmp_path, sets):
    first, *others = sets[0].examples
    some = sets[0].subset([replace(first, references=("", *first.references)), *others])
    assert loop.train(some, sets[1], recipe(epochs=1, batch_size=1), tmp_path / "out").step == 12  # 6 photos x 2
    with pytest.raises(TrainingError, match="no captions in split"):
        loop.train(sets[0].subset([replace(first, references=("",))]), sets[1], recipe(), tmp_path / "none")


def test_a_training_that_failed_before_it_learned_anything_does_not_hold_its_folder(tmp_path, sets, monkeypatch):
    out, bare = tmp_path / "out", replace(sets[0], examples=tuple(replace(e, references=()) for e in sets[0].examples))
    with pytest.raises(TrainingError, match="no captions in split"):
        loop.train(bare, sets[1], recipe(epochs=1), out)
    assert not out.exists()
    monkeypatch.setattr(loop._Training, "_epoch", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        loop.train(*sets, recipe(epochs=1, batch_size=64), out)
    monkeypatch.undo()
    assert loop.train(*sets, recipe(epochs=1), out).epoch == 1


def test_a_split_of_which_no_photo_can_be_used_is_one_sentence(tmp_path, sets):
    for example in sets[0].examples:
        sets[0].photo(example).write_bytes(b"")
    with pytest.raises(TrainingError, match="none of the 6 photos can be used"):
        loop.train(*sets, recipe(epochs=1), tmp_path / "out")


@pytest.mark.parametrize(
    "writer", ["torch.save", "engine.captioners.native.checkpoints.save_file", "tokenizers.Tokenizer.save"]
)
def test_a_full_disk_names_the_file_and_training_continues_afterwards(tmp_path, sets, monkeypatch, writer):
    def fail(*args, **named):
        raise (RuntimeError if writer == "torch.save" else SafetensorError)("unexpected pos 189568 vs 189456")

    if writer.startswith("tokenizers"):
        monkeypatch.setattr("engine.models.tokenizer.CaptionTokenizer.save", fail)
    else:
        monkeypatch.setattr(writer, fail)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left on device") as raised:
        loop.train(*sets, recipe(epochs=1), tmp_path / "out")
    assert str(raised.value.filename).startswith(str(tmp_path / "out"))
    monkeypatch.undo()
    assert not list((tmp_path / "out").glob("*.tmp"))
    assert loop.train(*sets, recipe(epochs=1), tmp_path / "out").epoch == 1


def test_files_that_grow_too_large_are_named_by_the_operating_systems_error(tmp_path, sets):
    """As on a full disk: the real writers of torch, safetensors and tokenizers fail in the middle of a file."""
    code = (
        "import resource, sys\nfrom pathlib import Path\nimport torch\n"
        "from engine.captioners.native import checkpoints\nfrom engine.training import state\n"
        "from tests.support import tiny\n"
        "out, size = Path(sys.argv[1]), int(sys.argv[2])\n"
        "model = tiny.captioner()\noptimizer = torch.optim.AdamW(model.parameters())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "for write in (lambda: checkpoints.save(out, model, tiny.tokenizer()),"
        " lambda: state.save(out, state.Progress(), [], model, optimizer)):\n"
        "    try:\n        write()\n"
        "    except OSError as error:\n        print(error.errno, Path(error.filename).name)\n"
        "print([path.name for path in out.glob('*.tmp')])"
    )
    for size, file in ((1_000, "tokenizer.json"), (20_000, "model.safetensors")):
        command = [sys.executable, "-c", code, str(tmp_path / "out"), str(size)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == [f"27 {file}", "27 state.pt", "[]"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "pickle", "keys", "types"])
def test_a_damaged_state_is_one_sentence(tmp_path, sets, damage):
    out = tmp_path / "out"
    loop.train(*sets, recipe(epochs=1), out)
    whole = (out / "state.pt").read_bytes()
    if damage in ("empty", "truncated", "garbage"):
        (out / "state.pt").write_bytes({"empty": b"", "truncated": whole[:2_000], "garbage": b"\xff" * 500}[damage])
    else:
        content = {"pickle": {"x": Recipe}, "keys": {"progress": {}}, "types": {"progress": {"epoch": "x" * 70_000}}}
        torch.save(content[damage], out / "state.pt")
    with pytest.raises(TrainingError, match=r"state.pt: not a complete state of a training \(") as raised:
        loop.train(*sets, recipe(epochs=1), out)
    text = str(raised.value)
    assert "\n" not in text and "\x1b" not in text and len(text) < 400 and "weights_only" not in text
    if damage != "keys":  # whose progress is a new one
        with pytest.raises(TrainingError, match="delete it to start over"):
            loop.is_finished(out, recipe(epochs=1), sets[0])
    (out / "state.pt").unlink()
    assert loop.train(*sets, recipe(epochs=1), out).epoch == 1


def test_files_that_are_not_utf8_are_another_training_or_old_features(tmp_path, sets):
    out = tmp_path / "out"
    loop.train(*sets, recipe(epochs=1), out)
    features = (out / "features_train.f16").read_bytes()
    (out / "features_train.key").write_bytes(b"\xff\xfe")
    (out / "state.pt").unlink()
    assert loop.train(*sets, recipe(epochs=1), out).epoch == 1
    assert (out / "features_train.f16").read_bytes() == features
    (out / checkpoints.TRAINED_ON).write_bytes(b"\xff\xfe")
    assert loop.train(*sets, recipe(epochs=1), out).epoch == 1
    assert checkpoints.trained_on(out)
    (out / "training.json").write_bytes(b"\xff\xfe")
    assert not loop.is_finished(out, recipe(epochs=1), sets[0])
    with pytest.raises(TrainingError, match="contains another training"):
        loop.train(*sets, recipe(epochs=1), out)


def test_resuming_writes_no_file_that_is_already_right(tmp_path, sets):
    out = tmp_path / "out"
    loop.train(*sets, recipe(epochs=1), out)
    before = {name: (out / name).stat().st_ino for name in ("training.json", checkpoints.TRAINED_ON)}
    loop.train(*sets, recipe(epochs=1), out)
    assert {name: (out / name).stat().st_ino for name in before} == before


def test_of_epochs_that_are_equally_good_the_last_stays(tmp_path, sets):
    one = replace(sets[1], examples=sets[1].examples[:1])  # CIDEr of a single image is 0
    loop.train(sets[0], one, recipe(epochs=1), tmp_path / "short")
    loop.train(sets[0], one, recipe(epochs=2), tmp_path / "out")
    last = torch.load(tmp_path / "out" / "state.pt", weights_only=True)["model"]
    assert equal(weights(tmp_path / "out"), last) and not equal(weights(tmp_path / "short"), last)


def test_without_photos_to_validate_on_the_last_captioner_stays_and_nothing_is_best(tmp_path, sets):
    done = loop.train(sets[0], replace(sets[1], examples=()), recipe(epochs=1), tmp_path / "out")
    assert not done.is_validated
    checkpoints.load(tmp_path / "out")
