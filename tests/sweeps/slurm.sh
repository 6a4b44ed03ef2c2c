#!/usr/bin/env bash
# Start or stop a real Slurm on this machine's loopback: two nodes of two CPUs, all files below DIR.
#
#     tests/sweeps/slurm.sh start DIR && export SLURM_CONF=DIR/slurm.conf
#     tests/sweeps/slurm.sh stop DIR
#
# Needs Debian's packages slurmctld, slurmd, slurm-client and munge; its user is whoever starts it.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
dir=$(realpath -m "$2") user=$(id -un) host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf

free_ports() { # that nobody listens on, one a line
    python3 -c 'import socket, sys
for s in [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]:
    print(s.getsockname()[1])' "$1"
}

start() {
    mkdir -p "$dir"/{run,log,state,spool/n1,spool/n2}
    chmod 755 "$dir" "$dir"/{run,log}
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    mapfile -t port < <(free_ports 4)
    memory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    cat >"$SLURM_CONF" <<END
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${port[0]}
SlurmdPort=${port[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.socket
SlurmUser=$user
SlurmdUser=$user
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
SlurmdSpoolDir=$dir/spool/%n
StateSaveLocation=$dir/state
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[${port[2]},${port[3]}] CPUs=2 RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    munged --force --socket="$dir/run/munge.socket" --key-file="$dir/munge.key" \
        --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" \
        --seed-file="$dir/state/munge.seed"
    slurmctld
    slurmd -N n1
    slurmd -N n2
    for _ in $(seq 100); do
        [ "$(sinfo --noheader --Node --states idle | wc -l)" = 2 ] && return
        sleep 0.2
    done
    echo "no two idle nodes after 20 s: see $dir/log" >&2
    exit 1
}

stop() {
    scancel --user="$user"
    for _ in $(seq 300); do # while jobs end
        [ -z "$(squeue --noheader)" ] && break
        sleep 0.1
    done
    pids=$(cat "$dir"/run/slurmd.*.pid "$dir"/run/slurmctld.pid "$dir"/run/munged.pid)
    # shellcheck disable=SC2086  # one word a process
    kill $pids
    for _ in $(seq 50); do
        compgen -G "$dir/run/*.pid" >/dev/null || return 0
        sleep 0.1
    done
}

"$1"
