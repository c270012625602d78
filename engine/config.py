"""Settings as frozen dataclasses, read from TOML or JSON; unknown keys and contradictions are errors."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from engine import limits
from engine.reading import quoted, read_toml

T = TypeVar("T")

ACTIVATIONS = ("gelu", "relu")
PRECISIONS = ("float32", "bf16")
RULES = ("standard", "study")
INTERPOLATIONS = ("bicubic", "bilinear")
LONGEST = 500
"""Maximum number of tokens per caption."""


class ConfigError(ValueError):
    """An invalid setting; the message names the setting, its file and what was expected."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A captioner's architecture in a recipe; names follow the study's `model_config.json`."""

    encoder: str
    """A timm model name; old names are resolved."""
    d_model: int | None = None
    """Width of the decoder; None takes the encoder's. Features of another width are projected."""
    num_layers: int = 4
    nhead: int = 8
    dim_feedforward: int = 2048
    activation: str = "gelu"
    dropout: float = 0.1
    image_size: int = 224
    """Pixels, both sides."""
    crop_pct: float | None = None
    """Share of the resized photo that the centre crop keeps; None takes the encoder's value."""
    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    """For RGB in [0, 1]; None takes the encoder's values."""
    std: tuple[float, ...] | None = None
    encoder_kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    """Sizes and parts of the encoder, passed to timm.create_model; see limits.ENCODER_OPTIONS."""

    def __post_init__(self) -> None:
        _require_sizes(self, "num_layers", "nhead", "dim_feedforward", "image_size", "d_model", "crop_pct")
        if problem := limits.encoder_problem(self.encoder_kwargs):
            raise ConfigError(problem)
        if self.d_model is not None:
            _require(self.d_model % self.nhead == 0, "d_model", self.d_model, f"a multiple of nhead ({self.nhead})")
        _require(self.activation in ACTIVATIONS, "activation", self.activation, f"one of {ACTIVATIONS}")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "a share from 0 up to, not including, 1")
        self._check_preprocessing()

    def _check_preprocessing(self) -> None:
        """Check the values that are given; the others come from the encoder."""
        if self.interpolation is not None:
            expected = f"one of {INTERPOLATIONS}"
            _require(self.interpolation in INTERPOLATIONS, "interpolation", self.interpolation, expected)
        for name in ("mean", "std"):
            if (values := getattr(self, name)) is not None:
                known = [value for value in values if type(value) in (int, float) and math.isfinite(value)]
                _require(len(known) == len(values) == 3, name, values, "three numbers, of red, green and blue")
        if self.mean is not None:
            _require(max(map(abs, self.mean)) <= 1_000, "mean", self.mean, "three numbers from -1,000 to 1,000")
        if self.std is not None:
            within = min(self.std) >= 1e-4 and max(self.std) <= 1_000
            _require(within, "std", self.std, "three numbers from 0.0001 to 1,000")


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig(ModelConfig):
    """A captioner's complete architecture, as stored in its checkpoint."""

    d_model: int
    vocab_size: int
    max_positions: int = 512
    """Number of positions: the longest caption in tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_sizes(self, "vocab_size", "max_positions")


def _option(
    default: Any, help: str, metavar: str | None = None, choices: tuple[str, ...] | None = None, flag: str | None = None
) -> Any:
    """Return a field with the texts of its command-line option; the rest of the option follows from the field."""
    texts = {"help": help, "metavar": metavar, "choices": choices, "flag": flag}
    return field(default=default, metadata=texts)


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are searched. Source of the defaults: the study (at most 30 new tokens).

    Each field is an option of `evaluate`.
    """

    beam_sizes: tuple[int, ...] = _option(
        (1, 3, 5), "beam sizes; 1 is greedy search, the only one with --sample and of endpoints", "K", flag="--beams"
    )
    max_length: int = _option(30, "maximum number of new tokens, with the end token", "T")
    length_penalty: float = _option(1.0, "rank hypotheses by logprob / tokens ** P", "P")
    early_stopping: bool = _option(False, "stop at the K-th finished hypothesis, even if another can still win")
    rule: str = _option("standard", "search rule; study: no causal mask, and a beam that narrows", choices=RULES)
    n_best: int = _option(1, "hypotheses to keep and score per image; a smaller beam keeps all it has", "N")
    repetition_penalty: float = _option(1.0, "above 1: tokens are less likely to repeat, as in transformers", "P")
    no_repeat_ngram: int = _option(0, "no N tokens occur twice in a caption; 0: no constraint", "N")
    sample: bool = _option(False, "draw captions at random instead of searching")
    temperature: float = _option(1.0, "below 1 sharpens, above 1 flattens the distribution (with --sample)", "T")
    top_k: int = _option(0, "keep the K most probable tokens; 0 keeps all (with --sample)", "K")
    top_p: float = _option(1.0, "nucleus sampling: cumulative probability to keep (with --sample)", "P")
    seed: int = _option(0, "the same seed draws the same captions, whatever the batch (with --sample)", "S")
    precision: str = _option("float32", "precision of the model; scores are float32", choices=PRECISIONS)

    def __post_init__(self) -> None:
        _require(self.rule in RULES, "rule", self.rule, f"one of {RULES}")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        _require(bool(self.beam_sizes), "beam_sizes", self.beam_sizes, "at least one")
        for size in self.beam_sizes:
            _require(1 <= size <= 100, "beam_sizes", size, "sizes from 1 to 100")
        _require(len(set(self.beam_sizes)) == len(self.beam_sizes), "beam_sizes", self.beam_sizes, "each size once")
        _require(1 <= self.max_length <= LONGEST, "max_length", self.max_length, f"1 to {LONGEST} tokens")
        # Beyond these limits scores become infinite or NaN and no longer rank captions.
        _require(-10 <= self.length_penalty <= 10, "length_penalty", self.length_penalty, "a number from -10 to 10")
        _require(
            0.01 <= self.repetition_penalty <= 100,
            *("repetition_penalty", self.repetition_penalty, "a number above 0 (0.01 to 100)"),
        )
        _require(self.no_repeat_ngram >= 0, "no_repeat_ngram", self.no_repeat_ngram, "0, or a number of tokens")
        self._check_sampling()
        if self.rule == "study":
            self._check_study()

    def _check_sampling(self) -> None:
        if self.sample:
            _require(self.beam_sizes == (1,), "beam_sizes", self.beam_sizes, "only 1 when captions are sampled")
            _require(
                0 < self.temperature <= 1e6,
                *("temperature", self.temperature, "a number above 0, up to a million; values near 0 are greedy"),
            )
            _require(self.top_k >= 0, "top_k", self.top_k, "0, or a number of tokens")
            _require(0 < self.top_p <= 1, "top_p", self.top_p, "a share above 0, up to 1")
            _require(1 <= self.n_best <= 100, "n_best", self.n_best, "1 to 100 samples per image")
            _require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
            return
        for name in ("temperature", "top_k", "top_p", "seed"):
            default = type(self).__dataclass_fields__[name].default
            expected = f"{default} unless captions are sampled"
            _require(getattr(self, name) == default, name, getattr(self, name), expected)
        _require(
            1 <= self.n_best <= max(self.beam_sizes),
            *("n_best", self.n_best, f"1 to the largest beam size ({max(self.beam_sizes)})"),
        )

    def _check_study(self) -> None:
        """Check that settings the study's rule does not have keep their defaults."""
        for name in ("length_penalty", "early_stopping", "repetition_penalty", "no_repeat_ngram", "sample"):
            default = type(self).__dataclass_fields__[name].default
            shown = str(default).lower() if isinstance(default, bool) else default
            _require(getattr(self, name) == default, name, getattr(self, name), f"{shown} under the study's rule")

    @property
    def constrained(self) -> bool:
        """Whether repetition constraints change the scores of tokens."""
        return self.repetition_penalty != 1.0 or self.no_repeat_ngram > 0

    def signature_fields(self) -> dict[str, Any]:
        """Return the fields of a signature: rule, lengths and early stopping always, the rest if not the default."""
        always = ("rule", "max_length", "length_penalty", "early_stopping")
        sampling = ("sample", "temperature", "top_k", "top_p", "seed") if self.sample else ()
        optional = ("n_best", "repetition_penalty", "no_repeat_ngram", "precision")
        fields = type(self).__dataclass_fields__
        changed = tuple(name for name in optional if getattr(self, name) != fields[name].default)
        return {name: getattr(self, name) for name in (*always, *changed, *sampling)}


@dataclass(frozen=True)
class TrainingConfig:
    """How a captioner is trained: AdamW, linear warm-up, then a cosine.

    Defaults are the best setting of the study's report; what it leaves open follows the study's public code.
    """

    epochs: int = 5
    batch_size: int = 32
    """Captions per step, of all processes and micro-batches together."""
    accumulate: int = 1
    """Micro-batches per step: each process divides its captions of a step into this many parts, computes them one after
    the other and adds their gradients. This needs less memory; the step is the same."""
    group_captions: bool = False
    """Put all captions of an image into the same step, which then reads the image once; batches are less mixed."""
    learning_rate: float = 5e-5
    """Peak learning rate, at the end of the warm-up."""
    weight_decay: float = 0.01
    warmup_steps: int = 1000
    clip_norm: float = 1.0
    """Maximum norm of the gradients."""
    label_smoothing: float = 0.0
    freeze_encoder: bool = True
    pretrained: bool = False
    """Start from timm's published encoder weights (cached or downloaded)."""
    encoder_weights: str | None = None
    """Start from a safetensors file of encoder weights instead; the path is relative to the recipe."""
    augment: bool = False
    """Horizontal flips and RandAugment; the encoder then runs in every epoch."""
    scheduled_sampling: bool = False
    """Replace input tokens by the model's predictions, with a probability that rises from 0 to 1 during training."""
    precision: str = "float32"
    """`bf16` is mixed precision; weights stay float32."""
    seed: int = 0
    max_length: int = 30
    """Captions are truncated to this many tokens, end token included."""
    tokenizer: str | None = None
    """A tokenizers JSON file, relative to the recipe; None uses the dataset's, or trains one on its captions."""
    vocab_size: int = 8000
    """Vocabulary size of a tokenizer that is trained."""
    validation_images: int = 500
    """Maximum number of held-out images whose greedy captions are scored after each epoch."""
    log_steps: int = 10
    """Steps between logged rows."""

    def __post_init__(self) -> None:
        sizes = ("epochs", "batch_size", "accumulate", "vocab_size", "log_steps", "warmup_steps", "validation_images")
        _require_sizes(self, *sizes)
        expected = f"at most batch_size ({self.batch_size})"
        _require(self.accumulate <= self.batch_size, "accumulate", self.accumulate, expected)
        for name in ("learning_rate", "clip_norm"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "a positive number")
        _require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or a positive number")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "a whole number from 0, below 2 ** 32")
        _require(1 <= self.max_length <= LONGEST, "max_length", self.max_length, f"1 to {LONGEST} tokens")
        _require(self.vocab_size > 4, "vocab_size", self.vocab_size, "more than the 4 special tokens")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "a share below 1")
        _require(
            not (self.pretrained and self.encoder_weights),
            "pretrained",
            self.pretrained,
            "false when encoder_weights is given, because the encoder can start from only one of them",
        )


@dataclass(frozen=True)
class Recipe:
    """A training recipe: a TOML file with the tables [model] and [training]."""

    model: ModelConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: the file does not exist or is not TOML, or has an unknown key, a wrong type or a contradiction.
    """
    if not path.is_file():
        names = ", ".join(sorted(recipe.name for recipe in (Path(__file__).parent / "recipes").glob("*.toml")))
        raise ConfigError(f"{path}: there is no such recipe; engine/recipes/ has {names}")
    return from_dict(Recipe, read_toml(path, ConfigError), str(path))


def from_dict(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Build the dataclass `kind` from plain values; lists become tuples, tables become dataclasses.

    Raises:
        ConfigError: an unknown or missing key, a wrong type or a contradiction; the message begins with `where`.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown setting {quoted(unknown[0])}, expected one of {', '.join(hints)}")
    given = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()}
    fields: Any = dataclasses.fields(kind)  # ty: ignore[invalid-argument-type]  # a dataclass by its callers
    missing = [item.name for item in fields if _has_no_default(item, hints[item.name]) and item.name not in given]
    if missing:
        raise ConfigError(f"{where}: the setting {missing[0]!r} is missing")
    try:
        return kind(**given)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _has_no_default(item: dataclasses.Field, hint: Any) -> bool:
    if item.default is None:  # inherited from a class in which the setting may be left out
        return type(None) not in getattr(hint, "__args__", ())
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {quoted(value)}: expected a table")
        return from_dict(hint, value, where)
    choices = getattr(hint, "__args__", ()) if "|" in str(hint) else (hint,)
    origins = [getattr(choice, "__origin__", choice) for choice in choices]
    if tuple in origins and isinstance(value, list | tuple):
        return tuple(value)
    if float in origins and type(value) is int:
        return float(value)
    if type(value) in origins:
        return value
    expected = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in origins)
    raise ConfigError(f"{where}: {quoted(value)}: expected {expected}")


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {quoted(value)}, expected {expected}")


def _require_sizes(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and (problem := limits.size_problem(name, value)):
            raise ConfigError(problem)
