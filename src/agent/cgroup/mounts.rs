//! What is mounted where, and which group of it this process is in.

use super::settings::{Controller, Version};
use std::path::{Path, PathBuf};

/// One hierarchy of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    pub(super) mounted_at: PathBuf,
    /// Which part of the hierarchy is mounted there.
    root: PathBuf,
    /// Of version 1: what it controls, `freezer` or `name=systemd` for example.
    names: Vec<String>,
}

impl Hierarchy {
    /// Whether this hierarchy of version 1 has the controller.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.names.iter().any(|name| name == controller.name())
    }

    /// Where the group is that `own`, the content of `/proc/self/cgroup`, names in this hierarchy.
    pub(super) fn own_group(&self, own: &str) -> Option<PathBuf> {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let names = parts.next()?;
            let is_here = match self.version {
                Version::One => names
                    .split(',')
                    .any(|name| self.names.iter().any(|n| n == name)),
                Version::Two => names.is_empty(),
            };
            is_here.then_some(parts.next()).flatten()
        })?;
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        Some(self.mounted_at.join(below))
    }
}

/// The hierarchies that are mounted, by the content of `/proc/self/mountinfo`.
pub(super) fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    mountinfo.lines().filter_map(hierarchy).collect()
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (mount, system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, at) = (unescape(mount.next()?), unescape(mount.next()?));
    let mut system = system.split(' ');
    let version = match system.next()? {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let options = system.nth(1)?;
    Some(Hierarchy {
        version,
        mounted_at: PathBuf::from(at),
        root: PathBuf::from(root),
        names: options.split(',').map(str::to_owned).collect(),
    })
}

/// Blanks are written as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /box/7 /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/sys\\040temd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
broken";

    #[test]
    fn hierarchies_are_found_with_what_they_control() {
        let found = hierarchies(MOUNTS);
        assert_eq!(found.len(), 4);
        assert!(found[0].has(Controller::Cpu) && !found[0].has(Controller::Memory));
        assert!(found[1].has(Controller::Memory));
        assert_eq!(found[2].mounted_at, Path::new("/sys/fs/cgroup/sys temd"));
        assert_eq!(found[3].version, Version::Two);
    }

    #[test]
    fn the_own_group_is_found_through_what_is_mounted() {
        let own = "9:name=systemd:/\n4:memory:/box/7/deep\n1:cpu,cpuacct:/a:b\n0::/user/x\n";
        let found = hierarchies(MOUNTS);
        let groups: Vec<_> = found.iter().map(|it| it.own_group(own)).collect();
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/a:b",
            "/sys/fs/cgroup/memory/deep",
            "/sys/fs/cgroup/sys temd/",
            "/sys/fs/cgroup/unified/user/x",
        ];
        assert_eq!(groups, expected.map(|it| Some(PathBuf::from(it))));
        assert_eq!(found[1].own_group("4:memory:/other"), None);
        assert_eq!(found[3].own_group("4:memory:/other"), None);
    }
}
