//! Takes out of the filter what only a panic needs and what nobody reads: `tune cut`.
//!
//! The linker keeps whatever something refers to. The standard library's own panic hook is there,
//! with the back-traces that it prints and the names that it demangles for them, although the filter
//! sets another one before anything else. And every `expect` drags in how its error would print
//! itself for developers; who reads the log of a proxy is helped by file, line and message, which stay.
//!
//! Two things are done, by name, before the optimiser goes over the module and drops all that is no
//! longer referred to:
//!
//! - what only a back-trace in print needs becomes a trap ([`UNREACHABLE`]);
//! - `Debug` prints nothing ([`SILENT`]). That is no trap, so that a panic is reported whatever it
//!   carries, and a message that should print something in this form would lose words and not the
//!   worker. The filter itself prints nothing in this form: `clippy::use_debug` is denied in it.
//!
//! Every name has to be found. A toolchain that calls something otherwise ends the build, instead of
//! making the module larger without a word.

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{CodeSection, Function, Module};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, FuncType, FunctionBody, KnownCustom, Name, Parser,
    Payload, ValType,
};

use crate::probes::Result;
use crate::wasm::imported_functions;

/// What only a back-trace in print needs, by a part of the name. To capture one is something else:
/// `anyhow` does so for every error where the variable `RUST_BACKTRACE` is set.
const UNREACHABLE: &[&str] = &[
    "rustc_demangle::",
    "std::backtrace_rs::",
    "std::sys::backtrace::output_filename",
    "<std::sys::backtrace::BacktraceLock>::print",
];

/// How the names of functions end that print for developers.
const SILENT: &str = " as core::fmt::Debug>::fmt";

/// The module, and what was done to it.
pub(crate) struct Cut {
    pub(crate) module: Vec<u8>,
    /// The functions that do nothing any more, by their places among the module's own, with their
    /// names.
    pub(crate) functions: BTreeMap<usize, String>,
}

pub(crate) fn cut(module: &[u8]) -> Cut {
    let imported = imported_functions(module) as usize;
    let names = names(module);
    let own = names.iter().filter_map(|(function, name)| {
        let place = function.checked_sub(imported)?;
        Some((place, name.as_str(), replacement(name)?))
    });
    let own: Vec<_> = own.collect();
    let types = types(module);
    let replacements = own.iter().map(|(place, name, replacement)| {
        let results = types[*place].results();
        (*place, body(*replacement, results, name))
    });
    let mut cutting = Cutting {
        replacements: replacements.collect(),
    };
    let mut result = Module::new();
    cutting
        .parse_core_module(&mut result, Parser::new(0), module)
        .expect("a module");
    let functions = own.into_iter();
    Cut {
        module: result.finish(),
        functions: functions
            .map(|(place, name, _)| (place, name.to_owned()))
            .collect(),
    }
}

/// What a function is replaced by.
#[derive(Clone, Copy)]
enum Replacement {
    Trap,
    Silence,
}

fn replacement(name: &str) -> Option<Replacement> {
    if UNREACHABLE.iter().any(|part| name.contains(part)) {
        Some(Replacement::Trap)
    } else if name.ends_with(SILENT) {
        Some(Replacement::Silence)
    } else {
        None
    }
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

/// Writes the module with these functions in the places of those that it had.
struct Cutting {
    replacements: BTreeMap<usize, Function>,
}

impl Reencode for Cutting {
    type Error = Infallible;

    /// Names have done what they were for.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
    ) -> Result {
        match section.as_known() {
            KnownCustom::Name(_) => Ok(()),
            _ => utils::parse_custom_section(self, module, section),
        }
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result {
        for (place, body) in section.into_iter().enumerate() {
            let body: FunctionBody<'_> = body?;
            match self.replacements.get(&place) {
                Some(function) => {
                    code.function(function);
                }
                None => self.parse_function_body(code, body)?,
            }
        }
        Ok(())
    }
}
