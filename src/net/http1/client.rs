//! The client side: one connection, one request after another, a time limit for each phase.
