"""Load CLIP models through open_clip, by name or from files, and compute image and text features.

Chooses the preprocessing, activation and tokenizer that the weights need.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from engine.models import clip_files
from engine.models.hub import quiet_downloads
from engine.models.tokenizer import CaptionTokenizer
from engine.reading import quoted

DEMO = Path(__file__).parents[1] / "demo" / "clip"
"""The small CLIP that ships with the project, trained on the demo world only."""

DEFAULT = "ViT-B/32"
BATCH = 64


class ClipError(ValueError):
    """A CLIP that cannot be loaded; the message names it and says what to do."""


class ClipMissing(ClipError):
    """The model is known, but its weights are not on this machine."""


@dataclass(frozen=True)
class TextFeatures:
    """Normalised features float32[N, D] of texts, and which texts were longer than the context, bool[N]."""

    features: np.ndarray
    truncated: np.ndarray


class Clip:
    """A CLIP in evaluation mode.

    Args:
        model: with encode_image, encode_text and logit_scale.
        prepare: converts a photo to the model's input float32[3, S, S].
        tokenize: converts texts to ids int64[N, context] and whether each was truncated.
        name: the name that is shown.
    """

    def __init__(
        self,
        model: Any,  # open_clip's models are nn.Modules with attributes of their own
        prepare: Callable[[Image.Image], Tensor],
        tokenize: Callable[[Sequence[str]], tuple[Tensor, list[bool]]],
        name: str,
        is_demo: bool,
    ) -> None:
        self.model, self.prepare, self.name, self.is_demo = model.eval(), prepare, name, is_demo
        self._tokenize = tokenize
        self.fingerprint = _fingerprint(model)
        """Changes with the weights."""
        self.setup = _setup(model, prepare)
        """Changes with everything else that changes features: architecture, activation and preprocessing."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.logit_scale.device

    @property
    def context(self) -> int | None:
        """The tokens of a text that the model reads, those of start and end included; None if it does not say so."""
        return getattr(self.model, "context_length", None)

    @property
    def logit_scale(self) -> float:
        """The learned factor before the softmax, e.g. 100 for OpenAI's models."""
        return float(self.model.logit_scale.detach().exp())

    @torch.inference_mode()
    def image_features(self, pixels: Sequence[Tensor]) -> np.ndarray:
        """Return the normalised features float32[N, D] of prepared photos."""
        batches = [torch.stack(list(pixels[at : at + BATCH])) for at in range(0, len(pixels), BATCH)]
        return _stack([_normalise(self.model.encode_image(batch.to(self.device))) for batch in batches])

    @torch.inference_mode()
    def text_features(self, texts: Sequence[str], progress: Callable[[Iterable], Iterable] = list) -> TextFeatures:
        """Return the features of texts; each distinct text is encoded once, batched with texts of similar length."""
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        ids, cut = self._tokenize(list(distinct))
        lengths = _text_lengths(self.model, ids)
        order = np.argsort(lengths, kind="stable")
        found = []
        for at in progress(range(0, len(order), BATCH)):
            rows = order[at : at + BATCH]
            batch = ids[torch.from_numpy(rows), : int(lengths[rows].max())]
            found.append(_normalise(_encode_text(self.model, batch.to(self.device))))
        places = np.argsort(order)[[distinct[text] for text in texts]]
        return TextFeatures(_stack(found)[places], np.array(cut, dtype=bool)[[distinct[text] for text in texts]])


def _reads_forward_only(model: nn.Module) -> bool:
    """Return whether a text's feature is independent of what follows the end token, so that padding can be left out."""
    causal = isinstance(model, open_clip.CLIP) and getattr(model, "attn_mask", None) is not None
    return causal and model.text_pool_type in ("argmax", "eos")


def _end_positions(model: Any, ids: Tensor) -> Tensor:
    """Return the positions of the end tokens, int64[N], as open_clip finds them."""
    marks = ids if model.text_pool_type == "argmax" else torch.eq(ids, model.text_eos_id).int()
    return marks.argmax(-1)


def _text_lengths(model: nn.Module, ids: Tensor) -> np.ndarray:
    """Return the number of positions that each text needs, int64[N], end token included."""
    if not _reads_forward_only(model):
        return np.full(len(ids), ids.shape[1])
    return (_end_positions(model, ids) + 1).numpy()


def _encode_text(model: Any, ids: Tensor) -> Tensor:
    """Return text features [N, D] of ids int64[N, T]; T may be shorter than the context if the text tower is causal."""
    if not _reads_forward_only(model):
        return model.encode_text(ids)
    length, dtype = ids.shape[1], model.transformer.get_cast_dtype()
    x = model.token_embedding(ids).to(dtype) + model.positional_embedding[:length].to(dtype)
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    pooled = x[torch.arange(len(ids), device=ids.device), _end_positions(model, ids)]
    projection = model.text_projection
    return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection


def load(name: str = DEFAULT, device: str = "cpu") -> Clip:
    """Load a CLIP.

    Args:
        name: `demo`; a folder with open_clip_config.json; an open_clip model such as `ViT-B/32` (OpenAI's weights),
            `ViT-B-32:laion2b_s34b_b79k` (model:tag) or `ViT-B-32:/path/weights` (model:file).
        device: a torch device, such as `cuda`.

    Raises:
        ClipError: the model is unknown, its weights are neither cached nor downloadable, or they do not fit.
    """
    if name == "demo":
        return _load_folder(DEMO, device)
    if Path(name).is_dir():
        return _load_folder(Path(name), device)
    return _load_named(name, *_named(name), device)


def check(name: str) -> None:
    """Check the name of a CLIP without loading it.

    Raises:
        ClipError: as `load`, except for weights that are missing or do not fit.
    """
    if name != "demo" and not Path(name).is_dir():
        _named(name)


def _named(name: str) -> tuple[str, str]:
    """Return the name of open_clip's model and the tag or file of its weights."""
    model_name, _, weights = name.partition(":")
    model_name = model_name.replace("/", "-").removesuffix("@336px") + ("-336" if "@336px" in model_name else "")
    if model_name not in open_clip.list_models():
        raise ClipError(_unknown(name))
    weights = weights or "openai"
    if _is_file(weights):
        if not Path(weights).is_file():
            raise ClipError(f"CLIP {name!r}: {weights}: there is no such file")
    elif weights not in open_clip.list_pretrained_tags_by_model(model_name):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model_name))
        raise ClipError(f"CLIP {name!r}: {model_name} has no weights {weights!r}; expected a file or one of {tags}")
    return model_name, weights


def _is_file(weights: str) -> bool:
    return Path(weights).suffix in (".pt", ".pth", ".bin", ".safetensors") or Path(weights).exists()


def _unknown(name: str) -> str:
    if name.startswith((".", "/", "~")) or "/" in name and not name.startswith(("ViT", "RN")):
        return f"CLIP {name!r} is neither a model of open_clip nor a folder with open_clip_config.json"
    return (
        f"CLIP {name!r}: open_clip has no such model; expected demo, a folder, or a name such as ViT-B/32, "
        "ViT-L-14:openai or ViT-B-32:laion2b_s34b_b79k (python -c 'import open_clip; print(open_clip.list_models())')"
    )


def _load_named(name: str, model_name: str, weights: str, device: str) -> Clip:
    try:
        with quiet_downloads() if _needs_downloads(model_name, weights) else nullcontext():
            if _is_file(weights):
                model, prepare = clip_files.create(model_name, Path(weights), device, ClipError)
            else:
                model, _, prepare = open_clip.create_model_and_transforms(model_name, pretrained=weights, device=device)
            tokenizer = open_clip.get_tokenizer(model_name)
    except ClipError as error:
        raise ClipError(f"CLIP {quoted(name)}: {error}") from error
    except Exception as error:  # torch and the hub raise their own exceptions
        raise ClipMissing(
            f"the weights of CLIP {name!r} are not in the cache and could not be downloaded; either run once on a "
            "machine with a network and copy its Hugging Face cache (HF_HOME), or give a file in place of the name: "
            f"{model_name}:/path/to/weights"
        ) from error
    return Clip(model, prepare, _open_clip_tokenize(tokenizer), name, is_demo=False)


def _needs_downloads(model_name: str, weights: str) -> bool:
    """Return whether weights or the text tower's tokenizer come from the hub, if they are not cached."""
    text = (open_clip.get_model_config(model_name) or {}).get("text_cfg", {})
    return not _is_file(weights) or any(text.get(name) for name in ("hf_model_name", "hf_tokenizer_name"))


def _open_clip_tokenize(tokenizer: Callable[..., Tensor]) -> Callable[[Sequence[str]], tuple[Tensor, list[bool]]]:
    def tokenize(texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        ids = tokenizer(list(texts))
        # With a context one token longer, a truncated text has one more token. The padding id is the most frequent id
        # of an empty text: SigLIP pads with 1, which also ends a text, and CLIPS adds another token after it.
        longer = tokenizer(list(texts), context_length=ids.shape[1] + 1)
        padding = tokenizer([""]).mode(dim=1).values
        cut = (longer != padding).sum(dim=1) > (ids != padding).sum(dim=1)
        return ids, cut.tolist()

    return tokenize


def _load_folder(folder: Path, device: str) -> Clip:
    file = folder / "open_clip_config.json"
    weights = folder / "open_clip_model.safetensors"
    for path in (file, weights):
        if not path.is_file():
            raise ClipError(f"CLIP {str(folder)!r}: {path} is missing; expected open_clip's folder layout")
    try:
        model, prepare = clip_files.create_folder(folder, ClipError)
    except ClipError as error:
        raise ClipError(f"CLIP {quoted(str(folder))}: {error}") from error
    if (folder / "tokenizer.json").is_file():
        words = CaptionTokenizer.load(folder / "tokenizer.json")
        _check_vocabulary(folder, model.vocab_size, words.vocab_size)
        tokenize = _own_tokenize(words, model.context_length)
    else:
        simple = open_clip.SimpleTokenizer(context_length=model.context_length)
        _check_vocabulary(folder, model.vocab_size, simple.vocab_size)
        tokenize = _open_clip_tokenize(simple)
    is_demo = folder.resolve() == DEMO.resolve()
    return Clip(model.to(device), prepare, tokenize, "demo CLIP" if is_demo else folder.name, is_demo)


def _check_vocabulary(folder: Path, model: int, tokenizer: int) -> None:
    if tokenizer > model:
        raise ClipError(
            f"CLIP {quoted(str(folder))}: the model has {model:,} tokens and the tokenizer {tokenizer:,}; "
            "copy the tokenizer.json that belongs to the model"
        )


def _own_tokenize(tokenizer: CaptionTokenizer, context: int) -> Callable[[Sequence[str]], tuple[Tensor, list[bool]]]:
    def tokenize(texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        ids = torch.full((len(texts), context), tokenizer.pad_id)
        cut = []
        for row, text in enumerate(texts):
            every = tokenizer.encode(text)
            cut.append(len(every) > context)
            kept = tokenizer.encode(text, max_length=context - 1)
            ids[row, : len(kept)] = torch.tensor(kept)
        return ids, cut

    return tokenize


def _normalise(features: Tensor) -> np.ndarray:
    # In float32, because half precision loses the third digit of a cosine.
    features = features.float()
    return (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()


def _stack(batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(batches) if batches else np.empty((0, 0), np.float32)


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _setup(model: nn.Module, prepare: Callable[[Image.Image], Tensor]) -> str:
    lines = [
        f"{name} {type(module).__name__} {_shape(module)} {module.extra_repr()}"
        for name, module in model.named_modules()
    ]
    steps = re.sub(r" at 0x[0-9a-f]+", "", str(prepare))  # functions in the transform are printed with their address
    return hashlib.sha256("\n".join([*lines, steps]).encode()).hexdigest()[:16]


def _shape(module: nn.Module) -> dict[str, object]:
    """Return the module's settings, such as the number of heads, that its weights do not show."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if isinstance(value, int | float | str) and name != "training" and not name.startswith("_")
    }
