//! `BwInfo` read into what the kernel can hold, each text parsed once.

use edged_model::{
    AddressRange, Allocation, AllocationId, Direction, InstanceId, PortRange, SessionFilter,
};
use mec_api::Problem;
use mec_api::bandwidth::{self, AllocationDirection, BwInfo};

/// `requestType` of the whole application.
const APPLICATION: u8 = 0;
/// `requestType` of single sessions.
pub const SESSION: u8 = 1;

/// The allocation that a `BwInfo` asks for.
pub fn read(
    id: &AllocationId,
    instance: &InstanceId,
    info: &BwInfo,
) -> Result<Allocation, Problem> {
    let sessions = match (info.request_type, info.session_filter.as_deref()) {
        (APPLICATION, _) => Vec::new(),
        (SESSION, Some(sessions)) if !sessions.is_empty() => {
            sessions.iter().map(session).collect::<Result<_, _>>()?
        }
        (SESSION, _) => {
            return Err(Problem::bad_request(
                "sessionFilter has to name the sessions when requestType is 1",
            ));
        }
        _ => {
            return Err(Problem::bad_request(
                "requestType has to be 0 (the application) or 1 (sessions)",
            ));
        }
    };
    Ok(Allocation {
        id: id.clone(),
        instance: instance.clone(),
        direction: match info.allocation_direction {
            AllocationDirection::ToDevice => Direction::FromApp,
            AllocationDirection::ToApplication => Direction::ToApp,
            AllocationDirection::Both => Direction::Both,
        },
        rate: read_as("fixedAllocation", &info.fixed_allocation)?,
        sessions,
    })
}

fn session(wire: &bandwidth::SessionFilter) -> Result<SessionFilter, Problem> {
    let address = |name, text: &Option<String>| {
        let text = text.as_ref();
        text.map(|text| read_as::<AddressRange>(name, text))
            .transpose()
    };
    let ports = |name, text: &Option<String>| {
        let parts = text.iter().flat_map(|text| text.split(','));
        parts
            .map(|part| read_as::<PortRange>(name, part.trim()))
            .collect::<Result<Vec<_>, _>>()
    };
    let protocol = wire.protocol.as_ref();
    Ok(SessionFilter {
        source: address("sessionFilter/sourceIp", &wire.source_ip)?,
        source_port: ports("sessionFilter/sourcePort", &wire.source_port)?,
        destination: address("sessionFilter/dstAddress", &wire.dst_address)?,
        destination_port: ports("sessionFilter/dstPort", &wire.dst_port)?,
        protocol: protocol
            .map(|text| read_as("sessionFilter/protocol", text))
            .transpose()?,
    })
}

fn read_as<T>(member: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err = edged_model::ParseRuleError>,
{
    text.parse()
        .map_err(|error| Problem::bad_request(format!("{member}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<Allocation, Problem> {
        let info: BwInfo = serde_json::from_value(json).unwrap();
        let id = AllocationId("a".parse().unwrap());
        read(&id, &"i".parse().unwrap(), &info)
    }

    #[test]
    fn a_session_is_named_and_a_rate_is_a_number() {
        let good = serde_json::json!({
            "appInsId": "i", "requestType": 1, "fixedAllocation": "1000000", "allocationDirection": "01",
            "sessionFilter": [{ "sourceIp": "10.0.0.0/8", "dstPort": "80,8000-8010", "protocol": "tcp" }],
        });
        let read = parse(good.clone()).unwrap();
        assert_eq!(read.direction, Direction::ToApp);
        assert_eq!(read.sessions.first().unwrap().destination_port.len(), 2);
        for (member, value) in [
            ("requestType", serde_json::json!(2)),
            ("sessionFilter", serde_json::json!([])),
            ("fixedAllocation", serde_json::json!("fast")),
            ("fixedAllocation", serde_json::json!("1")),
            ("sessionFilter", serde_json::json!([{ "dstPort": "http" }])),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(parse(bad).is_err(), "{member}");
        }
    }
}
