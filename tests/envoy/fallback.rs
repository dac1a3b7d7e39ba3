//! A host without `verify_signature`: the module checks signatures itself.

use crate::support::{Bootstrap, Envoy, Plugin, Request, Token, configuration};

#[test]
fn verdicts_are_the_same_where_the_module_checks_the_signatures() {
    let plugin = Plugin::new(&configuration());
    let host = Envoy::start(&Bootstrap::with_plugin(plugin.clone()));
    let restricted = plugin.without_capability("proxy_call_foreign_function");
    let module = Envoy::start(&Bootstrap::with_plugin(restricted));
    assert_checked_by(&host, "host");
    assert_checked_by(&module, "module");

    for (key, other) in [
        ("rs256", "rs256-other"),
        ("es256", "es256-other"),
        ("eddsa", "eddsa-other"),
    ] {
        let genuine = Token::signed_by(key);
        let key_id = format!("test-{key}");
        let text = genuine.to_string();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let changed = flipped(signature);
        let longer = format!("{signature}AAAA");
        let tokens = [
            ("genuine", 200, text.clone()),
            (
                "without a key id",
                200,
                genuine.clone().without_header("kid").to_string(),
            ),
            ("expired", 401, genuine.clone().expiring_in(-90).to_string()),
            (
                "forged",
                401,
                Token::signed_by(other).header("kid", key_id).to_string(),
            ),
            ("a changed signature", 401, format!("{signed}.{changed}")),
            ("a longer signature", 401, format!("{signed}.{longer}")),
            (
                "a shorter signature",
                401,
                format!("{signed}.{}", &signature[..40]),
            ),
            ("an empty signature", 401, format!("{signed}.")),
            (
                "a signature of zeros",
                401,
                format!("{signed}.{}", "A".repeat(signature.len())),
            ),
        ];
        for (what, status, token) in tokens {
            let request = Request::get("/api").bearer(token);
            let [by_host, by_module] = [&host, &module].map(|envoy| envoy.client().send(&request));
            assert_eq!(by_host.status, status, "{key}, {what}: {by_host:?}");
            assert_eq!(by_module.status, status, "{key}, {what}: {by_module:?}");
            if status != 200 {
                assert_eq!(by_host.body, by_module.body, "{key}, {what}");
            }
        }
    }
}

/// Otherwise a restriction that Envoy ignores would let this test pass for nothing.
fn assert_checked_by(envoy: &Envoy, who: &str) {
    let log = envoy.log();
    let version = env!("CARGO_PKG_VERSION");
    let told = format!("portcullis {version}: RSA and ECDSA signatures are checked by the {who}");
    assert!(log.contains(&told), "no `{told}` in:\n{log}");
}

/// With another character in its middle.
fn flipped(signature: &str) -> String {
    let (start, rest) = signature.split_at(signature.len() / 2);
    let flipped = if rest.starts_with('A') { 'B' } else { 'A' };
    format!("{start}{flipped}{}", &rest[1..])
}
