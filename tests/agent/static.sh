#!/bin/sh
# Builds the executor without any shared library and runs a task with it where there is no other file.
# Long: a release build of its own. Usage: sh tests/agent/static.sh
set -eu
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --bin aurora-executor --target "$host"
program=target/$host/release/aurora-executor
if readelf -l "$program" | grep -q INTERP || readelf -d "$program" 2>/dev/null | grep -q NEEDED; then
    echo "$program needs a loader or shared libraries" >&2
    exit 1
fi
# With the task's directory missing it must say so by itself: it runs at all, in an empty root where we may.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$program" "$root/executor"
if [ "$(id -u)" = 0 ] && command -v chroot >/dev/null; then
    said=$(chroot "$root" /executor --task-dir=/none 2>&1 || true)
else
    said=$("$root/executor" --task-dir=/none 2>&1 || true)
fi
case $said in
*"cannot use the task's directory"*) ;;
*) echo "unexpected: $said" >&2 && exit 1 ;;
esac
# The tests of real tasks, with this executor in place of the one that cargo built for them.
AURORA_TEST_EXECUTOR=$PWD/$program cargo test --test agent executor:: host::
echo "static executor: $(stat -c %s "$program") bytes"
