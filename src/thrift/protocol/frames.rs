//! What every reader keeps of the structs and collections it is inside of, and of memory it handed out.

use crate::thrift::error::ThriftError;
use crate::thrift::value::{Kind, MAX_DEPTH, Read};

/// Memory that any input may ask for, however short.
const FREE_BYTES: usize = 1 << 20;
/// Memory that each byte of input pays for.
const BYTES_PER_INPUT_BYTE: usize = 32;

/// A stack of open structs and collections with its limits.
pub struct Frames<F> {
    open: Vec<F>,
    left_to_charge: usize,
}

impl<F> Frames<F> {
    /// The limits for an input of `len` bytes.
    pub fn new(len: usize) -> Self {
        Self {
            open: Vec::new(),
            left_to_charge: len
                .saturating_mul(BYTES_PER_INPUT_BYTE)
                .saturating_add(FREE_BYTES),
        }
    }

    /// Enters a struct or collection.
    pub fn push(&mut self, offset: usize, frame: F) -> Read<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ThriftError::new(
                offset,
                format!("more than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(frame);
        Ok(())
    }

    /// The innermost.
    ///
    /// # Panics
    ///
    /// If none is open: readers enter before they ask.
    pub fn top(&mut self) -> &mut F {
        self.open
            .last_mut()
            .expect("a reader enters before it asks")
    }

    /// Leaves the innermost.
    pub fn pop(&mut self) {
        self.open.pop();
    }

    /// How many are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Accounts for memory.
    pub fn charge(&mut self, offset: usize, bytes: usize) -> Read<()> {
        match self.left_to_charge.checked_sub(bytes) {
            Some(left) => {
                self.left_to_charge = left;
                Ok(())
            }
            None => Err(ThriftError::new(
                offset,
                "values take far more memory than bytes",
            )),
        }
    }
}

/// Refuses elements that are not what the description says; `place` is the collection's offset.
pub fn same_kind(place: usize, expected: Kind, found: Kind) -> Read<()> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.name(), found.name());
    Err(ThriftError::new(
        place,
        format!("expected elements of {expected}, found {found}"),
    ))
}
