//! Plain values of the domain, valid by construction, with no behaviour over time.
//!
//! Nothing here is stored or sent as it is: stored and wire types are frozen copies elsewhere, so that
//! these may change freely. No type here derives `Serialize`.
