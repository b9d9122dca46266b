//! Black-box tests: a real node, looked at from outside.
