//! Application packages (ETSI GS MEC 037): read, verified and made.
