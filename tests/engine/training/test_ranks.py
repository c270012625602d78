import os
import signal
from datetime import timedelta

import pytest
import torch

from engine.training import ranks
from engine.training.errors import TrainingError
from engine.training.ranks import Ranks, from_environment
from tests.support import rank_processes

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def quick(monkeypatch):
    """Nothing ends the ranks from outside, as torchrun would; they do not wait for it either."""
    monkeypatch.setattr(ranks, "_GRACE", 0.1)


def test_without_torchrun_a_process_is_alone_and_nothing_has_an_effect():
    team = from_environment({})
    assert (team.rank, team.size, team.is_first) == (0, 1, True)
    assert team.first(lambda: 3) == team.in_turn(lambda: 3) == 3
    value, module = torch.ones(2), torch.nn.Linear(1, 1)
    assert team.sum(value) is value and team.wrap(module, torch.device("cpu"), True) is module
    assert team.device(None) is None and team.device("cuda:1") == "cuda:1"
    with ranks.joined("cpu") as joined:
        assert joined == Ranks() and not torch.distributed.is_initialized()


def test_torchrun_gives_a_process_its_rank():
    assert from_environment(TORCHRUN) == Ranks(rank=1, size=2, local_rank=1)
    alone = from_environment({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"})
    assert (alone.size, alone.local_rank) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": None}, "RANK is not set, expected a whole number"),
        ({"RANK": "one"}, "RANK is 'one', expected a whole number"),
        ({"RANK": "-1"}, "RANK is '-1', expected a whole number"),
        ({"RANK": "2"}, r"RANK is 2, expected a number below WORLD_SIZE \(2\)"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, r"RANK is 0, expected a number below WORLD_SIZE \(0\)"),
        ({"LOCAL_RANK": "9" * 40}, "LOCAL_RANK is '999"),
        ({"LOCAL_RANK": "5"}, "LOCAL_RANK is 5, expected a number below"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is ''"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT is 65536, expected a port from 1 to 65535"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set, expected the address of rank 0"),
    ],
)
def test_a_damaged_environment_is_one_sentence(changes, message):
    environment = {name: text for name, text in {**TORCHRUN, **changes}.items() if text is not None}
    with pytest.raises(TrainingError, match=message) as raised:
        from_environment(environment)
    assert "start the command with torchrun, or unset" in str(raised.value)


def test_each_process_has_its_own_gpu(monkeypatch):
    team = from_environment(TORCHRUN)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert team.device(None) == team.device("cuda") == "cuda:1" and team.device("cpu") == "cpu"
    with pytest.raises(TrainingError, match="--device cuda:0: 2 processes cannot share one device"):
        team.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match="process 1 of this machine has no GPU: the machine has 1"):
        team.device(None)


def test_ranks_share_what_rank_0_computes_and_add_numbers(tmp_path):
    def work():
        with ranks.joined("cpu") as team:
            shared = team.first(lambda: {"by": team.rank})
            own = team.in_turn(lambda: team.rank)
            total = team.sum(torch.tensor([1.0, float(team.rank)])).tolist()
            (tmp_path / f"found{team.rank}").write_text(f"{shared} {own} {total}")
            print("printed")

    ended = rank_processes.fork(work, tmp_path, size=3)
    assert [each.status for each in ended] == [0, 0, 0]
    assert [(tmp_path / f"found{rank}").read_text() for rank in range(3)] == [
        f"{{'by': 0}} {rank} [3.0, 3.0]" for rank in range(3)
    ]
    assert [each.output for each in ended] == ["printed\n", "", ""]


def test_an_error_of_rank_0_ends_the_others_without_a_message(tmp_path, quick):
    def fail():
        raise TrainingError("the photos are gone")

    def work():
        with ranks.joined("cpu") as team:
            team.in_turn(fail)

    first, other = rank_processes.fork(work, tmp_path)
    assert first.status == 70 and first.output.count("TrainingError: the photos are gone") == 1
    assert (other.status, other.output) == (2, "")


def test_a_rank_whose_partner_is_killed_says_so_and_does_not_hang(tmp_path, quick):
    def work():
        try:
            with ranks.joined("cpu") as team:
                if team.rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                team.sum(torch.ones(1))
        except TrainingError as error:
            print(error)
            return 2

    first, other = rank_processes.fork(work, tmp_path)
    assert other.status == -signal.SIGKILL and first.status == 2
    assert first.output.startswith("rank 0 lost the connection to another rank (")
    assert first.output.endswith("run the same command again to continue\n")


def test_a_rank_that_finds_no_other_is_one_sentence(monkeypatch):
    monkeypatch.setattr(ranks, "JOIN_TIMEOUT", timedelta(seconds=1))
    port = str(rank_processes.free_port())
    for name, text in {**TORCHRUN, "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, text)
    with (
        pytest.raises(TrainingError, match=f"rank 1: no connection to rank 0 at 127.0.0.1:{port}"),
        ranks.joined("cpu"),
    ):
        pass


def test_an_error_of_another_rank_is_printed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_GRACE", 30.0)  # until torchrun has ended the others, which nobody does here

    def work():
        with ranks.joined("cpu") as team:
            if team.rank == 1:
                raise TrainingError("this photo is gone")
            signal.alarm(1)
            team.sum(torch.ones(1))

    first, other = rank_processes.fork(work, tmp_path)
    assert (first.status, first.output) == (-signal.SIGALRM, "")
    assert other.output.count("TrainingError: this photo is gone") == 1
