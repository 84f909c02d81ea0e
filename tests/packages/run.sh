#!/bin/sh
# Builds the packages and tests them: linters, what the programs need, units, and a whole life by real apt and
# dnf in trees of their own. Run by root, from the top of the project:
#
#     tests/packages/run.sh [--from DIRECTORY]
#
# The programs are those that the other tests have built. In the long mode (AURORA_LONG=1) they are a release
# build, whose size and sameness are looked at too, and systemd is booted. --from names a directory with built
# programs, so that nothing is compiled.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/packages/check.sh
work=$PWD/target/tests/packages
mkdir -p "$work"
skip() { printf 'skipped: %s: %s\n' "$1" "$2"; }
lacks() { ! command -v "$1" >/dev/null 2>&1; }
GNUPGHOME=$work/gnupg
export GNUPGHOME
long=${AURORA_LONG:-0}
programs=$PWD/target/packages/programs
case ${1:-}:$long in
    --from:*) programs=$2 ;;
    *:1) must "release build" packaging/build programs ;;
    *) must "build" packaging/build programs --profile dev ;;
esac
if [ "$long" != 1 ]; then
    # Large programs that nobody downloads.
    DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1 AURORA_RPM_PAYLOAD=w1.gzdio
    export DPKG_DEB_COMPRESSOR_TYPE DPKG_DEB_COMPRESSOR_LEVEL AURORA_RPM_PAYLOAD
fi

# --- what the programs need

needs_little() {
    for library in $(readelf -d "$programs/aurora" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        case $library in
            libc.so.6 | libm.so.6 | libgcc_s.so.1 | ld-linux*.so.*) ;;
            *) echo "needs $library"; return 1 ;;
        esac
    done
}
check "the programs need libc and libgcc only" needs_little
old_glibc() {
    newest=$(objdump -T "$programs/aurora" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
    [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.34 ] ||
        { echo "needs $newest"; return 1; }
}
check "and no glibc newer than 2.34" old_glibc
static_executor() {
    ! readelf -l "$programs/aurora-executor" | grep -q INTERP &&
        ! readelf -d "$programs/aurora-executor" | grep -q NEEDED
}
check "the executor needs no library" static_executor
no_paths() { ! grep -q -a -F -e "${CARGO_HOME:-$HOME/.cargo}" -e "$PWD/src" "$programs/aurora" "$programs/aurora-executor"; }
if [ "$long" = 1 ]; then
    check "the programs hold no path of this machine" no_paths
else
    skip "size and sameness of a release build" "part of the long mode"
fi

# --- units

if lacks systemd-analyze; then
    skip "units" "systemd-analyze is not installed"
else
    unit_tree=$work/units
    rm -rf "$unit_tree"
    mkdir -p "$unit_tree"
    # The programs that the units name have to exist somewhere.
    verify() {
        for unit in aurora-scheduler aurora-agent; do
            sed "s,^ExecStart=.*,ExecStart=/bin/true,; /^Documentation=/d" "systemd/$unit.service" \
                > "$unit_tree/$unit.service"
        done
        said=$(systemd-analyze verify "$unit_tree"/*.service 2>&1 | grep -F "$unit_tree")
        [ -z "$said" ] || { echo "$said"; return 1; }
    }
    check "systemd-analyze finds nothing wrong with the units" verify
    exposure() {
        level=$(systemd-analyze security --offline=true "systemd/aurora-scheduler.service" 2>/dev/null |
            sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
        echo "exposure of aurora-scheduler.service: $level"
        [ -n "$level" ] && awk -v level="$level" 'BEGIN { exit !(level <= 1.5) }'
    }
    check "the scheduler's exposure is 1.5 or less" exposure
fi
if [ "$(id -u)" != 0 ] || lacks systemd-sysusers || lacks systemd-tmpfiles; then
    skip "user and directories by systemd" "not root, or systemd-sysusers and systemd-tmpfiles are not installed"
else
    made_by_systemd() {
        made=$work/made
        rm -rf "$made"
        mkdir -p "$made/etc"
        systemd-sysusers --root="$made" "$PWD/packaging/sysusers/aurora.conf" &&
            systemd-tmpfiles --root="$made" --create "$PWD"/packaging/tmpfiles/*.conf || return 1
        grep -q '^aurora:.*:/var/lib/aurora:' "$made/etc/passwd" || { cat "$made/etc/passwd"; return 1; }
        user=$(sed -n 's/^aurora:[^:]*:\([0-9]*\):.*/\1/p' "$made/etc/passwd")
        [ "$(stat -c '%u %a' "$made/var/lib/aurora/scheduler")" = "$user 750" ] &&
            [ "$(stat -c '%u %a' "$made/var/log/aurora")" = "$user 750" ] &&
            [ "$(stat -c '%u %a' "$made/var/lib/aurora/agent")" = "0 755" ]
    }
    check "sysusers and tmpfiles make the user and the directories" made_by_systemd
fi

# --- scripts

if lacks shellcheck; then
    skip "shellcheck" "shellcheck is not installed"
else
    check "shellcheck: scripts" shellcheck -S warning -e SC1090,SC1091,SC2034,SC2069,SC2154 packaging/build \
        packaging/generate packaging/install packaging/repo packaging/bin/* packaging/init.d/aurora-* \
        tests/packages/*.sh
fi
variables() {
    # shellcheck disable=SC2013
    for name in $(sed -n 's/^#\{0,1\}\([A-Z_a-z]*\)=.*/\1/p' packaging/default/aurora-scheduler); do
        case $name in JAVA_OPTS | AURORA_HOME) continue ;; esac
        grep -q "\${$name" packaging/bin/aurora-scheduler-startup.deb || { echo "$name is not used"; return 1; }
    done
    for name in $(sed -n 's/^#\{0,1\}\([A-Z_a-z]*\)=.*/\1/p' packaging/default/thermos); do
        grep -q "\${$name" packaging/bin/aurora-agent-startup.deb || { echo "$name is not used"; return 1; }
    done
}
check "every variable of /etc/default has its effect" variables

# --- completions and man pages

generated=$work/generated
rm -rf "$generated"
must "man pages and completions are made" packaging/generate "$programs/aurora" "$generated"
names_flags() {
    "$programs/aurora" scheduler -help | sed -n 's/^  \(-[a-z_]*\)=.*/\1/p' | while read -r flag; do
        page=$(printf '%s' "$flag" | sed 's/-/\\\\-/g')
        grep -q "^.fB$page.fR" "$generated/man8/aurora-scheduler.8" || echo "page: $flag"
        for file in bash/aurora zsh/_aurora fish/aurora.fish; do
            grep -q -e "[ \"']${flag}[= \"']" "$generated/$file" || echo "$file: $flag"
        done
    done > "$work/missing"
    [ ! -s "$work/missing" ] || { head "$work/missing"; return 1; }
}
check "every flag of the scheduler is in its page and completions" names_flags
completes() {
    said=$(bash -c '. "$1"; COMP_WORDS=(aurora job cr); COMP_CWORD=2; _aurora_complete
        echo "${COMPREPLY[@]}"; COMP_WORDS=(aurora job create --wait); COMP_CWORD=3; _aurora_complete
        echo "${COMPREPLY[@]}"' sh "$generated/bash/aurora" 2>/dev/null)
    [ "$said" = "create
--wait-until=" ] || { echo "$said"; return 1; }
}
check "bash completes" completes
if lacks zsh; then skip "zsh completion" "zsh is not installed"; else
    check "zsh reads its completion" zsh -n "$generated/zsh/_aurora"
    # As zsh's own set-up finds it, by its first line.
    zsh_has() {
        # shellcheck disable=SC2016
        said=$(HOME=$work zsh -fc 'fpath=($1 $fpath); autoload -Uz compinit && compinit -u -d $2
            autoload +X -U _aurora && print $_comps[aurora] $_comps[aurora-scheduler] $_comps[mesos-log]' \
            zsh "$generated/zsh" "$work/zcompdump" 2>&1)
        [ "$said" = "_aurora _aurora _aurora" ] || { echo "$said"; return 1; }
    }
    check "zsh completes" zsh_has
fi
if lacks fish; then skip "fish completion" "fish is not installed"; else
    fish_completes() {
        said=$(HOME=$work fish -c "source $generated/fish/aurora.fish; complete -C 'aurora job cr'" 2>/dev/null)
        case $said in create*) ;; *) echo "$said"; return 1 ;; esac
    }
    check "fish completes" fish_completes
fi
if ! lacks man; then
    pages() {
        for page in "$generated"/man*/*; do
            LC_ALL=C.UTF-8 man --warnings -l -Tutf8 -Z "$page" 2>&1 > "$work/page"
        done > "$work/man"
        [ ! -s "$work/man" ] || { head "$work/man"; return 1; }
    }
    check "man finds nothing wrong with the pages" pages
fi

# --- packages

out=$work/out
rm -rf "$out" "$work/repository" "$work/stubs" "$GNUPGHOME"
mkdir -p "$out" "$GNUPGHOME"
chmod 700 "$GNUPGHOME"
kinds=
lacks dh || kinds="$kinds deb"
lacks rpmbuild || kinds="$kinds rpm"
[ -n "$kinds" ] || { skip "packages" "neither debhelper nor rpmbuild is installed"; exit; }
# Two versions of one build: the second one also reads and writes a newer log.
for stamp in 0.1.0:1 0.2.0:2; do
    version=${stamp%:*}
    # shellcheck disable=SC2086
    must "packages of version $version:$kinds" packaging/build $kinds --from "$programs" --out "$out" \
        --version "$version" --level "${stamp#*:}"
done
same_again() {
    # shellcheck disable=SC2086
    packaging/build $kinds --from "$programs" --out "$work/again" --version 0.1.0 --level 1 > "$work/again.log" || return 1
    for package in "$work"/again/*.deb "$work"/again/*.rpm; do
        [ ! -e "$package" ] || cmp "$package" "$out/$(basename "$package")" || return 1
    done
}
check "packaging again gives the same bytes" same_again
if [ "$long" = 1 ]; then
    compiled_again() {
        # Elsewhere, so that no path and nothing that was built before can matter.
        rm -rf "$work/second" && mkdir -p "$work/second" || return 1
        cp -a Cargo.toml Cargo.lock LICENSE README.md src tests packaging systemd debian "$work/second" &&
            (cd "$work/second" && packaging/build programs) > "$work/second.log" 2>&1 || return 1
        for program in aurora aurora-executor; do
            cmp "$work/second/target/packages/programs/$program" "$programs/$program" || return 1
        done
        rm -rf "$work/second"
    }
    # Only where the first programs were built in the same way.
    [ "${1:-}" = --from ] || check "compiling again gives the same bytes" compiled_again
fi
small() { [ "$(stat -c %s "$out"/aurora-tools_0.1.0_*.deb)" -le 6291456 ]; }
case $kinds in *deb*)
    [ "$long" != 1 ] || check "the programs' package has 6 MB or less" small
    if lacks lintian; then skip "lintian" "lintian is not installed"; else
        linted() {
            lintian --allow-root --tag-display-limit 0 --fail-on error,warning \
                "$out"/aurora_0.1.0_*.changes > "$work/lintian.log" 2>&1
            status=$?
            grep -v '^running with' "$work/lintian.log"
            return $status
        }
        check "lintian" linted
    fi
    depends() {
        [ "$(dpkg-deb -f "$out"/aurora-tools_0.1.0_*.deb Depends |
            sed 's/ ([^)]*)//g')" = "libc6, libgcc-s1" ] &&
            [ "$(dpkg-deb -f "$out"/aurora-tools_0.1.0_*.deb Recommends)" = python3 ]
    }
    check "it depends on libc6 and libgcc-s1 only" depends ;;
esac
case $kinds in *rpm*)
    if lacks rpmlint; then skip "rpmlint" "rpmlint is not installed"; else
        rpm_linted() {
            said=$(rpmlint -c packaging/rpm/rpmlint.toml "$out"/*-0.1.0-1.*.rpm packaging/rpm/aurora.spec 2>&1 |
                grep -E ': [EW]: ')
            [ -z "$said" ] || { echo "$said"; return 1; }
        }
        check "rpmlint" rpm_linted
    fi ;;
esac
must "signed repositories" packaging/repo --packages "$out" --make-key packages@aurora.invalid \
    --url file:///repository "$work/repository" > "$work/repo.log" 2>&1

# --- a life in trees of their own

if [ "$(id -u)" != 0 ]; then skip "life of an installation" "not root"; exit; fi
if ! unshare --mount --pid --net --fork true 2>/dev/null; then
    skip "life of an installation" "this machine makes no namespaces"
    exit
fi
if lacks mmdebstrap; then skip "life of an installation" "mmdebstrap is not installed"; exit; fi
base=$work/base.tar
if [ ! -f "$base" ]; then
    rm -rf "$base" "$base.new"
    # By its name alone it would make a directory.
    if ! mmdebstrap --quiet --format=tar --variant=minbase --include=python3,monit,supervisor,logrotate \
        "$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")" "$base.new" > "$work/base.log" 2>&1; then
        tail -n 5 "$work/base.log"
        skip "life of an installation" "no Debian tree can be made here"
        exit
    fi
    mv "$base.new" "$base"
fi

# What every distribution has, as packages without files for the tree whose files are there already.
stubs() {
    mkdir -p "$work/stubs"
    cat > "$work/stubs.spec" <<'END'
Name: stubs
Version: 1
Release: 1
Summary: Stands for the libraries and the shell of a distribution
License: Apache-2.0
Provides: /bin/sh
Provides: /bin/bash
@PROVIDES@
%description
Stands for the libraries and the shell of a distribution.
%files
END
    provides=$(rpm -qp --requires "$out"/aurora-tools-0.1.0-1.*.rpm |
        sed -n '/^lib.*so\|^ld-linux\|^rtld/s/^/Provides: /p')
    awk -v provides="$provides" '/^@PROVIDES@$/ { print provides; next } { print }' "$work/stubs.spec" \
        > "$work/stubs/stubs.spec"
    rpmbuild -bb --define "_topdir $work/stubs/build" "$work/stubs/stubs.spec" > "$work/stubs.log" 2>&1 &&
        cp "$work"/stubs/build/RPMS/*/*.rpm "$work/stubs" &&
        createrepo_c --quiet "$work/stubs"
}

# life FAMILY: the whole script in namespaces; its mounts and processes end with it.
life() {
    tree=$work/tree-$1
    rm -rf "$tree" "$tree".*
    mkdir -p "$tree"
    tar -C "$tree" -xf "$base" --exclude='./dev/*'
    unshare --mount --pid --net --fork --kill-child --mount-proc sh -c \
        'ip link set lo up && exec "$@"' sh sh tests/packages/life.sh "$1" "$tree" "$work/repository"
    status=$?
    [ $status = 0 ] || { say "the end of $tree.log:"; tail -n 40 "$tree.log"
        tail -n 10 "$tree"/var/log/aurora/*.log "$tree"/var/log/thermos/*.log 2>/dev/null; }
    rm -rf "$tree"
    return $status
}
if lacks ip || lacks curl; then
    skip "life of an installation" "ip or curl is not installed"
    exit
fi
case $kinds in *deb*) life deb || : ;; esac
case $kinds in
*rpm*)
    if lacks dnf || lacks createrepo_c; then
        skip "life by dnf" "dnf or createrepo_c is not installed"
    else
        must "stubs for dnf" stubs
        life rpm || :
    fi ;;
esac
if [ "$long" = 1 ]; then
    sh tests/packages/vm.sh "$base" "$work/repository"
else
    skip "a booted systemd" "part of the long mode"
fi
exit 0
