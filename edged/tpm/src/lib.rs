//! The few commands that a program without a TPM library gives to a TPM.
