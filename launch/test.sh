#!/usr/bin/env bash
# Sets up what the tests need, then runs them. Arguments go to pytest: launch/test.sh tests/test_config.py -k nearest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

environment dev
say "tests"
if [[ $# -gt 0 ]]; then
  exec .venv/bin/python -m pytest "$@"
fi
exec .venv/bin/python -m pytest -n auto --dist loadfile
