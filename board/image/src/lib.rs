//! The signed image of a box.
