//! The clusters that the client knows: `clusters.json`.

use crate::base::secret::hide;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Cluster files that cannot be used, or a cluster that is not in them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// A file is there and cannot be read.
    #[error("cannot read cluster file {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// A file is not what a cluster file should be.
    #[error("cluster file {}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        reason: String,
    },
    /// No cluster has this name.
    #[error("unknown cluster '{name}'; {known}")]
    Unknown {
        /// As typed.
        name: String,
        /// Which ones there are, in words.
        known: String,
    },
    /// A property of a cluster is missing or has the wrong type.
    #[error("cluster '{name}': {reason}")]
    Property {
        /// The cluster.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// One cluster, with the properties that its file gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Everything that the file says of it, unknown properties included.
    pub properties: Map<String, Value>,
}

impl Cluster {
    /// A property that is a text.
    ///
    /// # Errors
    ///
    /// It is there and is no text.
    pub fn text(&self, property: &str) -> Result<Option<&str>, ClusterError> {
        match self.properties.get(property) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(format!("{property} must be a string, not {other}"))),
        }
    }

    /// Where the scheduler answers, with a slash at the end; where several are given, separated by commas,
    /// any of which may lead, all of them.
    ///
    /// # Errors
    ///
    /// Neither `scheduler_uri` nor a way to find it, or one that does not work yet.
    pub fn scheduler_uri(&self) -> Result<String, ClusterError> {
        if self.text("zk")?.is_some() {
            let reason = "finding the scheduler by ZooKeeper (zk) is not supported yet; \
                          give scheduler_uri instead";
            return Err(self.wrong(reason.to_owned()));
        }
        let auth = self.text("auth_mechanism")?.unwrap_or("UNAUTHENTICATED");
        if auth != "UNAUTHENTICATED" {
            return Err(self.wrong(format!("auth_mechanism {auth} is not supported yet")));
        }
        let Some(uri) = self.text("scheduler_uri")? else {
            return Err(self.wrong("neither scheduler_uri nor zk is given".to_owned()));
        };
        let mut uris = Vec::new();
        for uri in uri.split(',').map(str::trim) {
            if !uri.starts_with("http://") && !uri.starts_with("https://") {
                let shown = hide(uri);
                let reason = format!("scheduler_uri '{shown}' must begin with http:// or https://");
                return Err(self.wrong(reason));
            }
            uris.push(format!("{}/", uri.trim_end_matches('/')));
        }
        Ok(uris.join(","))
    }

    /// Where people see the scheduler's pages, with a slash at the end.
    ///
    /// # Errors
    ///
    /// As [`Cluster::scheduler_uri`].
    pub fn display_uri(&self) -> Result<String, ClusterError> {
        match self.text("proxy_url")? {
            Some(url) => Ok(format!("{}/", url.trim_end_matches('/'))),
            None => {
                let uris = self.scheduler_uri()?;
                Ok(uris.split(',').next().unwrap_or_default().to_owned())
            }
        }
    }

    fn wrong(&self, reason: String) -> ClusterError {
        ClusterError::Property {
            name: self.name.clone(),
            reason,
        }
    }
}

/// All clusters, by name.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    known: BTreeMap<String, Cluster>,
    files: Vec<PathBuf>,
}

impl Clusters {
    /// Reads the files that are there; a later one replaces clusters of the same name.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be used.
    pub fn load(files: &[PathBuf]) -> Result<Self, ClusterError> {
        let mut clusters = Self {
            known: BTreeMap::new(),
            files: files.to_vec(),
        };
        for path in files {
            match std::fs::read_to_string(path) {
                Ok(text) => clusters.add(path, &text)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(ClusterError::Unreadable {
                        path: path.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
        Ok(clusters)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), ClusterError> {
        let malformed = |reason: String| ClusterError::Malformed {
            path: path.to_owned(),
            reason,
        };
        let text = without_trailing_commas(text);
        let document = serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))?;
        let entries: Vec<Value> = match document {
            Value::Array(entries) => entries,
            Value::Object(entries) => entries.into_iter().map(|(_, entry)| entry).collect(),
            _ => return Err(malformed("must be a list of clusters".to_owned())),
        };
        for entry in entries {
            let Value::Object(properties) = entry else {
                return Err(malformed(format!(
                    "a cluster must be an object, not {entry}"
                )));
            };
            let name = match properties.get("name") {
                Some(Value::String(name)) => name.clone(),
                None => continue,
                Some(other) => {
                    return Err(malformed(format!(
                        "a cluster's name must be a string, not {other}"
                    )));
                }
            };
            self.known
                .insert(name.clone(), Cluster { name, properties });
        }
        Ok(())
    }

    /// The cluster called `name`.
    ///
    /// # Errors
    ///
    /// There is none; the message lists those that there are.
    pub fn get(&self, name: &str) -> Result<&Cluster, ClusterError> {
        self.known.get(name).ok_or_else(|| {
            let known = if self.known.is_empty() {
                let files: Vec<_> = self.files.iter().map(|f| f.display().to_string()).collect();
                format!("no clusters are configured in {}", files.join(" or "))
            } else {
                let names: Vec<_> = self.known.keys().map(String::as_str).collect();
                format!("known clusters: {}", names.join(", "))
            };
            ClusterError::Unknown {
                name: name.to_owned(),
                known,
            }
        })
    }

    /// All clusters in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Cluster> {
        self.known.values()
    }
}

/// Replaces commas before a closing bracket by blanks: files written by hand have them.
fn without_trailing_commas(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut comma = None;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if quoted {
            (quoted, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
            continue;
        }
        match byte {
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    out[at] = b' ';
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            other => (quoted, comma) = (other == b'"', None),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Clusters, ClusterError> {
        let mut clusters = Clusters::default();
        clusters.add(Path::new("clusters.json"), text)?;
        Ok(clusters)
    }

    #[test]
    fn the_documented_example_is_read_with_its_trailing_comma() {
        let text = r#"[{
          "name": "example",
          "scheduler_uri": "http://localhost:55555",
        }]"#;
        let clusters = load(text).unwrap();
        let uri = clusters.get("example").unwrap().scheduler_uri().unwrap();
        assert_eq!(uri, "http://localhost:55555/");
        let odd = r#"{"a": {"name": "x,]", "n": [1, 2, ], "s": "\",}"}, }"#;
        let clusters = load(odd).unwrap();
        assert_eq!(clusters.get("x,]").unwrap().properties["s"], "\",}");
        assert!(load("[,]").is_ok() && load("[1,,2]").is_err());
    }

    #[test]
    fn several_schedulers_are_one_cluster() {
        let clusters =
            load(r#"[{"name": "a", "scheduler_uri": "http://one, https://two/"}]"#).unwrap();
        let cluster = clusters.get("a").unwrap();
        assert_eq!(cluster.scheduler_uri().unwrap(), "http://one/,https://two/");
        assert_eq!(cluster.display_uri().unwrap(), "http://one/");
        let odd = load(r#"[{"name": "a", "scheduler_uri": "http://one,two"}]"#).unwrap();
        assert!(odd.get("a").unwrap().scheduler_uri().is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let clusters =
            load(r#"[{"name": "west", "zk": "a"}, {"name": "odd", "zk": 1}, {}]"#).unwrap();
        let error = |name: &str| match clusters.get(name) {
            Ok(cluster) => cluster.scheduler_uri().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            error("east"),
            "unknown cluster 'east'; known clusters: odd, west"
        );
        assert!(error("west").contains("ZooKeeper (zk) is not supported yet"));
        assert_eq!(error("odd"), "cluster 'odd': zk must be a string, not 1");
        let text = load("[{").unwrap_err().to_string();
        assert!(
            text.starts_with("cluster file clusters.json: EOF"),
            "{text}"
        );
        assert!(load("3").is_err() && load("[3]").is_err());
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one() {
        let mut clusters = load(r#"[{"name": "a", "scheduler_uri": "http://one"}]"#).unwrap();
        let path = Path::new("other.json");
        let second =
            r#"{"x": {"name": "a", "scheduler_uri": "http://two/", "proxy_url": "http://p"}}"#;
        clusters.add(path, second).unwrap();
        let cluster = clusters.get("a").unwrap();
        assert_eq!(cluster.scheduler_uri().unwrap(), "http://two/");
        assert_eq!(cluster.display_uri().unwrap(), "http://p/");
    }
}
