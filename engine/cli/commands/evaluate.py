"""The command `evaluate`: caption a dataset, score every caption and store the attention of every word."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser, places
from engine.config import ConfigError, DecodingConfig
from engine.reading import some_of

if TYPE_CHECKING:
    from engine.data.dataset import Dataset


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "evaluate",
        run,
        "caption a dataset, score every caption and store the attention of every word",
        "python -m engine evaluate --data data/coco --captioner checkpoints/mine --beams 1 3 5 --clip ViT-B/32 "
        "--run mine",
    )
    parser.add_data(command)
    command.add_argument(
        "--captioner",
        required=True,
        metavar="NAME",
        help="folder of a captioner trained here or by the study's code, hf:NAME or hf:FOLDER for a model of Hugging "
        "Face, openai:URL for an endpoint, or a plugin as package.module:factory",
    )
    command.add_argument(
        "--prompt",
        metavar="TEXT",
        help="what a model of Hugging Face or an endpoint is asked (default: the usual prompt)",
    )
    command.add_argument("--model", metavar="NAME", help="the model of an endpoint (openai:URL)")
    command.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer, if the captioner has none")
    parser.add_settings(command, DecodingConfig)
    command.add_argument(
        "--attention-beams",
        type=int,
        nargs="*",
        metavar="K",
        help="beam sizes whose attention is stored (default: all, or 1 and 3 of more than three)",
    )
    command.add_argument(
        "--attention-images",
        type=parser.positive,
        metavar="N",
        help="store the attention of a sample of N images and of every caption with a failure tag (default: of all)",
    )
    command.add_argument(
        "--attention-of",
        nargs="+",
        metavar="ID",
        help="add the attention of these images to a finished run; the other options are those of the run",
    )
    command.add_argument(
        "--explain",
        nargs="+",
        metavar="METHOD",
        help="measure methods of explanation and write their certificate (docs/evidence.md): attention, attention_all, "
        "rollout, gradient, gradient_input, occlusion, occlusion_3x3, rise, guided, tam; occlusion also covers the "
        "words of all captions; none: skip the table of words",
    )
    command.add_argument(
        "--samples",
        type=parser.samples,
        metavar="N",
        default=10,
        help="captions sampled of each image, for the agreement of words; 0 for none (default: 10)",
    )
    command.add_argument(
        "--alarm",
        metavar="RUN",
        help="take the alarm for hallucinated words of another run, or the demo's (demo), where the data has no "
        "annotations to fit one",
    )
    command.add_argument(
        "--merge", choices=("mean", "first"), default="mean", help="how the maps of a word's tokens are merged"
    )
    command.add_argument(
        "--templates", nargs="+", metavar="TEXT", help="zero-shot templates with {object} (default: the study's three)"
    )
    parser.add_only(command)
    command.add_argument("--limit", type=parser.positive, metavar="N", help="use only the first N images")
    parser.add_device(command)
    command.add_argument(
        "--device-map", choices=("auto",), help="spread a model of Hugging Face over all devices (needs accelerate)"
    )
    parser.add_run(command)
    parser.add_metrics(command)
    places.add(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs, summary
    from engine.evaluation import captioner_run
    from engine.evaluation.captioner_run import Outcome
    from engine.metrics import zeroshot
    from engine.models import device

    if options.device_map and options.device:
        raise ConfigError(
            f"--device {options.device} and --device-map {options.device_map}: expected one of them; remove --device"
        )
    places.check(options)
    dataset = _dataset(options)
    own_device = device.prepare(None if options.on else options.device)
    decoding = _decoding(options)
    _check_attention_beams(options.attention_beams or (), decoding.beam_sizes)
    templates = tuple(options.templates or zeroshot.TEMPLATES)
    zeroshot.check(templates)
    clip = inputs.clip_settings(options, dataset)
    place = places.chosen(options)
    job = captioner_run.CaptionerRun(
        name=options.name,
        results=options.results,
        dataset=dataset,
        captioner=options.captioner,
        prompt=options.prompt,
        model=options.model,
        decoding=decoding,
        metrics=inputs.metrics(options.metrics, dataset),
        attention_beams=None if options.attention_beams is None else tuple(options.attention_beams),
        attention_images=options.attention_images,
        explain=_methods(options.explain),
        samples=options.samples,
        alarms=inputs.alarms(options.alarm, options.results),
        merge=options.merge,
        tokenizer_path=options.tokenizer,
        clip=clip,
        classes=_classes(options.data) if clip else None,
        templates=templates,
        device=options.device or getattr(place, "device", own_device),
        device_map=options.device_map,
        place=place,
        chunk_size=options.chunk_size,
        times_sizes=not options.skip_timing,
        time_limit=options.chunk_limit or getattr(place, "time_limit", None),
        splits=inputs.other_splits(options, dataset),
        command=inputs.command_line(),
    )
    if options.attention_of:
        count = captioner_run.add_maps(job, list(dict.fromkeys(options.attention_of)))
        print(f"run {options.name!r}: attention of {count:,} captions added")
        return 0
    outcome = captioner_run.evaluate_part(job)
    if outcome in (Outcome.PARTS_MISSING, Outcome.ELSEWHERE):
        print(f"part {options.part} of run {options.name!r}: {places.sentence(outcome)}")
        return 0
    return summary.show(options.results, options.name, outcome is Outcome.NEW)


def _dataset(options: argparse.Namespace) -> "Dataset":
    from engine.cli import inputs

    dataset = inputs.dataset(options)
    if dataset.format in ("flickr8k", "flickr30k"):
        dataset = _photos_only(dataset)
    dataset = inputs.only(dataset, options.only)
    if options.limit is not None:
        dataset = dataset.subset(dataset.examples[: options.limit])
    return dataset


def _photos_only(dataset: "Dataset") -> "Dataset":
    """Return the part of a Flickr dataset whose photos exist: its captions file names those of all splits."""
    here = dataset.on_disk()
    if len(here.examples) < len(dataset.examples):
        print(f"{len(here.examples):,} of {len(dataset.examples):,} captioned photos are in {dataset.root}")
        there = {example.image_id for example in here.examples}
        gone = [example.file_name for example in dataset.examples if example.image_id not in there]
        counted = "1 captioned photo is" if len(gone) == 1 else f"{len(gone):,} captioned photos are"
        here = here.remarking(f"{counted} not in {dataset.root}: {some_of(gone)}")
    return here


def _decoding(options: argparse.Namespace) -> DecodingConfig:
    from engine.captioners import registry

    given = parser.given_settings(options, DecodingConfig)
    registry.check_search(options.captioner, given)
    settings = registry.decoding_defaults(options.captioner) | given
    if settings.get("sample"):
        settings.setdefault("beam_sizes", (1,))  # samples have no beam
    return DecodingConfig(**settings)


def _methods(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the methods of --explain: () for none, None if it was not given."""
    from engine.explain.methods import METHODS

    if given is None or list(given) == ["none"]:
        return None if given is None else ()
    unknown = next((name for name in given if name not in METHODS), None)
    if unknown is not None:
        raise ConfigError(f"--explain {unknown}: expected some of {', '.join(METHODS)}, or none alone")
    return tuple(dict.fromkeys(given))


def _check_attention_beams(kept: Sequence[int], beams: Sequence[int]) -> None:
    unknown = [size for size in kept if size not in beams]
    if unknown:
        sizes = ", ".join(map(str, beams))
        raise ConfigError(f"--attention-beams {unknown[0]}: not searched; expected some of {sizes}")


def _classes(data: Path) -> "Dataset | None":
    """Return the classification set next to the captions, if there is one."""
    from engine.data.classes import load_classes

    return load_classes(data) if (data / "p1_data" / "id2label.json").is_file() else None
