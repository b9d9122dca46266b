//! What a TPM and a measured boot say, and whether it is true: pure.
