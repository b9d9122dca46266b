//! The clock: the kernel's own word on its discipline, and the time servers that this node is set to.

use std::mem::MaybeUninit;
use std::time::SystemTime;

use edged_mec::{Clock, NtpSource};

/// Where time servers are named: chrony's and systemd-timesyncd's files, the first that names any.
const CHRONY: [&str; 2] = ["/etc/chrony/chrony.conf", "/run/chrony-dhcp/chrony.conf"];
const TIMESYNCD: [&str; 2] = [
    "/etc/systemd/timesyncd.conf",
    "/run/systemd/timesyncd.conf.d/edged.conf",
];
/// Powers of two seconds that chrony polls at where its file does not say (chrony.conf(5)).
const CHRONY_POLL: (u32, u32) = (6, 10);
/// What systemd-timesyncd polls at: 32 s to 2048 s (timesyncd.conf(5)).
const TIMESYNCD_POLL: (u32, u32) = (5, 11);
/// A file of settings is shorter; another is not read.
const FILE_MAX: u64 = 64 << 10;
/// Sources that are told.
const SOURCES_MAX: usize = 16;

/// The clock now.
pub fn now() -> Clock {
    Clock {
        now: SystemTime::now(),
        locked: is_locked(),
        ntp: sources(),
    }
}

/// Whether the kernel's clock is disciplined: neither unsynchronized nor in error (adjtimex(2)).
fn is_locked() -> bool {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `timex` is zeroed memory of the size that the kernel fills; `modes` is 0, so nothing is changed.
    let state = unsafe { libc::adjtimex(timex.as_mut_ptr()) };
    // SAFETY: every bit pattern of the structure's integers is valid, and all of it was zeroed.
    let timex = unsafe { timex.assume_init() };
    state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0
}

fn sources() -> Vec<NtpSource> {
    let chrony = CHRONY.iter().filter_map(|path| read(path));
    let timesyncd = TIMESYNCD.iter().filter_map(|path| read(path));
    let found = chrony.map(|text| of_chrony(&text));
    found
        .chain(timesyncd.map(|text| of_timesyncd(&text)))
        .find(|sources| !sources.is_empty())
        .unwrap_or_default()
}

fn read(path: &str) -> Option<String> {
    let length = std::fs::metadata(path).ok()?.len();
    (length <= FILE_MAX).then(|| std::fs::read_to_string(path).ok())?
}

/// `server NAME [minpoll N] [maxpoll N] [key N]`, `pool` and `peer` alike; in the order of the file.
fn of_chrony(text: &str) -> Vec<NtpSource> {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let named = lines.filter_map(|words| match words.as_slice() {
        ["server" | "pool" | "peer", host, options @ ..] => {
            let option = |name: &str| {
                let mut pairs = options.iter().zip(options.iter().skip(1));
                let found = pairs.find(|(key, _)| **key == name);
                found.and_then(|(_, value)| value.parse().ok())
            };
            Some(NtpSource {
                host: (*host).to_owned(),
                min_poll: option("minpoll").unwrap_or(CHRONY_POLL.0),
                max_poll: option("maxpoll").unwrap_or(CHRONY_POLL.1),
                priority: 0,
                key: option("key"),
            })
        }
        _ => None,
    });
    ranked(named)
}

/// `NTP=NAME NAME`.
fn of_timesyncd(text: &str) -> Vec<NtpSource> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("NTP="));
    let named = lines.flat_map(str::split_whitespace).map(|host| NtpSource {
        host: host.to_owned(),
        min_poll: TIMESYNCD_POLL.0,
        max_poll: TIMESYNCD_POLL.1,
        priority: 0,
        key: None,
    });
    ranked(named)
}

fn ranked(sources: impl Iterator<Item = NtpSource>) -> Vec<NtpSource> {
    let ranks = 1..;
    let sources = ranks.zip(sources.take(SOURCES_MAX));
    sources
        .map(|(priority, source)| NtpSource { priority, ..source })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_servers_are_read_in_the_order_of_their_file() {
        let chrony = of_chrony(
            "# x\nserver ntp.example iburst minpoll 4\npool 192.0.2.1 key 7\nmakestep 1 3\n",
        );
        let shown: Vec<_> = chrony
            .iter()
            .map(|it| (it.host.as_str(), it.min_poll, it.priority, it.key))
            .collect();
        assert_eq!(
            shown,
            [("ntp.example", 4, 1, None), ("192.0.2.1", 6, 2, Some(7))]
        );
        let timesyncd = of_timesyncd("[Time]\n#NTP=no\nNTP=a.example b.example\n");
        assert_eq!(
            timesyncd
                .iter()
                .map(|it| it.host.as_str())
                .collect::<Vec<_>>(),
            ["a.example", "b.example"]
        );
    }
}
