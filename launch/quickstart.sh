#!/usr/bin/env bash
# From a clone to "was learning worth it?": packages, data, training, evaluation, comparison.
# Run again, it reuses whatever is there. Needs Python 3.11 to 3.13 and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

config=configs/quickstart.py
workdir=runs/quickstart

environment ""
say "data: photographs and handwritten digits"
.venv/bin/mtjax show data --config=$config --out=$workdir/data.png
say "training: five tasks, one encoder"
.venv/bin/mtjax train --config=$config --workdir=$workdir
say "evaluation: test split"
.venv/bin/mtjax eval --workdir=$workdir
say "comparison: learned heads and classical solvers on the same observations"
.venv/bin/mtjax compare --workdir=$workdir
say "done; the page to open is $workdir/comparison.html"
