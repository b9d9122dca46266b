//! From what is wanted and what is there to what is to be done. Pure.

use std::collections::BTreeMap;

use edged_model::LeaseNumber;

use super::tree::{Class, Filter, FilterKey, Tree, Want};

/// A device that holds a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// The host's end of a link.
    Link(LeaseNumber),
    /// What the packets from an application are led over.
    Detour(LeaseNumber),
}

/// What the root of a device is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Root {
    /// Nothing of ours.
    #[default]
    Plain,
    /// Ours.
    Tree(Tree),
}

impl Root {
    fn tree(&self) -> Tree {
        match self {
            Self::Plain => Tree::default(),
            Self::Tree(tree) => tree.clone(),
        }
    }
}

/// What is there at a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The link's root, where there is a link.
    pub link: Option<Root>,
    /// The detour's root, where there is one.
    pub detour: Option<Root>,
    /// Whether the detour is up; one that is not lets nothing pass.
    pub detour_up: bool,
    /// Whether packets from the application are led over the detour.
    pub led: Led,
}

/// Where the packets that come from a link go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Led {
    /// Into the box.
    #[default]
    Straight,
    /// Over the detour of the place.
    Detour,
    /// Something of ours is there that is not what we would make.
    Elsewhere,
}

impl Seen {
    /// What one would have to want for it to stay so.
    pub fn as_wanted(&self) -> Want {
        Want {
            to_app: self.link.as_ref().map(Root::tree).unwrap_or_default(),
            from_app: self.detour.as_ref().map(Root::tree).unwrap_or_default(),
        }
    }
}

/// One request to the kernel, or two that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the detour of a place, and take it up; one that is there goes first.
    MakeDetour(LeaseNumber),
    /// Take it away with all that it holds.
    RemoveDetour(LeaseNumber),
    /// Lead the packets that come from the link over the detour.
    Lead(LeaseNumber),
    /// Let them go straight.
    Straighten(LeaseNumber),
    /// Make an empty tree of a device's root: everything passes.
    Plant(Device),
    /// Give the root back to the kernel.
    Uproot(Device),
    /// Make or change a class with its queue.
    SetClass(Device, u16, Class),
    /// Take it away.
    RemoveClass(Device, u16),
    /// Make or replace a filter.
    SetFilter(Device, FilterKey, Filter),
    /// Take it away.
    RemoveFilter(Device, FilterKey),
}

/// What is to be done, in this order, so that every place has what is wanted for it and no other has anything.
pub fn plan(
    wanted: &BTreeMap<LeaseNumber, Want>,
    seen: &BTreeMap<LeaseNumber, Seen>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let nothing = Want::default();
    for (place, seen) in seen {
        let Some(link) = &seen.link else {
            // The link went, and what came from it goes nowhere.
            actions.extend(seen.detour.as_ref().map(|_| Action::RemoveDetour(*place)));
            continue;
        };
        let want = wanted.get(place).unwrap_or(&nothing);
        root(&mut actions, Device::Link(*place), &want.to_app, link);
        if want.from_app == Tree::default() {
            if seen.led != Led::Straight {
                actions.push(Action::Straighten(*place));
            }
            actions.extend(seen.detour.as_ref().map(|_| Action::RemoveDetour(*place)));
        } else {
            let detour = Device::Detour(*place);
            let there = seen.detour.as_ref().filter(|_| seen.detour_up);
            if there.is_none() {
                actions.push(Action::MakeDetour(*place));
            }
            let held = there.unwrap_or(&Root::Plain);
            root(&mut actions, detour, &want.from_app, held);
            if seen.led == Led::Elsewhere {
                actions.push(Action::Straighten(*place));
            }
            if seen.led != Led::Detour || there.is_none() {
                actions.push(Action::Lead(*place));
            }
        }
    }
    actions
}

fn root(actions: &mut Vec<Action>, device: Device, want: &Tree, seen: &Root) {
    if *want == Tree::default() {
        if matches!(seen, Root::Tree(_)) {
            actions.push(Action::Uproot(device));
        }
        return;
    }
    if *seen == Root::Plain {
        actions.push(Action::Plant(device));
    }
    let seen = seen.tree();
    // What is led somewhere must be there first, and be away last.
    for (number, class) in &want.classes {
        if seen.classes.get(number) != Some(class) {
            actions.push(Action::SetClass(device, *number, *class));
        }
    }
    for (key, filter) in &want.filters {
        if seen.filters.get(key) != Some(filter) {
            actions.push(Action::SetFilter(device, *key, filter.clone()));
        }
    }
    let filters = seen.filters.keys();
    for key in filters.filter(|key| !want.filters.contains_key(key)) {
        actions.push(Action::RemoveFilter(device, *key));
    }
    let classes = seen.classes.keys();
    for number in classes.filter(|number| !want.classes.contains_key(number)) {
        actions.push(Action::RemoveClass(device, *number));
    }
}

#[cfg(test)]
mod tests;
