//! From what an application sent to what is kept.

use mec_api::Problem;
use mec_api::service_management::{LocalityType, ServiceInfo};

use super::transports;
use crate::Application;

/// Bytes of one service: four times what any published example has, so that a full registry stays small.
const SERVICE_MAX: usize = 16 << 10;
/// Seconds between heartbeats where the application leaves it to the node: a dead service is known within a minute.
const INTERVAL_DEFAULT: u64 = 30;
/// Seconds: a heartbeat is a request with its token, and more often than this it is load, not news.
const INTERVAL_SHORTEST: u64 = 1;
/// Seconds: who is heard of less often than once an hour is not watched at all.
const INTERVAL_LONGEST: u64 = 3600;

/// A service in the form in which it is kept (see [`crate::RegisteredService`]). The id, the links and the locality
/// that were sent are the node's to say, and are not looked at.
///
/// # Errors
/// 400 for no transport, for two, and for one that the node does not have; 413 for too long a description.
pub(crate) fn kept(
    id: &str,
    mut info: ServiceInfo,
    application: &Application,
) -> Result<ServiceInfo, Problem> {
    match (&info.transport_id, &info.transport_info) {
        (Some(id), None) => transports::permit(id, application)?,
        (None, Some(_)) => {}
        _ => {
            return Err(Problem::bad_request(
                "a service needs exactly one of transportId and transportInfo",
            ));
        }
    }
    info.ser_instance_id = Some(id.to_owned());
    info.links = None;
    info.is_local = None;
    info.scope_of_locality.get_or_insert(LocalityType::MecHost);
    info.consumed_local_only.get_or_insert(true);
    info.liveness_interval = info.liveness_interval.map(interval);
    let bytes = serde_json::to_vec(&info).map_or(usize::MAX, |json| json.len());
    if bytes > SERVICE_MAX {
        return Err(Problem::too_large(format!(
            "the service has {bytes} bytes; use at most {SERVICE_MAX}"
        )));
    }
    Ok(info)
}

/// Seconds between heartbeats, of what was proposed.
fn interval(proposed: u64) -> u64 {
    match proposed {
        0 => INTERVAL_DEFAULT,
        wish => wish.clamp(INTERVAL_SHORTEST, INTERVAL_LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_chooses_the_interval_within_its_bounds() {
        assert_eq!([0, 1, 7, 9999].map(interval), [30, 1, 7, 3600]);
    }
}
