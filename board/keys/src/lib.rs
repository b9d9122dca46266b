//! Keys of the boot chain: made, kept, held elsewhere, changed.
