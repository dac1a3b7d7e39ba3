//! What must not be shown, in messages of tests and logs alike.

use super::{Document, files};

/// Parts of the names of members that hold what lets its holder in, or may hold it.
const SECRET: [&str; 8] = [
    "token",
    "secret",
    "cookie",
    "credential",
    "password",
    "body",
    "headers",
    "bytes",
];

/// Text and bytes, however they are held.
const READABLE: [&str; 5] = ["String", "str", "Vec<u8>", "[u8", "Bytes"];

/// Members with such a name that hold nothing of the kind, with the reason.
const HARMLESS: [(&str, &str, &str); 20] = [
    ("Response", "body", "a problem, or a list of sessions"),
    (
        "CallOutcome",
        "body",
        "an answer of the authority or of a server of keys",
    ),
    (
        "SharedValue",
        "bytes",
        "a record, which is sealed or public",
    ),
    ("OwnHeaders", "tokens", "names of headers"),
    ("VerifiedToken", "token_type", "the header `typ`"),
    ("User", "token_type", "the header `typ`"),
    (
        "ClientCredentials",
        "token_endpoint",
        "where tokens are asked for",
    ),
    (
        "OAuth",
        "secrets",
        "names of clients, each with a type that shows nothing",
    ),
    ("Voice", "credential", "its name"),
    ("Holder", "credential", "its name"),
    ("Sight", "credential", "its name"),
    ("Key", "credential", "its name"),
    ("View", "credential", "its name"),
    ("EdgeAnswer", "credential", "its name"),
    ("Event", "body", "what the webhook tells of a session"),
    ("Arguments", "token_type", "the header `typ`"),
    (
        "Arguments",
        "token",
        "an argument of a command, which prints none of them",
    ),
    ("Region", "headers", "their names"),
    ("SignalIssuer", "access_token_issuer", "its name"),
    ("Name", "Token", "the `jti`"),
];

/// The types of a source that derive `Debug`, each with its members as they are written.
fn shown(source: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut types = Vec::new();
    let mut lines = source.lines();
    let mut derives = false;
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(list) = line.strip_prefix("#[derive(") {
            // A list that goes on in the next lines counts as one with it.
            derives |= list.is_empty() || list.split([',', ')']).any(|name| name.trim() == "Debug");
            continue;
        }
        let mut words = line.split_whitespace();
        let Some(name) = words
            .find(|word| ["struct", "enum"].contains(word))
            .and_then(|_| words.next())
        else {
            derives &= line.starts_with('#')
                || line.starts_with("//")
                || line.ends_with(',')
                || line.ends_with(']')
                || line.ends_with(')');
            continue;
        };
        if !std::mem::take(&mut derives) {
            continue;
        }
        let from_name = line.split_once("struct ").map_or("", |(_, rest)| rest);
        if let Some(of_itself) = tuple(from_name) {
            types.push((of_itself.0.clone(), vec![of_itself]));
        } else if line.ends_with('{') {
            let name: String = name
                .chars()
                .take_while(|letter| letter.is_alphanumeric())
                .collect();
            let members = lines
                .by_ref()
                .take_while(|line| !line.starts_with('}') && line.trim() != "}")
                .filter_map(member);
            types.push((name, members.collect()));
        }
    }
    types
}

/// A member of a struct or a variant; a variant that is a tuple counts as a member by its own name.
fn member(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if let Some(variant) = tuple(line) {
        return Some(variant);
    }
    let (name, of) = line.split_once(": ")?;
    Some((
        name.rsplit(' ').next().unwrap_or(name).to_owned(),
        of.to_owned(),
    ))
}

/// Name and content of a tuple, as in `Token(String)`.
fn tuple(text: &str) -> Option<(String, String)> {
    let (name, of) = text.split_once('(')?;
    let is_name = name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphanumeric);
    is_name.then(|| (name.to_owned(), of.to_owned()))
}

fn is_secret(name: &str, of: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|part| name.contains(part)) && READABLE.iter().any(|kind| of.contains(kind))
}

#[test]
fn no_type_that_holds_a_token_or_a_secret_derives_how_it_is_shown() {
    let mut faults = Vec::new();
    let mut harmless: Vec<_> = HARMLESS.map(|(owner, member, _)| (owner, member)).to_vec();
    let mut looked_at = 0;
    for path in files("src", "rs") {
        let source = Document::at(&path);
        // Whatever tests make up is theirs.
        if source.name.contains("test") || source.name.contains("mock") {
            continue;
        }
        let types = shown(&source.text);
        looked_at += types.len();
        for (owner, members) in &types {
            for (member, of) in members {
                if !is_secret(member, of) {
                    continue;
                }
                let known = (owner.as_str(), member.as_str());
                if HARMLESS
                    .iter()
                    .any(|(owner, member, _)| (*owner, *member) == known)
                {
                    harmless.retain(|it| *it != known);
                } else {
                    faults.push(format!("{}: {owner}.{member}: {of}", source.name));
                }
            }
        }
    }
    assert!(looked_at > 300, "only {looked_at} types were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(harmless.is_empty(), "not there any more: {harmless:?}");
}

#[test]
fn the_rule_finds_what_it_is_about() {
    let source = "/// x\n#[derive(Clone, Debug)]\npub struct Call {\n    /// y\n    pub body: Option<Vec<u8>>,\n}\n";
    let types = shown(source);
    let [(owner, members)] = &types[..] else {
        panic!("{types:?}")
    };
    assert_eq!(owner, "Call");
    assert!(members.iter().any(|(name, of)| is_secret(name, of)));
    assert!(shown(&source.replace(", Debug", "")).is_empty());
    for tuple in [
        "#[derive(Debug)]\npub struct UserToken(pub String);\n",
        "#[derive(Debug)]\nenum Found {\n    Nothing,\n    Token(String),\n}\n",
    ] {
        let types = shown(tuple);
        let mut members = types.iter().flat_map(|(_, members)| members);
        assert!(members.any(|(name, of)| is_secret(name, of)), "{types:?}");
        assert!(shown(&tuple.replace("Debug", "Clone")).is_empty());
    }
}
