# Sourced by the batch scripts beside it.
# shellcheck shell=bash

# step COMMAND...: runs it as one job step, a process per task. Returns its exit code, after it has asked Slurm to queue
# the job again where that is 75: stopped and saved, not done.
step() {
  local code=0 interrupted pid
  # A process that fails does not take the others with it: they may be saving. Without a peer they end by themselves.
  srun --kill-on-bad-exit=0 "$@" &
  pid=$!
  # Slurm signals the step (--signal without B:). Whoever signals this script means the step too.
  trap 'interrupted=1; kill -TERM "$pid" 2>/dev/null || true' TERM
  while :; do
    interrupted=
    code=0
    wait "$pid" || code=$?
    [[ -n $interrupted ]] || break # `wait` was cut short by the trap: the step is still saving
  done
  if [[ $code -eq 75 ]]; then
    echo "stopped and saved; queued again as job $SLURM_JOB_ID"
    scontrol requeue "$SLURM_JOB_ID"
  fi
  return "$code"
}
