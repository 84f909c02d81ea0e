//! The parent of all tasks' groups.

use super::group::TaskGroup;
use super::mounts::{Hierarchy, hierarchies};
use super::settings::{Controller, Version};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where an agent puts itself when its own group is the parent of its tasks'.
const OWN_LEAF: &str = "agent";
/// What file systems allow, without the prefix.
const NAME_BYTES_MAX: usize = 250;
const PROCS: &str = "cgroup.procs";

/// Why there are no control groups for tasks.
#[derive(Debug, Error)]
pub enum Unusable {
    /// What is mounted cannot be read.
    #[error("cannot see what is mounted: {0}")]
    Mounts(#[source] io::Error),
    /// No hierarchy with the memory controller.
    #[error("no control groups with memory limits are mounted")]
    NotMounted,
    /// They are there, but not for this agent.
    #[error("no group can be made at {path}: {source}")]
    Refused {
        /// The last place that was tried.
        path: PathBuf,
        /// Why not there.
        source: io::Error,
    },
}

/// The groups of one agent.
#[derive(Clone, Debug)]
pub struct Cgroups {
    version: Version,
    /// The agent's directory for each controller; of version 2 all are one.
    parents: BTreeMap<Controller, PathBuf>,
    /// The agent's directory from when it was started in another way, if there may be tasks in it.
    earlier: Option<PathBuf>,
}

impl Cgroups {
    /// Makes the agent's parent groups: `root/agent`, below the group that was delegated to the agent if it
    /// was started in a group within that one, or else below the top of each hierarchy, or else below the
    /// agent's own group.
    ///
    /// # Errors
    ///
    /// Tasks cannot have groups here. That is no reason not to run them.
    pub fn open(root: &str, agent: &str) -> Result<Self, Unusable> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Unusable::Mounts)?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(Unusable::Mounts)?;
        let place = Path::new(root.trim_matches('/')).join(agent);
        open_in(&hierarchies(&mounts), &own, &place)
    }

    /// The group of a task, which need not exist.
    pub fn task(&self, task: &str) -> TaskGroup {
        self.group(&name_of(task))
    }

    /// All groups that are there, by their names; see [`TaskGroup::name`].
    pub fn leftovers(&self) -> Vec<TaskGroup> {
        let mut names = std::collections::BTreeSet::new();
        for parent in self.parents.values().chain(&self.earlier) {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap_or_default();
                let is_task = name.starts_with("t-");
                if is_task && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.insert(name);
                }
            }
        }
        names.iter().map(|name| self.group(name)).collect()
    }

    /// Where the group is, or where it will be. One that is in the earlier place stays there: moving it
    /// would leave behind what was counted.
    fn group(&self, name: &str) -> TaskGroup {
        let earlier = self.earlier.as_ref().map(|it| it.join(name));
        let earlier = earlier.filter(|it| it.is_dir());
        let directory = |(it, parent): (&Controller, &PathBuf)| {
            (*it, earlier.clone().unwrap_or_else(|| parent.join(name)))
        };
        TaskGroup::new(self.version, self.parents.iter().map(directory).collect())
    }

    /// What is controlled, for people.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.parents.keys().map(|it| it.name()).collect();
        let place = self.parents.values().next();
        format!(
            "version {}, {} below {}",
            match self.version {
                Version::One => 1,
                Version::Two => 2,
            },
            names.join(", "),
            place.map(|it| it.display().to_string()).unwrap_or_default()
        )
    }

    /// Removes the agent's parent groups, unless a task has one. What is above them is shared with other
    /// agents and stays.
    pub fn remove_if_empty(&self) {
        for parent in self.parents.values().chain(&self.earlier) {
            // Not empty is the usual case: tasks outlive their agent.
            drop(fs::remove_dir(parent));
        }
    }
}

/// The prefix keeps tasks apart from the kernel's own files. Of a name that is too long both ends are kept;
/// ids are unique by theirs.
fn name_of(task: &str) -> String {
    if task.len() <= NAME_BYTES_MAX || !task.is_ascii() {
        return format!("t-{task}");
    }
    format!("t-{}~{}", &task[..120], &task[task.len() - 120..])
}

fn open_in(found: &[Hierarchy], own: &str, place: &Path) -> Result<Cgroups, Unusable> {
    let mut last = Unusable::NotMounted;
    for hierarchy in found.iter().filter(|it| it.version == Version::Two) {
        match open_v2(hierarchy, own, place) {
            Ok(groups) => return Ok(groups),
            Err(Unusable::NotMounted) => {}
            Err(error) => last = error,
        }
    }
    match open_v1(found, own, place) {
        Err(Unusable::NotMounted) => Err(last),
        other => other,
    }
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> Unusable + '_ {
    |source| Unusable::Refused {
        path: path.to_owned(),
        source,
    }
}

fn open_v2(hierarchy: &Hierarchy, own: &str, place: &Path) -> Result<Cgroups, Unusable> {
    let top = &hierarchy.mounted_at;
    if !controllers(top).iter().any(|it| it == "memory") {
        return Err(Unusable::NotMounted);
    }
    let own = hierarchy.own_group(own);
    let first = top.join(place);
    if let Some(given) = own.as_deref().and_then(delegated) {
        let parent = given.join(place);
        // Another kind of refusal is worth another try elsewhere.
        if make_v2(given, place).is_ok() {
            return Ok(of_v2(parent, Some(first).filter(|it| it.is_dir())));
        }
    }
    let own = own.map(without_leaf);
    let made = make_v2(top, place).map_err(refused(&first));
    let parent = match (made, own) {
        (Ok(()), _) => first,
        (Err(_), Some(own)) if own != *top => {
            let second = own.join(place);
            make_v2_below_self(&own, place).map_err(refused(&second))?;
            second
        }
        (Err(error), _) => return Err(error),
    };
    Ok(of_v2(parent, None))
}

fn of_v2(parent: PathBuf, earlier: Option<PathBuf>) -> Cgroups {
    let there = controllers(&parent);
    let parents = Controller::ALL
        .into_iter()
        .filter(|it| there.iter().any(|name| name == it.name()))
        .map(|it| (it, parent.clone()))
        .collect();
    Cgroups {
        version: Version::Two,
        parents,
        earlier,
    }
}

/// The group that was delegated to a process in `own`: the unit's, where systemd has put its process one
/// level below it (`DelegateSubgroup=`), which it does for units with delegation alone.
///
/// A process in the unit's own group is not taken for one: systemd could not start the agent again in a
/// group whose controllers are handed on to tasks that still run.
fn delegated(own: &Path) -> Option<&Path> {
    let unit = own.parent()?;
    let name = unit.file_name()?.to_str()?;
    let is_unit = name.ends_with(".service") || name.ends_with(".scope");
    (is_unit && own.file_name()? != ".control").then_some(unit)
}

fn controllers(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Makes each group on the way and hands the controllers on to what is in it.
fn make_v2(top: &Path, place: &Path) -> io::Result<()> {
    let mut directory = top.to_owned();
    hand_on(&directory)?;
    for part in place {
        directory.push(part);
        make(&directory)?;
        hand_on(&directory)?;
    }
    Ok(())
}

/// The group that was delegated, where an agent has moved itself below it.
fn without_leaf(own: PathBuf) -> PathBuf {
    let above = own.parent().filter(|_| own.ends_with(OWN_LEAF));
    let given = |above: &&Path| fs::read_to_string(above.join("cgroup.subtree_control"));
    let is_given = |above: &&Path| given(above).is_ok_and(|text| text.contains("memory"));
    above.filter(is_given).map(Path::to_owned).unwrap_or(own)
}

/// The agent's own group may not hold the agent itself once it hands controllers on.
fn make_v2_below_self(own: &Path, place: &Path) -> io::Result<()> {
    match make_v2(own, place) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        other => return other,
    }
    let leaf = own.join(OWN_LEAF);
    make(&leaf)?;
    fs::write(leaf.join(PROCS), std::process::id().to_string())?;
    make_v2(own, place)
}

fn hand_on(directory: &Path) -> io::Result<()> {
    let there = controllers(directory);
    let file = directory.join("cgroup.subtree_control");
    let given = fs::read_to_string(&file)?;
    let missing: Vec<String> = Controller::ALL
        .into_iter()
        .map(Controller::name)
        .filter(|name| there.iter().any(|it| it == name))
        .filter(|name| given.split_ascii_whitespace().all(|it| it != *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // All at once: of a group that holds processes the kernel would take some of them, and then groups in it
    // could only hold threads.
    fs::write(&file, missing.join(" "))
}

fn open_v1(found: &[Hierarchy], own: &str, place: &Path) -> Result<Cgroups, Unusable> {
    let mut parents = BTreeMap::new();
    let mut last = Unusable::NotMounted;
    for controller in Controller::ALL {
        let hierarchy = found
            .iter()
            .filter(|it| it.version == Version::One)
            .find(|it| it.has(controller));
        let Some(hierarchy) = hierarchy else {
            continue;
        };
        let below = std::iter::once(hierarchy.mounted_at.clone()).chain(hierarchy.own_group(own));
        for top in below {
            let parent = top.join(place);
            match make_v1(&top, place) {
                Ok(()) => {
                    parents.insert(controller, parent);
                    break;
                }
                Err(source) => {
                    last = Unusable::Refused {
                        path: parent,
                        source,
                    }
                }
            }
        }
    }
    match parents.contains_key(&Controller::Memory) {
        true => Ok(Cgroups {
            version: Version::One,
            parents,
            earlier: None,
        }),
        false => Err(last),
    }
}

fn make_v1(top: &Path, place: &Path) -> io::Result<()> {
    let mut directory = top.to_owned();
    for part in place {
        directory.push(part);
        make(&directory)?;
    }
    Ok(())
}

/// Makes a group unless it is there.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::cgroup::mounts::hierarchies;

    /// Directories that look like groups, gone at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(groups: &[&str]) -> Self {
            let id = crate::base::rng::Rng::from_os().uuid();
            let tree = Self(std::env::temp_dir().join(format!("aurora-groups-{id}")));
            for group in [""].iter().chain(groups) {
                let mut path = tree.0.clone();
                for part in Path::new(group) {
                    path.push(part);
                }
                fs::create_dir_all(&path).unwrap();
                for file in ["cgroup.controllers", "cgroup.subtree_control"] {
                    fs::write(path.join(file), "cpu memory pids").unwrap();
                }
            }
            tree
        }

        fn open(&self, own: &str) -> Cgroups {
            let mount = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw", self.0.display());
            open_in(
                &hierarchies(&mount),
                &format!("0::{own}\n"),
                Path::new("aurora/a1"),
            )
            .unwrap()
        }

        fn place(&self, groups: &Cgroups, task: &str) -> String {
            let group = groups.task(task);
            let path = group.memory().unwrap().strip_prefix(&self.0).unwrap();
            path.display().to_string()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const UNIT: &str = "system.slice/aurora-agent.service";

    #[test]
    fn a_group_that_was_delegated_to_the_agent_is_preferred() {
        let below = ["", "/agent", "/aurora", "/aurora/a1"].map(|it| format!("{UNIT}{it}"));
        let below: Vec<&str> = below
            .iter()
            .map(String::as_str)
            .chain(["aurora", "aurora/a1"])
            .collect();
        let tree = Tree::new(&below);
        let groups = tree.open(&format!("/{UNIT}/agent"));
        assert_eq!(tree.place(&groups, "x"), format!("{UNIT}/aurora/a1/t-x"));
        // Not from the unit's own group, nor where no unit is, nor from a control process.
        for own in [
            format!("/{UNIT}"),
            "/".into(),
            "/user/agent".into(),
            format!("/{UNIT}/.control"),
        ] {
            let groups = tree.open(&own);
            assert_eq!(tree.place(&groups, "x"), "aurora/a1/t-x", "{own}");
        }
    }

    #[test]
    fn tasks_of_an_agent_that_was_started_otherwise_keep_their_groups() {
        let below = ["", "/agent", "/aurora", "/aurora/a1", "/aurora/a1/t-new"]
            .map(|it| format!("{UNIT}{it}"));
        let old = ["aurora", "aurora/a1", "aurora/a1/t-old"];
        let below: Vec<&str> = below.iter().map(String::as_str).chain(old).collect();
        let tree = Tree::new(&below);
        let groups = tree.open(&format!("/{UNIT}/agent"));
        assert_eq!(tree.place(&groups, "old"), "aurora/a1/t-old");
        assert_eq!(
            tree.place(&groups, "new"),
            format!("{UNIT}/aurora/a1/t-new")
        );
        assert_eq!(
            tree.place(&groups, "next"),
            format!("{UNIT}/aurora/a1/t-next")
        );
        let names: Vec<_> = groups
            .leftovers()
            .iter()
            .map(|it| it.name().map(str::to_owned))
            .collect();
        assert_eq!(names, [Some("t-new".to_owned()), Some("t-old".to_owned())]);
        assert!(groups.leftovers().iter().all(TaskGroup::exists));
    }
}
