use tempfile::TempDir;

use super::*;

const SECRET: &str = "a-secret:of/32+characters-and-one";

fn source(place: SecretPlace) -> SecretSource {
    SecretSource {
        at: "oauth.clients[0].secret".to_owned(),
        place,
    }
}

/// A file with this text, and how it is named.
fn file(text: &str) -> (TempDir, PathBuf, SecretSource) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, text).unwrap();
    let place = SecretPlace::File(path.clone());
    (directory, path, source(place))
}

fn has<K: Kept>(secret: &Secret<K>, presented: &str, now: Instant) -> bool {
    secret.is(Presented::new(presented.as_bytes()), now)
}

#[test]
fn a_caller_has_one_secret_and_two_while_one_replaces_the_other() {
    let (_directory, path, source) = file(&format!("{SECRET}\n"));
    let secret = Secret::<Hashes>::open(&source).unwrap();
    let start = Instant::now();
    let new = format!("{SECRET}-new");
    assert!(has(&secret, SECRET, start));
    for other in [
        "",
        "a",
        &new,
        &SECRET[1..],
        &SECRET.to_uppercase(),
        &format!("{SECRET}\n"),
    ] {
        assert!(!has(&secret, other, start), "{other}");
    }
    let mut now = start;
    let mut write = |text: &str| {
        fs::write(&path, text).unwrap();
        now += LOOK_INTERVAL;
        now
    };
    let later = write(&format!("{new}\n\n  {SECRET} \n"));
    assert!(has(&secret, SECRET, later) && has(&secret, &new, later));
    // What cannot be used changes nothing.
    let later = write("short");
    assert!(has(&secret, SECRET, later) && has(&secret, &new, later));
    let later = write(&format!("{new}\r\n"));
    assert!(!has(&secret, SECRET, later) && has(&secret, &new, later));
}

#[test]
fn a_secret_that_is_shown_to_another_is_what_the_other_wants() {
    let (_directory, path, source) = file("Bearer one\n");
    let secret = Secret::<Text>::open(&source).unwrap();
    let start = Instant::now();
    assert_eq!(secret.value(start), "Bearer one");
    assert!(has(&secret, "Bearer one", start));
    for other in ["", "Bearer on", "Bearer one ", "Bearer two", "bearer one"] {
        assert!(!has(&secret, other, start), "{other}");
    }
    fs::write(&path, "Bearer another").unwrap();
    // It is not looked at all the time.
    assert_eq!(secret.value(start), "Bearer one");
    let later = start + LOOK_INTERVAL * 2;
    assert_eq!(secret.value(later), "Bearer another");
    fs::write(&path, "").unwrap();
    assert_eq!(secret.value(later + LOOK_INTERVAL), "Bearer another");
}

#[test]
fn what_is_no_secret_is_refused() {
    let long = "a".repeat(LONGEST + 1);
    for text in [
        "",
        "\n",
        &SECRET[2..],
        "a remark that is as long as a secret",
        "nöt-ASCII-and-long-enough-for-a-secret",
        &format!("{SECRET}\n# a remark that is as long as a secret"),
        &[SECRET; 3].join("\n"),
        &long,
    ] {
        assert!(Hashes::parse(text).is_none(), "{text}");
    }
    for text in ["", " \n", "Bearer\none", "Bearer é", &long] {
        assert!(Text::parse(text).is_none(), "{text}");
    }
    assert!(Hashes::parse(&long[1..]).is_some() && Text::parse(&long[1..]).is_some());
    assert!(Hashes::EXPECTED.contains(&format!("{SHORTEST} to {LONGEST} ")));
    assert!(Text::EXPECTED.contains(&format!("1 to {LONGEST} ")));
}

#[test]
fn a_secret_is_in_a_file_or_in_a_variable_and_an_error_says_which_and_where() {
    let said = |source: &SecretSource| chain_of(&Secret::<Hashes>::open(source).unwrap_err());
    let (directory, path, of_file) = file(SECRET);
    assert!(Secret::<Hashes>::open(&of_file).is_ok());
    // What is beyond the limit is not read, nor taken for the end.
    for text in [vec![0xff; 40], vec![b'a'; 100_000]] {
        fs::write(&path, text).unwrap();
        assert_eq!(
            said(&of_file),
            format!(
                "`oauth.clients[0].secret` of the signals file: expected one or two lines, each with a \
                 secret of 32 to 4096 characters of ASCII without blanks, in `{}`",
                path.display()
            )
        );
    }
    drop(directory);
    let expected = format!(
        "`oauth.clients[0].secret` of the signals file: could not read `{}`",
        path.display()
    );
    assert!(said(&of_file).starts_with(&expected), "{}", said(&of_file));
    // Cargo sets it for every test.
    let variable = |name: &str| source(SecretPlace::Environment(name.to_owned()));
    let set = Secret::<Text>::open(&variable("CARGO_PKG_NAME")).unwrap();
    assert_eq!(set.value(Instant::now()), env!("CARGO_PKG_NAME"));
    assert_eq!(
        said(&variable("PORTCULLIS_NO_SUCH_VARIABLE")),
        "`oauth.clients[0].secret` of the signals file: the environment variable \
         `PORTCULLIS_NO_SUCH_VARIABLE` is not set"
    );
}

#[test]
fn no_secret_is_shown() {
    let (_directory, _path, source) = file(SECRET);
    let secret = Secret::<Hashes>::open(&source).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret(…)");
    let presented = Presented::new(SECRET.as_bytes());
    assert_eq!(format!("{presented:?}"), "Presented(…)");
}
