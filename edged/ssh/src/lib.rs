//! The door: an SSH server that takes keys and verbs, nothing else.
