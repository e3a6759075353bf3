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
# Numbers of its daemons and jobs, also of those that no slurmctld knows of any more. A daemon's command line names the
# folder, or, where it hides that as one of a step does, it has a file there open; a job is known by its script or its
# environment. A shell or an editor that knows of this Slurm, or a reader of its logs, is neither.
ours() {
  {
    {
      naming "$folder/"
      find /proc/[0-9]*/fd -lname "$folder/*"
    } | sed -E 's|^(/proc/[0-9]+)/.*|\1/comm|' | xargs --no-run-if-empty grep -lsxE 'slurm(d|ctld|scriptd|stepd)|munged'
    naming "$folder/spool/job"
    grep -lszxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ | xargs --no-run-if-empty grep -lsz '^SLURM_JOB_ID='
  } 2> /dev/null | cut -d / -f 3 | sort -u || true
}
# By standard input, so that grep does not find itself.
naming() { grep -lszF -f - /proc/[0-9]*/cmdline <<< "$1"; }
for signal in TERM KILL; do
  kill -s "$signal" $(ours) 2> /dev/null || true
  for _ in {1..25}; do
    [ -n "$(ours)" ] || break 2
    sleep 0.2
  done
done
rm -rf "$folder"
