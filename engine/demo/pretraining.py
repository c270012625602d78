"""Train the visual encoder of both demo models (a small CLIP and the captioner's ViT) from scratch.

The losses and the schedule:

- contrastive, as in CLIP: images of a batch are compared with its captions, zero-shot prompts and an equal number of
  wrong captions, which differ from true ones in one noun, colour or count;
- dense: every patch predicts the object or place it shows, and its colour. With 196 targets per image a ViT learns
  within an hour on two cores, and its attention stays local. The two heads are not exported;
- for the first 70 % of the time most background patches are left out, similar to FLIP: more than twice the images per
  second.

`python -m engine.demo.pretraining --minutes 50` renders scenes if needed, trains, resumes after interruptions, exports.
"""

import argparse
import csv
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.demo import corpus
from engine.models.tokenizer import CaptionTokenizer

MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI's CLIP, open_clip's default
STD = (0.26862954, 0.26130258, 0.27577711)
WIDTH, DEPTH, HEAD_WIDTH, EMBEDDING = 192, 4, 64, 192
TEXT_DEPTH = 2
CONTEXT = 40  # tokens; the longest reference has 31 words, 33 with start and end token
KEPT = 72  # patches of 196 in the sparse phase; the objects of a typical scene cover fewer
FIRST_PLACE = len(corpus.PATCH_NAMES) - len(corpus.PLACES)  # patch labels from here on are background
VOCABULARY = 2000  # at most; the captions have fewer distinct words
# The captioner's encoder: a timm name and arguments that give the tower above. Its LayerNorm has open_clip's epsilon.
TIMM_NAME = "vit_base_patch16_clip_224"
TIMM_KWARGS = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": WIDTH // HEAD_WIDTH}


@dataclass(frozen=True)
class PretrainingRecipe:
    """Settings of the training."""

    minutes: float = 50.0  # wall clock of the training loop, over all resumptions
    scenes: int = 40_000
    batch: int = 64
    lr: float = 1e-3  # peak; linear warm-up, then a cosine to zero over the wall clock
    warmup: float = 0.03  # share of the time
    weight_decay: float = 0.05
    sparse: float = 0.7  # share of the time with most background patches left out
    dense_weight: float = 1.0
    colour_weight: float = 0.5
    prompt_share: float = 0.2  # of the images, described by a zero-shot prompt instead of a reference
    log_every: int = 20  # steps
    save_every: float = 240.0  # seconds
    seed: int = 0


def model_config(tokenizer: CaptionTokenizer) -> dict:
    """Return open_clip's `model_cfg` of the demo CLIP; text features are read at the end token."""
    return {
        "embed_dim": EMBEDDING,
        "vision_cfg": {"image_size": 224, "patch_size": 16, "width": WIDTH, "layers": DEPTH, "head_width": HEAD_WIDTH},
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": tokenizer.vocab_size, "width": WIDTH, "layers": TEXT_DEPTH,
            "heads": WIDTH // HEAD_WIDTH, "pad_id": tokenizer.pad_id, "eos_id": tokenizer.eos_id, "pool_type": "eos",
        },
    }  # fmt: skip


class Pretraining(nn.Module):
    """The CLIP with two heads on its patches."""

    def __init__(self, tokenizer: CaptionTokenizer) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(**model_config(tokenizer))
        self.what = nn.Linear(WIDTH, len(corpus.PATCH_NAMES))
        self.colour = nn.Linear(WIDTH, len(corpus.COLOUR_NAMES))

    def encode_image(self, pixels: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features [B, E] and patch tokens [B, P, D] of float[B, 3, 224, 224]; `kept`: patches int64[B, P]."""
        tower = self.clip.visual
        tokens = tower._embeds(pixels)
        if kept is not None:
            patches = tokens[:, 1:].gather(1, kept[..., None].expand(-1, -1, WIDTH))
            tokens = torch.cat([tokens[:, :1], patches], dim=1)
        tokens = tower.ln_post(tower.transformer(tokens))
        return F.normalize((tokens[:, 0] @ tower.proj).float(), dim=-1), tokens[:, 1:]

    def encode_text(self, ids: Tensor) -> Tensor:
        """Return float[B, E] of int64[B, T], T <= CONTEXT; the tower is causal, so padding has no effect."""
        length = ids.shape[1]
        clip: Any = self.clip
        tokens = clip.token_embedding(ids) + clip.positional_embedding[:length]
        tokens = clip.ln_final(clip.transformer(tokens, attn_mask=clip.attn_mask[:length, :length]))
        pooled = tokens[torch.arange(len(ids)), (ids == clip.text_eos_id).int().argmax(-1)]
        return F.normalize((pooled @ clip.text_projection).float(), dim=-1)


@dataclass(frozen=True)
class Batch:
    """The tensors of one step: B images, and 2B texts, the true ones first, then the wrong captions."""

    pixels: Tensor  # float32[B, 3, 224, 224], normalised
    patches: Tensor  # int64[B, 2, 196]
    ids: Tensor  # int64[2B, T]
    forbidden: Tensor  # bool[B, 2B]: pairs that are not negatives, because the text may describe the image


def make_batch(
    data: corpus.Corpus, tokenizer: CaptionTokenizer, numbers: np.ndarray, rng: Random, share: float
) -> Batch:
    """Return the images of `numbers` with one text and one wrong text each."""
    size = len(numbers)
    texts, wrongs, prompted_kinds = [], [], []
    for number in numbers:
        prompted = rng.random() < share
        prompted_kinds.append(data.kinds[number][0] if prompted else None)
        texts.append(corpus.prompt(prompted_kinds[-1], rng) if prompted else rng.choice(data.captions[number]))
        wrongs.append(None if prompted else corpus.wrong(texts[-1], rng))
    forbidden = torch.zeros(size, 2 * size, dtype=torch.bool)
    for column, kind in enumerate(prompted_kinds):
        if kind is not None:
            forbidden[:, column] = torch.tensor([kind in data.kinds[number] for number in numbers])
            forbidden[column, column] = False
    forbidden[:, size:] = torch.tensor([text is None for text in wrongs])
    encoded = [tokenizer.encode(text, CONTEXT - 1) for text in (*texts, *(text or "" for text in wrongs))]
    ids = torch.full((2 * size, max(map(len, encoded))), tokenizer.pad_id)
    for row, one in enumerate(encoded):
        ids[row, : len(one)] = torch.tensor(one)
    # In place: allocating memory for each pass over 100 MB costs more than the arithmetic.
    gain = torch.tensor([rng.uniform(0.88, 1.12) for _ in numbers]).view(-1, 1, 1, 1) / 255
    pixels = torch.from_numpy(data.pixels[numbers]).float()
    pixels.mul_(gain / torch.tensor(STD)).sub_(torch.tensor(MEAN) / torch.tensor(STD))
    return Batch(pixels.permute(0, 3, 1, 2), torch.from_numpy(data.patches[numbers].astype(np.int64)), ids, forbidden)


def losses(
    model: Pretraining, batch: Batch, kept: Tensor | None, recipe: PretrainingRecipe
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of the step, and the values for the log."""
    size = len(batch.pixels)
    with torch.autocast("cpu", torch.bfloat16):
        images, tokens = model.encode_image(batch.pixels, kept)
        texts = model.encode_text(batch.ids)
        what, colour = model.what(tokens).float(), model.colour(tokens).float()
    logits = model.clip.logit_scale.exp().clamp(max=100) * images @ texts.T
    logits = logits.masked_fill(batch.forbidden, -1e4)
    target = torch.arange(size)
    contrastive = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :size].T, target)) / 2
    labels = batch.patches if kept is None else batch.patches.gather(2, kept[:, None].expand(-1, 2, -1))
    coloured = labels[:, 1] != corpus.NO_COLOUR
    named = F.cross_entropy(what.flatten(0, 1), labels[:, 0].flatten(), reduction="none")
    objects = labels[:, 0] < FIRST_PLACE
    # Equal weights, because most patches show the place and would dominate the loss.
    dense = (named[objects.flatten()].mean() + named[~objects.flatten()].mean()) / 2
    tint = F.cross_entropy(colour[coloured], labels[:, 1][coloured])
    loss = contrastive + recipe.dense_weight * dense + recipe.colour_weight * tint
    fair = ~batch.forbidden[target, target + size]
    own, wrong = logits[target, target], logits[target, target + size]
    return loss, {
        "loss": loss.item(), "contrastive": contrastive.item(), "dense": dense.item(), "colour": tint.item(),
        "batch_recall": (logits[:, :size].argmax(1) == target).float().mean().item(),
        "object_accuracy": (what.argmax(-1) == labels[:, 0])[objects].float().mean().item(),
        "colour_accuracy": (colour[coloured].argmax(-1) == labels[:, 1][coloured]).float().mean().item(),
        "swap_accuracy": (own > wrong)[fair].float().mean().item(),
        "scale": model.clip.logit_scale.exp().item(),
    }  # fmt: skip


def learning_rate(recipe: PretrainingRecipe, progress: float) -> float:
    """Return the learning rate after a share of the time: linear warm-up, then a cosine."""
    if progress < recipe.warmup:
        return recipe.lr * (progress + 1e-3) / recipe.warmup
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(model: Pretraining, recipe: PretrainingRecipe) -> torch.optim.AdamW:
    """Return AdamW without weight decay on biases, norms, positions and the logit scale."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim >= 2 and "positional" not in name]
    rest = [p for name, p in named if p.ndim < 2 or "positional" in name]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)


def train(
    data: corpus.Corpus, tokenizer: CaptionTokenizer, recipe: PretrainingRecipe, work: Path, out: Path
) -> Pretraining:
    """Train for the recipe's minutes, resuming from `work`; write the curve to `out`/training.csv."""
    torch.manual_seed(recipe.seed)
    model = Pretraining(tokenizer)
    optimizer = make_optimizer(model, recipe)
    step, spent = _resume(work / "checkpoint.pt", model, optimizer)
    budget, begun, saved = recipe.minutes * 60, time.monotonic() - spent, spent
    while (spent := time.monotonic() - begun) < budget:
        started = time.monotonic()
        rng = Random(recipe.seed * 1_000_003 + step)
        batch = make_batch(data, tokenizer, batch_numbers(len(data), recipe, step), rng, recipe.prompt_share)
        kept = sparse_patches(batch.patches, rng.randrange(2**31)) if spent < recipe.sparse * budget else None
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, spent / budget)
        loss, values = losses(model, batch, kept, recipe)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % recipe.log_every == 0:
            speed = recipe.batch / (time.monotonic() - started)
            row = {"step": step, "seconds": spent, "images": step * recipe.batch, "lr": optimizer.param_groups[0]["lr"]}
            _log(out / "training.csv", {**row, "images_per_second": speed, **values})
        if spent - saved > recipe.save_every:
            saved = spent
            _save(work / "checkpoint.pt", model, optimizer, step, spent)
            export(model, tokenizer, work, out)
    _save(work / "checkpoint.pt", model, optimizer, step, budget)
    return model


def batch_numbers(count: int, recipe: PretrainingRecipe, step: int) -> np.ndarray:
    """Return the scenes of a step: every scene once per epoch, in a different order each epoch."""
    epoch, place = divmod(step, count // recipe.batch)
    order = np.random.Generator(np.random.PCG64([recipe.seed, epoch])).permutation(count)
    return np.sort(order[place * recipe.batch : (place + 1) * recipe.batch])


def sparse_patches(patches: Tensor, seed: int) -> Tensor:
    """Return the patches to keep, int64[B, KEPT], of labels int64[B, 2, 196]: objects, then random background."""
    chance = torch.rand(patches.shape[0], patches.shape[2], generator=torch.Generator().manual_seed(seed))
    return (chance + (patches[:, 0] < FIRST_PLACE).float()).topk(KEPT, dim=1).indices


def _resume(path: Path, model: Pretraining, optimizer: torch.optim.AdamW) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["spent"]


def _save(path: Path, model: Pretraining, optimizer: torch.optim.AdamW, step: int, spent: float) -> None:
    partial = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent}
    torch.save(state, partial)
    os.replace(partial, path)


def _log(path: Path, row: dict[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
    print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)


def timm_state(visual: nn.Module) -> dict[str, Tensor]:
    """Return the weights of open_clip's image tower, without its projection, with timm's names."""
    renames = {
        "conv1.": "patch_embed.proj.", "ln_pre.": "norm_pre.", "ln_post.": "norm.", "transformer.resblocks.": "blocks.",
        ".ln_1.": ".norm1.", ".ln_2.": ".norm2.", ".attn.in_proj_": ".attn.qkv.", ".attn.out_proj.": ".attn.proj.",
        ".mlp.c_fc.": ".mlp.fc1.", ".mlp.c_proj.": ".mlp.fc2.",
    }  # fmt: skip
    state = {}
    for name, value in visual.state_dict().items():
        if name == "proj":
            continue
        for old, new in renames.items():
            name = name.replace(old, new)
        state[name] = value
    state["cls_token"] = state.pop("class_embedding").view(1, 1, -1)
    state["pos_embed"] = state.pop("positional_embedding").unsqueeze(0)
    return {name: value.detach().clone().contiguous() for name, value in state.items()}


def export(model: Pretraining, tokenizer: CaptionTokenizer, work: Path, out: Path) -> None:
    """Write the CLIP folder to `out` and the captioner's encoder (float32, timm's names) to `work`."""
    export_clip(model, tokenizer, out)
    names = {"timm_name": TIMM_NAME, "timm_kwargs": json.dumps(TIMM_KWARGS)}
    _save_tensors(timm_state(model.clip.visual), work / "encoder.safetensors", names)


def export_clip(model: Pretraining, tokenizer: CaptionTokenizer, out: Path) -> None:
    """Write the CLIP in open_clip's folder layout, float16."""
    config = {
        "model_cfg": model_config(tokenizer),
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(out / "tokenizer.json")
    half = {name: value.detach().half().contiguous() for name, value in model.clip.state_dict().items()}
    _save_tensors(half, out / "open_clip_model.safetensors", {})


def _save_tensors(state: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    partial = path.with_suffix(".tmp")
    save_file(state, partial, metadata)
    partial.chmod(0o644)  # safetensors makes files readable for their owner only
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo CLIP and the captioner's visual encoder from scratch.")
    parser.add_argument(
        "--minutes", type=float, default=PretrainingRecipe.minutes, help="minutes of training (default: %(default)s)"
    )
    parser.add_argument(
        "--scenes", type=int, default=PretrainingRecipe.scenes, help="training scenes (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=PretrainingRecipe.seed, help="random seed (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("data/demo-training"), help="folder of the rendered scenes")
    parser.add_argument("--out", type=Path, default=Path("engine/demo/clip"), help="folder of the CLIP")
    parser.add_argument("--captioner", type=Path, default=Path("engine/demo/captioner"), help="folder of its tokeniser")
    options = parser.parse_args()
    recipe = PretrainingRecipe(minutes=options.minutes, scenes=options.scenes, seed=options.seed)
    if not (options.work / "captions.json").exists():
        corpus.render(options.work, recipe.scenes)
    data = corpus.load(options.work)
    texts = [caption for scene in data.captions for caption in scene]
    texts += [template.format(object=kind) for template in corpus.TRAINING_PROMPTS for kind in corpus.CATEGORIES]
    options.out.mkdir(parents=True, exist_ok=True)
    options.captioner.mkdir(parents=True, exist_ok=True)
    tokenizer = CaptionTokenizer.train(texts, VOCABULARY)
    tokenizer.save(options.captioner / "tokenizer.json")
    model = train(data, tokenizer, recipe, options.work, options.out)
    export(model, tokenizer, options.work, options.out)


if __name__ == "__main__":
    main()
