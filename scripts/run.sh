#!/usr/bin/env bash
# Install into .venv (when needed) and run recseq. Extra arguments are overrides: scripts/run.sh model=popular
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh "" # the empty word keeps the overrides out of it
exec .venv/bin/recseq "$@"
