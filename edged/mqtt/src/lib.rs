//! Accounts on the broker and the announcements under events/.
