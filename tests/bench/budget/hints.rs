//! What the build has told V8 about the branches that requests take (`tests/bench/tune`).

use std::collections::BTreeMap;

use wasmparser::{FunctionBody, KnownCustom, Operator, Parser, Payload, TypeRef};

/// The hints of every function that has some: where the branches are, counted from the beginning
/// of the function.
type Hints = BTreeMap<u32, Vec<u32>>;

/// How many hints the module has. Every one of them has to be for a branch.
pub(crate) fn count(module: &[u8]) -> usize {
    let mut hints = Hints::new();
    let mut imported = 0;
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::ImportSection(imports) => {
                let imports = imports
                    .into_iter()
                    .map(|import| import.expect("an import").ty);
                imported = imports.filter(|ty| matches!(ty, TypeRef::Func(_))).count();
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::BranchHints(section) = section.as_known() {
                    for function in section {
                        let function = function.expect("the hints of a function");
                        let places = function.hints.into_iter();
                        let places = places.map(|hint| hint.expect("a hint").func_offset);
                        hints.insert(function.func, places.collect());
                    }
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    for (function, hinted) in &hints {
        let branches = branches(&bodies[*function as usize - imported]);
        for place in hinted {
            assert!(
                branches.contains(place),
                "no branch at {place} in {function}"
            );
        }
    }
    hints.values().map(Vec::len).sum()
}

/// Where the branches of a function are.
fn branches(body: &FunctionBody<'_>) -> Vec<u32> {
    let operators = body.get_operators_reader().expect("a function");
    let operators = operators.into_iter_with_offsets();
    let operators = operators.map(|operator| operator.expect("an instruction"));
    let branches = operators.filter_map(|(operator, offset)| {
        let is_branch = matches!(operator, Operator::If { .. } | Operator::BrIf { .. });
        is_branch.then(|| u32::try_from(offset - body.range().start).expect("32 bits"))
    });
    branches.collect()
}
