#!/bin/sh
# Links the executor without any shared library, as the packages do, and runs tasks with it; and runs it where
# there is no other file. Usage: sh tests/agent/static.sh [FILTER...], the tests to run; default: executor::
# Cheap after `cargo test`: only the program itself is linked once more.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
# The flag is for the program alone, so that all that it is made of is what the tests have built already.
cargo rustc --quiet --bin aurora-executor -- -C target-feature=+crt-static
cp "$target/debug/aurora-executor" "$root/executor"
if readelf -l "$root/executor" | grep -q INTERP || readelf -d "$root/executor" 2>/dev/null | grep -q NEEDED; then
    echo "the executor needs a loader or shared libraries" >&2
    exit 1
fi
# With the task's directory missing it must say so by itself: it runs at all, in an empty root where we may.
if [ "$(id -u)" = 0 ] && command -v chroot >/dev/null; then
    said=$(chroot "$root" /executor --task-dir=/none 2>&1 || true)
else
    said=$("$root/executor" --task-dir=/none 2>&1 || true)
fi
case $said in
*"cannot use the task's directory"*) ;;
*) echo "unexpected: $said" >&2 && exit 1 ;;
esac
# The tests of real tasks, with this executor in place of the one that cargo builds for them.
[ $# -gt 0 ] || set -- executor::
AURORA_TEST_EXECUTOR=$root/executor cargo test --quiet --test agent -- "$@"
echo "static executor: $(stat -c %s "$root/executor") bytes"
