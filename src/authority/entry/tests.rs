use super::*;

fn entry() -> Entry {
    let event = |action, time| Event {
        time,
        action,
        actor: "operator".into(),
        reason: "lost telephone – gestohlen".into(),
    };
    Entry {
        in_force: true,
        cause: Cause::Plain,
        expires_at: UnixTime::from_seconds(7).unwrap(),
        sequence: 9,
        not_before: UnixTime::MAX,
        except: Some(ExceptedSession {
            session: "session".into(),
            from: UnixTime::from_seconds(3).unwrap(),
        }),
        events: vec![event(Action::Revoked, 1), event(Action::Restored, u64::MAX)],
        ..Entry::new(Target {
            kind: Kind::Subject,
            issuer: "https://issuer.example".into(),
            value: "alice".into(),
            qualifier: String::new(),
        })
    }
}

#[test]
fn an_entry_comes_back_as_it_was() {
    for (kind, cause) in Kind::ALL.into_iter().zip(Cause::ALL.into_iter().cycle()) {
        let mut entry = entry();
        (entry.target.kind, entry.cause) = (kind, cause);
        assert_eq!(Entry::decode(&entry.encode()), Some(entry.clone()));
        let expected = Summary {
            kind,
            in_force: true,
            cause,
            expires_at: entry.expires_at,
            not_before: entry.not_before,
        };
        assert_eq!(summary(&entry.encode()), Some(expected));
    }
}

#[test]
fn a_row_of_an_earlier_version_has_neither_a_qualifier_nor_origins() {
    let row = entry().encode();
    assert_eq!(row[0], VERSION);
    let decoded = Entry::decode(&row).unwrap();
    assert_eq!(
        (decoded.target.qualifier.as_str(), decoded.origins.len()),
        ("", 0)
    );
    let unnamed = Entry {
        origins: vec![named(UNNAMED)],
        ..entry()
    };
    assert_eq!(unnamed.encode(), row, "which says the same");
    let of_one = Entry {
        origins: vec![named("a")],
        ..entry()
    };
    assert_eq!(of_one.encode()[0], VERSION_WITH_ORIGINS);
    assert_eq!(Entry::decode(&of_one.encode()), Some(of_one));
}

fn named(name: &str) -> Origin {
    Origin::named(name.into())
}

#[test]
fn an_origin_takes_back_what_has_happened_before_and_nothing_later() {
    let at = |seconds| Origin {
        at: UnixTime::from_seconds(seconds),
        ..named("a")
    };
    let entry = || {
        let mut entry = Entry::new(entry().target);
        assert!(entry.add_origin(Some(&at(10))));
        entry.in_force = true;
        entry
    };
    for (by, expected) in [
        (at(9), None),
        (at(10), Some(false)),
        (at(11), Some(false)),
        (named("a"), Some(false)),
        (named("b"), None),
    ] {
        assert_eq!(entry().remove_origin(&by), expected, "{by:?}");
    }
    let mut again = entry();
    assert!(!again.add_origin(Some(&at(9))) && !again.add_origin(Some(&named("a"))));
    assert!(again.add_origin(Some(&at(12))), "it is more to be known");
    assert_eq!(again.remove_origin(&at(11)), None);
    assert_eq!(again.origins, [at(12)]);
}

#[test]
fn an_entry_remembers_so_many_origins_and_with_more_none_can_take_it_back() {
    let mut entry = Entry {
        in_force: true,
        ..Entry::new(entry().target)
    };
    assert!(
        !entry.add_origin(None),
        "it was revoked by nothing that has a name"
    );
    assert!(entry.add_origin(Some(&named("a"))));
    assert_eq!(entry.origins, [named(UNNAMED), named("a")]);
    assert!(!entry.add_origin(Some(&named("a"))));
    let mut of_many = Entry {
        in_force: false,
        ..Entry::new(entry.target.clone())
    };
    for number in 0..20 {
        of_many.add_origin(Some(&named(&number.to_string())));
        of_many.in_force = true;
    }
    assert_eq!(of_many.origins.len(), MAX_ORIGINS);
    let numbers = (0..20).map(|number: u8| named(&number.to_string()));
    let left = numbers.filter_map(|origin| of_many.remove_origin(&origin));
    assert!(
        left.eq([true; MAX_ORIGINS - 1]),
        "none of them was the last"
    );
}

#[test]
fn a_row_cut_anywhere_or_too_long_is_none() {
    for cause in [Cause::Plain, Cause::Idle, Cause::Displaced, Cause::TooOld] {
        let mut row = Entry { cause, ..entry() };
        if cause == Cause::Displaced {
            (row.target.kind, row.target.qualifier) = (Kind::Claim, "tenant".into());
            row.origins = vec![named(UNNAMED), named("https://idp.example compliance")];
        }
        if cause == Cause::TooOld {
            let at = UnixTime::from_seconds(5);
            row.origins = vec![named(UNNAMED), Origin { at, ..named("a") }];
            assert_eq!(row.encode()[0], VERSION_WITH_INSTANTS);
        }
        assert_eq!(Entry::decode(&row.encode()), Some(row.clone()));
        let mut row = row.encode();
        for length in 0..row.len() {
            assert_eq!(Entry::decode(&row[..length]), None, "{length} bytes");
        }
        row.push(0);
        assert_eq!(Entry::decode(&row), None);
    }
}

#[test]
fn a_cause_of_a_newer_version_is_plain_and_one_of_a_newer_row_is_none() {
    let mut row = Entry {
        cause: Cause::Suspicious,
        ..entry()
    }
    .encode();
    row[3] = u8::MAX;
    assert_eq!(Entry::decode(&row), Some(entry()));
    row[0] = VERSION_WITH_INSTANTS + 1;
    assert_eq!((Entry::decode(&row), summary(&row)), (None, None));
}

#[test]
fn a_long_history_keeps_its_beginning_and_its_end() {
    let mut entry = entry();
    for time in 0..100 {
        entry.note(Event {
            time,
            ..entry.events[0].clone()
        });
    }
    assert_eq!(entry.events.len(), MAX_EVENTS);
    assert_eq!(entry.events[0].time, 1);
    assert_eq!(entry.events.last().unwrap().time, 99);
    assert_eq!(Entry::decode(&entry.encode()), Some(entry));
}
