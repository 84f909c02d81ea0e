//! How job keys and instances are written on the command line.

use crate::model::JobKey;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A text that is not what is wanted in its place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The wrong number of parts.
    #[error("'{text}' is not {wanted}")]
    Shape {
        /// As typed.
        text: String,
        /// The form that is wanted.
        wanted: &'static str,
    },
    /// A part that no job can have.
    #[error("'{text}': {reason}")]
    Part {
        /// As typed.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a list of instances.
    #[error("'{text}' is not a list of instances such as 0-3,5")]
    Instances {
        /// As typed.
        text: String,
    },
}

fn shape(text: &str, wanted: &'static str) -> KeyError {
    KeyError::Shape {
        text: text.to_owned(),
        wanted,
    }
}

/// The most instances that a range may name: above every limit that a scheduler has.
const MAX_INSTANCES: usize = 1_000_000;

/// A job and its cluster: `CLUSTER/ROLE/ENV/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterJob {
    /// The name of the cluster.
    pub cluster: String,
    /// The job.
    pub job: JobKey,
}

impl ClusterJob {
    fn from_parts(text: &str, parts: &[&str]) -> Result<Self, KeyError> {
        let [cluster, role, env, name] = parts else {
            return Err(shape(text, "a job key of the form CLUSTER/ROLE/ENV/NAME"));
        };
        if cluster.is_empty() {
            return Err(shape(text, "a job key of the form CLUSTER/ROLE/ENV/NAME"));
        }
        let job = JobKey::new(role, env, name).map_err(|error| KeyError::Part {
            text: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            cluster: (*cluster).to_owned(),
            job,
        })
    }
}

impl FromStr for ClusterJob {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_parts(text, &text.split('/').collect::<Vec<_>>())
    }
}

impl fmt::Display for ClusterJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.job)
    }
}

/// Instances of a job: `CLUSTER/ROLE/ENV/NAME[/INSTANCES]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// The job.
    pub key: ClusterJob,
    /// Which of its instances; `None` for all.
    pub instances: Option<BTreeSet<u32>>,
}

impl FromStr for InstanceSpec {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts: Vec<&str> = text.split('/').collect();
        let wanted = "a job or some of its instances: CLUSTER/ROLE/ENV/NAME[/INSTANCES]";
        let (key, instances) = match parts.as_slice() {
            [key @ .., last] if key.len() == 4 => (key, Some(*last)),
            key if key.len() == 4 => (key, None),
            _ => return Err(shape(text, wanted)),
        };
        Ok(Self {
            key: ClusterJob::from_parts(text, key)?,
            instances: match instances {
                None | Some("") => None,
                Some(list) => Some(parse_instances(list)?),
            },
        })
    }
}

/// Reads `0-3,5,7-9`. Of `1-3-5` the first and the last count.
fn parse_instances(text: &str) -> Result<BTreeSet<u32>, KeyError> {
    let bad = || KeyError::Instances {
        text: text.to_owned(),
    };
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| bad());
    let mut found = BTreeSet::new();
    for part in text.split(',') {
        let first = number(part.split('-').next().unwrap_or_default())?;
        let last = number(part.rsplit('-').next().unwrap_or_default())?;
        let size = last.checked_sub(first).ok_or_else(bad)?;
        if found.len() + size as usize >= MAX_INSTANCES {
            return Err(bad());
        }
        found.extend(first..=last);
    }
    Ok(found)
}

/// One instance: `CLUSTER/ROLE/ENV/NAME/INSTANCE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInstance {
    /// The job.
    pub key: ClusterJob,
    /// The instance.
    pub instance: u32,
}

impl FromStr for TaskInstance {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts: Vec<&str> = text.split('/').collect();
        let wanted = "an instance of the form CLUSTER/ROLE/ENV/NAME/INSTANCE";
        let [key @ .., instance] = parts.as_slice() else {
            return Err(shape(text, wanted));
        };
        if key.len() != 4 {
            return Err(shape(text, wanted));
        }
        Ok(Self {
            key: ClusterJob::from_parts(text, key)?,
            instance: instance.parse().map_err(|_| shape(text, wanted))?,
        })
    }
}

/// Some jobs: `CLUSTER[/ROLE[/ENV[/NAME]]]`, with `*`, `?` and `[..]` in each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialKey {
    /// The cluster, or `*` for all.
    pub cluster: String,
    /// The role.
    pub role: String,
    /// The environment.
    pub env: String,
    /// The name.
    pub name: String,
}

impl PartialKey {
    /// The cluster, if one is named.
    pub fn one_cluster(&self) -> Option<&str> {
        (self.cluster != "*").then_some(&self.cluster)
    }

    /// The role, unless it stands for several.
    pub fn one_role(&self) -> Option<&str> {
        (!self.role.contains('*')).then_some(&self.role)
    }

    /// The one job that is meant, unless there is a `*` somewhere.
    ///
    /// # Errors
    ///
    /// A part that no job can have.
    pub fn one_job(&self) -> Result<Option<ClusterJob>, KeyError> {
        let parts = [&self.cluster, &self.role, &self.env, &self.name];
        if parts.iter().any(|part| part.contains('*')) {
            return Ok(None);
        }
        self.to_string().parse().map(Some)
    }

    /// Whether the job is one of those that are meant.
    pub fn matches(&self, job: &JobKey) -> bool {
        glob(&self.role, job.role())
            && glob(&self.env, job.environment())
            && glob(&self.name, job.name())
    }
}

impl FromStr for PartialKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 4 || parts[0].is_empty() {
            return Err(shape(text, "of the form CLUSTER[/ROLE[/ENV[/NAME]]]"));
        }
        parts.resize(4, "*");
        let part = |i: usize| parts[i].to_owned();
        Ok(Self {
            cluster: part(0),
            role: part(1),
            env: part(2),
            name: part(3),
        })
    }
}

impl fmt::Display for PartialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            role,
            env,
            name,
        } = self;
        write!(f, "{cluster}/{role}/{env}/{name}")
    }
}

/// A page of the scheduler: `CLUSTER[/ROLE[/ENV[/NAME]]]`, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageKey {
    /// The cluster.
    pub cluster: String,
    /// Up to three parts behind it.
    pub path: Vec<String>,
}

impl FromStr for PageKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split('/').filter(|p| !p.is_empty()).map(str::to_owned);
        let wanted = "of the form CLUSTER[/ROLE[/ENV[/NAME]]]";
        let cluster = parts.next().ok_or_else(|| shape(text, wanted))?;
        let path: Vec<String> = parts.collect();
        if path.len() > 3 {
            return Err(shape(text, wanted));
        }
        Ok(Self { cluster, path })
    }
}

/// A role: `CLUSTER/ROLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKey {
    /// The cluster.
    pub cluster: String,
    /// The role.
    pub role: String,
}

impl FromStr for RoleKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [cluster, role] if !cluster.is_empty() && !role.is_empty() => Ok(Self {
                cluster: (*cluster).to_owned(),
                role: (*role).to_owned(),
            }),
            _ => Err(shape(text, "a role of the form CLUSTER/ROLE")),
        }
    }
}

/// A value for a name in a job file: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name, such as `profile.x`.
    pub name: String,
    /// The value.
    pub value: String,
}

impl FromStr for Binding {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(shape(text, "a binding of the form NAME=VALUE")),
        }
    }
}

/// Whether `text` matches a pattern with `*`, `?` and `[..]`, as shells match file names.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star: the pattern behind it, and the text it swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let one = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], text[t]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                None => (text[t] == '[').then_some(p + 1),
            },
            Some(c) => (*c == text[t]).then_some(p + 1),
            None => None,
        };
        match (one, &mut star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((behind, swallowed))) => {
                *swallowed += 1;
                (p, t) = (*behind, *swallowed);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Reads the class that `pattern` begins with: whether it has `c`, and its length. `None` if it does not end.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    // A bracket that comes first is a member.
    let length = pattern[start..].iter().skip(1).position(|c| *c == ']')? + 1;
    let members = &pattern[start..start + length];
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        if members.get(at + 1) == Some(&'-') && at + 2 < members.len() {
            found |= (members[at]..=members[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= members[at] == c;
            at += 1;
        }
    }
    Some((found != negated, start + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(text: &str) -> Result<Vec<u32>, KeyError> {
        parse_instances(text).map(|set| set.into_iter().collect())
    }

    #[test]
    fn job_keys_have_four_parts() {
        let key: ClusterJob = "west/www-data/prod/hello".parse().unwrap();
        assert_eq!(key.cluster, "west");
        assert_eq!(key.to_string(), "west/www-data/prod/hello");
        for bad in [
            "",
            "a/b/c",
            "a/b/c/d/e",
            "/b/c/d",
            "a/b/c/",
            "a/b/c/d e",
            "a//c/d",
        ] {
            assert!(bad.parse::<ClusterJob>().is_err(), "{bad}");
        }
        let error = "a/b/c".parse::<ClusterJob>().unwrap_err().to_string();
        assert_eq!(
            error,
            "'a/b/c' is not a job key of the form CLUSTER/ROLE/ENV/NAME"
        );
    }

    #[test]
    fn instances_are_lists_of_numbers_and_ranges() {
        assert_eq!(instances("0-3,5,7-9,2"), Ok(vec![0, 1, 2, 3, 5, 7, 8, 9]));
        assert_eq!(instances("1-3-5"), Ok(vec![1, 2, 3, 4, 5]));
        for bad in ["", "a", "3-1", "1,", "-1", "0-4000000000"] {
            assert!(instances(bad).is_err(), "{bad}");
        }
        let all = |text: &str| text.parse::<InstanceSpec>().map(|spec| spec.instances);
        assert_eq!(all("a/b/c/d"), Ok(None));
        assert_eq!(all("a/b/c/d/"), Ok(None));
        assert_eq!(all("a/b/c/d/3"), Ok(Some(BTreeSet::from([3]))));
        assert!(all("a/b/c").is_err() && all("a/b/c/d/1/2").is_err());
        assert!("a/b/c/d/1-2".parse::<TaskInstance>().is_err());
        assert_eq!("a/b/c/d/7".parse::<TaskInstance>().unwrap().instance, 7);
    }

    #[test]
    fn missing_parts_of_a_partial_key_match_everything() {
        let key: PartialKey = "west/www*".parse().unwrap();
        assert_eq!(key.to_string(), "west/www*/*/*");
        assert_eq!(key.one_role(), None);
        assert_eq!(key.one_job(), Ok(None));
        assert!(key.matches(&JobKey::new("www-data", "prod", "x").unwrap()));
        assert!(!key.matches(&JobKey::new("data", "prod", "x").unwrap()));
        let full: PartialKey = "west/a/b/c".parse().unwrap();
        assert_eq!(full.one_job().unwrap().unwrap().to_string(), "west/a/b/c");
        assert!("a/b/c/d/e".parse::<PartialKey>().is_err());
    }

    #[test]
    fn patterns_match_as_in_shells() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*a*b", "xaybzb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
