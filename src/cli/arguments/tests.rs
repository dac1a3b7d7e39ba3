use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::revocation::Kind;

const VERBS: [&str; 5] = ["revoke", "restore", "unrevoke", "check", "list"];

/// Ids as identity providers make them, of those that begin with `-`; the same ones in every run.
fn ids() -> impl Iterator<Item = String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let id = move || {
        let bytes = [random(), random()].map(u64::to_be_bytes);
        let mut id = URL_SAFE_NO_PAD.encode(bytes.as_flattened());
        id.replace_range(..1, "-");
        // As often as not, what the shortest option is called stands there, or a second hyphen.
        match random() % 4 {
            0 => id.replace_range(1..2, "h"),
            1 => id.replace_range(1..2, "-"),
            2 => id.truncate(6),
            _ => {}
        }
        id
    };
    std::iter::repeat_with(id).take(64)
}

fn read_all(typed: &[&str]) -> Result<CommandLine, clap::Error> {
    read(["portcullis"].iter().chain(typed))
}

#[track_caller]
fn name_of(typed: &[&str]) -> String {
    let command_line = read_all(typed).unwrap_or_else(|error| panic!("{typed:?}: {error}"));
    command_line.command.name().unwrap_or_default().to_owned()
}

fn commands(command: &clap::Command) -> Vec<clap::Command> {
    let inner = command.get_subcommands().flat_map(commands);
    std::iter::once(command.clone()).chain(inner).collect()
}

#[test]
fn every_option_takes_what_follows_it_whatever_it_begins_with() {
    let mut count = 0;
    for command in commands(&definition()) {
        for option in command
            .get_opts()
            .filter(|option| option.get_action().takes_values())
        {
            let name = format!("{} --{}", command.get_name(), option.get_id());
            // What may stand without a value has it behind `=`, or none.
            let is_safe = option.is_allow_hyphen_values_set() || option.is_require_equals_set();
            assert!(is_safe, "{name}");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn a_name_that_begins_with_a_hyphen_is_a_name_for_every_verb_in_every_position() {
    for id in ids() {
        for verb in VERBS {
            for typed in [
                &[verb, "session", &id, "--issuer", "I"][..],
                &[verb, "session", "--issuer", "I", &id],
                &[verb, "--issuer", "I", "session", &id],
                &[verb, "--json", "--issuer=I", "session", &id, "--json"][..5],
                &[verb, "session", "--issuer", "I", "--json", &id],
                &[verb, "session", &id, "--json", "--issuer", "I"],
                &[verb, "session", "--issuer", "I", "--", &id],
            ] {
                assert_eq!(name_of(typed), id, "{typed:?}");
            }
        }
    }
}

#[test]
fn what_an_option_takes_begins_as_it_likes_and_the_name_stays_the_name() {
    for id in ids().chain(["-h".into(), "--help".into(), "--json".into()]) {
        for verb in VERBS {
            let typed = [verb, "subject", "--issuer", &id, "-name"];
            let read = read_all(&typed).unwrap();
            assert_eq!(read.command.name(), Some("-name"), "{typed:?}");
        }
        let typed = ["revoke", "subject", "-name", "--issuer", "I"];
        for option in ["--reason", "--actor", "--except-session", "--of-subject"] {
            assert_eq!(name_of(&[&typed[..], &[option, &id]].concat()), "-name");
        }
    }
}

#[test]
fn a_mistyped_option_is_no_name() {
    for mistyped in ["--isuer", "--expire-in=1h", "--not-before-at=-1h", "--x"] {
        for verb in VERBS {
            let error = read_all(&[verb, "session", mistyped, "--issuer", "I"]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let told = error.to_string();
            assert!(told.contains("looks like an option"), "{told}");
            let meant = [verb, "session", "--issuer", "I", "--", mistyped];
            assert_eq!(name_of(&meant), mistyped);
        }
    }
}

#[test]
fn help_is_asked_for_by_itself() {
    for verb in VERBS {
        for help in ["-h", "--help"] {
            let error = read_all(&[verb, "session", help]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp);
            assert_eq!(
                name_of(&[verb, "session", "--issuer", "I", "--", help]),
                help
            );
        }
        let error = read_all(&[verb, "-hABC", "session"]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "it is no help");
    }
}

#[test]
fn every_verb_names_its_target_the_same_way() {
    for kind in Kind::ALL.map(Kind::name) {
        for verb in VERBS {
            let typed = [verb, kind, "--issuer", "I"];
            let rest = if kind == "issuer" { None } else { Some("x") };
            let typed: Vec<_> = typed.into_iter().chain(rest).collect();
            read_all(&typed).unwrap_or_else(|error| panic!("{typed:?}: {error}"));
            for option in ["--from-token", "--token"] {
                read_all(&[verb, kind, option, "-"]).unwrap();
                let both = [verb, kind, option, "-", "--issuer", "I"];
                assert!(read_all(&both).is_err(), "{both:?}");
            }
        }
    }
    assert!(read_all(&["check", "--token", "-"]).is_ok());
    assert!(read_all(&["check", "--issuer", "I"]).is_err());
}

#[test]
fn every_command_that_speaks_to_an_authority_lists_the_exit_codes_in_its_help() {
    let commands = commands(&definition());
    let speaking = commands.iter().filter(|command| {
        let mut options = command.get_opts();
        options.any(|option| option.get_id() == "authority")
    });
    let mut count = 0;
    for command in speaking {
        let help = command.clone().render_help().to_string();
        assert!(help.contains("5  the authority's certificate"), "{help}");
        count += 1;
    }
    assert_eq!(count, 18);
    let root = definition().render_long_help().to_string();
    assert!(root.contains(EXIT_CODES));
}

const DOCUMENTS: &str = concat!(
    include_str!("../../../README.md"),
    include_str!("../../../envoy/README.md"),
    include_str!("../../../envoy/activity.md"),
    include_str!("../../../envoy/applications.md"),
    include_str!("../../../envoy/authority.md"),
    include_str!("../../../envoy/configuration.md"),
    include_str!("../../../envoy/console.md"),
    include_str!("../../../envoy/database.md"),
    include_str!("../../../envoy/jwt_authn.md"),
    include_str!("../../../envoy/migration.md"),
    include_str!("../../../envoy/operations.md"),
    include_str!("../../../envoy/providers.md"),
    include_str!("../../../envoy/revocation.md"),
    include_str!("../../../envoy/rotation.md"),
    include_str!("../../../envoy/sessions.md"),
    include_str!("../../../envoy/signals.md"),
    include_str!("../../../envoy/tls.md"),
);

/// What the documents have between backticks, outside of blocks.
fn spans() -> Vec<&'static str> {
    let text = DOCUMENTS.split("\n```").step_by(2);
    text.flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_documents_name_no_command_and_no_option_that_there_is_not() {
    let commands = commands(&definition());
    let is_command = |name: &str| {
        let mut names = commands
            .iter()
            .flat_map(clap::Command::get_name_and_visible_aliases);
        names.any(|known| known == name)
    };
    let is_option = |name: &str| {
        let mut options = commands.iter().flat_map(clap::Command::get_opts);
        ["help", "version"].contains(&name)
            || options.any(|option| {
                let names = option.get_long_and_visible_aliases();
                names.is_some_and(|names| names.contains(&name))
            })
    };
    let option = |word: &'static str| {
        let name = word.strip_prefix("--")?;
        Some(name).filter(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()))
    };
    let mut count = 0;
    for span in spans() {
        let mut words = span.split(' ').peekable();
        if let Some(rest) = span.strip_prefix("portcullis ") {
            words = rest.split(' ').peekable();
            let is_named = words
                .peek()
                .is_some_and(|word| option(word).is_some() || is_command(word));
            assert!(is_named, "{span}");
        } else if option(span).is_none() {
            continue;
        }
        for option in words.filter_map(option) {
            assert!(is_option(option), "{span}");
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}

/// The documents say `--option`, and behind it the value "by default" in parentheses.
#[test]
fn the_defaults_of_the_authority_are_those_that_the_documents_name() {
    let document = concat!(
        include_str!("../../../envoy/revocation.md"),
        include_str!("../../../envoy/database.md"),
    );
    let definition = definition();
    let serve = definition.find_subcommand("serve").unwrap();
    let mut count = 0;
    for (index, _) in document.match_indices(" by default") {
        let (before, value) = document[..index].rsplit_once(['(', '.']).unwrap();
        let Ok(value) = humantime::parse_duration(value) else {
            continue;
        };
        let (_, behind) = before.rsplit_once("`--").unwrap();
        let name = behind.split('`').next();
        let mut options = serve.get_opts();
        let option = options.find(|option| option.get_long() == name).unwrap();
        let default = option.get_default_values()[0].to_str().unwrap();
        assert_eq!(humantime::parse_duration(default), Ok(value), "{name:?}");
        count += 1;
    }
    assert_eq!(count, 4);
}
