//! The keys of a box: in its TPM, or in files where it has none.
