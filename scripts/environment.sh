# Sourced by run.sh and test.sh: .venv with recseq and, for "dev", the tools of the tests. Quick when nothing changed.
extra=${1:-}
python=${PYTHON:-python3}
stamp=".venv/.installed${extra:+-$extra}"
if [ ! -x .venv/bin/python ]; then
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    { echo "recseq needs Python 3.11 to 3.13, $python is $("$python" -V 2>&1); set PYTHON=/path/to/python3.x" >&2; exit 1; }
  "$python" -m venv .venv
fi
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
  echo "Installing recseq${extra:+[$extra]} into .venv ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".${extra:+[$extra]}"
  touch "$stamp"
fi
