#!/usr/bin/env bash
# Format check, lint, types, tests, in .venv (made when missing). Extra arguments go to pytest: scripts/test.sh -k ranking -n 0
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh dev
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # a process of tests for each core; each with all cores would stand in the others' way
exec .venv/bin/python -m pytest -n logical --dist loadfile "$@"
