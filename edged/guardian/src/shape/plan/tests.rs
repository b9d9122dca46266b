//! Plans, carried out on a kernel that is as strict about order as the real one.

use proptest::prelude::*;

use super::*;
use crate::shape::program::Program;

fn place(number: u16) -> LeaseNumber {
    LeaseNumber::try_from(number).unwrap()
}

/// Does an action as the kernel would, and panics where the kernel refuses.
fn act(places: &mut BTreeMap<LeaseNumber, Seen>, action: Action) {
    fn tree(places: &mut BTreeMap<LeaseNumber, Seen>, device: Device) -> &mut Root {
        match device {
            Device::Link(place) => places.get_mut(&place).unwrap().link.as_mut().unwrap(),
            Device::Detour(place) => places.get_mut(&place).unwrap().detour.as_mut().unwrap(),
        }
    }
    fn planted(places: &mut BTreeMap<LeaseNumber, Seen>, device: Device) -> &mut Tree {
        match tree(places, device) {
            Root::Tree(tree) => tree,
            Root::Plain => panic!("{device:?} has no tree"),
        }
    }
    match action {
        Action::MakeDetour(place) => {
            let seen = places.get_mut(&place).unwrap();
            (seen.detour, seen.detour_up) = (Some(Root::Plain), true);
            if seen.led == Led::Detour {
                seen.led = Led::Elsewhere;
            }
        }
        Action::RemoveDetour(place) => {
            let seen = places.get_mut(&place).unwrap();
            assert!(
                seen.led == Led::Straight || seen.link.is_none(),
                "packets are led nowhere"
            );
            (seen.detour, seen.detour_up) = (None, false);
        }
        Action::Lead(place) => {
            let seen = places.get_mut(&place).unwrap();
            assert!(seen.detour.is_some() && seen.detour_up);
            seen.led = Led::Detour;
        }
        Action::Straighten(place) => places.get_mut(&place).unwrap().led = Led::Straight,
        Action::Plant(device) => *tree(places, device) = Root::Tree(Tree::default()),
        Action::Uproot(device) => *tree(places, device) = Root::Plain,
        Action::SetClass(device, number, class) => {
            planted(places, device).classes.insert(number, class);
        }
        Action::RemoveClass(device, number) => {
            let tree = planted(places, device);
            assert!(
                tree.filters.values().all(|filter| filter.class != number),
                "busy"
            );
            tree.classes.remove(&number).unwrap();
        }
        Action::SetFilter(device, key, filter) => {
            let tree = planted(places, device);
            assert!(tree.classes.contains_key(&filter.class), "led nowhere");
            tree.filters.insert(key, filter);
        }
        Action::RemoveFilter(device, key) => {
            planted(places, device).filters.remove(&key).unwrap();
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let class = (1..4_u16, 1..4_u64).prop_map(|(number, rate)| {
        let class = Class {
            rate,
            buffer: 1,
            queue: 1,
        };
        (number, class)
    });
    let filter = ((1..4_u16, 1..3_u32), any::<prop::sample::Index>(), 0..2_u8);
    let filters = prop::collection::vec(filter, 0..5);
    (prop::collection::btree_map(1..4_u16, class, 0..4), filters).prop_map(|(classes, filters)| {
        let classes: BTreeMap<u16, Class> = classes.into_values().collect();
        let mut tree = Tree::default();
        for (key, index, code) in filters {
            if !classes.is_empty() {
                let class = *index.get(&classes.keys().collect::<Vec<_>>()).to_owned();
                let program = Program(vec![code]);
                tree.filters.insert(key, Filter { class, program });
            }
        }
        Tree { classes, ..tree }
    })
}

fn want() -> impl Strategy<Value = Want> {
    (tree(), tree()).prop_map(|(to_app, from_app)| Want { to_app, from_app })
}

fn root() -> impl Strategy<Value = Root> {
    prop_oneof![Just(Root::Plain), tree().prop_map(Root::Tree)]
}

fn seen() -> impl Strategy<Value = Seen> {
    let led = prop_oneof![Just(Led::Straight), Just(Led::Detour), Just(Led::Elsewhere)];
    (
        prop::option::of(root()),
        prop::option::of(root()),
        any::<bool>(),
        led,
    )
        .prop_map(|(link, detour, up, led)| {
            let led = match (&link, &detour, led) {
                (None, _, _) => Led::Straight,
                (_, None, Led::Detour) => Led::Elsewhere,
                (_, _, led) => led,
            };
            Seen {
                detour_up: up && detour.is_some(),
                link,
                detour,
                led,
            }
        })
}

fn places<T: std::fmt::Debug>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<LeaseNumber, T>> {
    prop::collection::btree_map((2..5_u16).prop_map(place), of, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_plan_leads_from_anything_to_what_is_wanted_and_there_it_ends(
        wanted in places(want()), seen in places(seen()),
    ) {
        let mut now = seen;
        for action in plan(&wanted, &now) {
            act(&mut now, action);
        }
        prop_assert_eq!(plan(&wanted, &now), vec![]);
        for (place, seen) in &now {
            let want = wanted.get(place).cloned().unwrap_or_default();
            let want = if seen.link.is_some() { want } else { Want::default() };
            prop_assert_eq!(seen.as_wanted(), want.clone());
            prop_assert_eq!(seen.led == Led::Detour, want.from_app != Tree::default());
        }
    }

    #[test]
    fn what_was_done_in_part_is_undone(
        first in places(want()), then in places(want()), links in places(Just(())), part in 0..30_usize,
    ) {
        let link = |place| (place, Seen { link: Some(Root::Plain), ..Seen::default() });
        let mut now: BTreeMap<LeaseNumber, Seen> = links.into_keys().map(link).collect();
        for action in plan(&first, &now) {
            act(&mut now, action);
        }
        let before = now.clone();
        let target = before.iter().map(|(place, seen)| (*place, seen.as_wanted())).collect();
        for action in plan(&then, &now).into_iter().take(part) {
            act(&mut now, action);
        }
        for action in plan(&target, &now) {
            act(&mut now, action);
        }
        prop_assert_eq!(now, before);
    }
}

#[test]
fn another_rate_is_one_action() {
    let mut tree = Tree::default();
    let mut class = Class {
        rate: 1,
        buffer: 1,
        queue: 1,
    };
    tree.classes.insert(7, class);
    let seen = Seen {
        link: Some(Root::Tree(tree.clone())),
        ..Seen::default()
    };
    class.rate = 2;
    tree.classes.insert(7, class);
    let want = Want {
        to_app: tree,
        ..Want::default()
    };
    let actions = plan(&[(place(2), want)].into(), &[(place(2), seen)].into());
    assert_eq!(
        actions,
        [Action::SetClass(Device::Link(place(2)), 7, class)]
    );
}
