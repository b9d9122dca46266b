//! Addresses and policy of the application network.
