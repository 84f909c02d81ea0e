# shellcheck shell=sh
# What the scripts of this directory share. Sourced.
# Each check prints `ok NAME` or `FAILED: NAME`; a script that cannot go on ends by `die`.

say() { printf -- '-- %s\n' "$*"; }
pass() { printf 'ok %s\n' "$1"; }
fail() {
    printf 'FAILED: %s\n' "$1"
    failed=$((${failed:-0} + 1))
}
die() {
    fail "$*"
    exit 1
}

# check NAME COMMAND...: one check that passes or fails as a whole.
check() {
    check_name=$1
    shift
    if "$@"; then pass "$check_name"; else fail "$check_name"; fi
}

# must NAME COMMAND...: a check without which the rest makes no sense.
must() {
    check_name=$1
    shift
    if "$@"; then pass "$check_name"; else die "$check_name"; fi
}

# until_ok SECONDS COMMAND...: tries again until the command works.
until_ok() {
    end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}
