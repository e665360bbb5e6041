#!/usr/bin/env bash
# Format check, lint, types, tests, in .venv (made when missing). Extra arguments go to pytest: scripts/test.sh -k ranking
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh dev
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
