//! What the operating system is asked that needs care: users, processes, signals, locks.
