//! Signed updates of a box: the bundle, and the state machine from staged to confirmed.
