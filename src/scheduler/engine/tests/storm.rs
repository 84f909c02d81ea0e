//! Everything at once, at random, with crashes: what must hold whatever happens.
