//! How much memory a parsed text takes.
//!
//! It may be sixty times the text: every object, be it `{"":0}`, is a node of a tree with room for
//! eleven members.

use serde_json::Value;

/// Members that a node of `BTreeMap` has room for, and how many it has at least, unless it is the
/// only one.
const NODE_MEMBERS: usize = 11;
const FEWEST_MEMBERS: usize = 5;

const WORD: usize = size_of::<usize>();

/// What a block of so many bytes takes with the allocator's overhead: dlmalloc, which a WebAssembly
/// module has, and glibc's put a word before each block and cut blocks of at least four words.
pub(crate) const fn block(bytes: usize) -> usize {
    const SMALLEST: usize = 4 * WORD;
    if bytes == 0 {
        return 0;
    }
    let block = (bytes + WORD).next_multiple_of(2 * WORD);
    if block < SMALLEST { SMALLEST } else { block }
}

/// What a list with room for so many elements takes, without what these hold.
pub(crate) const fn list<T>(capacity: usize) -> usize {
    block(capacity * size_of::<T>())
}

/// What a value holds besides itself, or more.
pub(crate) fn value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => block(text.capacity()),
        Value::Array(values) => {
            list::<Value>(values.capacity()) + values.iter().map(self::value).sum::<usize>()
        }
        Value::Object(members) => {
            let each = members.iter();
            let each = each.map(|(name, value)| block(name.capacity()) + self::value(value));
            nodes(members.len()) + each.sum::<usize>()
        }
    }
}

/// What the nodes of a tree with so many members take.
const fn nodes(members: usize) -> usize {
    const LEAF: usize = NODE_MEMBERS * (size_of::<String>() + size_of::<Value>()) + 2 * WORD;
    const INNER: usize = LEAF + (NODE_MEMBERS + 1) * WORD;
    match members {
        0 => 0,
        1..=NODE_MEMBERS => block(LEAF),
        members => (members / FEWEST_MEMBERS + 1) * block(INNER),
    }
}
