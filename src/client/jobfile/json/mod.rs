//! JSON job files, loaded without Python.
//!
//! The same rules as the Python loader has, for files that hold no code: shape the JSON by the schema
//! (`node`), resolve references and give values their types (`render`), check, convert. A test holds both
//! ways against each other.

mod checks;
mod convert;
mod lines;
mod node;
mod plan;
mod ports;
mod pyjson;
mod refs;
mod render;
mod schema;
mod update;

#[cfg(test)]
mod tests;

use super::{FileError, FileErrorKind, LoadAnswer, LoadError, LoadRequest, LoadedJob, LoadedKey};
use node::{Misfit, Node};
use refs::Ref;
use render::{Bindings, Open, Renderer};
use serde_json::Value;
use std::collections::BTreeSet;

/// A file that has been read: its text and its jobs, shaped, each with its name in errors.
struct File {
    name: String,
    text: String,
    jobs: Vec<(String, Node)>,
    bindings: Bindings,
}

/// Loads the jobs of a JSON job file.
pub(super) fn load(request: &LoadRequest) -> Result<LoadAnswer, LoadError> {
    let file = File::read(request)?;
    let mut answer = LoadAnswer {
        jobs: Vec::new(),
        warnings: Vec::new(),
    };
    for (root, node) in file.chosen(request.select.as_ref())? {
        let job = file.convert(root, node, &request.user, &mut answer.warnings)?;
        answer.jobs.push(job);
    }
    Ok(answer)
}

/// The keys of the jobs of a JSON job file.
pub(super) fn list(request: &LoadRequest) -> Result<Vec<LoadedKey>, LoadError> {
    let file = File::read(request)?;
    Ok(file
        .jobs
        .iter()
        .map(|(_, node)| file.key_of(node))
        .collect())
}

impl File {
    fn read(request: &LoadRequest) -> Result<Self, LoadError> {
        let mut file = Self {
            name: request.file.display().to_string(),
            text: String::new(),
            jobs: Vec::new(),
            bindings: Vec::new(),
        };
        let bytes = std::fs::read(&request.file).map_err(|error| {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            file.error(FileErrorKind::NotFound, message, None)
        })?;
        file.text = String::from_utf8(bytes)
            .map_err(|_| file.error(FileErrorKind::Syntax, "is not UTF-8".to_owned(), None))?;
        if let Some(text) = file.text.strip_prefix('\u{feff}') {
            file.text = text.to_owned();
        }
        let data: Value = serde_json::from_str(&file.text).map_err(|error| {
            let line = u32::try_from(error.line()).ok();
            file.error(FileErrorKind::Syntax, format!("is not JSON: {error}"), line)
        })?;
        file.bind(&request.bindings)?;
        for (root, value) in file.entries(&data)? {
            let node = Node::shape(value, schema::Kind::Struct(&schema::JOB))
                .map_err(|misfit| file.misfit(FileErrorKind::Type, &root, misfit))?;
            file.jobs.push((root, node));
        }
        for (root, node) in &file.jobs {
            file.check_basics(root, node)?;
        }
        Ok(file)
    }

    /// The jobs of a document: those of its list, or the document itself.
    fn entries<'v>(&self, data: &'v Value) -> Result<Vec<(String, &'v Value)>, LoadError> {
        let refuse = |message: &str| Err(self.error(FileErrorKind::Type, message.to_owned(), None));
        let Some(members) = data.as_object() else {
            return refuse("expected a job, or an object with the key \"jobs\"");
        };
        let Some(jobs) = members.get("jobs") else {
            return Ok(vec![("Job".to_owned(), data)]);
        };
        if let Some(extra) = members.keys().find(|name| *name != "jobs") {
            return refuse(&format!("unknown key '{extra}' beside \"jobs\""));
        }
        let Some(jobs) = jobs.as_array() else {
            return refuse("jobs: expected a list");
        };
        if jobs.is_empty() {
            let message = "`jobs` is empty".to_owned();
            return Err(self.error(FileErrorKind::Selection, message, None));
        }
        let named = jobs.iter().enumerate();
        Ok(named
            .map(|(at, job)| (format!("jobs[{at}]"), job))
            .collect())
    }

    /// The last binding comes first; the standard ones come last.
    fn bind(&mut self, bindings: &[(String, String)]) -> Result<(), LoadError> {
        for (name, value) in bindings.iter().rev() {
            let reference = Ref::parse(name).map_err(|reason| {
                let message = format!("--bind {name}={value}: {reason}");
                self.error(FileErrorKind::Type, message, None)
            })?;
            self.bindings.push((reference, value.clone()));
        }
        for (name, value) in [
            ("mesos.role", "{{role}}"),
            ("mesos.cluster", "{{cluster}}"),
            ("thermos.user", "{{role}}"),
        ] {
            let reference = Ref::parse(name).expect("the standard names are references");
            self.bindings.push((reference, value.to_owned()));
        }
        Ok(())
    }

    fn check_basics(&self, root: &str, job: &Node) -> Result<(), LoadError> {
        let refuse = |field: &str, message: &str| {
            Err(self.misfit(FileErrorKind::Type, root, Misfit::new(field, message)))
        };
        let Node::Struct(_, members) = job else {
            return Ok(());
        };
        for (name, field) in [
            ("cluster", ".cluster"),
            ("role", ".role"),
            ("task", ".task"),
        ] {
            if !members.contains_key(name) {
                return refuse(field, "is required and not set");
            }
        }
        match members.get("task") {
            Some(Node::Struct(_, task)) => match task.get("processes") {
                Some(Node::List(processes)) if processes.is_empty() => {
                    refuse(".task.processes", "a task needs at least one process")
                }
                Some(_) => Ok(()),
                None => refuse(".task.processes", "is required and not set"),
            },
            _ => Ok(()),
        }
    }

    fn key_of(&self, job: &Node) -> LoadedKey {
        let part = |name: &str| {
            let Node::Struct(_, members) = job else {
                return String::new();
            };
            let Some(node) = members.get(name) else {
                return "{MISSING}".to_owned();
            };
            Renderer::new(&self.bindings)
                .render(node, &vec![job], "")
                .map_or_else(|_| String::new(), |value| pyjson::text(&value))
        };
        LoadedKey {
            cluster: part("cluster"),
            role: part("role"),
            environment: part("environment"),
            name: part("name"),
        }
    }

    fn chosen(&self, select: Option<&LoadedKey>) -> Result<Vec<(&str, &Node)>, LoadError> {
        let all = self.jobs.iter().map(|(root, node)| (root.as_str(), node));
        let Some(select) = select else {
            return Ok(all.collect());
        };
        let found: Vec<_> = all.filter(|(_, job)| self.key_of(job) == *select).collect();
        let message = match found.len() {
            1 => return Ok(found),
            0 => {
                let keys = self.jobs.iter();
                let keys: String = keys
                    .map(|(_, job)| format!("\n  {}", self.key_of(job)))
                    .collect();
                format!("no job {select}; the file has:{keys}")
            }
            count => format!("{select} is there {count} times"),
        };
        Err(self.error(FileErrorKind::Selection, message, None))
    }

    fn convert(
        &self,
        root: &str,
        node: &Node,
        user: &str,
        warnings: &mut Vec<String>,
    ) -> Result<LoadedJob, LoadError> {
        let wrong = |misfit| self.misfit(FileErrorKind::Type, root, misfit);
        let mut renderer = Renderer::new(&self.bindings);
        let job = renderer.render(node, &Vec::new(), "").map_err(wrong)?;
        self.refuse_open(root, node, &renderer.open)?;
        checks::check_identifiers(&job).map_err(wrong)?;
        plan::check(&job["task"]).map_err(|mut misfit| {
            misfit.field.insert_str(0, ".task");
            wrong(misfit)
        })?;
        let referenced: BTreeSet<String> = renderer
            .open
            .iter()
            .filter(|open| open.field.starts_with(".task.processes["))
            .filter_map(|open| open.reference.port().map(str::to_owned))
            .collect();
        let ends = ports::resolved(&job["announce"]["portmap"])
            .map_err(|message| wrong(Misfit::new(".announce.portmap", message)))?;
        let ports = ports::requested(&referenced, &ends);
        let config = convert::config(&job, user, &ports).map_err(wrong)?;
        checks::check_announce(&job, &referenced, &ends, warnings).map_err(wrong)?;
        let update = update::settings(&job["update_config"]).map_err(|misfit| {
            let line = lines::line_of(&self.text, &format!("{root}.update_config{}", misfit.field));
            let Misfit { field, message } = misfit;
            format!(
                "{}:{line}: {root}.update_config{field}: {message}",
                self.name
            )
        });
        checks::check_rules(&job, warnings)
            .map_err(|misfit| self.misfit(FileErrorKind::Fatal, root, misfit))?;
        Ok(LoadedJob {
            key: self.key_of(node),
            enable_hooks: job["enable_hooks"] == true,
            config,
            update,
            job,
        })
    }

    /// Refuses references that have no value here and will have none where the task runs.
    fn refuse_open(&self, root: &str, node: &Node, open: &[Open]) -> Result<(), LoadError> {
        let refuse = |open: &Open| {
            let message = format!(
                "{{{{{}}}}} has no value; bind it with --bind",
                open.reference
            );
            let misfit = Misfit::new(open.field.clone(), message);
            Err(self.misfit(FileErrorKind::Unbound, root, misfit))
        };
        if let Some(open) = open
            .iter()
            .find(|open| !open.in_text || !open.reference.is_runtime())
        {
            return refuse(open);
        }
        if open.is_empty() {
            return Ok(());
        }
        let mut bindings: Bindings = self.bindings.clone();
        bindings.extend(
            open.iter()
                .map(|open| (open.reference.clone(), "0".to_owned())),
        );
        let mut renderer = Renderer::new(&bindings);
        renderer
            .render(node, &Vec::new(), "")
            .map_err(|misfit| self.misfit(FileErrorKind::Type, root, misfit))?;
        renderer.open.first().map_or(Ok(()), refuse)
    }

    fn misfit(&self, kind: FileErrorKind, root: &str, misfit: Misfit) -> LoadError {
        let field = format!("{root}{}", misfit.field);
        LoadError::File(FileError {
            kind,
            message: misfit.message,
            file: Some(self.name.clone()),
            line: Some(lines::line_of(&self.text, &field)),
            field: Some(field),
            included_from: Vec::new(),
        })
    }

    fn error(&self, kind: FileErrorKind, message: String, line: Option<u32>) -> LoadError {
        LoadError::File(FileError {
            kind,
            message,
            file: Some(self.name.clone()),
            line,
            field: None,
            included_from: Vec::new(),
        })
    }
}
