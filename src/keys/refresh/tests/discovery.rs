//! Sets that a discovery document leads to.

use super::*;

fn discovered() -> RemoteKeys {
    RemoteKeys {
        source: RemoteSource::Discovery {
            document: Url {
                authority: "issuer.example".into(),
                path: "/.well-known/openid-configuration".into(),
            },
            issuer: "https://issuer.example".into(),
        },
        ..settings()
    }
}

impl Process {
    /// Answers with a document that leads to this path, and from there with a set; says with which
    /// headers the set was asked for.
    fn discover(&mut self, path: &str, set: &str) -> Call {
        let uri = format!("https://issuer.example{path}");
        let document = json!({"issuer": "https://issuer.example", "jwks_uri": uri});
        let call = self.answer(0, 200, &[], &document.to_string());
        assert_eq!(call.path, "/.well-known/openid-configuration");
        let call = self.answer(0, 200, &[], set);
        assert_eq!(call.path, path);
        self.tick();
        call
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_discovery_document_is_read_again_with_every_fetch() {
    let mut process = Process::with(&discovered());
    process.tick();
    process.discover("/keys", &old_set());
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.discover("/moved", &new_set());
    assert!(process.both_have(&new_set()));
    process.later(5_000);
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.time_to_call(Duration::from_secs(1)).unwrap();
    let call = process.discover("/moved/again", &old_set());
    assert!(
        call.headers
            .contains(&("cache-control", "no-cache".to_owned()))
    );
    assert!(process.both_have(&old_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_are_as_of_the_time_when_the_discovery_document_was_asked_for() {
    let mut process = Process::with(&discovered());
    process.tick();
    let began_at = process.now.get();
    process.later(1_000);
    process.discover("/keys", &old_set());
    assert_eq!(process.machines[1].as_of(process.now.get()), began_at);
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.answer(0, 404, &[], "");
    process.tick();
    assert_eq!(process.machines[1].as_of(process.now.get()), began_at);
}
