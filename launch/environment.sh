# Sourced by the scripts beside it: one virtual environment, .venv, with the versions of constraints.txt.
# shellcheck shell=bash

# Prints a line with the seconds since the script began.
say() {
  printf '\n[%4d s] %s\n' "$SECONDS" "$1"
}

# Prints the path of the first Python on PATH that is new enough.
find_python() {
  local name
  for name in python3.12 python3.13 python3.11 python3 python; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  echo "mtjax needs Python 3.11, 3.12 or 3.13 on PATH" >&2
  return 1
}

# environment EXTRAS: makes .venv if there is none, and installs mtjax in it, with these extras ("" for none), unless
# that was done before for the same versions.
environment() {
  local extras=$1 target=. python wanted stamp
  [[ -z $extras ]] || target=".[$extras]"
  wanted=$(cat pyproject.toml constraints.txt | cksum)
  for stamp in ".venv/installed-$extras" .venv/installed-dev; do
    if [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && .venv/bin/python -c 'import mtjax' 2>/dev/null; then
      say "packages: .venv has them"
      return
    fi
  done
  python=$(find_python)
  say "packages: installing into .venv with $("$python" --version)"
  if ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv
    if command -v uv >/dev/null; then
      uv venv --quiet --python "$python" .venv
    else
      "$python" -m venv .venv
    fi
  fi
  if command -v uv >/dev/null; then
    uv pip install --quiet --python .venv/bin/python -c constraints.txt -e "$target"
  else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$target"
  fi
  printf '%s\n' "$wanted" >".venv/installed-$extras"
}
