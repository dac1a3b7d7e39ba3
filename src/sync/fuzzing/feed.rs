//! What holds whatever anybody has written over the feed's records in shared data.

use super::*;

/// Writes over the records of a feed, one after the other: which record, how, and with what, each
/// behind a byte that says how long it is.
///
/// Unless a record was forged whole, checksum and all, nothing that was revoked is ever "not
/// revoked", neither for those who held the state before nor for those who come later; tokens that
/// were revoked meanwhile leave the caches; and the authority's next answers put everything right
/// again.
pub fn shared_feed(bytes: &[u8]) {
    let process = MockProcess::default();
    let [mut leader, mut other, mut behind, mut late] = [(); 4].map(|()| follower());
    settle(&process, &mut leader, false);
    behind.follower.on_tick(&process, false);
    settle(&process, &mut leader, true);
    other.follower.on_tick(&process, false);
    assert!(other.knows_all(&process), "the feed as it was written");
    let is_forged = meddle(&process, bytes);
    let dropped = behind.follower.on_tick(&process, false);
    assert!(is_forged || drops_what_was_revoked(dropped.as_ref()));
    for edge in [&mut other, &mut late] {
        for _ in 0..2 {
            assert!(is_forged || edge.lets_nothing_through(&process));
            edge.follower.on_tick(&process, false);
        }
    }
    for round in 0..10 {
        process.pass(11_000);
        settle(&process, &mut leader, true);
        other.follower.on_tick(&process, false);
        // What is wrong may come out only with the next change or the next generation.
        if round >= 3 && other.knows_all(&process) {
            return;
        }
    }
    assert!(is_forged, "the feed is not put right again");
}

/// Writes over the records, and says whether one of them was forged.
fn meddle(process: &MockProcess, bytes: &[u8]) -> bool {
    let places: Vec<String> = process.keys();
    let genuine: Vec<Vec<u8>> = places.iter().map(|key| value(process, key)).collect();
    let mut rest = bytes;
    while let [place, how, length, tail @ ..] = rest {
        let place = usize::from(*place) % places.len();
        let (with, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        let written = overwritten(&places[place], &genuine, place, *how, with);
        process.set_shared(&places[place], &written, Expected::Anything);
        rest = tail;
    }
    let mut records = places.iter().zip(&genuine);
    records.any(|(key, genuine)| is_forged(key, genuine, &value(process, key)))
}

/// Whether a virtual machine that missed the change forgets the token that it revoked.
fn drops_what_was_revoked(purge: Option<&Purge>) -> bool {
    let revoked = name(Kind::Token, "revoked since");
    match purge {
        Some(Purge::Everything) => true,
        Some(Purge::Named(names)) => names.contains(&revoked),
        None => false,
    }
}

/// A virtual machine that follows the feed.
struct Edge {
    view: Rc<View>,
    follower: Follower,
}

impl Edge {
    fn statuses(&self, process: &MockProcess) -> [Status; 3] {
        let of = |kind, value: &str| {
            let (status, _) = self.view.status(process, |state| {
                let mut names = Names::default();
                names.add(&state.filter_key, kind, "issuer", value);
                names
            });
            status
        };
        [
            of(Kind::Token, "revoked before"),
            of(Kind::Token, "revoked since"),
            of(Kind::Subject, "signed out"),
        ]
    }

    fn knows_all(&self, process: &MockProcess) -> bool {
        let expected = [
            Status::PossiblyRevoked,
            Status::PossiblyRevoked,
            Status::CutOff,
        ];
        self.statuses(process) == expected
    }

    fn lets_nothing_through(&self, process: &MockProcess) -> bool {
        !self.statuses(process).contains(&Status::NotRevoked)
    }
}

fn follower() -> Edge {
    let (_, keys) = signed(Signable::Batch, &[]);
    let view = Rc::new(View::new(Namespace::example(), keys.clone()));
    let source = FeedSource {
        cluster: "authority".into(),
        authority: "authority".into(),
        credential: "edge".into(),
        keys,
        heartbeat: Duration::from_secs(10),
        reload_jitter: Duration::from_secs(1),
        max_staleness: Duration::from_secs(30),
    };
    Edge {
        follower: Follower::new(source, Rc::clone(&view)),
        view,
    }
}

/// Lets the leader look, and the authority answer, until nothing more is asked.
fn settle(process: &MockProcess, leader: &mut Edge, has_changed: bool) {
    leader.follower.on_tick(process, true);
    for _ in 0..20 {
        let calls = process.calls.take();
        if calls.is_empty() {
            break;
        }
        for (id, call) in calls {
            let answer = CallOutcome::Answered {
                status: 200,
                headers: Vec::new(),
                body: answer(&call.path, has_changed),
            };
            leader.follower.on_response(process, id, &answer);
        }
    }
    leader.follower.on_tick(process, true);
}

fn name(kind: Kind, value: &str) -> Fingerprint {
    FILTER_KEY.fingerprint(kind, "issuer", value)
}

/// What an authority says that has published one generation and, perhaps, made one change since.
fn answer(path: &str, has_changed: bool) -> Vec<u8> {
    let pages = {
        let mut pages = vec![0; 2 * PAGE_BYTES];
        let revoked = name(Kind::Token, "revoked before");
        let start = page_of(revoked, 2) as usize * PAGE_BYTES;
        insert(&mut pages[start..start + PAGE_BYTES], revoked);
        pages
    };
    let cut_offs = cut_off::encode(&[CutOff {
        key: name(Kind::Subject, "signed out"),
        not_before: UnixTime::MAX,
        except: None,
    }]);
    let manifest = generation(&pages, 2, &cut_offs);
    if path == "/v1/feed/manifest" {
        return signed(Signable::Manifest, &manifest.encode()).0;
    }
    if let Some(segment) = path.strip_prefix("/v1/feed/segments/2/") {
        return if segment == "0" { pages } else { cut_offs };
    }
    let parameter = |name: &str| {
        let pairs = path
            .split(['?', '&'])
            .filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name);
        values.next().unwrap().1
    };
    let change = Change::Add(name(Kind::Token, "revoked since"));
    let parameter = |name: &str| -> u64 { parameter(name).parse().unwrap() };
    let (chain, changes) = if parameter("after") == manifest.sequence {
        (manifest.chain, vec![change])
    } else {
        (manifest.chain.followed_by(&change), Vec::new())
    };
    let changes = if has_changed { changes } else { Vec::new() };
    let batch = Batch {
        nonce: parameter("nonce"),
        time: NOW,
        epoch: 1,
        generation: 2,
        head: manifest.sequence + u64::from(has_changed),
        after: parameter("after"),
        chain,
        changes,
        evidence: Evidence([5; 72]),
    };
    signed(Signable::Batch, &batch.encode()).0
}

fn value(process: &MockProcess, key: &str) -> Vec<u8> {
    process.shared(key).unwrap().bytes
}

/// Bytes of a sealed record before its payload.
const SEALED_HEADER_BYTES: usize = 20;

/// The name of the record with this key, if it is one that is sealed and not a page or a bucket.
fn sealed_name(key: &str) -> Option<&str> {
    let name = key.strip_prefix(Namespace::example().prefix()).unwrap();
    let is_large = name.starts_with("page/") || name.starts_with("bucket/");
    (!is_large).then_some(name)
}

/// Bytes of a page's or a bucket's record before its checksum.
const HEADER_BYTES: usize = 32;

/// What somebody writes in the place of a record.
fn overwritten(key: &str, genuine: &[Vec<u8>], place: usize, how: u8, with: &[u8]) -> Vec<u8> {
    let mut record = genuine[place].clone();
    let (start, rest) = with.split_first_chunk().unwrap_or((&[0; 2], with));
    let start = usize::from(u16::from_le_bytes(*start)) % record.len();
    match how % 5 {
        0 => return with.to_vec(),
        1 => {
            for (to, from) in record[start..].iter_mut().zip(rest) {
                *to ^= from;
            }
        }
        2 => return genuine[start % genuine.len()].clone(),
        3 => record.truncate(start),
        // Forged: right in everything but what it says.
        _ => {
            let Some(name) = sealed_name(key) else {
                let header = &genuine[place][..HEADER_BYTES];
                let checksum = Namespace::example().checksum(&[header, rest]);
                return [header, &checksum.to_le_bytes(), rest].concat();
            };
            let mut payload = record[SEALED_HEADER_BYTES..].to_vec();
            let start = start.min(payload.len());
            for (to, from) in payload[start..].iter_mut().zip(rest) {
                *to ^= from;
            }
            return Namespace::example().seal(name, &payload);
        }
    }
    record
}

/// Whether a record is not what it was and yet has everything that makes it believed. That takes
/// the secret of the filter, which only who may read our memory has.
fn is_forged(key: &str, genuine: &[u8], found: &[u8]) -> bool {
    if found == genuine {
        return false;
    }
    if let Some(name) = sealed_name(key) {
        return Namespace::example().open(name, found).is_some();
    }
    let (header, _) = genuine.split_at(HEADER_BYTES);
    let body = found.strip_prefix(header);
    let sealed = body.and_then(|body| body.split_first_chunk());
    sealed.is_some_and(|(checksum, body)| {
        u64::from_le_bytes(*checksum) == Namespace::example().checksum(&[header, body])
    })
}
