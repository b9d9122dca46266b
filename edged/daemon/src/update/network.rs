//! What the uplink has, as the kernel shows it.

use std::collections::BTreeSet;

/// A route by way of a router (`RTF_GATEWAY`, linux/route.h).
const GATEWAY: u32 = 2;
/// The route that refuses (`RTF_REJECT`): the kernel's own last one for IPv6.
const REJECT: u32 = 0x200;

/// What an update must not lose: the default route of each family.
pub(super) fn seen() -> BTreeSet<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    of(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

fn of(v4: &str, v6: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let flags = |text: &str| u32::from_str_radix(text, 16).unwrap_or_default();
    let has4 = v4.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, "00000000", _, flag, ..] if flags(flag) & GATEWAY != 0)
    });
    let has6 = v6.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [to, "00", _, _, _, _, _, _, flag, _]
            if to.bytes().all(|digit| digit == b'0')
                && flags(flag) & GATEWAY != 0
                && flags(flag) & REJECT == 0)
    });
    seen.extend(has4.then(|| "its default route for IPv4".to_owned()));
    seen.extend(has6.then(|| "its default route for IPv6".to_owned()));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0202000A\t0003\t0\t0\t1024\t00000000\t0\t0\t0\n\
        eth0\t0002000A\t00000000\t0001\t0\t0\t1024\t00FFFFFF\t0\t0\t0\n";
    const V6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000002 00000400 00000001 00000000 00450003 eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n";

    #[test]
    fn default_routes_are_seen_by_their_family() {
        assert_eq!(of(V4, V6).len(), 2);
        let without = V6.lines().next_back().unwrap();
        assert_eq!(
            of(V4, without).into_iter().collect::<Vec<_>>(),
            ["its default route for IPv4"]
        );
        let local: Vec<&str> = V4
            .lines()
            .enumerate()
            .filter(|(at, _)| *at != 1)
            .map(|(_, line)| line)
            .collect();
        assert!(of(&local.join("\n"), "").is_empty());
    }
}
