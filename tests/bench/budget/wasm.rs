//! What of a module is looked at to tune it, and to see that it is tuned.

use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef};

/// Functions with smaller indices are called with a byte less.
pub(crate) const SHORT_INDICES: u32 = 128;

/// How many functions the module imports; their indices come first.
pub(crate) fn imported_functions(module: &[u8]) -> u32 {
    let mut count = 0;
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload.expect("a module") {
            let imports = imports.into_iter().map(|import| import.expect("an import"));
            let functions = imports.filter(|import| matches!(import.ty, TypeRef::Func(_)));
            count += u32::try_from(functions.count()).expect("a few");
        }
    }
    count
}

/// The functions that the module has itself, whose indices come after those.
pub(crate) fn bodies(module: &[u8]) -> Vec<FunctionBody<'_>> {
    let payloads = Parser::new(0).parse_all(module);
    let bodies = payloads.filter_map(|payload| match payload.expect("a module") {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    bodies.collect()
}

/// Whether it goes one of two ways, as the number says that it takes from the stack.
pub(crate) const fn is_branch(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::If { .. } | Operator::BrIf { .. })
}

/// Where the branches of a function are, counted from its beginning, which is where hints count
/// from.
pub(crate) fn branches(body: &FunctionBody<'_>) -> Vec<u32> {
    let operators = body.get_operators_reader().expect("a function");
    let operators = operators.into_iter_with_offsets();
    let operators = operators.map(|operator| operator.expect("an instruction"));
    let branches = operators.filter(|(operator, _)| is_branch(operator));
    let offsets = branches.map(|(_, offset)| offset - body.range().start);
    offsets
        .map(|offset| u32::try_from(offset).expect("32 bits"))
        .collect()
}
