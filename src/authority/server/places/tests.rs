use super::*;

/// Operators 8, one of them 6; edges 20, one of them 16.
const TOTAL: usize = 32;

fn is_sent_away(place: &Place) -> bool {
    let mut sent_away = std::pin::pin!(place.sent_away());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    sent_away.as_mut().poll(&mut context).is_ready()
}

/// Places at which this credential is being answered, as many as it can have.
fn fill(places: &Arc<Places>, interface: Interface, credential: &str) -> Vec<Busy> {
    let begin = || {
        places
            .admit()
            .begin(interface, &credential.into(), Instant::now())
    };
    std::iter::from_fn(|| begin().ok()).collect()
}

#[test]
fn the_oldest_strangers_make_room_and_nobody_who_is_known() {
    let places = Places::new(TOTAL);
    let known = places.admit();
    let busy = known.begin(Interface::Edges, &"edge".into(), Instant::now());
    let strangers: Vec<_> = (0..3).map(|_| places.admit()).collect();
    drop(places.admit());
    places.send_away(1);
    assert!(is_sent_away(&strangers[0]) && !is_sent_away(&strangers[1]));
    places.send_away(5);
    assert!(strangers[1..].iter().all(|place| is_sent_away(place)));
    assert!(!is_sent_away(&known));
    drop(busy);
    known.become_stranger();
    places.send_away(1);
    assert!(is_sent_away(&known), "whose credential is gone");
}

#[test]
fn no_credential_and_no_interface_takes_all_places() {
    let places = Places::new(TOTAL);
    let edges = fill(&places, Interface::Edges, "a");
    assert_eq!(edges.len(), 16);
    let others = fill(&places, Interface::Edges, "b");
    assert_eq!(others.len(), 4);
    assert!(fill(&places, Interface::Edges, "c").is_empty());
    let admins = fill(&places, Interface::Operators, "a");
    assert_eq!(admins.len(), 6);
    assert_eq!(fill(&places, Interface::Operators, "b").len(), 2);
    let known = edges.len() + others.len() + admins.len() + 2;
    assert!(known + TOTAL / 8 <= TOTAL, "an eighth is left");
    drop(edges);
    assert_eq!(fill(&places, Interface::Edges, "c").len(), 16);
}

#[test]
fn an_idle_connection_makes_room_and_a_busy_one_does_not() {
    let places = Places::new(TOTAL);
    let start = Instant::now();
    let begin = |place: &Arc<Place>, interface, now| place.begin(interface, &"admin".into(), now);
    let kept: Vec<_> = (0..40).map(|_| places.admit()).collect();
    for place in &kept {
        assert!(begin(place, Interface::Operators, start).is_ok());
    }
    assert!(kept[..34].iter().all(|place| is_sent_away(place)));
    assert!(!kept[34..].iter().any(|place| is_sent_away(place)));
    drop(kept);

    let kept: Vec<_> = (0..16).map(|_| places.admit()).collect();
    for place in &kept {
        assert!(begin(place, Interface::Edges, start).is_ok());
    }
    let newcomer = places.admit();
    assert_eq!(
        begin(&newcomer, Interface::Edges, start).err(),
        Some(Full { limit: 16 })
    );
    let later = Instant::now() + PATIENCE;
    let busy = begin(&newcomer, Interface::Edges, later);
    assert!(busy.is_ok() && is_sent_away(&kept[0]) && !is_sent_away(&kept[1]));
}

/// The connection ends whatever it is asked, so it must not be asked to do anything.
#[test]
fn no_request_begins_on_a_connection_that_was_sent_away() {
    let places = Places::new(TOTAL);
    let now = Instant::now();
    let begin = |place: &Arc<Place>| place.begin(Interface::Operators, &"admin".into(), now);
    let stranger = places.admit();
    places.send_away(1);
    let kept: Vec<_> = (0..7).map(|_| places.admit()).collect();
    for place in &kept {
        assert!(begin(place).is_ok());
    }
    let idle = &kept[0];
    for sent_away in [&stranger, idle] {
        assert!(begin(sent_away).is_err());
        sent_away.become_stranger();
        assert!(begin(sent_away).is_err(), "after a request without one");
        assert!(is_sent_away(sent_away));
    }
    let again = begin(&kept[1]);
    assert!(again.is_ok() && !is_sent_away(&kept[1]));
    drop((again, kept, stranger));
    let taken = places.lock();
    assert!(taken.strangers.is_empty() && taken.groups.is_empty());
    assert_eq!((taken.edges, taken.operators), (0, 0));
}

#[test]
fn places_are_free_again_when_connections_end() {
    let places = Places::new(TOTAL);
    for interface in [Interface::Edges, Interface::Operators] {
        for _ in 0..3 {
            let busy = fill(&places, interface, "one");
            assert_eq!(busy.len(), places.limit_of_one(interface));
        }
    }
    let place = places.admit();
    for credential in ["one", "other", "one"] {
        for interface in [Interface::Edges, Interface::Operators] {
            drop(place.begin(interface, &credential.into(), Instant::now()));
        }
    }
    drop(place);
    let taken = places.lock();
    assert!(
        taken.strangers.is_empty() && taken.groups.is_empty(),
        "{taken:?}"
    );
    assert_eq!((taken.edges, taken.operators), (0, 0));
}
