//! Updates of the plugin's configuration while requests come in: the leader is replaced again and
//! again, and no request may show it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, Listener, Plugin, Request, assert_refused, module, until,
};

/// How updates reach Envoy, how often, and for how long.
struct Updates {
    way: Way,
    count: u32,
    /// How many of these go by without a revocation, so that only heartbeats keep the feed fresh.
    quiet: u32,
    interval: Duration,
    max_staleness: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Listeners that are replaced whole, and drain for so many seconds.
    Listeners(u32),
    /// The same, each with another module, and so with other machines.
    Modules(u32),
    /// The filter alone.
    Filter,
}

impl Updates {
    /// More often than heartbeats come, and for longer than `max_staleness`.
    const fn short(way: Way) -> Self {
        Self {
            way,
            count: 9,
            quiet: 6,
            interval: Duration::from_millis(1_500),
            max_staleness: "6s",
        }
    }

    /// As control planes push them, with the staleness of the defaults.
    const fn long(way: Way) -> Self {
        Self {
            way,
            count: 30,
            quiet: 20,
            interval: Duration::from_secs(2),
            max_staleness: "30s",
        }
    }
}

#[test]
fn updates_of_listeners_do_not_starve_the_feed() {
    thread::scope(|scope| {
        // For as long as Envoy lets them by default, and hardly at all.
        for drain in [600, 1] {
            scope.spawn(move || no_request_shows_it(&Updates::short(Way::Listeners(drain))));
        }
    });
}

#[test]
fn updates_of_the_filter_do_not_starve_the_feed() {
    no_request_shows_it(&Updates::short(Way::Filter));
}

#[test]
fn a_minute_of_updates_does_not_starve_the_feed() {
    if std::env::var_os("PORTCULLIS_LONG").is_none() {
        return;
    }
    thread::scope(|scope| {
        for way in [
            Way::Listeners(600),
            Way::Listeners(3),
            Way::Modules(3),
            Way::Filter,
        ] {
            scope.spawn(move || no_request_shows_it(&Updates::long(way)));
        }
    });
}

/// No unrevoked token is refused, no revoked one is let through, and revocations take effect as
/// fast as ever.
fn no_request_shows_it(updates: &Updates) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("filter.json");
    let authority = Authority::start();
    let realm = |number: u32| {
        let more = json!({"max_staleness": updates.max_staleness});
        let mut configuration = settings(&authority, &more);
        configuration["realm"] = format!("realm-{number}").into();
        configuration
    };
    let mut envoy = Envoy::start(&updates.bootstrap(&authority, &file, &realm(0)));
    let generations = || envoy.stat("wasmcustom.portcullis.feed.generations");
    until(|| envoy.log(), || generations() >= Some(1));
    for mut client in envoy.client_of_every_worker() {
        let innocent = Request::get("/api").bearer(session("innocent"));
        until(|| envoy.log(), || client.send(&innocent).status == 200);
    }
    let mut load = Load::default();
    for number in 1..=updates.count {
        let began = Instant::now();
        updates.replace(&mut envoy, &authority, &file, &realm(number));
        let name = format!("{:?}-{number}", updates.way);
        if number > updates.quiet {
            authority.revoke("session", &name);
            load.watch(&name);
        }
        // An update may take longer than that by itself, where a module has to be compiled.
        while began.elapsed() < updates.interval || load.watched.is_some() {
            load.ask(&mut envoy.client(), &envoy);
        }
    }
    assert!(load.watched.is_none(), "{:?} is late", load.watched);
    eprintln!(
        "{:?}: {} requests, revocations in force within {:?}",
        updates.way, load.count, load.slowest
    );
}

impl Updates {
    fn listener(&self, file: &Path, configuration: &Value) -> Listener {
        let mut plugin = Plugin::new(configuration);
        if let Way::Modules(_) = self.way {
            plugin = plugin.with_module(another_module(file));
        }
        let listener = Listener::portcullis(plugin);
        match self.way {
            Way::Listeners(_) | Way::Modules(_) => listener,
            Way::Filter => listener.discovering_its_filter(file),
        }
    }

    fn bootstrap(&self, authority: &Authority, file: &Path, configuration: &Value) -> Bootstrap {
        let listener = self.listener(file, configuration);
        if let Way::Filter = self.way {
            listener.write_filter(&module());
        }
        let bootstrap = Bootstrap::new([listener]).with_authority(authority.address());
        match self.way {
            Way::Listeners(drain) | Way::Modules(drain) => {
                bootstrap.with_replaceable_listeners().draining_for(drain)
            }
            Way::Filter => bootstrap,
        }
    }

    fn replace(&self, envoy: &mut Envoy, authority: &Authority, file: &Path, next: &Value) {
        match self.way {
            Way::Listeners(_) | Way::Modules(_) => {
                envoy.replace_listeners(&self.bootstrap(authority, file, next));
            }
            Way::Filter => self.listener(file, next).write_filter(&module()),
        }
    }
}

/// The module once more, which Envoy takes for another one: with one more custom section (WebAssembly
/// core specification, section 5.5.3), whose name is a number.
fn another_module(file: &Path) -> PathBuf {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = file.with_file_name(format!("{number}.wasm"));
    let mut bytes = fs::read(module()).expect("the module that was built");
    bytes.extend([0, 2, 1, b'0' + number % 75]);
    fs::write(&file, bytes).expect("a file to write");
    file
}

/// Requests, one after the other, and the state of the last revocation.
#[derive(Default)]
struct Load {
    count: u32,
    watched: Option<(String, Instant)>,
    slowest: Duration,
}

/// Within this time every worker has to know of a revocation, on a machine with other work to do.
const LATE: Duration = Duration::from_millis(1_400);

impl Load {
    fn watch(&mut self, name: &str) {
        assert!(self.watched.is_none(), "{:?} is late", self.watched);
        self.watched = Some((name.to_owned(), Instant::now()));
    }

    fn ask(&mut self, client: &mut Client, envoy: &Envoy) {
        let innocent = session(&format!("innocent-{}", self.count));
        let reply = client.send(&Request::get("/api").bearer(innocent));
        assert_eq!(reply.status, 200, "{reply:?} {}", envoy.log());
        self.count += 1;
        let Some((name, since)) = &self.watched else {
            thread::sleep(Duration::from_millis(5));
            return;
        };
        let reply = client.send(&Request::get("/api").bearer(session(name)));
        let age = since.elapsed();
        assert!(age < LATE, "{name} is not in force after {age:?}");
        if reply.status != 200 {
            assert_refused(&reply, 401, "token_revoked");
            self.slowest = self.slowest.max(age);
            self.watched = None;
        }
    }
}
