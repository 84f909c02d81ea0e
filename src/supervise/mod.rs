//! The decisions of one task: which process starts when, what its end means, how it is killed.
