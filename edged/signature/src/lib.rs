//! Signatures of container images (cosign, keyed), verified offline.
