//! Whether a box does as well as it did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Health;

/// How long a box has to be as before without a break.
pub const HOLD: Duration = Duration::from_secs(10);

/// How a box was before an update, as far as the update must leave it so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Applications that were ready: id and name.
    pub ready: BTreeMap<String, String>,
    /// Parts of the box that did their work.
    pub parts: BTreeSet<String>,
    /// What the uplink had: addresses, routes, resolvers, in words.
    pub network: BTreeSet<String>,
}

impl Before {
    /// Whether the box is as before; otherwise what is missing, in a few words. An application that is `wanted` no more
    /// is not missed: what an operator stops or removes meanwhile is no fault of an image.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn is_met_by(&self, now: &Self, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
        let lost = |before: &BTreeSet<String>, now: &BTreeSet<String>| {
            before.difference(now).next().cloned()
        };
        if let Some(part) = lost(&self.parts, &now.parts) {
            return Err(format!("the {part} does not work"));
        }
        if let Some(network) = lost(&self.network, &now.network) {
            return Err(format!("the network has lost {network}"));
        }
        let mut away = self
            .ready
            .iter()
            .filter(|(id, _)| wanted(id) && !now.ready.contains_key(*id));
        match (away.next(), away.count()) {
            (None, _) => Ok(()),
            (Some((_, name)), 0) => Err(format!("the application {name} is not ready")),
            (Some((_, name)), more) => Err(format!(
                "the application {name} and {more} more are not ready"
            )),
        }
    }
}

/// Looks at a box until it has been well for long enough, or its time is over.
#[derive(Debug, Clone)]
pub struct Watch {
    deadline: Duration,
    /// Since when it is well.
    well: Option<Duration>,
}

impl Watch {
    /// A box that has until `deadline`, counted from its start.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            well: None,
        }
    }

    /// How the box does, `uptime` after its start.
    pub fn look(&mut self, found: Result<(), String>, uptime: Duration) -> Health {
        match found {
            Ok(()) => {
                let since = *self.well.get_or_insert(uptime);
                if uptime.saturating_sub(since) >= HOLD {
                    Health::Good
                } else {
                    Health::Fresh
                }
            }
            Err(missing) => {
                self.well = None;
                if uptime >= self.deadline {
                    Health::Overdue(missing)
                } else {
                    Health::Missing(missing)
                }
            }
        }
    }

    /// When to look again although nothing has happened.
    pub fn next(&self, uptime: Duration) -> Duration {
        let until = match self.well {
            Some(since) => since.saturating_add(HOLD),
            None => self.deadline,
        };
        until.saturating_sub(uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Before {
        Before {
            ready: BTreeMap::from([("1".to_owned(), "web".to_owned())]),
            parts: BTreeSet::from(["worker".to_owned()]),
            network: BTreeSet::from(["an IPv4 route".to_owned()]),
        }
    }

    #[test]
    fn what_was_there_has_to_be_there_and_more_is_no_harm() {
        let mut now = before();
        now.ready.insert("2".to_owned(), "new".to_owned());
        assert_eq!(before().is_met_by(&now, |_| true), Ok(()));
        let without = |change: fn(&mut Before)| {
            let mut now = before();
            change(&mut now);
            before().is_met_by(&now, |_| true).unwrap_err()
        };
        assert_eq!(
            without(|now| now.ready.clear()),
            "the application web is not ready"
        );
        assert_eq!(without(|now| now.parts.clear()), "the worker does not work");
        assert_eq!(
            without(|now| now.network.clear()),
            "the network has lost an IPv4 route"
        );
    }

    #[test]
    fn an_application_that_is_wanted_no_more_is_not_missed() {
        let mut before = before();
        before.ready.insert("2".to_owned(), "mail".to_owned());
        let mut now = before.clone();
        now.ready.clear();
        assert_eq!(before.is_met_by(&now, |_| false), Ok(()));
        let missing = before.is_met_by(&now, |id| id == "2");
        let why = "the application mail is not ready";
        assert_eq!(missing, Err(why.to_owned()));
    }

    #[test]
    fn a_box_is_good_after_ten_seconds_without_a_break() {
        let second = Duration::from_secs;
        let mut watch = Watch::new(second(60));
        let missing = || Err("web".to_owned());
        assert_eq!(
            watch.look(missing(), second(1)),
            Health::Missing("web".to_owned())
        );
        assert_eq!(watch.look(Ok(()), second(2)), Health::Fresh);
        assert_eq!(watch.next(second(5)), second(7));
        assert_eq!(
            watch.look(missing(), second(9)),
            Health::Missing("web".to_owned())
        );
        assert_eq!(watch.look(Ok(()), second(12)), Health::Fresh);
        assert_eq!(watch.look(Ok(()), second(21)), Health::Fresh);
        assert_eq!(watch.look(Ok(()), second(22)), Health::Good);
    }

    #[test]
    fn a_box_that_is_not_well_in_its_time_is_overdue_and_one_that_is_just_well_is_not() {
        let second = Duration::from_secs;
        let mut watch = Watch::new(second(60));
        assert_eq!(watch.look(Ok(()), second(59)), Health::Fresh);
        assert_eq!(watch.look(Ok(()), second(61)), Health::Fresh);
        assert_eq!(
            watch.look(Err("web".to_owned()), second(62)),
            Health::Overdue("web".to_owned())
        );
    }
}
