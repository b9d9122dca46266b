//! The node's clock as MEC 011 shows it: the kernel's discipline, and the sources that the node is set to.

use std::time::{SystemTime, UNIX_EPOCH};

use mec_api::Problem;
use mec_api::app_support::{
    AuthenticationOption, CurrentTime, NtpServer, NtpServerAddrType, TimeSourceStatus, TimingCaps,
};
use mec_api::common::TimeStamp;

use crate::platform::{Clock, NtpSource};

fn since_1970(now: SystemTime) -> Result<(u32, u32), Problem> {
    // MEC 011 gives seconds 32 bits: they last until 2106.
    let age = now.duration_since(UNIX_EPOCH).ok();
    age.and_then(|age| Some((u32::try_from(age.as_secs()).ok()?, age.subsec_nanos())))
        .ok_or_else(|| Problem::unavailable("the node's clock is not set; try again later"))
}

/// `CurrentTime`.
pub fn current(clock: &Clock) -> Result<CurrentTime, Problem> {
    let (seconds, nano_seconds) = since_1970(clock.now)?;
    Ok(CurrentTime {
        seconds,
        nano_seconds,
        time_source_status: if clock.locked {
            TimeSourceStatus::Traceable
        } else {
            TimeSourceStatus::Nontraceable
        },
    })
}

/// `TimingCaps`: where there is no source the list is left out.
pub fn capabilities(clock: &Clock) -> Result<TimingCaps, Problem> {
    let (seconds, nano_seconds) = since_1970(clock.now)?;
    let servers: Vec<_> = clock.ntp.iter().map(server).collect();
    Ok(TimingCaps {
        time_stamp: Some(TimeStamp {
            seconds,
            nano_seconds,
        }),
        ntp_servers: (!servers.is_empty()).then_some(servers),
        ptp_masters: None,
    })
}

fn server(source: &NtpSource) -> NtpServer {
    let is_address = source.host.parse::<std::net::IpAddr>().is_ok();
    NtpServer {
        ntp_server_addr_type: if is_address {
            NtpServerAddrType::IpAddress
        } else {
            NtpServerAddrType::DnsName
        },
        ntp_server_addr: source.host.clone(),
        min_polling_interval: source.min_poll,
        max_polling_interval: source.max_poll,
        local_priority: source.priority,
        authentication_option: match source.key {
            Some(_) => AuthenticationOption::SymmetricKey,
            None => AuthenticationOption::None,
        },
        authentication_key_num: source.key,
    }
}
