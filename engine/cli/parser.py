"""Options that several commands share, and options that are derived from a settings dataclass.

The default of a setting exists once, in its dataclass.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

RESULTS = Path("results")
HOLD_OUT = 100
"""Photos of the validation split, if the data has no splits."""

Commands = argparse._SubParsersAction
"""The commands of the parser, which `add_command` adds to."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Shows the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_flag = action.nargs == 0 or not action.option_strings
        if is_flag or action.default in (None, "", argparse.SUPPRESS):
            return action.help
        return f"{action.help} (default: %(default)s)"


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str, example: str
) -> argparse.ArgumentParser:
    """Add a command with the option --results and return its parser.

    Args:
        run: executes the command and returns the exit status.
        text: what the command does, in one sentence without a full stop.
        example: a command line, for the end of the help.
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=_Help,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--results", type=results_folder, default=RESULTS, metavar="PLACE", help="results folder, or s3://BUCKET/PREFIX"
    )
    return parser


def results_folder(text: str) -> Path:
    """Return the results folder of the command line; of an address, the folder that mirrors it."""
    if "://" not in text:
        return Path(text)
    from engine.store import remote

    if not remote.is_address(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a folder, or an address such as s3://BUCKET/PREFIX")
    return remote.folder_of(text)


def positive(text: str) -> int:
    """Return a number above 0 from the command line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def samples(text: str) -> int:
    """Return a number of samples from the command line: 0 to 100."""
    if not text.isdecimal() or int(text) > 100:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 0 to 100")
    return int(text)


def add_data(
    parser: argparse.ArgumentParser, split: str = "val if it exists, else all", is_required: bool = True
) -> None:
    """Add the options of a dataset: --data, --format, --split, --hold-out.

    Args:
        split: the default split of the command, for the help.
        is_required: whether the command needs --data.
    """
    parser.add_argument(
        "--data", type=Path, required=is_required, metavar="DATA", help="dataset folder or annotation file"
    )
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="coco, karpathy, course, flickr8k, flickr30k, pairs, folder or a plugin as package.module:factory "
        "(default: detected)",
    )
    parser.add_argument("--split", help=f"train, val, test, a full name such as val2017, or all (default: {split})")
    parser.add_argument(
        "--hold-out",
        type=int,
        default=HOLD_OUT,
        metavar="N",
        help="number of photos in the validation split if the data has no splits",
    )


def add_only(parser: argparse.ArgumentParser) -> None:
    """Add the option --only, the images of the split that are used."""
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ID",
        help="use only these images of the split: their ids, or @FILE with one id per line",
    )


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add the options of scores: --metrics, --clip, --clip-prefix."""
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="caption metrics; plugins as package.module:factory, programs as 'exec:COMMAND' "
        "(default: all built in except meteor and spice; CHAIR only if annotated objects have the names of COCO's "
        "categories)",
    )
    parser.add_argument("--clip", metavar="MODEL", help="CLIP for CLIPScore: a name, model:file, a folder, or demo")
    parser.add_argument(
        "--clip-prefix", default="", metavar="TEXT", help="text before each caption, e.g. 'A photo depicts '"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option --device."""
    parser.add_argument("--device", help="cpu or cuda (default: cuda if available, else cpu)")


def add_run(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the option --run, the name of the run; required if it has no default."""
    parser.add_argument(
        "--run", dest="name", required=default is None, default=default, metavar="NAME", help="name of the run"
    )


def add_settings(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Add one option per field of the settings dataclass `kind`.

    Name, type and default of an option are those of the field; help, metavar, choices and an option name of its own
    (`flag`) are in the field's metadata. Options that are not given are absent from the parsed options: the default
    stays in `kind`.
    """
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        hint, more = hints[item.name], item.metadata
        flag = more.get("flag") or f"--{item.name.replace('_', '-')}"
        option: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS}
        if hint is bool:
            parser.add_argument(flag, action="store_true", help=more["help"], **option)
            continue
        is_tuple = get_origin(hint) is tuple
        default: Any = item.default
        shown = " ".join(map(str, default)) if is_tuple else default
        option |= {"nargs": "+", "type": get_args(hint)[0]} if is_tuple else {"type": hint}
        option |= {"choices": more.get("choices"), "metavar": more.get("metavar")}
        parser.add_argument(flag, help=f"{more['help']} (default: {shown})", **option)


def given_settings(options: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """Return field -> value of the options of `add_settings` that were given; lists become tuples."""
    values = {item.name: getattr(options, item.name) for item in dataclasses.fields(kind) if item.name in options}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
