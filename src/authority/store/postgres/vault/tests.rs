use super::*;

const SEVEN: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn vault(byte: u8) -> Vault {
    let text = FORMS[0].encode([byte; 32]);
    Vault::new(SecretKey::parse(text.as_bytes()))
}

fn refusal(opened: Result<Vec<u8>, StoreError>) -> Encryption {
    match opened {
        Err(StoreError::Database(DatabaseError::Secret {
            setting,
            encryption,
        })) => {
            assert_eq!(setting, "name");
            encryption
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_setting_is_opened_with_its_own_key_and_by_its_own_name_alone() {
    for bytes in [&b""[..], b"some secret"] {
        let sealed = vault(7).sealed("name", bytes.to_vec()).unwrap();
        assert_eq!(vault(7).opened("name", &sealed).unwrap(), bytes);
        assert_ne!(sealed, vault(7).sealed("name", bytes.to_vec()).unwrap());
        assert_eq!(
            refusal(vault(8).opened("name", &sealed)),
            Encryption::OtherKey
        );
        let bare = Vault::default();
        assert_eq!(refusal(bare.opened("name", &sealed)), Encryption::NoKey);
        let plain = bare.sealed("name", bytes.to_vec()).unwrap();
        assert_eq!(bare.opened("name", &plain).unwrap(), bytes);
        assert_eq!(refusal(vault(7).opened("name", &plain)), Encryption::None);
        for sealed in [&sealed, &plain] {
            let elsewhere = vault(7).opened("other", sealed);
            assert!(matches!(elsewhere, Err(StoreError::Row)), "{elsewhere:?}");
        }
        // With the checksum made anew, as an attacker would.
        let row = encrypted_seal().opened(b"name", &sealed).unwrap();
        let moved = encrypted_seal().sealed(b"other", row.to_vec());
        assert!(vault(7).opened("other", &moved).is_err());
    }
}

/// As another implementation of AES-256-GCM has it.
#[test]
fn a_setting_that_was_encrypted_once_is_opened() {
    let encrypted = [
        0x12, 0xb7, 0xc9, 0xd7, 0xdb, 0xe1, 0x6e, 0x8b, 0x93, 0x62, 0xfb, 0x53, 0xb8, 0xbb, 0x0b,
        0xf0, 0x5a, 0xd8, 0x15, 0x38, 0xb3, 0xff, 0x56, 0x98, 0xa6, 0x43, 0x90,
    ];
    let row = [&[0; NONCE_LEN][..], &encrypted].concat();
    let sealed = encrypted_seal().sealed(b"name", row);
    let bytes = vault(7).opened("name", &sealed).unwrap();
    assert_eq!(bytes, b"some secret");
}

#[test]
fn a_damaged_setting_is_told_from_one_under_another_key() {
    let sealed = vault(7).sealed("name", b"some secret".to_vec()).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = vault(7).opened("name", &changed);
        assert!(matches!(opened, Err(StoreError::Row)), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(vault(7).opened("name", &sealed[..length]).is_err());
    }
}

#[test]
fn a_new_key_takes_the_place_of_none_and_of_the_old_one() {
    let (bare, old, new) = (Vault::default(), vault(7), vault(8));
    for before in [&bare, &old, &new] {
        let sealed = before.sealed("name", b"secret".to_vec()).unwrap();
        let resealed = new.resealed(&old, "name", &sealed).unwrap();
        let after = resealed.unwrap_or(sealed);
        assert_eq!(new.opened("name", &after).unwrap(), b"secret");
        assert_eq!(new.resealed(&old, "name", &after).unwrap(), None);
    }
    let sealed = vault(9).sealed("name", Vec::new()).unwrap();
    for old in [&old, &bare] {
        let refused = new.resealed(old, "name", &sealed).unwrap_err();
        assert!(matches!(
            refused,
            StoreError::Database(DatabaseError::Secret {
                encryption: Encryption::OtherKey,
                ..
            })
        ));
    }
}

#[test]
fn a_key_is_32_bytes_in_either_base64_and_is_not_shown() {
    let digits = SEVEN.trim_end_matches('=');
    for text in [
        SEVEN,
        digits,
        &format!("{SEVEN}\n"),
        &format!("{digits}\r\n"),
    ] {
        let key = SecretKey::parse(text.as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
    let url_safe = "_-".repeat(21) + "8=";
    assert!(SecretKey::parse(url_safe.as_bytes()).is_some());
    assert!(SecretKey::parse(url_safe.replace('_', "/").replace('-', "+").as_bytes()).is_some());
    for text in [
        "",
        "\n",
        "BwcHBwcHBwcHBwcHBwcHBw==",
        &SEVEN[..42],
        &format!("{SEVEN}{SEVEN}"),
        &format!("{SEVEN}\n# a remark"),
        &format!(" {SEVEN}"),
        &"07".repeat(32),
    ] {
        assert!(SecretKey::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn a_key_that_every_user_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, SEVEN).unwrap();
    for (mode, is_refused) in [
        (0o600, false),
        (0o400, false),
        (0o440, false),
        (0o604, true),
        (0o602, true),
        (0o644, true),
    ] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, permissions).unwrap();
        let read = SecretKey::read(&path);
        let is_open = matches!(read, Err(SecretKeyError::Open { .. }));
        assert_eq!(is_open, is_refused, "{mode:o}: {read:?}");
        assert_eq!(read.is_ok(), !is_refused, "{mode:o}: {read:?}");
    }
    std::fs::write(&path, "SECRET").unwrap();
    let missing = SecretKey::read(&directory.path().join("none"));
    assert!(matches!(missing, Err(SecretKeyError::Read { .. })));
}
