//! What the build has told V8 about the code that requests need (`tests/bench/tune`).

use std::collections::BTreeMap;

use wasmparser::{KnownCustom, Parser, Payload};

use crate::wasm::{bodies, branches, imported_functions};

/// The hints of every function that has some: where the branches are, counted from its beginning.
pub(crate) struct Hints(BTreeMap<u32, Vec<u32>>);

impl Hints {
    /// Those of this module. Every one of them has to be for a branch.
    pub(crate) fn of(module: &[u8]) -> Self {
        let hints = read(module);
        let (imported, bodies) = (imported_functions(module), bodies(module));
        for (function, hinted) in &hints {
            let branches = branches(&bodies[(function - imported) as usize]);
            for offset in hinted {
                assert!(
                    branches.contains(offset),
                    "{offset} in {function}: no branch"
                );
            }
        }
        Self(hints)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// How many functions have some.
    pub(crate) fn functions(&self) -> usize {
        self.0.len()
    }

    /// From the first to the last function that has some, how many there are.
    pub(crate) fn span(&self) -> usize {
        let (first, last) = (self.0.keys().next(), self.0.keys().next_back());
        let (first, last) = (first.expect("hints"), last.expect("hints"));
        (last - first + 1) as usize
    }
}

fn read(module: &[u8]) -> BTreeMap<u32, Vec<u32>> {
    let mut hints = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.expect("a module")
            && let KnownCustom::BranchHints(section) = section.as_known()
        {
            for function in section {
                let function = function.expect("the hints of a function");
                let offsets = function.hints.into_iter();
                let offsets = offsets.map(|hint| hint.expect("a hint").func_offset);
                hints.insert(function.func, offsets.collect());
            }
        }
    }
    hints
}
