//! What must hold, whatever happens. Nothing here uses the code under test, but for its values and
//! the decoder of what is on disk.

pub mod ledger;
pub mod witness;

pub use ledger::Ledger;
pub use witness::Witness;
