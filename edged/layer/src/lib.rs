//! Unpacks one untrusted layer beneath one folder, and nowhere else.
