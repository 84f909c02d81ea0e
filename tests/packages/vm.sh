#!/bin/sh
# Boots a Debian system with systemd in qemu, from memory, and runs tests/packages/guest.sh in it:
#
#     tests/packages/vm.sh BASE.tar REPOSITORY
#
# BASE.tar is the tree of tests/packages/run.sh; what systemd needs is added to it once. Prints the checks, or
# `skipped: NAME: REASON`.
set -u
cd "$(dirname "$0")/../.." || exit 2
base=$1
repository=$2
work=$PWD/target/tests/packages
limit=${AURORA_VM_LIMIT:-1500}
skip() { printf 'skipped: %s: %s\n' "a booted systemd" "$1"; exit 0; }

[ "$(id -u)" = 0 ] || skip "not root"
[ "$(uname -m)" = x86_64 ] || skip "only written for x86_64"
for tool in qemu-system-x86_64 cpio dpkg-deb; do
    command -v "$tool" >/dev/null 2>&1 || skip "no $tool"
done

# The kernel of the other guest, if it is there.
kernel() {
    for found in target/tests/vm/kernel/boot/vmlinuz-* "$work"/kernel/boot/vmlinuz-*; do
        [ -f "$found" ] && { printf '%s\n' "$found"; return; }
    done
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$package" ] || return 1
    rm -rf "$work/kernel" "$work/download"
    mkdir -p "$work/kernel" "$work/download"
    (cd "$work/download" && apt-get download "$package") > "$work/kernel.log" 2>&1 || return 1
    dpkg-deb --fsys-tarfile "$work"/download/linux-image-*.deb |
        tar -xf - -C "$work/kernel" --wildcards './boot/vmlinuz-*' || return 1
    rm -rf "$work/download"
    ls "$work"/kernel/boot/vmlinuz-*
}
vmlinuz=$(kernel) || skip "no kernel: linux-image-cloud-amd64 cannot be downloaded"

booted=$work/systemd.tar
tree=$work/tree-vm
rm -rf "$tree"
mkdir -p "$tree"
if [ ! -s "$booted" ]; then
    tar -C "$tree" -xf "$base" --exclude='./dev/*'
    unshare --mount --pid --fork sh -c '
        mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && cp -L /etc/resolv.conf "$1/etc/"
        exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -ec "
            apt-get update
            apt-get install -y --no-install-recommends systemd systemd-sysv dbus curl sudo
            apt-get purge -y monit supervisor
            apt-get clean
            rm -rf /var/lib/apt/lists/* /usr/share/locale/* /etc/resolv.conf"' sh "$tree" \
        > "$work/systemd.log" 2>&1 || { tail -n 5 "$work/systemd.log"; skip "systemd cannot be installed"; }
    tar -C "$tree" --one-file-system --exclude='./dev/*' --exclude='./proc/*' -cf "$booted.new" . &&
        mv "$booted.new" "$booted"
else
    tar -C "$tree" -xf "$booted"
fi

mkdir -p "$tree/test" "$tree/repository"
cp tests/packages/check.sh tests/packages/guest.sh "$tree/test"
cp -a "$repository/apt" "$repository/aurora.sources" "$tree/repository"
rm -f "$tree/etc/machine-id"
: > "$tree/etc/machine-id"
echo aurora > "$tree/etc/hostname"
printf '127.0.0.1 localhost aurora\n' > "$tree/etc/hosts"
cat > "$tree/etc/systemd/system/aurora-test.service" <<'END'
[Unit]
Description=The test
After=basic.target
[Service]
ExecStart=/bin/sh /test/guest.sh
ExecStopPost=/bin/sh -c 'echo "guest: done" && sleep 1 && echo b > /proc/sysrq-trigger'
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
END
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -s ../aurora-test.service "$tree/etc/systemd/system/multi-user.target.wants/aurora-test.service"
(cd "$tree" && find . -xdev | cpio --quiet -o -H newc) > "$work/initrd"
rm -rf "$tree"

# Some machines have a /dev/kvm that runs no kernel: one that says nothing within some seconds is not used.
# Emulated, one processor: several of them wait for each other for minutes on a loaded machine.
how="-accel tcg -cpu max -smp 1"
if [ -w /dev/kvm ]; then
    timeout 10 qemu-system-x86_64 -accel kvm -cpu host -m 256 -nodefaults -no-reboot -display none -serial stdio \
        -kernel "$vmlinuz" -append "console=ttyS0 panic=-1" < /dev/null > "$work/kvm.log" 2>&1
    grep -a -q 'Linux version' "$work/kvm.log" && how="-accel kvm -cpu host -smp 2"
fi
echo "guest: $how"
# shellcheck disable=SC2086
timeout "$limit" qemu-system-x86_64 $how -m 3072 -nodefaults -no-reboot -display none -serial stdio \
    -kernel "$vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 rdinit=/sbin/init quiet panic=-1 systemd.show_status=0 loglevel=1" \
    < /dev/null > "$work/vm.log" 2>&1
rm -f "$work/initrd"
tr -d '\r' < "$work/vm.log" | grep -a -E '^(ok|FAILED:|booted:|its control group|[<>] )'
grep -a -q 'guest: done' "$work/vm.log" || {
    echo "FAILED: a booted systemd: the guest did not come to its end"
    tail -n 40 "$work/vm.log"
    exit 1
}
if grep -a -q '^FAILED' "$work/vm.log"; then tail -n 70 "$work/vm.log"; exit 1; fi
