#!/usr/bin/env bash
# End the Slurm that start.sh started in a folder, with its jobs, and remove the folder.
set -euo pipefail
[ $# -eq 1 ] || { echo "stop.sh: name the folder that start.sh was given" >&2; exit 1; }
folder=$(realpath "$1")
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin:/sbin
grep -qsxF "StateSaveLocation=$folder/state" "$SLURM_CONF" || { echo "stop.sh: $1: no Slurm of start.sh"; exit 0; }

if timeout 5 scontrol ping 2> /dev/null | grep -q UP; then
  squeue --noheader --format %A | sort -u | xargs --no-run-if-empty scancel --full || true
  for _ in {1..100}; do
    [ -n "$(squeue --noheader)" ] || break
    sleep 0.2
  done
fi
for name in slurmd slurmctld munged; do
  pid=$(cat "$folder/pid/$name" 2> /dev/null) || continue
  # A number may have become another's since.
  ours() { tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$folder/"; }
  for signal in TERM KILL; do
    ours 2> /dev/null && kill -s "$signal" "$pid" || break
    for _ in {1..25}; do
      ours 2> /dev/null || break
      sleep 0.2
    done
  done
done
rm -rf "$folder"
