"""Which devices and how many threads the jobs of a sweep get that run at once."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from recseq.errors import ConfigError

THREADS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")


def visible_devices() -> list[str]:
    """CUDA devices of this machine as `CUDA_VISIBLE_DEVICES` names them, or those that it leaves; asks no CUDA, which would take memory."""
    if (said := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device.strip() for device in said.split(",") if device.strip() not in ("", "-1")]
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    asked = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip().isdecimal()] if done.returncode == 0 else []


def groups_of(devices: Sequence[str], size: int) -> list[str]:
    """Devices in groups as large as a job needs, each as a value of `CUDA_VISIBLE_DEVICES`; devices that fill no group are left out.

    Raises:
        ConfigError: There are some, but too few for one job.
    """
    if devices and len(devices) < size:
        raise ConfigError(f"trainer.devices is {size}, but a job can have only {', '.join(devices)} (hydra.launcher.devices)")
    return [",".join(devices[start : start + size]) for start in range(0, len(devices) - size + 1, size)]


def environment(device: str | None, n_jobs: int) -> dict[str, str]:
    """Environment variables of a job.

    Args:
        device: Value of `CUDA_VISIBLE_DEVICES`; None leaves it.
        n_jobs: Jobs at once, which share the processor's cores; a number of threads that the user has set stays.
    """
    found = dict(os.environ)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name in THREADS:
        found.setdefault(name, str(max(1, cores // n_jobs)))
    if device is not None:
        found["CUDA_VISIBLE_DEVICES"] = device
        found.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that a number is the same device as for nvidia-smi
    return found
