#!/bin/sh
# The life of an installation in a tree of its own, by the real package manager, without systemd:
#
#     tests/packages/life.sh deb|rpm TREE REPOSITORY
#
# TREE is the root of a Debian system with Python, monit and supervisord. REPOSITORY is what packaging/repo
# made, with the versions 0.1.0 and 0.2.0. Run by root in namespaces of its own for mounts, processes and the
# network, whose loopback is up.
set -u
family=$1
root=$2
repository=$3
here=$(cd "$(dirname "$0")" && pwd)
. "$here/check.sh"

at() { (into "$@"); }
# The same as what this process becomes, for what is stopped by its number.
into() {
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}
quietly() { "$@" >> "$log" 2>&1; }
log=$root.log
: > "$log"

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/repository"
mount --bind "$repository" "$root/repository"
# What every system has and a minimal tree has not.
printf '127.0.0.1 localhost %s\n' "$(uname -n)" > "$root/etc/hosts"

# --- the package managers

case $family in
deb)
    rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
    cp "$repository/aurora.sources" "$root/etc/apt/sources.list.d/"
    # As on a system with an init: services are started by their maintainer scripts.
    printf '#!/bin/sh\nexit 0\n' > "$root/usr/sbin/policy-rc.d"
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    must "apt reads the signed repository" quietly at apt-get update
    install_it() { to_version "$first"; }
    install_second() { to_version "$second"; }
    to_version() {
        quietly at apt-get install -y --no-install-recommends --allow-downgrades "aurora=$1" \
            "aurora-tools=$1" "aurora-scheduler=$1" "aurora-executor=$1"
    }
    remove_it() { quietly at apt-get remove -y aurora aurora-tools aurora-scheduler aurora-executor; }
    purge_it() { quietly at apt-get purge -y aurora aurora-tools aurora-scheduler aurora-executor; }
    has_version() { [ "$(at dpkg-query -W -f '${Version}' aurora-scheduler)" = "$1" ]; }
    first=0.1.0
    second=0.2.0
    ;;
rpm)
    # The tree's own libraries and shell, as packages without files.
    mkdir -p "$root/etc/yum.repos.d"
    cp "$repository/aurora.repo" "$root/etc/yum.repos.d/"
    cat > "$root/etc/yum.repos.d/stubs.repo" <<END
[stubs]
name=Stubs
baseurl=file://$repository/../stubs
gpgcheck=0
END
    sed -i "s,/repository/,$repository/," "$root/etc/yum.repos.d/aurora.repo"
    with_dnf() {
        quietly dnf --installroot="$root" --setopt=reposdir="$root/etc/yum.repos.d" \
            --setopt=cachedir="$root.cache" --setopt=install_weak_deps=False --releasever=1 -y "$@"
    }
    install_it() { with_dnf install aurora-0.1.0; }
    install_second() { with_dnf install aurora-0.2.0; }
    to_version() {
        case $1 in
            0.2.0) with_dnf upgrade ;;
            *) with_dnf downgrade "aurora-$1" "aurora-tools-$1" "aurora-scheduler-$1" "aurora-executor-$1" ;;
        esac
    }
    remove_it() { with_dnf remove aurora aurora-tools aurora-scheduler aurora-executor; }
    has_version() { rpm --root "$root" -q aurora-scheduler | grep -q -- "-$1-"; }
    first=0.1.0
    second=0.2.0
    ;;
esac

# --- what is looked at

http() { curl -s -o "$root.answer" -w '%{http_code}' --max-time 2 "http://127.0.0.1:8081$1"; }
answers() { [ "$(http "$1")" = "$2" ]; }
init() { at "/etc/init.d/$1" "$2" >> "$log" 2>&1; }
gives() {
    wanted=$1
    shift
    "$@"
    got=$?
    [ $got = "$wanted" ] || { printf '%s gave %s, not %s\n' "$*" "$got" "$wanted"; return 1; }
}
scheduler_pid() { cat "$root/run/aurora-scheduler.pid"; }
agent_pid() { cat "$root/run/aurora-agent.pid"; }
# By the program's file, as the maintainer scripts find them.
executors() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
            *aurora-executor*) echo "${process#/proc/}" ;;
        esac
    done
}
status_of_job() { at runuser -u worker -- aurora job status local/worker/devel/hello_world; }
is_running() { status_of_job 2>> "$log" | grep -q RUNNING; }
files() {
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \
        -o -path ./repository -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg \
        -o -path ./var/log -o -path ./var/lib/rpm -o -path ./usr/lib/sysimage -o -path ./home \
        -o -path ./var/lib/dnf -o -path ./etc/yum.repos.d -o -path ./root \
        -o -path './etc/*-' -o -path ./etc/.pwd.lock -o -path ./etc/ld.so.cache \
        -o -name __pycache__ \) -prune -o -print |
        LC_ALL=C sort)
}

at useradd --create-home worker || die "a user for tasks"
files > "$root.before"

# --- install

must "$family: install from the repository" install_it
has_version "$first" || die "$family: the installed version"
manual() {
    for program in aurora aurora_admin aurora-admin aurora-agent aurora-agent-startup aurora-executor \
        aurora-log aurora-scheduler aurora-scheduler-startup mesos-log thermos_executor thermos_observer; do
        [ -x "$root/usr/bin/$program" ] || at test -x "/usr/bin/$program" || { echo "no $program"; return 1; }
        if [ "$program" != mesos-log ] && ! ls "$root"/usr/share/man/man*/"$program".* >/dev/null 2>&1; then
            # Debian's minimal trees leave man pages out.
            grep -qs usr/share/man "$root"/etc/dpkg/dpkg.cfg.d/* || { echo "no page of $program"; return 1; }
        fi
    done
}
check "$family: every program is there, with its page" manual
key() {
    for kind in agent replica; do
        key=/var/lib/aurora/scheduler/$kind.key
        [ "$(at stat -c '%U %G %a' $key)" = "aurora aurora 640" ] || return 1
    done
}
check "$family: keys are made, for nobody else's eyes" key
cp "$root/var/lib/aurora/scheduler/agent.key" "$root.key"

if [ "$family" = rpm ]; then
    init aurora-scheduler start || die "rpm: start the scheduler"
    init aurora-agent start || die "rpm: start the agent"
fi

# --- not initialised

must "$family: the scheduler answers before its log is initialized" until_ok 20 answers /health 200
check "$family: and is healthy" grep -q '^OK$' "$root.answer"
check "$family: and does not lead" gives 0 answers /leaderhealth 502
not_ready() {
    curl -s --max-time 5 -X POST -d '{}' http://127.0.0.1:8081/apibeta/getJobs > "$root.answer"
    grep -q 'Storage is not READY' "$root.answer"
}
check "$family: its API says that the storage is not ready" not_ready
empty_log() {
    grep -q 'Replica in EMPTY status' "$root/var/log/aurora/aurora-scheduler.log" &&
        grep -q 'aurora-log initialize --path=/var/lib/aurora/scheduler/db' \
            "$root/var/log/aurora/aurora-scheduler.log"
}
check "$family: its log says the command" until_ok 10 empty_log

# --- as the installation guide says

check "$family: stop" init aurora-scheduler stop
as_aurora() { quietly at runuser -u aurora -- "$@"; }
check "$family: mkdir as the guide says" as_aurora mkdir -p /var/lib/aurora/scheduler/db
must "$family: mesos-log initialize as the guide says" \
    as_aurora mesos-log initialize --path=/var/lib/aurora/scheduler/db
check "$family: the key is still the same" cmp -s "$root/var/lib/aurora/scheduler/agent.key" "$root.key"
must "$family: start" init aurora-scheduler start
must "$family: it leads" until_ok 30 answers /leaderhealth 200
create() {
    quietly at timeout 60 runuser -u worker -- aurora job create --wait-until=RUNNING local/worker/devel/hello_world \
        /usr/share/doc/aurora-tools/examples/hello_world.aurora
}
if [ "$family" = deb ] && grep -qs usr/share/doc "$root"/etc/dpkg/dpkg.cfg.d/*; then
    die "the tree leaves documents out"
fi
must "$family: the first job, with no file edited" create
must "$family: it is RUNNING" until_ok 60 is_running
task=$(executors)
[ -n "$task" ] || die "$family: the executor of the task"

# --- init scripts

check "$family: status of what runs is 0" gives 0 init aurora-scheduler status
check "$family: start of what runs is 0" gives 0 init aurora-scheduler start
check "$family: reload is 0" gives 0 init aurora-scheduler reload
check "$family: a wrong word is 2" gives 2 init aurora-scheduler frobnicate
check "$family: no word is 2" gives 2 init aurora-agent ""
as_worker() { at runuser -u worker -- "$@" >> "$log" 2>&1; }
check "$family: stop by anybody is 4" gives 4 as_worker /etc/init.d/aurora-scheduler stop
before=$(scheduler_pid)
check "$family: restart is 0" gives 0 init aurora-scheduler restart
other_pid() { [ "$(scheduler_pid)" != "$before" ]; }
check "$family: and it is another process" other_pid
check "$family: stop is 0" gives 0 init aurora-agent stop
check "$family: stop of what is stopped is 0" gives 0 init aurora-agent stop
check "$family: status of what is stopped is 3" gives 3 init aurora-agent status
check "$family: reload of what is stopped is 7" gives 7 init aurora-agent reload
check "$family: try-restart of what is stopped is 0" gives 0 init aurora-agent try-restart
echo 999999999 > "$root/run/aurora-agent.pid"
check "$family: status of what died is 1" gives 1 init aurora-agent status
check "$family: tasks outlive the agent" kill -0 "$task"
check "$family: start is 0" gives 0 init aurora-agent start
must "$family: RUNNING again" until_ok 60 is_running
same_task() { [ "$(executors)" = "$task" ]; }
check "$family: it is the same task" same_task

# --- files of the log

if [ "$family" = deb ]; then
    rotates() {
        quietly at logrotate --force --state /root/logrotate.state /etc/logrotate.d/aurora-scheduler \
            /etc/logrotate.d/aurora-executor || return 1
        [ -s "$root/var/log/aurora/aurora-scheduler.log.1" ] && [ -s "$root/var/log/thermos/aurora-agent.log.1" ]
    }
    check "logrotate takes both files" rotates
    check "and the scheduler does not notice" answers /leaderhealth 200
fi

# --- supervisors, with our recipes

kill_by() { kill "-$1" "$before"; }
supervised() {
    case $1 in
        monit) scheduler_pid ;;
        supervisord) at supervisorctl pid aurora-scheduler ;;
    esac
}
another() {
    pid=$(supervised "$1" 2>/dev/null)
    case $pid in '' | 0 | *[!0-9]*) return 1 ;; esac
    [ "$pid" != "$before" ] && kill -0 "$pid" 2>/dev/null && answers /health 200
}
healthy_checks() {
    [ "$(grep -cs "successfully received: 'HTTP/1" "$root/root/monit.log" || :)" -ge 3 ] 2>/dev/null
}
if [ "$family" = deb ]; then
    say "monit"
    # Faster than people need it: a look every second, two failures instead of ten, and no minute of grace.
    { printf 'set daemon 1\nset logfile /root/monit.log\nset pidfile /root/monit.pid\n'
        printf 'set statefile /root/monit.state\nset idfile /root/monit.id\n'
        sed 's/for 10 cycles/for 2 cycles/; /start program/s/60 seconds/5 seconds/' "$root/usr/share/aurora/monit/aurora-scheduler"
        cat "$root/usr/share/aurora/monit/aurora-agent"; } > "$root/root/monitrc"
    chmod 0600 "$root/root/monitrc"
    check "monit takes both recipes as they are" quietly at sh -c \
        'cat /usr/share/aurora/monit/* > /root/both && chmod 600 /root/both && monit -t -c /root/both'
    into monit -I -v -c /root/monitrc > /dev/null 2>&1 &
    monit=$!
    must "monit looks" until_ok 30 healthy_checks
    before=$(scheduler_pid)
    still() { [ "$(scheduler_pid)" = "$before" ] && ! grep -q 'failed protocol test' "$root/root/monit.log"; }
    check "monit leaves a healthy scheduler alone" still
    kill_by KILL
    check "monit starts one that died" until_ok 60 another monit
    before=$(scheduler_pid)
    kill_by STOP
    # Its stop waits 30 seconds for an orderly end before it kills.
    check "monit restarts one that hangs" until_ok 120 another monit
    kill "$monit"
    wait "$monit" 2>/dev/null

    say "supervisord"
    init aurora-scheduler stop
    { printf '[supervisord]\nlogfile=/root/supervisord.log\npidfile=/run/supervisord.pid\nuser=root\n'
        printf '[unix_http_server]\nfile=/run/supervisor.sock\n'
        printf '[supervisorctl]\nserverurl=unix:///run/supervisor.sock\n'
        printf '[rpcinterface:supervisor]\n'
        printf 'supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n'
        printf '[include]\nfiles=/root/supervisor.d/*.conf\n'; } > "$root/etc/supervisor/supervisord.conf"
    mkdir -p "$root/root/supervisor.d"
    sed 's/TICK_60/TICK_5/' "$root/usr/share/aurora/supervisor/aurora-scheduler.conf" \
        > "$root/root/supervisor.d/aurora-scheduler.conf"
    into supervisord -n -c /etc/supervisor/supervisord.conf > "$root.supervisord" 2>&1 &
    supervisord=$!
    before=0
    must "supervisord starts the scheduler" until_ok 30 another supervisord
    before=$(supervised supervisord)
    kill_by KILL
    check "supervisord starts one that died" until_ok 60 another supervisord
    before=$(supervised supervisord)
    kill_by STOP
    check "supervisord starts another one for one that hangs" until_ok 90 another supervisord
    kill "$supervisord"
    wait "$supervisord" 2>/dev/null
    must "start after supervisord" init aurora-scheduler start
    must "RUNNING after supervisors" until_ok 60 is_running
    check "it is still the same task" same_task
fi

# --- upgrade, downgrade

before=$(scheduler_pid)
agent=$(agent_pid)
program_says() { [ "$(at aurora-scheduler --version)" = "aurora-scheduler $1" ]; }
must "$family: upgrade" to_version "$second"
check "$family: it is the new version" has_version "$second"
check "$family: so says the program" program_says "$second"
restarted() { [ "$(scheduler_pid)" != "$before" ] && [ "$(agent_pid)" != "$agent" ]; }
check "$family: both daemons are new" restarted
must "$family: RUNNING after the upgrade" until_ok 60 is_running
check "$family: it is the same task after the upgrade" same_task
before=$(scheduler_pid)
agent=$(agent_pid)
must "$family: downgrade" to_version "$first"
check "$family: it is the old version" has_version "$first"
check "$family: both daemons are new again" restarted
must "$family: RUNNING after the downgrade" until_ok 60 is_running
check "$family: it is the same task after the downgrade" same_task

# --- a log that only the newer version reads

# The new version takes its time before it writes what the old one cannot read, unless it is told not to.
case $family in
    deb)
        configuration=/etc/default/aurora-scheduler
        edit='EXTRA_SCHEDULER_ARGS="-feature_level_delay=0secs"'
        ;;
    rpm)
        configuration=/etc/sysconfig/aurora-scheduler
        edit='AURORA_FLAGS+=(-feature_level_delay=0secs)'
        ;;
esac
cp "$root$configuration" "$root.configuration"
echo "$edit" >> "$root$configuration"
# Debian's package manager leaves an edited file alone, and so does rpm.
must "$family: upgrade again" to_version "$second"
kept() { grep -q feature_level_delay "$root$configuration"; }
check "$family: an edited configuration is kept" kept
level_is() {
    at aurora-log status --peer=127.0.0.1:8083 --json 2>> "$log" | grep -q "\"feature_level\":$1,"
}
check "$family: the log's level rises" until_ok 60 level_is 2
must "$family: RUNNING with a newer log" until_ok 60 is_running
must "$family: downgrade below the log's level" to_version "$first"
check "$family: the old version is healthy" until_ok 60 answers /health 200
outdated() { http '/readyz?verbose' > /dev/null; grep -q '^replica OUTDATED$' "$root.answer"; }
check "$family: it says that the log is newer" until_ok 60 outdated
check "$family: and does not lead" answers /leaderhealth 502
says_install() { grep -q 'Install the newer version again' "$root/var/log/aurora/aurora-scheduler.log"; }
check "$family: its log says what to do" until_ok 10 says_install
check "$family: the task does not notice" same_task
must "$family: upgrade once more" to_version "$second"
must "$family: RUNNING once more" until_ok 60 is_running
check "$family: it is the same task, after a version that could not read the log" same_task
cp "$root.configuration" "$root$configuration"

# --- remove, install again, purge

must "$family: remove" remove_it
stopped() { ! kill -0 "$(scheduler_pid 2>/dev/null || echo x)" 2>/dev/null && ! answers /health 200; }
check "$family: nothing answers any more" stopped
check "$family: the task runs on" same_task
check "$family: the data is there" test -d "$root/var/lib/aurora/scheduler/db"
if [ "$family" = deb ]; then
    # Debian takes the right to run it too.
    removed() { quietly at sh /etc/init.d/aurora-scheduler start; }
    check "$family: the init script of a removed package gives 5" gives 5 removed
fi
must "$family: install again" install_second
if [ "$family" = rpm ]; then
    init aurora-scheduler start
    init aurora-agent start
fi
must "$family: RUNNING after all that" until_ok 60 is_running
check "$family: it is the same task after all that" same_task
check "$family: the key is still the same after all that" \
    cmp -s "$root/var/lib/aurora/scheduler/agent.key" "$root.key"
if [ "$family" = deb ]; then
    must "deb: purge" purge_it
    ended() { [ -z "$(executors)" ]; }
    check "deb: purge ends the tasks" until_ok 10 ended
    nothing_left() {
        files > "$root.after"
        diff "$root.before" "$root.after"
    }
    check "deb: purge leaves nothing" nothing_left
    no_user() { ! at getent passwd aurora; }
    check "deb: nor the user" no_user
    check "deb: nor a trace in dpkg" gives 1 quietly at sh -c 'dpkg -l | grep aurora'
    # A machine with a real Mesos.
    printf '#!/bin/sh\necho a real one\n' > "$root/usr/bin/mesos-log"
    chmod 0755 "$root/usr/bin/mesos-log"
    real() { [ "$(at mesos-log)" = "a real one" ]; }
    must "deb: the programs beside a real Mesos" \
        quietly at apt-get install -y --no-install-recommends "aurora-tools=$first"
    check "deb: its mesos-log stays" real
    check "deb: ours has its other name" quietly at aurora-log initialize --path=/root/other-log
    must "deb: purge beside a real Mesos" quietly at apt-get purge -y aurora-tools
    check "deb: its mesos-log still stays" real
else
    must "rpm: remove again" remove_it
fi
[ "${failed:-0}" = 0 ]
