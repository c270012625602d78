"""Images divided among jobs: the hypotheses and their order do not depend on the jobs."""

import pytest
import torch

from engine.captioners.native import checkpoints
from engine.config import DecodingConfig
from engine.decoding import memory
from engine.decoding.batched import JOB_IMAGES, in_jobs, jobs_for, seed_of
from tests.support import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return checkpoints.load(tiny.captioner_folder(tmp_path_factory.mktemp("captioner")), None)


def searched(parts, threads: int, config: DecodingConfig, size: int, monkeypatch) -> tuple[list, int]:
    captioner, tokenizer = parts
    torch.manual_seed(0)
    images = 3 * JOB_IMAGES + 1
    encoded = torch.randn(images, 5, captioner.config.d_model)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    search = tiny.search(captioner, tokenizer, encoded, config)
    return [[each.tokens for each in found] for found in search.run()[size]], jobs_for(images, search.device)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("rule", ["standard", "study"])
def test_jobs_find_what_one_finds_in_the_order_of_the_images(parts, monkeypatch, size, rule):
    config = DecodingConfig(beam_sizes=(size,), max_length=8, rule=rule)
    alone, one = searched(parts, 1, config, size, monkeypatch)
    shared, jobs = searched(parts, 3, config, size, monkeypatch)
    assert (one, jobs) == (1, 3)
    assert shared == alone and len({tuple(found[0]) for found in alone}) > 1


def test_a_sweep_finds_for_each_image_what_each_size_finds_alone(parts, monkeypatch):
    captioner, tokenizer = parts
    torch.manual_seed(0)
    images = 2 * JOB_IMAGES + 3
    encoded = torch.randn(images, 5, captioner.config.d_model)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    config = DecodingConfig(beam_sizes=(5, 1, 2), max_length=8, n_best=2)
    search = tiny.search(captioner, tokenizer, encoded, config)
    found = search.run()
    assert list(found) == [5, 1, 2] and all(len(each) == images for each in found.values())
    for size in (5, 1, 2):
        alone = search.run([size], images=7)[size]
        assert [[each.tokens for each in kept] for kept in found[size][:7]] == [
            [each.tokens for each in kept] for kept in alone
        ]


def test_batches_are_of_about_the_same_size(parts, monkeypatch):
    captioner, tokenizer = parts
    search = tiny.search(captioner, tokenizer, torch.randn(2, 5, captioner.config.d_model), DecodingConfig())
    monkeypatch.setattr(memory, "images_at_once", lambda *args: 10)
    assert [search._at_once(images, [100], 1) for images in (10, 11, 32, 1)] == [10, 6, 8, 1]


def test_samples_follow_the_image_into_its_job(parts, monkeypatch):
    config = DecodingConfig(beam_sizes=(1,), max_length=8, sample=True, n_best=2, seed=3)
    assert searched(parts, 1, config, 1, monkeypatch)[0] == searched(parts, 2, config, 1, monkeypatch)[0]
    assert seed_of(3, "1") != seed_of(3, "2") != seed_of(4, "2")


def test_few_images_are_one_job(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert [jobs_for(images, torch.device("cpu")) for images in (1, JOB_IMAGES, 5 * JOB_IMAGES)] == [1, 1, 5]
    assert jobs_for(5 * JOB_IMAGES, torch.device("meta")) == 1


@pytest.mark.parametrize("jobs", [1, 2, 3, 7])
def test_jobs_return_every_image_once_and_in_order(jobs):
    assert in_jobs(lambda start, stop: list(range(start, stop)), 7, jobs) == list(range(7))


def test_jobs_share_the_memory_that_is_free(parts, monkeypatch):
    captioner, tokenizer = parts
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**26)
    encoded = torch.randn(16, 5, captioner.config.d_model)
    search = tiny.search(captioner, tokenizer, encoded, DecodingConfig())
    assert search._at_once(16, [100], 4) < search._at_once(16, [100], 1) / 2


def test_a_failure_in_a_job_is_raised(parts, monkeypatch):
    captioner, tokenizer = parts
    encoded = torch.randn(2 * JOB_IMAGES, 5, captioner.config.d_model)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    search = tiny.search(captioner, tokenizer, encoded, DecodingConfig())
    monkeypatch.setattr(search, "_some", lambda *args: (_ for _ in ()).throw(ZeroDivisionError("in a job")))
    with pytest.raises(ZeroDivisionError, match="in a job"):
        search.run()
