#!/bin/sh
# The life of an installation under a booted systemd. Run inside the guest that tests/packages/vm.sh starts.
set -u
. /test/check.sh
family=systemd
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
log=/root/log
quietly() { "$@" >> "$log" 2>&1; }
answers() {
    [ "$(curl -s -o /root/answer -w '%{http_code}' --max-time 10 "http://127.0.0.1:8081$1")" = "$2" ]
}
property() { systemctl show --value -p "$2" "$1"; }
main_pid() { property "$1" MainPID; }
executors() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
            *aurora-executor*) echo "${process#/proc/}" ;;
        esac
    done
}
is_running() { sudo -u worker aurora job status local/worker/devel/hello_world 2>> "$log" | grep -q RUNNING; }
to_version() {
    quietly timeout 600 apt-get install -y --no-install-recommends --allow-downgrades "aurora=$1" "aurora-tools=$1" \
        "aurora-scheduler=$1" "aurora-executor=$1"
}
files() {
    (cd / && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \
        -o -path ./repository -o -path ./test -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg \
        -o -path ./var/log -o -path ./home -o -path ./root -o -path ./var/tmp -o -path ./var/lib/systemd \
        -o -path ./var/lib/sudo -o -path './etc/*-' -o -path ./etc/.pwd.lock -o -path ./etc/machine-id \
        -o -name __pycache__ \) -prune -o -print | LC_ALL=C sort)
}

# What went wrong, if it did.
trap '[ "${failed:-0}" = 0 ] || { tail -n 30 "$log"; systemctl list-jobs; journalctl -u aurora-scheduler -u aurora-agent |
    tail -n 40; }' EXIT
until_ok 60 sh -c 'systemctl is-system-running | grep -Eq "running|degraded"' || :
echo "booted: systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'), $(uname -r)"
useradd --create-home worker

# --- install: up, not initialised, and saying what to do

cp /repository/aurora.sources /etc/apt/sources.list.d/ || die "systemd: no repository in the guest"
rm -f /etc/apt/sources.list
files > /root/before
must "$family: apt reads the repository" quietly apt-get update
must "$family: install" to_version 0.1.0
active() { [ "$(systemctl is-active "$1")" = active ]; }
must "$family: the scheduler's unit is active" until_ok 60 active aurora-scheduler
check "$family: the agent's unit is active" until_ok 60 active aurora-agent
enabled() { systemctl is-enabled aurora-scheduler aurora-agent | grep -vq disabled; }
check "$family: both are enabled" enabled
says_command() {
    property aurora-scheduler StatusText |
        grep -q 'EMPTY status.*run: sudo -u aurora aurora-log initialize --path=/var/lib/aurora/scheduler/db'
}
check "$family: its status says the command" until_ok 60 says_command
check "$family: it is healthy" until_ok 60 answers /health 200

# --- as the installation guide says

must "$family: systemctl stop aurora" quietly sudo systemctl stop aurora
inactive() { [ "$(systemctl is-active aurora-scheduler)" = inactive ]; }
check "$family: it is stopped" inactive
must "$family: mkdir" quietly sudo -u aurora mkdir -p /var/lib/aurora/scheduler/db
must "$family: mesos-log initialize" \
    quietly sudo -u aurora mesos-log initialize --path=/var/lib/aurora/scheduler/db
must "$family: systemctl start aurora" quietly sudo systemctl start aurora
# Real readiness: the start has returned, so that it leads already.
check "$family: a start that has returned leads" answers /leaderhealth 200
says_leading() { property aurora-scheduler StatusText | grep -q '^Leading'; }
check "$family: its status says so" until_ok 60 says_leading
create() {
    quietly timeout 180 sudo -u worker aurora job create --wait-until=RUNNING local/worker/devel/hello_world \
        /usr/share/doc/aurora-tools/examples/hello_world.aurora
}
must "$family: the first job, with no file edited" create
must "$family: it is RUNNING" until_ok 180 is_running
task=$(executors)
[ -n "$task" ] || die "$family: the executor of the task"
same_task() { [ "$(executors)" = "$task" ]; }
echo "its control group: $(cat "/proc/$task/cgroup")"
check "$family: the scheduler runs as its own user" \
    [ "$(stat -c %U "/proc/$(main_pid aurora-scheduler)")" = aurora ]
check "$family: the journal has its log" sh -c 'journalctl -u aurora-scheduler | grep -q "leading in term"'

# --- the watchdog, and other ends

before=$(main_pid aurora-scheduler)
another() { pid=$(main_pid aurora-scheduler) && [ "$pid" != 0 ] && [ "$pid" != "$before" ] && answers /leaderhealth 200; }
mkdir -p /run/systemd/system/aurora-scheduler.service.d
printf '[Service]\nWatchdogSec=10\n' > /run/systemd/system/aurora-scheduler.service.d/test.conf
systemctl daemon-reload
quietly systemctl restart aurora-scheduler
must "$family: restart" until_ok 120 another
before=$(main_pid aurora-scheduler)
sleep 20
check "$family: the watchdog is fed" [ "$(main_pid aurora-scheduler)" = "$before" ]
kill -STOP "$before"
check "$family: the watchdog ends one that hangs, and another one leads" until_ok 120 another
check "$family: by the watchdog" sh -c 'journalctl -u aurora-scheduler | grep -qi "watchdog timeout"'
before=$(main_pid aurora-scheduler)
kill -KILL "$before"
check "$family: one that died is started again" until_ok 120 another
rm -r /run/systemd/system/aurora-scheduler.service.d
systemctl daemon-reload
quietly systemctl restart aurora-scheduler

# --- tasks outlive the agent

check "$family: stop of the agent by its old name" quietly systemctl stop thermos
check "$family: the task runs on" same_task
must "$family: start of the agent by its old name" quietly systemctl start thermos
must "$family: RUNNING again" until_ok 180 is_running
check "$family: it is the same task" same_task
before=$(main_pid aurora-agent)
kill -KILL "$before"
new_agent() { pid=$(main_pid aurora-agent) && [ "$pid" != 0 ] && [ "$pid" != "$before" ] && active aurora-agent; }
check "$family: an agent that died is started again" until_ok 60 new_agent
must "$family: RUNNING under the new agent" until_ok 180 is_running
check "$family: it is the same task under the new agent" same_task

# --- upgrade, downgrade, removal

for version in 0.2.0 0.1.0; do
    before=$(main_pid aurora-scheduler)
    agent=$(main_pid aurora-agent)
    must "$family: change to $version" to_version "$version"
    check "$family: the scheduler is new ($version)" until_ok 120 another
    check "$family: the agent is new ($version)" [ "$(main_pid aurora-agent)" != "$agent" ]
    must "$family: RUNNING after the change to $version" until_ok 180 is_running
    check "$family: it is the same task after the change to $version" same_task
done
must "$family: remove" quietly apt-get remove -y aurora aurora-tools aurora-scheduler aurora-executor
check "$family: the task runs on without packages" same_task
must "$family: purge" quietly apt-get purge -y aurora aurora-tools aurora-scheduler aurora-executor
ended() { [ -z "$(executors)" ]; }
check "$family: purge ends the tasks" until_ok 60 ended
nothing_left() { files > /root/after && diff /root/before /root/after; }
check "$family: purge leaves nothing" nothing_left
no_units() { ! systemctl list-unit-files | grep -v aurora-test | grep -E 'aurora|thermos'; }
check "$family: nor a unit" no_units
