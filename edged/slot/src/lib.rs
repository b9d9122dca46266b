//! The two images of a box on its boot partition, and which one starts.
