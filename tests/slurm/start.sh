#!/usr/bin/env bash
# A real Slurm of one node, in a folder, to try profiles/slurm where there is no cluster (docs/cluster.md).
#
#     tests/slurm/start.sh FOLDER && source FOLDER/env
#     tests/slurm/stop.sh FOLDER
#
# Partitions: cpu (the default) and gpu. What the node is said to have, whether or not the machine has it:
# SLURM_NODE_CPUS (all), SLURM_NODE_MB (all memory) and SLURM_NODE_GPUS (2, at most 5; counted, nothing is behind them).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "start.sh: $*" >&2; exit 1; }

[ $# -eq 1 ] || fail "name a folder that is new or empty, for example /tmp/slurm"
mkdir -p "$1" && folder=$(cd "$1" && pwd -P)
[[ $folder =~ ^[^[:space:]]{1,90}$ ]] || fail "$folder: has spaces or is longer than a socket's path may be; take another"
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin:/sbin
if [ -e "$folder/env" ] && timeout 10 sinfo --noheader 2> /dev/null | grep -q .; then
  echo "start.sh: it runs already: source $folder/env"
  exit 0
fi
"$here/stop.sh" "$folder" > /dev/null  # what is left of one that was killed
mkdir -p "$folder"
[ -z "$(ls -A "$folder")" ] || fail "$folder: holds other files; name a folder that is new or empty"

packages=()
for pair in slurmctld=slurmctld slurmd=slurmd sbatch=slurm-client munged=munge; do
  command -v "${pair%=*}" > /dev/null || packages+=("${pair#*=}")
done
if [ ${#packages[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null ||
    fail "Slurm is not installed; as root on Debian or Ubuntu: apt-get install ${packages[*]}"
  said=$(exec 2>&1; apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "${packages[@]}") ||
    fail "apt-get cannot install ${packages[*]}: ${said##*$'\n'}"
fi

mkdir "$folder"/{log,pid,state,spool,bin}
host=$(hostname -s)
cpus=${SLURM_NODE_CPUS:-$(nproc)} gpus=${SLURM_NODE_GPUS:-2}
[ "$gpus" -le 5 ] || fail "SLURM_NODE_GPUS can be 5 at most, not $gpus"
mb=${SLURM_NODE_MB:-$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)}
read -r one other < <(python3 -c "
import socket
free = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in free))")

cat > "$SLURM_CONF" << END
ClusterName=onenode
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$one
SlurmdPort=$other
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$folder/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/pid/slurmctld
SlurmdPidFile=$folder/pid/slurmd
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
# Without control groups, which a container has not: memory is looked at every second, and a job above its own is killed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=5
# No accounts; what has ended is shown by squeue for ten minutes and noted in log/jobs.
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobs
MinJobAge=600
MailProg=/bin/true
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# What is written below counts, not what slurmd finds.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$mb Gres=gpu:$gpus
PartitionName=cpu Nodes=$host Default=YES
PartitionName=gpu Nodes=$host
END
# A GPU is a device to Slurm, which never opens it: these every machine has.
left=$gpus
for device in null zero full random urandom; do
  [ $((left--)) -le 0 ] || echo "Name=gpu File=/dev/$device"
done > "$folder/gres.conf"

# Snakemake's plugin takes all variables of Slurm, this one too, from the srun that it calls within a job.
cat > "$folder/bin/srun" << END
#!/bin/sh
SLURM_CONF=$SLURM_CONF exec $(dirname "$(command -v sbatch)")/srun "\$@"
END
chmod +x "$folder/bin/srun"
echo "export SLURM_CONF=$SLURM_CONF PATH=$folder/bin:\$PATH" > "$folder/env"

start() { # start NAME UNTIL COMMAND...: a daemon, and wait for what says that it is there
  local name=$1 until=$2 left=100
  shift 2
  "$@" >> "$folder/log/$name.out" 2>&1 || left=0
  until [ "$left" -gt 0 ] && bash -c "$until" > /dev/null 2>&1; do
    if [ $((left -= 1)) -le 0 ]; then
      cat "$folder/log/$name"* | tail -n 20 >&2
      "$here/stop.sh" "$folder" >&2
      fail "$name did not start; the end of its log stands above"
    fi
    sleep 0.2
  done
}
(umask 077 && head -c 512 /dev/urandom > "$folder/key")
# --force: a folder below /tmp will do.
start munged "test -S $folder/munge" munged --force --key-file="$folder/key" --socket="$folder/munge" \
  --pid-file="$folder/pid/munged" --log-file="$folder/log/munged" --seed-file="$folder/state/seed"
start slurmctld "scontrol ping | grep -q UP" slurmctld -c -f "$SLURM_CONF"
start slurmd "sinfo --noheader --format %T | grep -qx idle" slurmd -f "$SLURM_CONF"
echo "start.sh: $(slurmctld -V) with $cpus CPUs, $mb MB, $gpus GPUs (pretended): source $folder/env"
