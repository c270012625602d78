"""Read finished captions with teacher forcing and return the distribution at each step.

Captions of the same image share its keys and values.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.captioners.logits import token_scores as scored
from engine.captioners.native.captioner import CaptionerModel
from engine.explain.token_scores import TokenScores
from engine.models.tokenizer import CaptionTokenizer


def token_scores(
    captioner: CaptionerModel,
    tokenizer: CaptionTokenizer,
    memory: Tensor,
    rows: Sequence[int],
    captions: Sequence[Sequence[int]],
    candidates: Sequence[int] = (),
    rule: str = "standard",
) -> list[TokenScores]:
    """Return the scores of N captions.

    Args:
        memory: memory of I images, float[I, P, D].
        rows: the image of each caption.
        captions: N lists of new tokens, with the end token if there is one.
        candidates: tokens whose log-probabilities are returned as well.
        rule: one of `config.RULES`, the rule of the search that found the captions.
    """
    lengths = [len(tokens) for tokens in captions]
    width = max(lengths, default=0)
    if not width:
        return [_empty(len(candidates)) for _ in captions]
    targets = torch.full((len(captions), width), tokenizer.pad_id)
    for target, tokens in zip(targets, captions, strict=True):
        target[: len(tokens)] = torch.tensor(tokens)
    inputs = torch.cat([torch.full((len(captions), 1), tokenizer.bos_id), targets[:, :-1]], dim=1)
    with torch.inference_mode():
        logits = _logits(captioner, inputs.to(captioner.device), memory, torch.tensor(rows), lengths, rule)
        return scored(logits, targets.to(captioner.device), lengths, candidates)


def _empty(candidates: int) -> TokenScores:
    none = torch.empty(0)
    return TokenScores(none.numpy(), none.int().numpy(), none.numpy(), torch.empty(0, candidates).numpy())


def _logits(
    captioner: CaptionerModel, inputs: Tensor, memory: Tensor, rows: Tensor, lengths: Sequence[int], rule: str
) -> Tensor:
    """Return logits [N, T, V]; values beyond the tokens of a shorter caption are undefined."""
    rows = rows.to(captioner.device)
    if rule != "study":
        return captioner.logits(inputs, memory, rows)
    # Without a causal mask, each prefix is read separately; the reader takes the captions of an image side by side.
    order = torch.argsort(rows, stable=True)
    read = captioner.reader(captioner.precompute_cross_attention(memory))
    every = torch.tensor(lengths, device=captioner.device)[order]
    found = torch.zeros(*inputs.shape, captioner.config.vocab_size, device=captioner.device)
    for length in range(1, inputs.shape[1] + 1):
        some = order[every >= length]
        found[some, length - 1] = read(inputs[some, :length], rows[some]).float()
    return found
