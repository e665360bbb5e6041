"""What the two-sided benchmarks share: run each side as a process of its own, in turns, and compare medians."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def measure(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Run every command `rounds` times, in turns, so that a busy minute falls on both sides.

    Args:
        commands: Command of each side; it prints one JSON line with the key `median_seconds`.
        rounds: How often.

    Returns:
        The parsed lines of each side.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            results[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"  round {turn + 1}, {name}: {results[name][-1]['median_seconds'] * 1000:.1f} ms", file=sys.stderr)
    return results


def report(title: str, results: Mapping[str, list[dict[str, Any]]], ours: str, theirs: str) -> None:
    """Print median of each side and the ratio of the medians."""
    median = {name: statistics.median(line["median_seconds"] for line in lines) for name, lines in results.items()}
    spread = {name: [line["median_seconds"] for line in lines] for name, lines in results.items()}
    print(f"{title} ({datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {platform.system()})")
    for name, value in median.items():
        print(f"  {name:10s} {value * 1000:10.1f} ms  (rounds {min(spread[name]) * 1000:.1f} to {max(spread[name]) * 1000:.1f})")
    print(f"  ratio      {median[theirs] / median[ours]:10.1f} x")
    if all("cpu_seconds" in line for lines in results.values() for line in lines):  # what counts where others use the machine too
        cpu = {name: statistics.median(line["cpu_seconds"] for line in lines) for name, lines in results.items()}
        shown = ", ".join(f"{name} {value:.1f} s" for name, value in cpu.items())
        print(f"  of processors: {shown}, ratio {cpu[theirs] / cpu[ours]:.1f} x; load average {os.getloadavg()[0]:.1f}")
