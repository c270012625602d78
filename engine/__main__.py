"""The command line: `python -m engine COMMAND`. One plain function a command; what it needs is imported inside.

Knows arguments and messages. A user's mistake is one sentence on stderr and exit status 2, never a traceback.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.config import ConfigError
from engine.store.schema import METRICS

RESULTS = Path("results")
HOLD_OUT = 100
STUDY = Path(__file__).parent / "recipes" / "study.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        # A full disk or a folder that may not be written is no bug. Nothing that was written is lost.
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; what is written stays", file=sys.stderr)
        return 2
    except (ValueError, RuntimeError) as error:
        # Every mistake a user can make has an error of ours with a sentence; anything else is a bug and shows itself.
        if not type(error).__module__.startswith("engine."):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """All commands with their arguments and an example each."""
    typed = Path(sys.argv[0]).name  # `captionscope` where it is installed, else the module's file
    prog = "captionscope" if typed.startswith("captionscope") else "python -m engine"
    parser = argparse.ArgumentParser(prog=prog, description="Explain why an image captioner fails.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_evaluate(commands)
    _add_score(commands)
    _add_zeroshot(commands)
    _add_train(commands)
    _add_study(commands)
    _add_compare(commands)
    _add_correlate(commands)
    _add_sql(commands)
    _add_doctor(commands)
    return parser


def _add(commands, name: str, run: Callable, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="results folder (results)")
    return parser


def _positive(text: str) -> int:
    """A count from the command line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="dataset folder or annotation file")
    parser.add_argument("--format", choices=("coco", "course", "flickr8k", "folder"), help="instead of recognising it")
    parser.add_argument("--split", help="train, val, test, a full name such as val2017, or all (val, else all)")
    parser.add_argument(
        "--hold-out",
        type=int,
        default=HOLD_OUT,
        metavar="N",
        help=f"photos that make val where the data has no splits ({HOLD_OUT})",
    )


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="caption metrics (all but meteor and spice)")
    parser.add_argument("--clip", metavar="MODEL", help="CLIP that scores: a name, model:file, a folder, or demo")
    parser.add_argument(
        "--clip-prefix", default="", metavar="TEXT", help="put before captions, e.g. 'A photo depicts '"
    )


def _add_evaluate(commands) -> None:
    parser = _add(
        commands,
        "evaluate",
        run_evaluate,
        "caption a dataset, score every caption and keep the attention behind every word",
        "python -m engine evaluate --data data/coco --captioner checkpoints/mine --beams 1 3 5 --clip ViT-B/32 "
        "--run mine",
    )
    _add_data(parser)
    parser.add_argument("--captioner", type=Path, required=True, metavar="FOLDER", help="ours, or the study's own")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer, where the captioner brings none")
    parser.add_argument("--beams", type=int, nargs="+", metavar="K", help="beam sizes (1 3 5; 1 with --sample)")
    parser.add_argument("--max-length", type=int, default=30, metavar="T", help="new tokens at most (30)")
    parser.add_argument("--length-penalty", type=float, default=1.0, metavar="P", help="logprob / tokens ** P (1.0)")
    parser.add_argument("--early-stopping", action="store_true", help="stop at the K-th finished hypothesis")
    parser.add_argument("--rule", choices=("standard", "study"), default="standard", help="the search (standard)")
    _add_search(parser)
    parser.add_argument("--attention-beams", type=int, nargs="*", metavar="K", help="sizes whose attention is kept")
    parser.add_argument("--merge", choices=("mean", "first"), default="mean", help="maps of a word's pieces (mean)")
    parser.add_argument("--templates", nargs="+", metavar="TEXT", help="zero-shot templates with {object}")
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N images")
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")
    parser.add_argument("--run", dest="name", required=True, metavar="NAME", help="name of the run")
    _add_metrics(parser)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n-best", type=int, default=1, metavar="N", help="hypotheses kept and scored an image (1)")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="P", help="above 1: repeat less (1.0)")
    parser.add_argument("--no-repeat-ngram", type=int, default=0, metavar="N", help="no N tokens twice (0, all may)")
    parser.add_argument("--sample", action="store_true", help="draw captions by chance instead of searching")
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="of --sample; below 1 sharpens (1.0)"
    )
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="of --sample: the K most probable (0, all)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="of --sample: the nucleus' share (1.0)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of --sample (0)")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of the model (float32)")


def _add_score(commands) -> None:
    parser = _add(
        commands,
        "score",
        run_score,
        "score captions that were made elsewhere",
        "python -m engine score predictions.json --data data/flickr8k --partial --run theirs",
    )
    parser.add_argument("predictions", type=Path, help="JSON: COCO results, {name: caption}, or [{img_id, prediction}]")
    _add_data(parser)
    parser.add_argument("--partial", action="store_true", help="score what is there when images have no caption")
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")
    parser.add_argument("--run", dest="name", required=True, metavar="NAME", help="name of the run")
    _add_metrics(parser)


def _add_zeroshot(commands) -> None:
    parser = _add(
        commands,
        "zeroshot",
        run_zeroshot,
        "classify photos by CLIP and compare templates",
        "python -m engine zeroshot --data data/hw3 --clip ViT-B/32 --templates 'This is a photo of {object}' "
        "--run prompts",
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder with id2label.json and val/")
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="filename,label files made elsewhere, one a template",
    )
    parser.add_argument("--clip", default="ViT-B/32", metavar="MODEL", help="a name, model:file, a folder, or demo")
    parser.add_argument("--templates", nargs="+", metavar="TEXT", help="templates with {object} (the study's three)")
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")
    parser.add_argument("--run", dest="name", required=True, metavar="NAME", help="name of the run")


def _add_train(commands) -> None:
    parser = _add(
        commands,
        "train",
        run_train,
        "train a captioner; started again after a kill, it continues",
        "python -m engine train --data data/demo --recipe engine/recipes/demo.toml --out checkpoints/mine",
    )
    _add_data(parser)
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="TOML, see engine/recipes/")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the captioner goes")
    parser.add_argument("--encoder-weights", type=Path, metavar="FILE", help="safetensors, instead of the recipe's")
    parser.add_argument("--clip", metavar="MODEL", help="also validate with CLIPScore by this CLIP")
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")


def _add_study(commands) -> None:
    parser = _add(
        commands,
        "study",
        run_study,
        "reproduce the study: its prompts, its captioner, its eleven decodings and its five photos",
        "python -m engine study --data hw3_data --captioner checkpoints/mine --run study",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATA", help="folder with p1_data, p2_data, p3_data"
    )
    parser.add_argument("--captioner", type=Path, metavar="FOLDER", help="a trained captioner (else one is trained)")
    parser.add_argument(
        "--recipe", type=Path, default=STUDY, metavar="FILE", help="TOML to train by (the best setting)"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where a trained captioner goes (checkpoints/RUN)")
    parser.add_argument("--zeroshot-clip", default="ViT-L/14", metavar="MODEL", help="CLIP that classifies (ViT-L/14)")
    parser.add_argument("--score-clip", default="ViT-B/32", metavar="MODEL", help="CLIP that scores (ViT-B/32)")
    parser.add_argument("--beams", type=int, nargs="+", metavar="K", help="beam sizes (the study's eleven)")
    parser.add_argument("--rule", choices=("standard", "study"), help="the search (study for its own checkpoint)")
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")
    parser.add_argument("--run", dest="name", default="study", metavar="NAME", help="name of the run (study)")


def _add_compare(commands) -> None:
    parser = _add(
        commands,
        "compare",
        run_compare,
        "test whether one run or beam size is better than another on the same images",
        "python -m engine compare demo:3 demo:1",
    )
    for side in ("left", "right"):
        parser.add_argument(side, metavar=side.upper(), help="RUN:BEAM, or RUN for its best beam size by CIDEr")


def _add_correlate(commands) -> None:
    parser = _add(
        commands,
        "correlate",
        run_correlate,
        "say how well metrics agree with people's ratings of captions",
        "python -m engine correlate ratings.jsonl --data data/flickr8k --metrics cider bleu_4 rouge_l",
    )
    parser.add_argument("ratings", type=Path, help="JSON lines: image, caption, human_mean")
    _add_data(parser)
    parser.add_argument("--device", help="cpu or cuda (cuda where there is one)")
    _add_metrics(parser)


def _add_sql(commands) -> None:
    parser = _add(
        commands,
        "sql",
        run_sql,
        "ask all runs a question in SQL (DuckDB)",
        'python -m engine sql "SELECT run, beam_size, avg(cider) FROM scores GROUP BY ALL ORDER BY ALL"',
    )
    parser.add_argument("query", help="views: images, captions, scores, corpus_scores, attention, zero_shot, ...")
    parser.add_argument("--csv", action="store_true", help="print CSV instead of a table")


def _add_doctor(commands) -> None:
    _add(
        commands,
        "doctor",
        run_doctor,
        "say what is installed, what is missing, and what to do about it",
        "python -m engine doctor",
    )


# Commands


def run_evaluate(options: argparse.Namespace) -> int:
    """The command `evaluate`."""
    from engine.config import DecodingConfig
    from engine.data import registry
    from engine.evaluation import captioner_run
    from engine.metrics import zeroshot

    dataset = registry.load(options.data, options.format, options.split, options.hold_out)
    if dataset.format == "flickr8k":
        dataset = _photos_only(dataset)
    if options.limit is not None:
        dataset = dataset.subset(dataset.examples[: options.limit])
    device = _device(options.device)
    names = ("max_length", "length_penalty", "early_stopping", "rule", "n_best", "repetition_penalty")
    names += ("no_repeat_ngram", "sample", "temperature", "top_k", "top_p", "seed", "precision")
    beams = tuple(options.beams or ((1,) if options.sample else (1, 3, 5)))
    decoding = DecodingConfig(beam_sizes=beams, **{name: getattr(options, name) for name in names})
    _check_attention_beams(options.attention_beams or (), beams)
    templates = tuple(options.templates or zeroshot.TEMPLATES)
    zeroshot.check(templates)
    clip = _clip_settings(options)
    ask = captioner_run.CaptionerRun(
        name=options.name,
        results=options.results,
        dataset=dataset,
        captioner=str(options.captioner),
        decoding=decoding,
        metrics=_metrics(options.metrics, dataset),
        attention_beams=None if options.attention_beams is None else tuple(options.attention_beams),
        merge=options.merge,
        tokenizer_path=options.tokenizer,
        clip=clip,
        classes=_classes(options.data) if clip else None,
        templates=templates,
        device=device,
        command=_command(),
    )
    is_new = captioner_run.evaluate(ask)
    return _say_finished(options, is_new)


def run_score(options: argparse.Namespace) -> int:
    """The command `score`."""
    from engine.data import predictions, registry
    from engine.evaluation import predictions_run

    dataset = registry.load(options.data, options.format, options.split, options.hold_out)
    found = predictions.read(options.predictions)
    captions = predictions.match(found, dataset, options.predictions, options.partial)
    ask = predictions_run.PredictionsRun(
        name=options.name,
        results=options.results,
        dataset=dataset,
        captions=captions,
        source=options.predictions,
        metrics=_metrics(options.metrics, dataset),
        clip=_clip_settings(options),
        command=_command(),
    )
    is_new = predictions_run.score(ask)
    return _say_finished(options, is_new)


def run_zeroshot(options: argparse.Namespace) -> int:
    """The command `zeroshot`."""
    from engine.data.classes import load_classes
    from engine.evaluation import zeroshot_run
    from engine.metrics import zeroshot
    from engine.models import clip

    if options.predictions:
        return _run_imported_classes(options)
    if options.data is None:
        raise ConfigError("give --data, a folder with id2label.json and val/, or --predictions made elsewhere")
    templates = tuple(options.templates or zeroshot.TEMPLATES)
    zeroshot.check(templates)
    ask = zeroshot_run.ZeroShotRun(
        name=options.name,
        results=options.results,
        classes=load_classes(options.data),
        clip=clip.load(options.clip, _device(options.device)),
        templates=templates,
        command=_command(),
    )
    is_new = zeroshot_run.zero_shot(ask)
    return _say_finished(options, is_new)


def _run_imported_classes(options: argparse.Namespace) -> int:
    from engine.data import predictions
    from engine.data.classes import load_classes
    from engine.evaluation import zeroshot_run

    names = options.templates or [path.stem for path in options.predictions]
    if len(names) != len(options.predictions):
        raise ConfigError(
            f"--templates gives {len(names)} names, expected one for each of {len(options.predictions)} files"
        )
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ConfigError(f"two files are named {twice!r}; give each another name with --templates")
    classes = load_classes(options.data) if options.data else None
    ask = zeroshot_run.ImportedClassesRun(
        name=options.name,
        results=options.results,
        predictions=dict(zip(names, map(predictions.read_classes, options.predictions), strict=True)),
        names=dict(zip(classes.label_ids, classes.labels, strict=True)) if classes else {},
        root=classes.root if classes else None,
        command=_command(),
    )
    is_new = zeroshot_run.imported_classes(ask)
    return _say_finished(options, is_new)


def run_train(options: argparse.Namespace) -> int:
    """The command `train`."""
    from dataclasses import replace

    from engine.config import read_recipe
    from engine.data import registry
    from engine.models import clip
    from engine.store import locks, records, tables
    from engine.training import build, loop

    recipe = build.resolve_paths(read_recipe(options.recipe), options.recipe.parent)
    if options.encoder_weights is not None:
        weights = str(options.encoder_weights.resolve())
        recipe = replace(recipe, training=replace(recipe.training, encoder_weights=weights, pretrained=False))
    train_set = registry.load(options.data, options.format, options.split or "train", options.hold_out)
    validation_set = registry.load(options.data, options.format, "val", options.hold_out)
    device = _device(options.device)
    scorer = clip.load(options.clip, device) if options.clip else None

    def keep(rows: list[dict]) -> None:
        tables.write_table(options.out, "training", tables.table_of("training", rows))

    with locks.alone(options.out):
        done = loop.train(train_set, validation_set, recipe, options.out, device, scorer, keep)
    best = f"best validation CIDEr {done.best_cider:.3f}" if done.is_validated else "no photos to validate on"
    print(f"\n{options.out}: {done.epoch} epochs, {done.step} steps, {best}")
    # The held-out photos by name: without a split of its own, the data would be evaluated whole.
    data = ["--data", str(options.data), *(["--format", options.format] if options.format else []), "--split", "val"]
    held = ["--hold-out", str(options.hold_out)] if options.hold_out != HOLD_OUT else []
    name = options.out.resolve().name
    run = ["--captioner", str(options.out), "--run", name if records.RUN_NAME.fullmatch(name) else "mine"]
    print(f"next: {shlex.join(['python', '-m', 'engine', 'evaluate', *data, *held, *run])}")
    return 0


def run_study(options: argparse.Namespace) -> int:
    """The command `study`."""
    from engine.config import read_recipe
    from engine.evaluation import study
    from engine.training import build

    asked = study.Study(
        name=options.name,
        results=options.results,
        data=options.data,
        out=options.out or Path("checkpoints") / options.name,
        recipe=build.resolve_paths(read_recipe(options.recipe), options.recipe.parent),
        captioner=options.captioner,
        zeroshot_clip=options.zeroshot_clip,
        score_clip=options.score_clip,
        beams=tuple(options.beams or study.BEAMS),
        rule=options.rule,
        device=_device(options.device),
        command=_command(),
    )
    print(f"\n{study.make(asked)}")
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """The command `compare`."""
    from engine.cli import compare

    print(compare.text(options.results, options.left, options.right))
    return 0


def run_correlate(options: argparse.Namespace) -> int:
    """The command `correlate`."""
    from engine.data import registry
    from engine.evaluation.agreement import rated
    from engine.evaluation.scoring import MetricSettings
    from engine.metrics import human_ratings

    ratings = human_ratings.read(options.ratings)
    dataset = registry.load(options.data, options.format, options.split or "all", options.hold_out)
    clip = _clip_settings(options)
    wanted = MetricSettings(_metrics(options.metrics, dataset), clip, options.results)
    found = rated(ratings, dataset, wanted)
    print(f"{'metric':<14}{'tau-c x 100':>12}{'tau-b x 100':>12}{'captions':>10}")
    for name, each in found.items():
        taus = (f"{100 * tau:>12.1f}" if math.isfinite(tau) else f"{'-':>12}" for tau in (each.tau_c, each.tau_b))
        print(f"{METRICS[name].title:<14}{''.join(taus)}{each.pairs:>10,}")
    return 0


_COUNTS_ONLY = {"CREATE", "INSERT", "UPDATE", "DELETE"}
"""Statements that answer with a number of rows, which stands in nobody's way to what was asked."""


def run_sql(options: argparse.Namespace) -> int:
    """The command `sql`."""
    import duckdb

    from engine.store import database

    connection, problems = database.connect(options.results)
    for problem in problems:
        print(f"left out: {problem.path}: {problem.reason}", file=sys.stderr)
    try:
        for statement in database.readers(connection, options.query):
            answer = connection.sql(statement)
            if answer is not None and statement.type.name not in _COUNTS_ONLY:
                _print_csv(answer) if options.csv else answer.show(max_width=200)
    except duckdb.Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _print_csv(answer) -> None:
    """A DuckDB answer as CSV: NULL is an empty field, a list or a struct is JSON."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_field(value) for value in row] for row in answer.fetchall())


def _field(value: object) -> object:
    import json

    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value != value else value  # not a number has no other sign in CSV


def run_doctor(options: argparse.Namespace) -> int:
    """The command `doctor`."""
    from engine.cli import doctor

    for finding in doctor.examine():
        print(f"{'ok' if finding.is_there else '--':>4}  {finding.name:<26} {finding.text}")
    return 0


# What the commands share


def _photos_only(dataset):
    """Flickr8k's caption file names all 8,091 photos, whatever part of them is here."""
    here = dataset.on_disk()
    if len(here.examples) < len(dataset.examples):
        print(f"{len(here.examples):,} of {len(dataset.examples):,} captioned photos are in {dataset.root}")
    if not here.examples:
        raise ConfigError(f"{dataset.root}: none of the captioned photos is there")
    return here


def _classes(data: Path):
    """The classification set that lies beside the captions, where there is one."""
    from engine.data.classes import load_classes

    return load_classes(data) if (data / "p1_data" / "id2label.json").is_file() else None


def _clip_settings(options: argparse.Namespace):
    """The CLIP that scores, if any: without one, neither torch nor a device is needed."""
    if options.clip is None:
        return None
    from engine.evaluation.clip_settings import ClipSettings
    from engine.models import clip

    return ClipSettings(clip.load(options.clip, _device(options.device)), options.clip_prefix)


def _check_attention_beams(kept: Sequence[int], beams: Sequence[int]) -> None:
    unknown = [size for size in kept if size not in beams]
    if unknown:
        sizes = ", ".join(map(str, beams))
        raise ConfigError(f"--attention-beams {unknown[0]}: not searched; expected some of {sizes}")


def _metrics(names: Sequence[str] | None, dataset) -> tuple[str, ...]:
    from engine.metrics import coco

    if names is None:
        return coco.CAPTION_METRICS
    known = (*coco.CAPTION_METRICS, *coco.ON_REQUEST)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"--metrics {unknown[0]}: expected some of {', '.join(known)}")
    if not any(example.references for example in dataset.examples):
        raise ConfigError(f"--metrics {names[0]}: {dataset.path} has no reference captions; leave --metrics out")
    return tuple(name for name in known if name in names)


def _device(name: str | None) -> str:
    """The device that models run on; what prepares a process for them stands here as well."""
    import torch

    from engine.cli import allocator
    from engine.data.files import first_line

    allocator.keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # on a GPU as well float32 means float32; who wants speed takes bf16
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=name).item()  # a device that holds no numbers, such as meta, gives none back
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {name}: not usable here ({first_line(error)}); try --device cpu") from error
    if name.startswith("cuda:"):
        torch.cuda.set_device(name)  # kernels, graphs and streams are made on the current one
    return name


def _command() -> str:
    return shlex.join(["python", "-m", "engine", *sys.argv[1:]])


def _say_finished(options: argparse.Namespace, is_new: bool) -> int:
    from engine.cli import summary

    if not is_new:
        print(f"run {options.name!r} is finished already, nothing to compute")
    print(summary.text(options.results, options.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
