//! Why bytes are not the value that was asked for, and where.

use std::fmt;

/// Bytes that cannot be read as Thrift: what is wrong, at which byte, in which field.
#[derive(Clone, PartialEq, Eq)]
pub struct ThriftError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    offset: usize,
    reason: String,
    /// Innermost first; turned around when shown.
    path: Vec<Segment>,
}

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Field(&'static str),
    Index(usize),
}

impl ThriftError {
    /// `reason` is a fragment such as `string is not UTF-8`; `offset` counts bytes from the start.
    pub fn new(offset: usize, reason: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            offset,
            reason: reason.into(),
            path: Vec::new(),
        }))
    }

    /// The same error, inside the field `name`.
    #[must_use]
    pub fn in_field(mut self, name: &'static str) -> Self {
        self.0.path.push(Segment::Field(name));
        self
    }

    /// The same error, inside the element `index` of a collection.
    #[must_use]
    pub fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Segment::Index(index));
        self
    }

    /// The byte at which reading stopped.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What is wrong, without its place.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The field in which reading stopped, such as `description.taskConfig.resources[2]`; empty at
    /// the top.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.0.path.iter().rev() {
            match segment {
                Segment::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

impl fmt::Display for ThriftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.0.reason, self.0.offset)?;
        let path = self.path();
        if path.is_empty() {
            Ok(())
        } else {
            write!(f, " in {path}")
        }
    }
}

impl fmt::Debug for ThriftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThriftError({self})")
    }
}

impl std::error::Error for ThriftError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_byte_and_its_field_from_the_outside_in() {
        let error = ThriftError::new(17, "string is not UTF-8")
            .in_field("values")
            .in_element(2)
            .in_field("constraints");
        assert_eq!(
            error.to_string(),
            "string is not UTF-8 at byte 17 in constraints[2].values"
        );
        assert_eq!(ThriftError::new(0, "empty").to_string(), "empty at byte 0");
    }
}
