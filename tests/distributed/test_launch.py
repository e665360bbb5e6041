"""Ranks that torchrun or Slurm has started, and numbers of devices that cannot be."""

import pytest
import torch
from conftest import batch_of, composed
from hydra import compose, initialize_config_dir

from recseq.data.shares import Shares, own_draws
from recseq.distributed.checks import require_ranks
from recseq.distributed.launch import Seat, launched_seat
from recseq.distributed.team import slurm_address
from recseq.environment import NOT_IDENTITY
from recseq.errors import ConfigError
from recseq.files import conf_folder
from recseq.training.trainer import TrainerOptions, require_device

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2"}


def test_seats_of_launchers() -> None:
    assert launched_seat(TORCHRUN) == Seat(5, 8, 1, 4, "torchrun")
    assert launched_seat(SRUN) == Seat(3, 4, 1, 2, "srun")
    assert launched_seat(SRUN | TORCHRUN) == Seat(5, 8, 1, 4, "torchrun")  # torchrun, started by srun
    assert launched_seat({}) is None
    assert launched_seat({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is None
    assert launched_seat({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}) is None  # a batch script without srun


def test_rank_0_of_a_slurm_job_listens_on_its_first_machine() -> None:
    assert slurm_address({"SLURM_STEP_NODELIST": "gpu[07-09,12]", "SLURM_JOB_ID": "1234567"}) == "tcp://gpu07:19567"
    assert slurm_address({"SLURM_JOB_NODELIST": "a,b", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "99"}) == "tcp://10.0.0.1:99"


def test_numbers_of_devices_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    require_ranks(2, 1, None)
    require_ranks(2, 1, 2)
    with pytest.raises(ConfigError, match=r"trainer\.devices is 3, but this machine has 2 CUDA devices; use trainer\.devices=2"):
        require_ranks(3, 1, 2)
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes is 2, but nobody has started the program on other machines"):
        require_ranks(1, 2, None)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    require_ranks(4, 2, 4)
    with pytest.raises(
        ConfigError, match=r"torchrun has started 8 processes, 4 on this machine.*use trainer\.devices=4 trainer\.num_nodes=2"
    ):
        require_ranks(1, 1, None)


def test_a_machine_with_one_gpu_has_no_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    options = TrainerOptions(**composed("trainer=ddp").trainer)
    assert options.n_ranks == 2
    with pytest.raises(ConfigError, match="this machine has 1 CUDA devices"):
        require_device(options)


def test_the_number_of_devices_is_no_part_of_a_runs_identity() -> None:
    assert {"trainer.devices", "trainer.num_nodes"} <= set(NOT_IDENTITY)


def test_slurm_jobs_have_a_task_for_each_device() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        overrides = ["hydra/launcher=slurm", "trainer.devices=4", "trainer.num_nodes=2", "hydra.launcher.partition=gpu"]
        launcher = compose("config", overrides=overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_ == "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
    assert (launcher.nodes, launcher.tasks_per_node, launcher.gpus_per_node, launcher.partition) == (2, 4, 4, "gpu")
    assert launcher.setup == ["export SLURM_KILL_BAD_EXIT=1"]


def test_draws_of_ranks_differ_and_leave_the_common_ones_alone() -> None:
    whole = batch_of(torch.arange(1, 8), lengths=[4, 3])
    shares = [Shares(rank, 2).of(whole, [1, 0, 0]) for rank in (0, 1)]
    assert [share.items.tolist() for share in shares] == [[1, 2, 3, 4], [5, 6, 7]]
    torch.manual_seed(0)
    expected = torch.rand(3)
    draws = []
    for share in shares:
        torch.manual_seed(0)
        with own_draws(share):
            draws.append(torch.rand(3))
        assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(*draws)
    with own_draws(whole):
        assert not torch.equal(torch.rand(3), draws[0])
