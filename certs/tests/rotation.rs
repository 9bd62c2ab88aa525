//! The invariant of renewal: whatever happens, in whichever order, a leaf that a server may present is trusted.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::stock::{Entries, Lives, Purpose, Renewed, Step, Stock, step};
use kcg_certs::{Pair, verify};
use proptest::prelude::*;

const NAME: &str = "webhook.operator.svc";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn purpose() -> Purpose {
    let lives = Lives { authority: DAY * 30, leaf: DAY * 3, overlap: HOUR };
    Purpose { name: "operator".into(), names: vec![NAME.into(), format!("{NAME}.cluster.local")], lives }
}

/// A cluster as far as certificates go: what is kept, what clients trust, what the slowest server still presents.
struct World {
    now: SystemTime,
    kept: Entries,
    trusted: Vec<u8>,
    /// Leaves by the moment at which another came into their place.
    replaced: Vec<(SystemTime, Vec<u8>, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        Self { now: start(), kept: Entries::new(), trusted: Vec::new(), replaced: Vec::new() }
    }

    /// One look of the keeper: a step, then what clients trust.
    fn look(&mut self) -> Vec<Renewed> {
        let purpose = purpose();
        let taken = step(&self.kept, std::slice::from_ref(&self.trusted), &purpose, self.now).unwrap();
        let mut renewed = Vec::new();
        if let Some(Step { entries, renewals }) = taken {
            renewed = renewals.iter().map(|renewal| renewal.what).collect();
            let before = (self.kept.get("tls.crt").cloned(), self.kept.get("tls.key").cloned());
            if let (Some(chain), Some(key)) = before
                && entries.get("tls.crt") != Some(&chain)
            {
                self.replaced.push((self.now, chain, key));
            }
            self.kept = entries;
        }
        self.trusted =
            Stock::read(&self.kept, self.now).bundle(&self.trusted, self.now, &purpose.lives).into();
        renewed
    }

    fn serves(&self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        let pair = Pair::from_pem(chain, key).map_err(|error| error.to_string())?;
        verify(pair.chain(), &self.trusted, NAME, self.now).map_err(|error| error.to_string())
    }

    /// The newest leaf is taken, and so are those that a slow server may not have replaced yet, for their own time.
    fn check(&self) -> Result<(), String> {
        self.serves(&self.kept["tls.crt"], &self.kept["tls.key"])?;
        let slowest = purpose().lives.overlap / 2;
        for (at, chain, key) in &self.replaced {
            let in_time = Pair::from_pem(chain, key).is_ok_and(|pair| {
                pair.standing(self.now) == kcg_certs::Standing::Valid
                    && pair.names().iter().any(|name| name == NAME)
            });
            if in_time && self.now >= *at && self.now < *at + slowest {
                self.serves(chain, key).map_err(|error| format!("the leaf before: {error}"))?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn nothing_becomes_an_authority_and_a_leaf_at_once() {
    let mut world = World::new();
    assert_eq!(world.look(), [Renewed::Authority, Renewed::Leaf]);
    world.check().unwrap();
    assert_eq!(world.look(), []);
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_of_its_life_from_the_same_authority() {
    let mut world = World::new();
    world.look();
    let authority = world.kept["ca.crt"].clone();
    world.pass(HOUR * 47);
    assert_eq!(world.look(), []);
    world.pass(HOUR);
    assert_eq!(world.look(), [Renewed::Leaf]);
    assert_eq!(world.kept["ca.crt"], authority);
    world.check().unwrap();
}

#[test]
fn a_new_authority_is_trusted_before_it_signs_and_the_old_one_after_it_has() {
    let mut world = World::new();
    world.look();
    let old = world.kept["ca.crt"].clone();
    let blocks = |world: &World| kcg_certs::bundle::read(&world.trusted).unwrap().len();
    world.pass(DAY * 20);
    assert_eq!(world.look(), [Renewed::Authority, Renewed::Leaf]);
    assert_eq!((world.kept["ca.crt"] == old, blocks(&world)), (true, 2));
    world.pass(HOUR);
    assert_eq!(world.look(), [Renewed::Leaf]);
    assert_eq!((world.kept["ca.crt"] == old, blocks(&world)), (false, 2));
    world.check().unwrap();
    world.pass(HOUR);
    assert_eq!(world.look(), []);
    assert_eq!(blocks(&world), 1);
    world.check().unwrap();
}

#[test]
fn an_authority_that_a_client_does_not_trust_yet_signs_nothing() {
    let mut world = World::new();
    world.look();
    world.pass(DAY * 20);
    world.look();
    world.pass(DAY);
    let before = world.kept.clone();
    // One of two registrations was never patched.
    let trusted = [world.trusted.clone(), before["ca.crt"].clone()];
    let taken = step(&world.kept, &trusted, &purpose(), world.now).unwrap();
    assert!(taken.is_none_or(|step| step.entries["ca.crt"] == before["ca.crt"]));
}

#[test]
fn entries_of_somebody_else_stay() {
    let mut world = World::new();
    world.kept.insert("note".into(), b"mine".into());
    world.look();
    assert_eq!(world.kept["note"], b"mine");
}

#[test]
fn a_leaf_that_was_issued_after_the_clock_was_set_back_holds_no_longer_than_its_authority() {
    let mut world = World::new();
    world.look();
    // The authority's first second.
    world.now -= kcg_certs::authority::BACKDATED;
    world.kept.remove("tls.crt");
    assert_eq!(world.look(), [Renewed::Leaf]);
    world.check().unwrap();
    let (leaf, authority) = (world.kept["tls.crt"].clone(), world.kept["ca.crt"].clone());
    let first = |pem: &[u8]| kcg_certs::bundle::read(pem).unwrap()[0].1.not_before;
    assert_eq!(first(&leaf), first(&authority));
}

/// What can happen between two looks.
#[derive(Clone, Debug)]
enum Happening {
    /// Minutes pass.
    Time(u64),
    /// The clock is set, by hours in either direction.
    Jump(i64),
    /// Somebody empties an entry, or writes nonsense into it.
    Spoil(usize, bool),
    /// Somebody deletes all entries.
    Empty,
    /// The bundle is wiped from a registration, as a person's apply of an old file would.
    Wipe,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..3000_u64).prop_map(Happening::Time),
        1 => prop_oneof![Just(1), Just(-1), Just(87_600), Just(-87_600)].prop_map(Happening::Jump),
        2 => (0..kcg_certs::stock::ENTRIES.len(), any::<bool>()).prop_map(|(entry, gone)| Happening::Spoil(entry, gone)),
        1 => Just(Happening::Empty),
        1 => Just(Happening::Wipe),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_leaf_that_may_be_presented_is_trusted_whatever_happens(
        happenings in prop::collection::vec(happening(), 1..24)
    ) {
        let mut world = World::new();
        world.look();
        for happening in &happenings {
            match happening {
                Happening::Time(minutes) => world.pass(Duration::from_mins(*minutes)),
                Happening::Jump(hours) => {
                    let by = HOUR * u32::try_from(hours.unsigned_abs()).unwrap();
                    world.now = if *hours > 0 { world.now + by } else { world.now - by };
                    // Ages are told by this clock alone: set forth, or back and forth, it has every overlap be over.
                    // What is promised then is the newest leaf.
                    world.replaced.clear();
                }
                Happening::Spoil(entry, gone) => {
                    let name = kcg_certs::stock::ENTRIES[*entry];
                    if *gone {
                        world.kept.remove(name);
                    } else if let Some(content) = world.kept.get_mut(name) {
                        *content = b"nonsense".into();
                    }
                }
                Happening::Empty => world.kept.clear(),
                // What was trusted is known to nobody but the stock then.
                Happening::Wipe => {
                    world.trusted.clear();
                    world.replaced.clear();
                }
            }
            world.look();
            prop_assert_eq!(world.check(), Ok(()), "after {:?}", happening);
            // Nothing is left to do a moment later: no leaf is issued again and again.
            world.look();
            prop_assert_eq!(world.look(), []);
            prop_assert_eq!(world.check(), Ok(()));
        }
    }
}
