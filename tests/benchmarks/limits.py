"""Measure the roofline of a machine for a decoder that reads its weights once per step.

A step takes at least the time to read the weights and the images' keys and values, and at least the time of the
arithmetic on its prefixes. Both speeds are measured on matrix products as decoding uses them: one row for reading, many
rows for arithmetic. Williams et al. 2009, "Roofline".
"""

import time
from collections.abc import Callable, Sequence

import torch

from engine.captioners.native.captioner import CaptionerModel
from engine.captioners.native.incremental import Product

_SQUARES = {"cpu": 2048, "cuda": 8192}  # rows and columns of a product that is limited by arithmetic


class Limits:
    """Bytes and operations of a captioner's decoder, and the speed of this machine for both."""

    def __init__(self, captioner: CaptionerModel) -> None:
        width = captioner.config.d_model
        self._seen = 2 * width * len(captioner.decoder.layers)  # keys and values per memory token, in numbers
        self._look = 0  # elements of the matrices that make them
        matrices = [captioner.head.weight.detach()]
        for name, each in captioner.decoder.named_parameters():
            if "multihead_attn.in_proj_weight" in name:
                self._look += each[width:].numel()
                matrices.append(each[:width].detach())
            elif each.dim() == 2:
                matrices.append(each.detach())
        self._elements, self._item = sum(each.numel() for each in matrices), matrices[0].element_size()
        self._products = [(Product(each, None), torch.randn(1, each.shape[1]).to(each)) for each in matrices]
        side = _SQUARES[captioner.device.type]
        self._square = torch.randn(side, side).to(matrices[0])

    def bandwidth(self) -> float:
        """Measure the bytes of weights read per second; on a shared machine this varies by the minute."""
        return self._elements * self._item / self._fastest(lambda: [product(row) for product, row in self._products])

    def arithmetic(self) -> float:
        """Measure the operations per second."""
        product = Product(self._square, None)
        return 2 * len(self._square) ** 3 / self._fastest(lambda: product(self._square))

    def operations(self, prefixes: Sequence[int]) -> int:
        """Return the operations of steps that compute this many prefixes each."""
        return 2 * self._elements * sum(prefixes)

    def least(self, prefixes: Sequence[int], images: int, at_once: int, tokens: int) -> float:
        """Return the lower bound for any decoder with the same steps, in seconds per image.

        Args:
            prefixes: read by each step.
            images: all of them together.
            at_once: images whose keys and values a step reads.
            tokens: of an image's memory.
        """
        bandwidth, arithmetic = self.bandwidth(), self.arithmetic()
        reading = (self._elements + at_once * tokens * self._seen) * self._item / bandwidth
        steps = sum(max(reading, self.operations([count]) / arithmetic) for count in prefixes)
        return steps / images + 2 * self._look * tokens / arithmetic

    def _fastest(self, function: Callable[[], object], rounds: int = 20) -> float:
        """Return the shortest time of several calls in seconds; on a GPU without the launch time."""
        on_gpu, times = self._square.is_cuda, []
        with torch.inference_mode():
            function()
            again = _graph(function).replay if on_gpu else function
            for _ in range(rounds):
                start = time.perf_counter()
                again()
                if on_gpu:
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
        return min(times)


def _graph(function: Callable[[], object]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph
