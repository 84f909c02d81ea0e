//! The simulator. See the modules.

#[test]
fn x() {}
