"""Reproduce the study with one command: its prompts, its captioner, its eleven decodings and its five photos.

Each part is also a separate command (`zeroshot`, `train`, `evaluate`) that skips finished work and continues
interrupted work. Parts that cannot run here are skipped and reported, and the time of each part is printed.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import EncoderMissing
from engine.config import DecodingConfig, Recipe
from engine.data import registry
from engine.data.classes import load_classes
from engine.data.dataset import Dataset, DatasetError
from engine.data.other_splits import OtherSplits
from engine.data.photos import PhotoError
from engine.evaluation import captioner_run, estimates, zeroshot_run
from engine.evaluation.clip_settings import ClipSettings
from engine.metrics import zeroshot
from engine.models import clip
from engine.models.clip import Clip, ClipMissing
from engine.store import locks, records, tables
from engine.store.schema import RUN_RECORD
from engine.training import loop

BEAMS = (1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100)
"""The study's eleven decodings; 1 is greedy."""

PHOTOS = "p3_data"
"""Folder of the photos whose attention the study shows, in the course's layout."""

_LONG = 60  # seconds; longer parts are announced with an estimate
_NAMED = 5  # skipped photos whose names are printed


class StudyError(ValueError):
    """The study cannot be reproduced; the message says why and what to do."""


@dataclass(frozen=True)
class Study:
    """Settings of one reproduction of the study."""

    name: str
    results: Path
    data: Path
    """A folder in the course's layout: p1_data, p2_data, p3_data."""
    out: Path
    """The folder for a captioner that is trained."""
    recipe: Recipe
    captioner: Path | None = None
    """An existing captioner; None trains one with `recipe`."""
    zeroshot_clip: str = "ViT-L/14"
    score_clip: str = "ViT-B/32"
    beams: tuple[int, ...] = BEAMS
    rule: str | None = None
    """The search rule; None takes `study` for the study's own checkpoint, else `standard`."""
    device: str = "cpu"
    command: str = ""

    @property
    def zero_shot_run(self) -> str:
        """The name of the run with the zero-shot predictions."""
        return f"{self.name}-zeroshot"

    @property
    def photos_run(self) -> str:
        """The name of the run with the photos of PHOTOS."""
        return f"{self.name}-photos"


class _Skipped(Exception):
    """A part cannot run here; the message is printed."""


def make(study: Study, say: Callable[[str], None] = print) -> str:
    """Run all parts that can run here; return what was skipped, as lines to print.

    Raises:
        StudyError: the data are not in the course's layout, or no part can run.
        ConfigError, ClipError, CheckpointError, TrainingError: a setting is wrong; raised before the first part.
    """
    _check(study)
    parts = _Parts(study, say)
    parts.make(_ZERO_SHOT, study.zero_shot_run, lambda: _zero_shot(study, say))
    captioner = study.captioner
    if captioner is not None:
        say(f"{_TRAINING}: not needed, {captioner} is given")
    elif parts.make(_TRAINING, None, lambda: _train(study, say)):
        captioner = study.out
    if captioner is None:
        say(f"{_CAPTIONS}, {_PHOTOS}: skipped, there is no captioner")
    else:
        scorer = _scorer(study, say)
        parts.make(_CAPTIONS, study.name, lambda: _captions(study, captioner, scorer, say))
        parts.make(_PHOTOS, study.photos_run, lambda: _named_photos(study, captioner, scorer))
    if not parts.made:
        raise StudyError(f"{study.data}: no part of the study could run; see the messages above")
    return parts.text()


_ZERO_SHOT = "1/4 zero-shot classification"
_TRAINING = "2/4 training the captioner"
_CAPTIONS = "3/4 captions"
_PHOTOS = f"4/4 the photos of {PHOTOS}"


@dataclass
class _Parts:
    """The parts so far: finished runs, and messages about skipped parts."""

    study: Study
    say: Callable[[str], None]
    made: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def make(self, title: str, run: str | None, work: Callable[[], bool]) -> bool:
        """Run one part, and print its time and the photos it skipped; return False if the part itself was skipped."""
        self.say(f"{title} ...")
        start = time.perf_counter()
        try:
            with _skipping(DatasetError, PhotoError):
                is_new = work()
        except _Skipped as reason:
            self.skipped.append(f"{title}: skipped, {reason}")
            self.say(self.skipped[-1])
            return False
        took = estimates.text(time.perf_counter() - start).removeprefix("about ")
        self.say(f"{title}: {'done in ' + took if is_new else 'finished already'}")
        if run is not None:
            self.made.append(run)
            self._name_photos(run)
        return True

    def _name_photos(self, run: str) -> None:
        """Print the photos that a run skipped."""
        folder = records.run_folder(self.study.results, run)
        rows = tables.read_table(folder, "skipped").to_pylist() if tables.has_table(folder, "skipped") else []
        named = [f"{row['file_name']} ({row['reason']})" for row in rows[:_NAMED]]
        if rows:
            more = f", and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
            self.say(f"  skipped photos: {', '.join(named)}{more}")

    def text(self) -> str:
        """Return the messages about skipped parts, which are repeated at the end."""
        return "\n".join(self.skipped)


def _check(study: Study) -> None:
    """Raise errors in settings before the first part, which may take hours."""
    if not any((study.data / name).is_dir() for name in ("p1_data", "p2_data", PHOTOS)):
        raise StudyError(f"{study.data}: expected the course's folders p1_data, p2_data and {PHOTOS} inside")
    if study.results.is_file():
        raise StudyError(f"--results {study.results} is a file; expected a folder")
    for name in (study.name, study.zero_shot_run, study.photos_run):
        records.run_folder(study.results, name)
    DecodingConfig(beam_sizes=study.beams)
    for name in (study.zeroshot_clip, study.score_clip):
        clip.check(name)
    if study.captioner is not None:
        checkpoints.load(study.captioner, fallback=_tokenizer(study))
    elif (study.data / "p2_data" / "train.json").is_file():
        with suppress(DatasetError):  # such a part is skipped later
            loop.check_folder(study.out, study.recipe, _split(study, "train"))


@contextmanager
def _skipping(*kinds: type[Exception]) -> Generator[None]:
    """Turn errors about missing data or weights into a skipped part."""
    try:
        yield
    except kinds as error:
        raise _Skipped(str(error)) from error


def _announce(seconds: float, is_begun: bool, say: Callable[[str], None]) -> None:
    if seconds >= _LONG:
        say(f"  this takes {estimates.text(seconds)}" + (", minus what is already done" if is_begun else ""))


def _is_finished(study: Study, run: str) -> bool:
    """Return whether a run has a record, so that no estimate is needed."""
    return (records.run_folder(study.results, run) / RUN_RECORD).is_file()


def _is_begun(study: Study, run: str) -> bool:
    return records.run_folder(study.results, run).is_dir()


# The parts


def _zero_shot(study: Study, say: Callable[[str], None]) -> bool:
    folder = study.data / "p1_data"
    if not folder.is_dir():
        raise _Skipped(f"there is no {folder}")
    classes = load_classes(folder)
    model = _clip(study.zeroshot_clip, study.device)
    name = study.zero_shot_run
    if not _is_finished(study, name):
        _announce(estimates.clip_images(model, classes), _is_begun(study, name), say)
    run = zeroshot_run.ZeroShotRun(name, study.results, classes, model, zeroshot.TEMPLATES, study.command)
    return zeroshot_run.zero_shot(run)


def _train(study: Study, say: Callable[[str], None]) -> bool:
    train_set, held = _split(study, "train"), _split(study, "val")
    if loop.is_finished(study.out, study.recipe, train_set):
        locks.drop_mark(study.out)
        return False
    _announce(estimates.learning(study.recipe, train_set, study.device), study.out.is_dir(), say)

    def keep(rows: list[dict]) -> None:
        tables.write_table(study.out, "training", tables.table_of("training", rows))

    with locks.alone(study.out), _skipping(EncoderMissing):
        loop.train(train_set, held, study.recipe, study.out, study.device, log=keep)
    return True


def _captions(study: Study, captioner: Path, scorer: Clip | None, say: Callable[[str], None]) -> bool:
    dataset = _split(study, "val")
    run = _captioner_run(study, study.name, dataset, captioner, study.beams, scorer)
    if not _is_finished(study, study.name):
        model, words = checkpoints.load(captioner, fallback=dataset.tokenizer)
        seconds = estimates.captioning(model.to(study.device), words, dataset, run.decoding)
        seconds += 0.0 if scorer is None else estimates.clip_images(scorer, dataset)
        _announce(seconds, _is_begun(study, study.name), say)
    return captioner_run.evaluate(run)


def _named_photos(study: Study, captioner: Path, scorer: Clip | None) -> bool:
    folder = study.data / PHOTOS
    if not folder.is_dir():
        raise _Skipped(f"there is no {folder}")
    dataset = registry.load(folder, "folder")
    return captioner_run.evaluate(_captioner_run(study, study.photos_run, dataset, captioner, (1,), scorer))


def _captioner_run(
    study: Study, name: str, dataset: Dataset, captioner: Path, beams: tuple[int, ...], scorer: Clip | None
) -> captioner_run.CaptionerRun:
    rule = study.rule or ("study" if checkpoints.is_studys(captioner) else "standard")
    return captioner_run.CaptionerRun(
        name=name,
        results=study.results,
        dataset=dataset,
        captioner=str(captioner),
        decoding=DecodingConfig(beam_sizes=beams, rule=rule),
        clip=None if scorer is None else ClipSettings(scorer),
        companions={"zero_shot": study.zero_shot_run, "photos": study.photos_run} if name == study.name else {},
        fallback_tokenizer=_tokenizer(study),
        device=study.device,
        splits=OtherSplits.of(dataset),
        command=study.command,
    )


# What the parts need


def _tokenizer(study: Study) -> Path | None:
    """Return the course's tokenizer, for a captioner without its own."""
    files = (study.data / "p2_data" / "caption_tokenizer.json", study.data / "caption_tokenizer.json")
    return next((file for file in files if file.is_file()), None)


def _split(study: Study, split: str) -> Dataset:
    folder = study.data / "p2_data"
    if not (folder / f"{split}.json").is_file():
        raise _Skipped(f"there is no {folder / f'{split}.json'}")
    return registry.load(study.data, "course", split)


def _clip(name: str, device: str) -> Clip:
    with _skipping(ClipMissing):
        return clip.load(name, device)


def _scorer(study: Study, say: Callable[[str], None]) -> Clip | None:
    """Return the CLIP that scores captions, or None with a message if its weights are missing."""
    try:
        return _clip(study.score_clip, study.device)
    except _Skipped as reason:
        later = (
            f"to add CLIPScore later, delete {records.run_folder(study.results, study.name)} or choose another --run"
        )
        say(f"CLIPScore: skipped, {reason}; {later}")
        return None
