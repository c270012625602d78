"""Measure the data doctor on many captions.

`python tests/benchmarks/data_doctor.py [--images 100000]`. Sentences of random words, five references per image; the
ids of the captions are shifted by one.
"""

import argparse
import os
import platform
import random
import time
from dataclasses import replace

from engine.diagnosis.data_doctor import examine, pairing
from engine.diagnosis.data_doctor.texts import Texts

_WORDS, _LENGTH, _REFERENCES = 2_000, 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    chance = random.Random(0)
    words = [f"word{number}" for number in range(_WORDS)]
    scenes = [chance.choices(words, k=2 * _LENGTH) for _ in range(count)]
    captions = [" ".join(chance.sample(scene, _LENGTH)) for scene in scenes]
    references = [[" ".join(chance.sample(scene, _LENGTH)) for _ in range(_REFERENCES)] for scene in scenes]
    sound = Texts([f"{number:08d}" for number in range(count)], captions, references)
    shifted = replace(sound, captions=[*captions[1:], captions[0]])
    print(f"{platform.machine()}, {os.cpu_count()} cores, {count:,} images")
    start = time.perf_counter()
    found = pairing.shifted_ids(shifted)
    print(f"shifted ids: {time.perf_counter() - start:.2f} s, found: {found is not None}")
    for name, texts in (("all checks, shifted", shifted), ("all checks, sound", sound)):
        start = time.perf_counter()
        keys = [each.key for each in examine.of_texts(texts)]
        print(f"{name}: {time.perf_counter() - start:.2f} s, found: {keys}")


if __name__ == "__main__":
    main()
