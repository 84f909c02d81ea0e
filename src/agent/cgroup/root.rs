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
}

impl Cgroups {
    /// Makes the agent's parent groups: `root/agent`, below the top of each hierarchy or else below the
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
        let name = name_of(task);
        let directory = |(it, parent): (&Controller, &PathBuf)| (*it, parent.join(&name));
        TaskGroup::new(self.version, self.parents.iter().map(directory).collect())
    }

    /// All groups that are there, by their names; see [`TaskGroup::name`].
    pub fn leftovers(&self) -> Vec<TaskGroup> {
        let mut names = std::collections::BTreeSet::new();
        for parent in self.parents.values() {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap_or_default();
                let is_task = name.starts_with("t-");
                if is_task && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.insert(name);
                }
            }
        }
        let group = |name: &String| {
            let directory = |(it, parent): (&Controller, &PathBuf)| (*it, parent.join(name));
            TaskGroup::new(self.version, self.parents.iter().map(directory).collect())
        };
        names.iter().map(group).collect()
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
        for parent in self.parents.values() {
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
    let (first, own) = (top.join(place), hierarchy.own_group(own).map(without_leaf));
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
    let there = controllers(&parent);
    let parents = Controller::ALL
        .into_iter()
        .filter(|it| there.iter().any(|name| name == it.name()))
        .map(|it| (it, parent.clone()))
        .collect();
    Ok(Cgroups {
        version: Version::Two,
        parents,
    })
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
