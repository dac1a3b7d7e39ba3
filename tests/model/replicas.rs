//! Three authorities on one database, and edges that ask now one of them and now another.
//!
//! What is asked for is asked of any of them, and of the next one where one does not answer, as Envoy does with
//! the example's retries. Meanwhile, one at a time is killed, paused for longer than its leases, or cut off
//! from the database, and each sees the database later than the others. What an authority acknowledged is
//! known to all of them from then on, whoever asks with what it knows.

use std::cell::{Cell, RefCell};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::edge::{Authorities, Edge, position_in};
use super::machine::Position;
use super::postgres::Server;
use super::support::{Authority, PATIENCE, Random};
use super::table::{MARGIN, Table};
use super::way::Way;
use super::{Tally, act, finish};

const DATABASE: &str = "model";

/// The `--lease` of the authorities, in seconds.
const LEASE: u64 = 2;

/// Milliseconds that one is away at most: longer than its leases, now and then.
const LONGEST: usize = 3_500;

/// Milliseconds by which one may see the database later.
const LATEST: usize = 25;

/// Of so many steps, one is the beginning of a trouble, where there is none.
const TROUBLE: usize = 8;

/// At least so many requests are refused by an authority that is behind, or the run goes on.
pub(crate) const LEAST_REFUSED: usize = 10;

/// So many times as long, at most.
const LONGER: usize = 10;

/// So many of the requests after a pause are for the one that was paused.
const FIRST_OF_ALL: u32 = 20;

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) killed: usize,
    pub(crate) paused: usize,
    pub(crate) cut_off: usize,
    /// Requests that were asked of another authority.
    pub(crate) asked_again: usize,
    /// How often an authority has become the keeper.
    pub(crate) keepers: u64,
}

/// What is wrong with one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Killed,
    Paused,
    CutOff,
}

/// Authorities on one database.
struct Group {
    server: Server,
    members: Vec<Authority>,
    ways: Vec<Way>,
    epoch: u64,
    /// The last change that was acknowledged, as of the last look.
    acknowledged: Cell<u64>,
    /// What is wrong, with whom, and until when.
    trouble: Option<(Trouble, usize, Instant)>,
    random: RefCell<Random>,
    /// The one that was paused, and how often it is still asked first.
    resumed: Cell<(usize, u32)>,
    asked_again: Cell<usize>,
}

pub(crate) fn run(seed: u64, steps: usize) -> (Troubles, Tally) {
    let mut random = Random::seeded(seed);
    let mut group = Group::start(seed);
    let (mut table, mut tally) = (Table::of_slow_ones(), Tally::default());
    let mut troubles = Troubles::default();
    let mut edges = vec![Edge::new(&group, 1, "30s")];
    let mut step = 0;
    // What meets whom depends on the machine's speed: which troubles there are, whether they hit the keeper,
    // and how many requests meet an authority that has to refuse them.
    while step < steps || (!group.has_seen_all(&troubles) && step < LONGER * steps) {
        step += 1;
        group.trouble_or_peace(&mut troubles);
        match random.below(104) {
            100..103 => edges.push(Edge::new(&group, random.next(), "30s")),
            103.. => thread::sleep(Duration::from_secs(1)),
            other => {
                let context = format!("seed {seed}, step {step}, {:?}", group.trouble);
                let past = (&mut random, &mut table, &mut tally);
                act(other, past, &group, &mut edges, &context);
            }
        }
    }
    group.end_trouble();
    finish(seed, (&mut random, &table), &group, &mut edges, &mut tally);
    troubles.asked_again = group.asked_again.get();
    troubles.keepers = group.keepers();
    group.expect_one_line();
    (troubles, tally)
}

impl Group {
    fn start(seed: u64) -> Self {
        let server = Server::start();
        server.database(DATABASE);
        let ways: Vec<Way> = (0..3).map(|_| Way::to(server.port())).collect();
        let (margin, lease) = (format!("{MARGIN}s"), format!("{LEASE}s"));
        let stores: Vec<String> = ways.iter().map(store_over).collect();
        let first = Authority::for_users(&[
            "--store",
            &stores[0],
            "--lease",
            &lease,
            "--generation-interval",
            "1s",
            "--danger-expiry-margin",
            &margin,
        ]);
        let others: Vec<_> = stores[1..]
            .iter()
            .map(|store| first.start_beside_over(store))
            .collect();
        let (epoch, _) = position_in(&first.stats());
        Self {
            server,
            members: [first].into_iter().chain(others).collect(),
            ways,
            epoch,
            acknowledged: Cell::new(0),
            trouble: None,
            random: RefCell::new(Random::seeded(seed)),
            resumed: Cell::new((0, 0)),
            asked_again: Cell::new(0),
        }
    }

    /// Begins a trouble now and then, and ends it when its time has come.
    fn trouble_or_peace(&mut self, troubles: &mut Troubles) {
        match self.trouble {
            Some((.., end)) if Instant::now() >= end => return self.end_trouble(),
            Some(_) => return,
            None => {}
        }
        let random = self.random.get_mut();
        if random.below(TROUBLE) > 0 {
            return;
        }
        let index = random.below(self.members.len());
        let delay = random.below(LATEST) as u64;
        let length = Duration::from_millis(random.below(LONGEST) as u64);
        let begun = troubles.killed + troubles.paused + troubles.cut_off;
        let trouble = [Trouble::Killed, Trouble::Paused, Trouble::CutOff][begun % 3];
        self.ways[random.below(self.members.len())].delay(delay);
        match trouble {
            Trouble::Killed => {
                self.members[index].kill();
                troubles.killed += 1;
            }
            Trouble::Paused => {
                self.members[index].signal("STOP");
                troubles.paused += 1;
            }
            Trouble::CutOff => {
                self.ways[index].silence();
                troubles.cut_off += 1;
            }
        }
        self.trouble = Some((trouble, index, Instant::now() + length));
    }

    fn end_trouble(&mut self) {
        let Some((trouble, index, _)) = self.trouble.take() else {
            return;
        };
        match trouble {
            Trouble::Killed => self.members[index].restart(),
            Trouble::Paused => {
                self.members[index].signal("CONT");
                self.resumed.set((index, FIRST_OF_ALL));
            }
            Trouble::CutOff => {
                if self.random.get_mut().below(2) == 0 {
                    self.ways[index].reset();
                }
                self.ways[index].pass();
            }
        }
    }

    /// The authorities that can be asked, from any of them on, but one that was paused first.
    fn in_turn(&self) -> Vec<&Authority> {
        let is_away = |index: usize| match self.trouble {
            Some((Trouble::Killed | Trouble::Paused, away, _)) => index == away,
            _ => false,
        };
        let mut indices: Vec<usize> = (0..self.members.len())
            .filter(|index| !is_away(*index))
            .collect();
        let turn = self.random.borrow_mut().below(indices.len());
        indices.rotate_left(turn);
        let (resumed, times) = self.resumed.get();
        if times > 0 {
            self.resumed.set((resumed, times - 1));
            indices.sort_by_key(|index| *index != resumed);
        }
        indices.iter().map(|index| &self.members[*index]).collect()
    }

    /// Asks one, and another one where that one cannot answer.
    fn asked<T>(&self, ask: impl Fn(&Authority) -> (u16, T)) -> (u16, T) {
        let end = Instant::now() + PATIENCE;
        loop {
            for authority in self.in_turn() {
                let (status, answer) = ask(authority);
                if status != 503 {
                    return (status, answer);
                }
                self.asked_again.set(self.asked_again.get() + 1);
            }
            let logs: Vec<_> = self.members.iter().map(Authority::log).collect();
            assert!(Instant::now() < end, "none answers: {logs:?}");
        }
    }

    /// Whether everything has happened that a run is for.
    fn has_seen_all(&self, troubles: &Troubles) -> bool {
        let least = troubles.killed.min(troubles.paused).min(troubles.cut_off);
        least > 0 && self.asked_again.get() >= LEAST_REFUSED && self.keepers() > 1
    }

    /// How often an authority has become the keeper.
    fn keepers(&self) -> u64 {
        self.ask("SELECT fence FROM portcullis.lease")
    }

    /// A number in the database.
    fn ask(&self, statement: &str) -> u64 {
        let answer = self.server.ask(DATABASE, statement);
        answer.parse().expect("a number")
    }

    /// The changes have followed one another, and none has begun an epoch.
    fn expect_one_line(&self) {
        let gaps = "SELECT max(sequence) - min(sequence) + 1 - count(*) FROM portcullis.log";
        assert_eq!(self.ask(gaps), 0);
        for member in &self.members {
            assert_eq!(position_in(&member.stats()).0, self.epoch);
        }
    }
}

impl Authorities for Group {
    fn settings(&self) -> Value {
        self.members[0].settings()
    }

    fn head(&self) -> Position {
        let sequence = self.ask("SELECT sequence FROM portcullis.state");
        self.acknowledged.set(sequence);
        (self.epoch, sequence)
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.asked(|authority| authority.request(path))
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.asked(|authority| authority.post(path, body))
    }

    /// One that was interrupted is finished, or thrown away, before there is room for another one.
    fn import(&self, lines: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.asked(|authority| authority.try_import(lines));
            if status == 200 {
                return;
            }
            assert!(status == 409 && Instant::now() < end, "{status}: {answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_revoked(&self, check: &Value) -> bool {
        let mut check = check.clone();
        check["epoch"] = json!(self.epoch);
        check["at_least"] = json!(self.acknowledged.get());
        let (status, answer) = self.post("/v1/check", &check.to_string());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["revoked"].as_bool().expect("a verdict")
    }
}

/// The address of the database over this way.
fn store_over(way: &Way) -> String {
    format!("postgres://portcullis@127.0.0.1:{}/{DATABASE}", way.port())
}
