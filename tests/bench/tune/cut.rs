//! Takes out of the filter what only a panic needs, what is never read and what is never called:
//! `tune cut`.
//!
//! The linker keeps whatever something refers to. The standard library's own panic hook is there,
//! with the back-traces that it prints, although the filter sets another one before anything else. And
//! every `expect` drags in how its error would print itself for developers; for the log of a proxy, file,
//! line and message are enough, and they stay. The SDK's traits have a hundred methods that make host
//! calls for their contexts. The filter makes its own, but a table of methods refers to all of them.
//!
//! Three things are done, by name, before the optimiser goes over the module and drops all that is no
//! longer referred to:
//!
//! - what only a back-trace in print needs, and a kind of context that the filter does not have, becomes
//!   a trap ([`UNREACHABLE`]);
//! - so do the methods of the SDK's traits that nothing but a context would call (`is_uncalled_method`);
//! - `Debug` prints nothing ([`SILENT`]). That is no trap, so that a panic is reported whatever it
//!   carries, and a message that should print something in this form would lose words and not the
//!   worker. The filter itself prints nothing in this form: `clippy::use_debug` is denied in it.
//!
//! What nothing refers to any more after that goes as well, functions and data
//! ([`reach`](crate::reach)): the optimiser would keep all data, and every function whose table
//! index is known to something that is gone. And the names of source files begin with the package
//! or the part of the standard library that they belong to, and not with where the machine that
//! builds keeps them.
//!
//! Every name has to be found. A toolchain that calls something otherwise ends the build, instead of
//! making the module larger without a word.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{CodeSection, DataSection, ExportSection, Function, Module};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, Data, Export, ExternalKind, FuncType, FunctionBody,
    KnownCustom, Name, Parser, Payload, ValType,
};

use crate::probes::Result;
use crate::reach::{Reference, reached};
use crate::wasm::imported_functions;

/// By a part of the name: what only a back-trace in print needs, and the contexts of TCP connections.
const UNREACHABLE: &[&str] = &[
    "<std::sys::backtrace::BacktraceLock>::print",
    "proxy_wasm::dispatcher::Dispatcher::create_stream_context",
];

/// How the names of the methods begin that the SDK gives to every context.
const METHODS: &str = "proxy_wasm::traits::";

/// How the methods are called that are for the SDK itself to call.
const CALLED_METHODS: &[&str] = &["on_", "get_type", "create_"];

/// How the names of functions end that print for developers.
const SILENT: &str = " as core::fmt::Debug>::fmt";

/// The module, and what was done to it.
pub(crate) struct Cut {
    pub(crate) module: Vec<u8>,
    /// The functions that do nothing any more, by their indices among the module's own, with their
    /// names.
    pub(crate) functions: BTreeMap<usize, String>,
    /// How many bytes of data are nothing but zeros now.
    pub(crate) data_bytes: usize,
}

/// The module, of which the host calls these functions and no others.
pub(crate) fn cut(module: &[u8], exports: &[String]) -> Cut {
    let imported = imported_functions(module) as usize;
    let types = types(module);
    let mut names: BTreeMap<usize, String> = names(module)
        .into_iter()
        .filter_map(|(function, name)| Some((function.checked_sub(imported)?, name)))
        .collect();
    assert_eq!(names.len(), types.len(), "a function has no name");
    let mut replacements: BTreeMap<usize, Replacement> = names
        .iter()
        .filter_map(|(index, name)| Some((*index, replacement(name)?)))
        .collect();
    let reached = reached(module, exports, &replacements.keys().copied().collect());
    let methods = names.iter().filter(|(_, name)| is_uncalled_method(name));
    let called: Vec<_> = methods
        .filter(|(index, _)| reached.called.contains(index))
        .collect();
    assert!(
        called.is_empty(),
        "called, and taken for methods that nothing calls: {called:?}"
    );
    for index in (0..types.len()).filter(|index| !reached.functions.contains(index)) {
        replacements.insert(index, Replacement::Trap);
    }
    names.retain(|index, _| replacements.contains_key(index));
    let data_bytes = reached.lost.iter().map(Range::len).sum();
    let bodies = replacements.iter().map(|(index, replacement)| {
        (
            *index,
            body(*replacement, types[*index].results(), &names[index]),
        )
    });
    let cutting = Cutting {
        exports,
        replacements: bodies.collect(),
        lost: reached.lost,
        shorter: reached.shorter,
    };
    Cut {
        module: cutting.cut(module),
        functions: names,
        data_bytes,
    }
}

/// The module with these exports and no others; otherwise as it is.
pub(crate) fn exporting(module: &[u8], exports: &[String]) -> Vec<u8> {
    let cutting = Cutting {
        exports,
        replacements: BTreeMap::new(),
        lost: Vec::new(),
        shorter: BTreeMap::new(),
    };
    cutting.cut(module)
}

/// What a function is replaced by.
#[derive(Clone, Copy)]
enum Replacement {
    Trap,
    Silence,
}

fn replacement(name: &str) -> Option<Replacement> {
    if UNREACHABLE.iter().any(|part| name.contains(part)) || is_uncalled_method(name) {
        Some(Replacement::Trap)
    } else if name.ends_with(SILENT) {
        Some(Replacement::Silence)
    } else {
        None
    }
}

/// Whether it is a method that only a context would call. That the filter's contexts do not is checked:
/// no code may refer to it.
fn is_uncalled_method(name: &str) -> bool {
    let method = name
        .strip_prefix(METHODS)
        .and_then(|rest| rest.rsplit_once("::"));
    method.is_some_and(|(_, method)| {
        !CALLED_METHODS
            .iter()
            .any(|called| method.starts_with(called))
    })
}

/// The functions' names as they are written in Rust, by their numbers.
fn names(module: &[u8]) -> BTreeMap<usize, String> {
    let mut names = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.expect("a module")
            && let KnownCustom::Name(section) = section.as_known()
        {
            for part in section {
                if let Name::Function(functions) = part.expect("names") {
                    let functions = functions.into_iter();
                    let functions = functions.map(|function| function.expect("a name"));
                    names.extend(functions.map(|function| {
                        // `#` leaves out what tells functions of the same name apart.
                        let name = format!("{:#}", rustc_demangle::demangle(function.name));
                        (function.index as usize, name)
                    }));
                }
            }
        }
    }
    for part in UNREACHABLE.iter().chain([&SILENT]) {
        let is_there = names.values().any(|name| name.contains(part));
        assert!(is_there, "no function of the module is called `…{part}…`");
    }
    let is_there = names.values().any(|name| is_uncalled_method(name));
    assert!(is_there, "no method of the SDK is called `{METHODS}…`");
    names
}

/// The types of the module's own functions.
fn types(module: &[u8]) -> Vec<FuncType> {
    let (mut types, mut own) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::TypeSection(section) => {
                let section = section.into_iter_err_on_gc_types();
                types.extend(section.map(|ty| ty.expect("a type of a function")));
            }
            Payload::FunctionSection(section) => {
                own.extend(section.into_iter().map(|ty| ty.expect("a type") as usize));
            }
            _ => {}
        }
    }
    own.into_iter().map(|ty| types[ty].clone()).collect()
}

fn body(replacement: Replacement, results: &[ValType], name: &str) -> Function {
    let mut function = Function::new([]);
    match (replacement, results) {
        (Replacement::Trap, _) => {
            function.instructions().unreachable();
        }
        // `Ok(())`
        (Replacement::Silence, [ValType::I32]) => {
            function.instructions().i32_const(0);
        }
        (Replacement::Silence, []) => {}
        (Replacement::Silence, _) => panic!("`{name}` does not answer as `Debug` does"),
    }
    function.instructions().end();
    function
}

/// Writes the module with these functions exported, these in place of those that it had, and zeros
/// for the data that is lost.
struct Cutting<'a> {
    exports: &'a [String],
    replacements: BTreeMap<usize, Function>,
    lost: Vec<Range<usize>>,
    shorter: BTreeMap<usize, Reference>,
}

impl Cutting<'_> {
    fn cut(mut self, module: &[u8]) -> Vec<u8> {
        let mut result = Module::new();
        self.parse_core_module(&mut result, Parser::new(0), module)
            .expect("a module");
        result.finish()
    }
}

impl Reencode for Cutting<'_> {
    type Error = Infallible;

    /// Names, and relocations that no longer apply, are not needed any more.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
    ) -> Result {
        match section.as_known() {
            KnownCustom::Name(_) | KnownCustom::Linking(_) | KnownCustom::Reloc(_) => Ok(()),
            _ => utils::parse_custom_section(self, module, section),
        }
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) {
        let is_function = export.kind == ExternalKind::Func;
        if !is_function || self.exports.iter().any(|name| name == export.name) {
            utils::parse_export(self, exports, export);
        }
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result {
        for (index, body) in section.into_iter().enumerate() {
            let body: FunctionBody<'_> = body?;
            match self.replacements.get(&index) {
                Some(function) => {
                    code.function(function);
                }
                None => self.parse_function_body(code, body)?,
            }
        }
        Ok(())
    }

    /// The memory is zero where a module says nothing of it, so that the optimiser drops the zeros.
    fn parse_data(&mut self, section: &mut DataSection, segment: Data<'_>) -> Result {
        let start = segment.range.end - segment.data.len();
        let mut data = segment.data.to_vec();
        for lost in &self.lost {
            if segment.range.contains(&lost.start) {
                data[lost.start - start..lost.end - start].fill(0);
            }
        }
        for (offset, reference) in self.shorter.range(segment.range.clone()) {
            data[offset - start..offset - start + reference.len()].copy_from_slice(reference);
        }
        let data = data.as_slice();
        utils::parse_data(self, section, Data { data, ..segment })
    }
}
