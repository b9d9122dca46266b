//! `DnsRule` of MEC 011 read into what the resolver can answer, and back.

use std::net::IpAddr;

use edged_model::DnsRule;
use mec_api::Problem;
use mec_api::app_support as wire;

use super::traffic::{address, parse};

/// Reads a rule; `id` is the one of the path.
///
/// # Errors
/// 400 naming the member that cannot be read.
pub fn read(id: &str, rule: &wire::DnsRule) -> Result<DnsRule, Problem> {
    let address = address("ipAddress", &rule.ip_address)?;
    if family(address) != rule.ip_address_type {
        return Err(Problem::bad_request(format!(
            "ipAddress: {address} is not of the family that ipAddressType says ({})",
            rule.ip_address_type.as_str()
        )));
    }
    Ok(DnsRule {
        id: parse("dnsRuleId", id)?,
        domain: parse("domainName", &rule.domain_name)?,
        address,
        ttl: rule.ttl,
        active: rule.state == wire::RuleState::Active,
    })
}

/// Writes a rule as the interface answers it.
pub fn write(rule: &DnsRule) -> wire::DnsRule {
    wire::DnsRule {
        dns_rule_id: rule.id.to_string(),
        domain_name: rule.domain.to_string(),
        ip_address_type: family(rule.address),
        ip_address: rule.address.to_string(),
        ttl: rule.ttl,
        state: if rule.active {
            wire::RuleState::Active
        } else {
            wire::RuleState::Inactive
        },
    }
}

fn family(address: IpAddr) -> wire::IpAddressType {
    match address {
        IpAddr::V4(_) => wire::IpAddressType::IpV4,
        IpAddr::V6(_) => wire::IpAddressType::IpV6,
    }
}
