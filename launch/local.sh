#!/usr/bin/env bash
# One run over several processes of this machine, which meet over loopback; for trying out what a cluster will do.
#   launch/local.sh --config=configs/quickstart.py --workdir=runs/two
#   PROCESSES=2 DEVICES=2 launch/local.sh ...    # two processes with two (CPU) devices each, which is the default
# Arguments go to `mtjax train`. Exit codes are its own: 0 done, 75 stopped and saved.
# Run as it stands on a machine with two CPU cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exec .venv/bin/mtjax train --local-processes="${PROCESSES:-2}" --devices-per-process="${DEVICES:-2}" "$@"
