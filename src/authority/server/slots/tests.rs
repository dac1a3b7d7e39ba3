use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Operators 8, one of them 6; edges 20, one of them 16.
const TOTAL: usize = 32;

fn is_sent_away(slot: &ConnectionSlot) -> bool {
    let mut sent_away = std::pin::pin!(slot.sent_away());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    sent_away.as_mut().poll(&mut context).is_ready()
}

/// Connections on which this credential is being answered, as many as it can have.
fn fill(slots: &Arc<ConnectionSlots>, interface: Interface, credential: &str) -> Vec<Busy> {
    let begin = || {
        slots
            .admit(HERE)
            .begin(interface, &credential.into(), Instant::now())
    };
    std::iter::from_fn(|| begin().ok()).collect()
}

#[test]
fn the_oldest_strangers_make_room_and_no_caller_with_a_credential() {
    let slots = ConnectionSlots::new(TOTAL);
    let known = slots.admit(HERE);
    let busy = known.begin(Interface::Edges, &"edge".into(), Instant::now());
    let strangers: Vec<_> = (0..3).map(|_| slots.admit(HERE)).collect();
    drop(slots.admit(HERE));
    slots.send_away(1);
    assert!(is_sent_away(&strangers[0]) && !is_sent_away(&strangers[1]));
    slots.send_away(5);
    assert!(strangers[1..].iter().all(|slot| is_sent_away(slot)));
    assert!(!is_sent_away(&known));
    drop(busy);
    known.become_stranger();
    slots.send_away(1);
    assert!(is_sent_away(&known), "whose credential is gone");
}

/// A provider is served while another network opens one connection after the other.
#[test]
fn a_network_with_many_connections_takes_none_from_another() {
    let slots = ConnectionSlots::new(TOTAL);
    let provider: Vec<_> = (1..=4)
        .map(|_| slots.admit([192, 0, 2, 1].into()))
        .collect();
    let others: Vec<_> = (0..28).map(|_| slots.admit(HERE)).collect();
    let requests: Vec<_> = others.iter().map(ConnectionSlot::request).collect();
    slots.send_away(20);
    assert!(!provider.iter().any(|slot| is_sent_away(slot)));
    assert!(others[..20].iter().all(|slot| is_sent_away(slot)));
    drop(requests);
}

/// Of many networks, as which one forger can appear.
#[test]
fn a_connection_with_a_request_in_progress_is_spared() {
    let slots = ConnectionSlots::new(TOTAL);
    let provider = slots.admit([192, 0, 2, 1].into());
    let request = provider.request();
    let others: Vec<_> = (0..TOTAL)
        .map(|number| {
            let number = u32::try_from(number).unwrap();
            slots.admit(Ipv4Addr::from_bits(number).into())
        })
        .collect();
    slots.send_away(TOTAL - 1);
    assert!(!is_sent_away(&provider));
    provider.become_stranger();
    drop(request);
    slots.send_away(1);
    assert!(is_sent_away(&provider));
    drop((provider, others));
    assert!(slots.lock().strangers.is_empty());
}

#[test]
fn no_credential_and_no_interface_takes_all_slots() {
    let slots = ConnectionSlots::new(TOTAL);
    let edges = fill(&slots, Interface::Edges, "a");
    assert_eq!(edges.len(), 16);
    let others = fill(&slots, Interface::Edges, "b");
    assert_eq!(others.len(), 4);
    assert!(fill(&slots, Interface::Edges, "c").is_empty());
    let admins = fill(&slots, Interface::Operators, "a");
    assert_eq!(admins.len(), 6);
    assert_eq!(fill(&slots, Interface::Operators, "b").len(), 2);
    let known = edges.len() + others.len() + admins.len() + 2;
    assert!(known + TOTAL / 8 <= TOTAL, "an eighth is left");
    drop(edges);
    assert_eq!(fill(&slots, Interface::Edges, "c").len(), 16);
}

#[test]
fn an_idle_connection_makes_room_and_a_busy_one_does_not() {
    let slots = ConnectionSlots::new(TOTAL);
    let start = Instant::now();
    let begin =
        |slot: &Arc<ConnectionSlot>, interface, now| slot.begin(interface, &"admin".into(), now);
    let kept: Vec<_> = (0..40).map(|_| slots.admit(HERE)).collect();
    for slot in &kept {
        assert!(begin(slot, Interface::Operators, start).is_ok());
    }
    assert!(kept[..34].iter().all(|slot| is_sent_away(slot)));
    assert!(!kept[34..].iter().any(|slot| is_sent_away(slot)));
    drop(kept);

    let kept: Vec<_> = (0..16).map(|_| slots.admit(HERE)).collect();
    for slot in &kept {
        assert!(begin(slot, Interface::Edges, start).is_ok());
    }
    let newcomer = slots.admit(HERE);
    assert_eq!(
        begin(&newcomer, Interface::Edges, start).err(),
        Some(Full { limit: 16 })
    );
    let later = Instant::now() + PATIENCE;
    let busy = begin(&newcomer, Interface::Edges, later);
    assert!(busy.is_ok() && is_sent_away(&kept[0]) && !is_sent_away(&kept[1]));
}

/// The connection is about to end, so no request may begin on it.
#[test]
fn no_request_begins_on_a_connection_that_was_sent_away() {
    let slots = ConnectionSlots::new(TOTAL);
    let now = Instant::now();
    let begin = |slot: &Arc<ConnectionSlot>| slot.begin(Interface::Operators, &"admin".into(), now);
    let stranger = slots.admit(HERE);
    slots.send_away(1);
    let kept: Vec<_> = (0..7).map(|_| slots.admit(HERE)).collect();
    for slot in &kept {
        assert!(begin(slot).is_ok());
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
    let taken = slots.lock();
    assert!(taken.strangers.is_empty() && taken.groups.is_empty());
    assert_eq!((taken.edges, taken.operators), (0, 0));
}

#[test]
fn slots_are_free_again_when_connections_end() {
    let slots = ConnectionSlots::new(TOTAL);
    for interface in [Interface::Edges, Interface::Operators] {
        for _ in 0..3 {
            let busy = fill(&slots, interface, "one");
            assert_eq!(busy.len(), slots.limit_of_one(interface));
        }
    }
    let slot = slots.admit(HERE);
    for credential in ["one", "other", "one"] {
        for interface in [Interface::Edges, Interface::Operators] {
            drop(slot.begin(interface, &credential.into(), Instant::now()));
        }
    }
    drop(slot);
    let taken = slots.lock();
    assert!(
        taken.strangers.is_empty() && taken.groups.is_empty(),
        "{taken:?}"
    );
    assert_eq!((taken.edges, taken.operators), (0, 0));
}
