#!/usr/bin/env bash
# A Cloud TPU slice, from your own machine: every host of it runs the same command, and they find each other.
#   launch/tpu_vm.sh create                      # the slice
#   launch/tpu_vm.sh install                     # the last commit of this checkout and its packages, on every host
#   launch/tpu_vm.sh run doctor --workdir=/mnt/shared
#   launch/tpu_vm.sh run train --config=configs/quickstart.py --workdir=/mnt/shared/quickstart
#   launch/tpu_vm.sh delete                      # until then it costs money
# --dry-run before the word prints the exact commands and runs none. What is what, with defaults:
#   TPU=mtjax ZONE=us-west4-a TYPE=v5litepod-8 RUNTIME=v2-alpha-tpuv5-lite SPOT=      (SPOT=1: cheaper, may be taken away)
#   NFS=                                         # SERVER:/SHARE, mounted at /mnt/shared; several hosts need one workdir
# `run` has the exit code of mtjax. After 75, `run` again; a spot slice that was taken away: create, install, run.
# Checked with a stand-in for gcloud (tests/launch/test_tpu_vm.py); never run on a TPU by us.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TPU=${TPU:-mtjax} ZONE=${ZONE:-us-west4-a} TYPE=${TYPE:-v5litepod-8} RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite}
dry=

# Runs a command; with --dry-run only prints it, quoted where a shell needs that.
do_or_say() {
  if [[ -z $dry ]]; then
    "$@"
    return
  fi
  local word
  for word in "$@"; do
    [[ $word =~ ^[[:alnum:]_./:=,@%+-]+$ ]] || word=${word@Q}
    printf '%s ' "$word"
  done
  echo
}

tpu() {
  do_or_say gcloud compute tpus tpu-vm "$1" "$TPU" --zone="$ZONE" "${@:2}"
}

everywhere() {
  tpu ssh --worker=all --command="$1"
}

install() {
  local archive
  archive=${TMPDIR:-/tmp}/mtjax-$$.tar.gz
  do_or_say git archive --format=tar.gz --output="$archive" HEAD
  do_or_say gcloud compute tpus tpu-vm scp "$archive" "$TPU:mtjax.tar.gz" --zone="$ZONE" --worker=all
  do_or_say rm "$archive"
  # The hosts' own Python is 3.10, which is too old; uv brings one.
  everywhere "mkdir -p mtjax && tar -xzf mtjax.tar.gz -C mtjax && cd mtjax && \
python3 -m pip install --quiet --user uv && \
~/.local/bin/uv venv --quiet --clear --python 3.12 .venv && \
~/.local/bin/uv pip install --quiet --python .venv/bin/python -c constraints.txt -e .[tpu]"
  if [[ -n ${NFS:-} ]]; then
    everywhere "sudo apt-get install --yes --quiet nfs-common && sudo mkdir -p /mnt/shared && \
{ mountpoint --quiet /mnt/shared || sudo mount -t nfs $NFS /mnt/shared; } && sudo chmod 1777 /mnt/shared"
  fi
}

if [[ ${1:-} == --dry-run ]]; then
  dry=1
  shift
fi
case ${1:-} in
  create) tpu create --accelerator-type="$TYPE" --version="$RUNTIME" ${SPOT:+--spot} ;;
  install) install ;;
  run)
    shift
    everywhere "cd mtjax && .venv/bin/mtjax ${*@Q}"
    ;;
  delete) tpu delete --quiet ;;
  *)
    echo "usage: launch/tpu_vm.sh [--dry-run] create | install | run COMMAND ... | delete; got ${1:-nothing}" >&2
    exit 2
    ;;
esac
