"""Fine-tune the demo CLIP: classify each portrait among all class prompts.

In the contrastive loss a prompt is compared only with the classes of the same batch, so rare confusions (a bird with a
kite) remain. Here each portrait is classified among all classes under one template, as in zero-shot classification. The
lower blocks are frozen; they run once per image and their tokens are kept.

`python -m engine.demo.polish --minutes 15` renders its scenes, trains and rewrites the CLIP folder.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from engine.demo import corpus
from engine.demo.pretraining import (
    CONTEXT,
    DEPTH,
    MEAN,
    STD,
    Pretraining,
    PretrainingRecipe,
    export_clip,
    learning_rate,
)
from engine.demo.world import CLASSES
from engine.models.tokenizer import CaptionTokenizer

FROZEN = DEPTH // 2  # frozen blocks of the image tower
PORTRAIT_SHARE = 0.6  # of the rendered scenes


@dataclass(frozen=True)
class Polish:
    """Settings of the fine-tuning."""

    minutes: float = 15.0  # wall clock of the training loop
    scenes: int = 20_000
    batch: int = 64  # half portraits, half free scenes
    lr: float = 3e-4  # peak
    weight_decay: float = 0.05
    seed: int = 1

    @property
    def schedule(self) -> PretrainingRecipe:
        """The learning-rate schedule, with the shape of the pretraining."""
        return PretrainingRecipe(minutes=self.minutes, lr=self.lr, warmup=0.05)


def kept_tokens(model: Pretraining, data: corpus.Corpus, batch: int = 64) -> np.ndarray:
    """Return the tokens of all scenes after the frozen blocks, float16[N, 1 + patches, width]."""
    tower = model.clip.visual
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    found = []
    for at in tqdm(range(0, len(data), batch), "frozen blocks", unit="batch"):
        pixels = torch.from_numpy(data.pixels[at : at + batch]).float().permute(0, 3, 1, 2) / 255
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            tokens = tower._embeds((pixels - mean) / std)
            for block in tower.transformer.resblocks[:FROZEN]:
                tokens = block(tokens)
        found.append(tokens.half().numpy())
    return np.concatenate(found)


def image_features(model: Pretraining, tokens: Tensor) -> Tensor:
    """Return normalised features float32[B, E] of kept tokens float[B, T, width]."""
    tower = model.clip.visual
    for block in tower.transformer.resblocks[FROZEN:]:
        tokens = block(tokens)
    return F.normalize((tower.ln_post(tokens)[:, 0] @ tower.proj).float(), dim=-1)


def padded(tokenizer: CaptionTokenizer, texts: list[str]) -> Tensor:
    """Return ids int64[N, T] of texts, padded to the longest."""
    encoded = [tokenizer.encode(text, CONTEXT - 1) for text in texts]
    ids = torch.full((len(texts), max(map(len, encoded))), tokenizer.pad_id)
    for row, one in enumerate(encoded):
        ids[row, : len(one)] = torch.tensor(one)
    return ids


def class_loss(model: Pretraining, images: Tensor, labels: Tensor, tokenizer: CaptionTokenizer, rng: Random) -> Tensor:
    """Return the loss of classifying portraits float[B, E] among all CLASSES under one template; labels int64[B]."""
    template = rng.choice(corpus.TRAINING_PROMPTS)
    prompts = model.encode_text(padded(tokenizer, [template.format(object=kind) for kind in CLASSES]))
    return F.cross_entropy(model.clip.logit_scale.exp().clamp(max=100) * images @ prompts.T, labels)


def caption_loss(
    model: Pretraining, images: Tensor, captions: list[str], tokenizer: CaptionTokenizer, rng: Random
) -> Tensor:
    """Return the contrastive loss of images float[B, E], their captions, and captions with one wrong word."""
    wrong = [corpus.wrong(text, rng) for text in captions]
    texts = model.encode_text(padded(tokenizer, [*captions, *(text or "" for text in wrong)]))
    logits = model.clip.logit_scale.exp().clamp(max=100) * images @ texts.T
    missing = torch.tensor([False] * len(captions) + [text is None for text in wrong])
    target = torch.arange(len(captions))
    logits = logits.masked_fill(missing, -1e4)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, : len(captions)].T, target)) / 2


def polish(model: Pretraining, data: corpus.Corpus, tokenizer: CaptionTokenizer, settings: Polish) -> None:
    """Train the upper blocks, the projection and the text tower of `model` for the given minutes."""
    tokens = kept_tokens(model, data)
    portraits = int(len(data) * PORTRAIT_SHARE)
    labels = torch.tensor([CLASSES.index(kinds[0]) for kinds in data.kinds[:portraits]])
    trained = _trained(model)
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    rng, half = Random(settings.seed), settings.batch // 2
    begun, step = time.monotonic(), 0
    while (spent := (time.monotonic() - begun) / (60 * settings.minutes)) < 1:
        single = rng.sample(range(portraits), half)
        free = rng.sample(range(portraits, len(data)), half)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings.schedule, spent)
        with torch.autocast("cpu", torch.bfloat16):
            images = image_features(model, torch.from_numpy(tokens[[*single, *free]]).bfloat16())
            loss_class = class_loss(model, images[:half], labels[single], tokenizer, rng)
            captions = [rng.choice(data.captions[number]) for number in free]
            loss_caption = caption_loss(model, images[half:], captions, tokenizer, rng)
        optimizer.zero_grad(set_to_none=True)
        (loss_class + loss_caption).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        if step % 20 == 0:
            print(
                f"step {step}  {spent:.0%}  class {loss_class.item():.3f}  caption {loss_caption.item():.3f}",
                flush=True,
            )


def _trained(model: Pretraining) -> list[nn.Parameter]:
    """Freeze the blocks below the kept tokens; return all other parameters of the CLIP."""
    tower = model.clip.visual
    upper = {id(p) for block in tower.transformer.resblocks[FROZEN:] for p in block.parameters()}
    upper |= {id(p) for p in (*tower.ln_post.parameters(), tower.proj)}
    below = {id(p) for p in tower.parameters()} - upper
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in below)
    return [parameter for parameter in model.clip.parameters() if parameter.requires_grad]


def main() -> None:
    defaults = Polish()
    parser = argparse.ArgumentParser(description="Polish the demo CLIP on its class prompts.")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="wall clock (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=defaults.scenes, help="scenes to render (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("data/demo-polish"), help="folder of the rendered scenes")
    parser.add_argument(
        "--clip", type=Path, default=Path("engine/demo/clip"), help="folder of the CLIP, read and written"
    )
    options = parser.parse_args()
    if not (options.work / "captions.json").exists():
        corpus.render(options.work, options.scenes, portrait_share=PORTRAIT_SHARE)
    tokenizer = CaptionTokenizer.load(options.clip / "tokenizer.json")
    torch.manual_seed(defaults.seed)
    model = Pretraining(tokenizer)
    weights = load_file(str(options.clip / "open_clip_model.safetensors"))
    model.clip.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    polish(model, corpus.load(options.work), tokenizer, Polish(minutes=options.minutes, scenes=options.scenes))
    export_clip(model, tokenizer, options.clip)


if __name__ == "__main__":
    main()
