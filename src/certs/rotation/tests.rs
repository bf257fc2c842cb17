use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

/// When the first authority is made.
const START: i64 = 1_800_000_000;

/// A cluster and one replica.
struct Scene {
    now: i64,
    stored: Content,
    serving: Option<Serving>,
    looks: Vec<Look>,
    settled: bool,
    names: Vec<String>,
}

impl Scene {
    /// Nothing was ever there.
    fn cold() -> Self {
        Self {
            now: START,
            stored: Content::default(),
            serving: None,
            looks: vec![bundle(&[]), bundle(&[])],
            settled: false,
            names: vec!["a.b.svc".to_owned()],
        }
    }

    /// An authority in service, its certificate served, and all clients know it.
    fn steady() -> Self {
        let mut scene = Self::cold();
        scene.all();
        scene.serve();
        scene.mend();
        scene.settled = true;
        assert_eq!(scene.due(), None);
        scene
    }

    /// Steady, and the time has come for a successor, and for a new certificate as well.
    fn aged() -> Self {
        let mut scene = Self::steady();
        let time = scene.newest().validity().renew_at();
        scene.now = time - 6 * DAY;
        assert_eq!(scene.all(), [Change::Issue(0)]);
        assert!(scene.serve() && scene.is_trusted());
        scene.now = time;
        scene.settled = false;
        scene
    }

    /// The same, and a successor published in the Secret.
    fn published() -> Self {
        let mut scene = Self::aged();
        scene.all();
        scene
    }

    fn view(&self) -> View<'_> {
        View {
            stored: &self.stored,
            serving: self.serving.as_ref(),
            looks: &self.looks,
            settled: self.settled,
            names: &self.names,
            now: self.now,
        }
    }

    fn due(&self) -> Option<Change> {
        self.view().due()
    }

    /// Makes every change that is due.
    fn all(&mut self) -> Vec<Change> {
        let mut made = Vec::new();
        while let Some(change) = self.due() {
            made.push(change);
            self.stored = self.view().after(change, Lifetimes::default()).unwrap();
            assert!(made.len() < 10, "it never ends: {made:?}");
        }
        made
    }

    fn serve(&mut self) -> bool {
        let serving = self.view().serve();
        let changed = serving.is_some();
        self.serving = serving.or(self.serving.take());
        changed
    }

    fn mend(&mut self) {
        let everyone: Vec<_> = self.stored.authorities.iter().collect();
        self.looks = vec![bundle(&everyone), bundle(&everyone)];
    }

    fn newest(&self) -> Authority {
        self.stored.authorities[0].clone()
    }

    fn pair(&self) -> &Pair {
        self.stored.pair.as_ref().unwrap()
    }

    fn served_by(&self) -> &Authority {
        &self.serving.as_ref().unwrap().authority
    }

    /// Whether a client that reads a `caBundle` now trusts what is served.
    fn is_trusted(&self) -> bool {
        let serving = self.serving.as_ref().unwrap();
        self.view().is_held(&serving.authority)
            && serving.authority.certified(&serving.pair)
            && !serving.pair.validity().has_ended(self.now)
    }
}

fn bundle(authorities: &[&Authority]) -> Look {
    let pem: String = authorities.iter().map(|one| one.to_pem()).collect();
    let entry = json!({"clientConfig": {"caBundle": STANDARD.encode(pem)}});
    Look::at(&json!({"metadata": {"resourceVersion": "1"}, "webhooks": [entry]}))
}

#[test]
fn a_cold_cluster_gets_one_authority_and_its_certificate_at_once() {
    let mut scene = Scene::cold();
    assert_eq!(scene.all(), [Change::Publish]);
    assert_eq!(scene.stored.authorities.len(), 1);
    assert!(scene.newest().certified(scene.pair()) && scene.pair().covers(&scene.names));
    assert!(scene.serve(), "nobody serves anything better");
    assert!(!scene.is_trusted());
    scene.mend();
    assert!(scene.is_trusted());
}

#[test]
fn nothing_is_due_in_between() {
    let mut scene = Scene::steady();
    scene.now = scene.pair().validity().renew_at() - 1;
    assert_eq!(scene.due(), None);
    assert!(!scene.serve());
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_by_the_same_authority() {
    let mut scene = Scene::steady();
    let before = scene.newest();
    scene.now = scene.pair().validity().renew_at();
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(scene.stored.authorities == [before]);
    assert!(scene.serve() && scene.is_trusted());
}

#[test]
fn a_renewed_certificate_of_the_same_authority_is_served_while_a_bundle_is_being_mended() {
    let mut scene = Scene::steady();
    scene.looks = vec![bundle(&[]), Look::Unknown];
    scene.now = scene.pair().validity().renew_at();
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(scene.serve());
}

#[test]
fn a_successor_is_published_and_not_served() {
    let mut scene = Scene::aged();
    let before = scene.newest();
    assert_eq!(scene.all(), [Change::Publish, Change::Issue(1)]);
    assert_eq!(scene.stored.authorities.len(), 2);
    assert!(scene.stored.authorities[1] == before && scene.stored.authorities[1].has_key());
    assert!(before.certified(scene.pair()));
    assert!(scene.serve() && *scene.served_by() == before && scene.is_trusted());
}

#[test]
fn a_successor_goes_into_service_when_every_bundle_was_seen_to_hold_it_for_long_enough() {
    let held_by = |scene: &Scene| {
        let everyone: Vec<_> = scene.stored.authorities.iter().collect();
        bundle(&everyone)
    };
    let mut scene = Scene::published();
    let both = held_by(&scene);
    let before = bundle(&[&scene.stored.authorities[1]]);
    let rows = [
        ("neither", vec![before.clone(), before.clone()], true, None),
        ("one of two", vec![both.clone(), before.clone()], true, None),
        ("one unread", vec![both.clone(), Look::Unknown], true, None),
        (
            "not for long enough",
            vec![both.clone(), both.clone()],
            false,
            None,
        ),
        (
            "both",
            vec![both.clone(), both.clone()],
            true,
            Some(Change::Issue(0)),
        ),
        (
            "one, and no other",
            vec![both.clone(), Look::Absent],
            true,
            Some(Change::Issue(0)),
        ),
        (
            "one, and one that is kept by another",
            vec![both, Look::Foreign("x")],
            true,
            Some(Change::Issue(0)),
        ),
        (
            "none to be called by",
            vec![Look::Absent, Look::Absent],
            true,
            Some(Change::Issue(0)),
        ),
    ];
    for (what, looks, settled, expected) in rows {
        (scene.looks, scene.settled) = (looks, settled);
        assert_eq!(scene.due(), expected, "{what}");
    }
}

#[test]
fn the_one_before_stays_trusted_until_nothing_that_it_issued_can_be_valid() {
    let mut scene = Scene::published();
    let before = scene.stored.authorities[1].clone();
    scene.serve();
    let last_of_before = scene.pair().validity().not_after;
    scene.mend();
    scene.settled = true;
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(
        !scene.stored.authorities[1].has_key(),
        "it issues nothing more"
    );
    assert!(
        scene.is_trusted(),
        "the one before is served by replicas that have not looked yet"
    );
    assert!(scene.serve() && scene.is_trusted());

    let until = scene.stored.trusted_until.unwrap();
    assert!(until >= last_of_before, "{until} {last_of_before}");
    scene.now = until - 1;
    scene.all();
    assert!(scene.stored.authorities.contains(&before));
    scene.now = until;
    assert_eq!(scene.due(), Some(Change::Forget));
    scene.all();
    assert!(!scene.stored.authorities.contains(&before));
    assert_eq!(scene.stored.trusted_until, None);
}

#[test]
fn a_publication_that_does_not_succeed_keeps_the_one_before_in_service_to_its_end() {
    let mut scene = Scene::published();
    let before = scene.stored.authorities[1].clone();
    while scene.now < before.validity().not_after {
        scene.all();
        scene.serve();
        assert!(scene.is_trusted(), "{}", scene.now - START);
        scene.now += 3_600;
    }
    // Now the successor is the only one who can be served, known or not.
    scene.all();
    assert!(scene.serve() && *scene.served_by() == scene.newest());
}

#[test]
fn a_deleted_secret_is_a_new_authority_beside_the_one_that_is_served() {
    let mut scene = Scene::steady();
    let before = scene.newest();
    scene.stored = Content::default();
    scene.settled = false;
    assert_eq!(scene.all(), [Change::Publish]);
    assert!(scene.newest() != before && scene.stored.authorities.contains(&before));
    assert!(
        before.certified(scene.pair()),
        "what is served is shared again"
    );
    assert!(!scene.serve() && scene.is_trusted());
    scene.mend();
    assert!(scene.is_trusted());
    scene.settled = true;
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(scene.serve() && *scene.served_by() == scene.newest() && scene.is_trusted());
}

#[test]
fn whoever_makes_the_secret_anew_keeps_those_whom_clients_trust() {
    // A replica that has just started, beside others that serve.
    let mut others = Scene::steady();
    let before = others.newest();
    let mut fresh = Scene::cold();
    fresh.looks = others.looks.clone();
    fresh.all();
    assert!(fresh.stored.authorities.contains(&before));
    assert!(fresh.stored.trusted_until.is_some());
    // The others see what it wrote, and wait.
    others.stored = fresh.stored.clone();
    others.settled = false;
    assert_eq!(others.due(), None);
    assert!(!others.serve() && others.is_trusted());
    others.mend();
    assert!(
        !others.serve() && others.is_trusted(),
        "not for long enough"
    );
    others.settled = true;
    assert!(others.serve() && others.is_trusted());
}

#[test]
fn of_two_who_create_the_second_adopts_what_the_first_wrote() {
    let (mut first, mut second) = (Scene::cold(), Scene::cold());
    first.all();
    second.stored = first.stored.clone();
    assert_eq!(second.due(), None);
    assert!(second.serve() && *second.served_by() == first.newest());
}

#[test]
fn a_secret_from_a_backup_gets_the_authority_of_what_is_served() {
    let mut scene = Scene::steady();
    let served = scene.newest();
    let mut backup = Scene::cold();
    backup.all();
    scene.stored = backup.stored.clone();
    scene.settled = false;
    assert_eq!(scene.all(), [Change::Trust]);
    assert!(scene.newest() == backup.newest() && scene.stored.authorities.contains(&served));
    assert!(!scene.serve() && scene.is_trusted());
    scene.mend();
    scene.settled = true;
    assert!(scene.serve() && *scene.served_by() == backup.newest() && scene.is_trusted());
    assert!(scene.stored.trusted_until >= Some(scene.pair().validity().not_after));
}

#[test]
fn a_secret_without_its_authoritys_key_is_a_new_authority() {
    let mut scene = Scene::steady();
    let newest = scene.newest();
    scene.stored.authorities[0] = newest.clone().without_key();
    scene.settled = false;
    assert_eq!(scene.all(), [Change::Publish]);
    assert!(newest.certified(scene.pair()) && scene.is_trusted());
}

#[test]
fn a_secret_without_a_certificate_gets_one_of_the_authority_that_is_trusted() {
    let mut scene = Scene::published();
    scene.stored.pair = None;
    assert_eq!(
        scene.due(),
        Some(Change::Issue(1)),
        "the newest is not known yet"
    );
    let mut scene = Scene::steady();
    scene.stored.pair = None;
    assert_eq!(scene.due(), Some(Change::Issue(0)));
}

#[test]
fn after_ten_days_of_sleep_a_valid_certificate_is_served_by_the_same_authority() {
    let mut scene = Scene::steady();
    scene.now += 10 * DAY;
    assert!(!scene.is_trusted(), "the certificate has ended");
    scene.settled = false;
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(scene.serve() && scene.is_trusted());
}

#[test]
fn after_ten_days_of_sleep_in_the_midst_of_a_rotation_what_is_trusted_is_served() {
    let mut scene = Scene::published();
    let before = scene.stored.authorities[1].clone();
    scene.now += 10 * DAY;
    assert_eq!(scene.all(), [Change::Issue(1)]);
    assert!(scene.serve() && *scene.served_by() == before && scene.is_trusted());
}

#[test]
fn after_a_year_of_sleep_it_starts_unaided() {
    let mut scene = Scene::steady();
    scene.now += 365 * DAY;
    scene.settled = false;
    assert_eq!(scene.all(), [Change::Publish]);
    assert_eq!(
        scene.stored.authorities.len(),
        1,
        "who has ended is left out"
    );
    assert!(scene.serve());
    scene.mend();
    assert!(scene.is_trusted());
}

#[test]
fn clocks_that_differ_by_five_minutes_agree() {
    let scene = Scene::steady();
    for skew in [-300, 300] {
        let mut other = Scene::steady();
        other.stored = scene.stored.clone();
        other.looks = scene.looks.clone();
        other.serving = None;
        other.now = START + skew;
        assert_eq!(other.due(), None, "{skew}");
        assert!(other.serve() && other.is_trusted());
        let validity = other.pair().validity();
        assert!(
            validity.not_before <= START - 300,
            "an API server that is behind accepts it"
        );
    }
}

#[test]
fn replicas_with_other_names_do_not_write_in_turn() {
    let mut scene = Scene::steady();
    scene.names = vec!["c.d.svc".to_owned()];
    assert_eq!(scene.all(), [Change::Issue(0)]);
    assert!(
        scene
            .pair()
            .covers(&["a.b.svc".to_owned(), "c.d.svc".to_owned()])
    );
    scene.names = vec!["a.b.svc".to_owned()];
    assert_eq!(scene.due(), None);
}

#[test]
fn the_bundle_does_not_grow_without_bound() {
    let mut scene = Scene::steady();
    for _ in 0..40 {
        scene.stored = Content::default();
        scene.all();
        assert!(scene.is_trusted());
        scene.mend();
        scene.settled = true;
        scene.all();
        scene.serve();
        assert!(scene.is_trusted());
    }
    assert_eq!(scene.stored.authorities.len(), AUTHORITIES_MAX);
}
