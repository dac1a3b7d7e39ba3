use std::collections::HashMap;

use serde_json::Value;

use super::*;

/// A list of these bytes, packed without compression.
fn packed(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9))
}

fn list(bits: u64, bytes: &[u8]) -> StatusList {
    StatusList::unpack(bits, &packed(bytes)).unwrap()
}

fn changes(older: &StatusList, newer: &StatusList) -> Vec<u64> {
    older.changes(newer).collect()
}

#[test]
fn the_examples_of_the_draft_mean_what_it_says() {
    let text = include_str!("../../../../tests/vectors/status-lists.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    for vector in vectors["lists"].as_array().unwrap() {
        let number = |name: &str| vector[name].as_u64().unwrap();
        let list = StatusList::unpack(number("bits"), vector["lst"].as_str().unwrap()).unwrap();
        let statuses = vector["statuses"].as_array().unwrap().iter();
        let statuses: HashMap<_, _> = statuses
            .map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap()))
            .collect();
        for index in 0..number("entries") {
            let expected = statuses.get(&index).copied().unwrap_or(0);
            assert_eq!(list.value(index).map(u64::from), Some(expected), "{index}");
        }
        assert_eq!(list.value(number("entries")), None);
    }
}

#[test]
fn what_is_not_known_is_not_good_and_what_is_not_there_is_not_said() {
    let list = list(4, &[0x10, 0x32, 0xcf]);
    let expected = [
        TokenStatus::Valid,
        TokenStatus::Invalid,
        TokenStatus::Suspended,
        TokenStatus::Invalid,
        TokenStatus::Invalid,
        TokenStatus::Invalid,
    ];
    for (index, expected) in expected.into_iter().enumerate() {
        assert_eq!(list.status(index as u64), Some(expected), "{index}");
    }
    for index in [6, 7, 1 << 33, u64::MAX] {
        assert_eq!(list.status(index), None, "{index}");
    }
}

#[test]
fn changes_are_those_of_the_status_in_what_both_lists_have() {
    let older = list(2, &[0b11_10_01_00, 0, 0]);
    assert_eq!(changes(&older, &older), [0; 0]);
    let newer = list(2, &[0b01_00_00_01, 0, 0b10_00_00_00]);
    assert_eq!(
        changes(&older, &newer),
        [0, 1, 2, 11],
        "3 and 1 are the same"
    );
    let longer = list(2, &[0b11_10_01_00, 0, 0, 1]);
    assert_eq!(changes(&older, &longer), [0; 0]);
    assert_eq!(changes(&longer, &older), [12, 13, 14, 15]);
    // The same statuses with other bits.
    let wider = list(4, &[0x10, 0x32, 0, 0, 0, 0]);
    assert_eq!(changes(&older, &wider), [0; 0]);
    let wider = list(4, &[0x10, 0x32, 0, 0, 0, 0x10]);
    assert_eq!(changes(&older, &wider), [11]);
}

#[test]
fn what_is_no_list_is_refused_and_what_is_too_long_is_not_unpacked() {
    let good = packed(b"ab");
    for bits in [0, 3, 5, 16, u64::MAX] {
        assert_eq!(StatusList::unpack(bits, &good), Err(ListFault::Bits));
    }
    let plain = URL_SAFE_NO_PAD.encode(b"ab");
    let padded = format!("{good}=");
    let cut = &good[..good.len() - 4];
    for lst in ["", "?", &plain, &padded, cut] {
        let unpacked = StatusList::unpack(1, lst);
        assert_eq!(unpacked, Err(ListFault::Packing), "{lst}");
    }
    let most = packed(&vec![0; MAX_BYTES]);
    assert_eq!(StatusList::unpack(1, &most).unwrap().bytes(), MAX_BYTES);
    let too_long = packed(&vec![0; MAX_BYTES + 1]);
    assert!(too_long.len() < 1 << 17);
    assert_eq!(StatusList::unpack(1, &too_long), Err(ListFault::Packing));
}
