//! Delivers notifications to subscribers.
