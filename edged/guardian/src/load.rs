//! Putting a policy in the kernel: ways, then rules in one transaction, then connections that begin anew.

use std::collections::BTreeMap;

use edged_protocol::guardian::{OwnedRule, Policy};

use crate::conntrack;
use crate::guardian::{Guardian, GuardianError, Loaded};
use crate::netlink::NetlinkError;
use crate::nft::{self, NftError};
use crate::ruleset::There;
use crate::ruleset::traffic::{Traffic, leads_flows};
use crate::way::{self, Ways};

impl Guardian {
    /// Puts a policy in the kernel; where a table of our name has other chains (another version's), makes it anew.
    pub(crate) fn load(&mut self, policy: Policy) -> Result<(), GuardianError> {
        let there = self.there()?;
        let mut compiled = self.ruleset.compile(&policy, &there)?;
        let ways = Ways::of(&compiled.written.traffic.courses, &policy.rules);
        let new = match &self.ways {
            Some(had) => ways.beside(had),
            None => ways.clone(),
        };
        // Before packets are marked for them; ways that are no longer wanted go after nobody is.
        let made = way::make(&new, &self.ruleset, &mut self.netlink);
        let done = made.map_err(GuardianError::from).and_then(|()| {
            let Err(error) = self.transact(&compiled.text, "replace the rules") else {
                return Ok(());
            };
            tracing::warn!(%error, "the table is made anew");
            let nothing = There {
                courses: compiled.written.traffic.courses.clone(),
                ..There::default()
            };
            compiled = self.ruleset.compile(&policy, &nothing)?;
            let anew = format!("{}{}", self.ruleset.removal(), compiled.text);
            self.transact(&anew, "make the table anew")?;
            self.open_uplink()
        });
        if let Err(error) = done {
            // What is in force still leads by the ways that were there.
            if let Some(had) = &self.ways {
                way::remove_others(had, &self.ruleset, &mut self.netlink)?;
            }
            return Err(error);
        }
        if self.ways.as_ref() != Some(&ways) {
            way::remove_others(&ways, &self.ruleset, &mut self.netlink)?;
        }
        self.ways = Some(ways);
        let now = Loaded {
            policy,
            written: compiled.written,
            sure: true,
        };
        let before = self.loaded.take();
        let now = self.loaded.insert(now);
        let before = before.as_ref().map(|loaded| &loaded.policy);
        Ok(begin_anew(before, &now.policy)?)
    }

    /// What the kernel has of traffic rules.
    fn there(&mut self) -> Result<There, GuardianError> {
        let loaded = self.loaded.as_ref();
        if let Some(loaded) = loaded.filter(|loaded| loaded.sure) {
            return Ok(There {
                written: Some(loaded.written.clone()),
                ..There::default()
            });
        }
        let chains = nft::chains(&self.ruleset.addressing().prefix)?.into_iter();
        let mut there = There {
            chains: chains.filter(|name| Traffic::is_chain(name)).collect(),
            ..There::default()
        };
        match loaded {
            Some(loaded) => there.courses.clone_from(&loaded.written.traffic.courses),
            None => there.taken = way::there(&self.ruleset, &mut self.netlink)?,
        }
        Ok(there)
    }

    /// Loads a transaction.
    pub(crate) fn transact(&mut self, text: &str, operation: &'static str) -> Result<(), NftError> {
        self.reap();
        let leaving = nft::load(text, operation, &mut self.watch)?;
        self.leaving.extend(leaving);
        Ok(())
    }

    /// Buries processes that have ended; whether some are still on their way.
    pub fn reap(&mut self) -> bool {
        self.leaving
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        !self.leaving.is_empty()
    }
}

/// Lets connections begin anew that changed rules are about, where rules lead flows.
fn begin_anew(before: Option<&Policy>, now: &Policy) -> Result<(), NetlinkError> {
    let had = before.map_or(&[][..], |policy| &policy.rules);
    let leads = |rules: &[OwnedRule]| rules.iter().any(|owned| leads_flows(&owned.rule));
    if !leads(had) && !leads(&now.rules) {
        return Ok(());
    }
    let key = |owned: &&OwnedRule| (owned.owner.clone(), owned.rule.id.clone());
    let old: BTreeMap<_, _> = had.iter().map(|owned| (key(&owned), owned)).collect();
    let new: BTreeMap<_, _> = now.rules.iter().map(|owned| (key(&owned), owned)).collect();
    let gone = old
        .iter()
        .filter(|(key, rule)| new.get(*key) != Some(*rule));
    let come = new
        .iter()
        .filter(|(key, rule)| old.get(*key) != Some(*rule));
    let changed: Vec<&OwnedRule> = gone.chain(come).map(|(_, rule)| *rule).collect();
    if !changed.is_empty() {
        let count = conntrack::forget(&changed)?;
        tracing::debug!(count, "connections begin anew");
    }
    Ok(())
}
