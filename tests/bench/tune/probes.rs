//! Probes at the beginning of every function and before every branch, which tell the host that they
//! were reached and which way the branch goes.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, EntityType, Function, ImportSection, Module, TypeSection, ValType,
};
use wasmparser::{FunctionBody, ImportSectionReader, Parser, TypeSectionReader};

use crate::vm::PROBES;
use crate::wasm::{imported_functions, is_branch};

/// The encoder has no errors of its own.
pub(crate) type Result<T = ()> = std::result::Result<T, reencode::Error<Infallible>>;

/// Numbers probes: the beginning of a function, its branches in order, the next function.
#[derive(Default)]
pub(crate) struct Numbers(u32);

impl Numbers {
    pub(crate) const fn next(&mut self) -> u32 {
        let number = self.0;
        self.0 += 1;
        number
    }
}

/// What has a probe. Those of branches take most of the time that the module then needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probed {
    Functions,
    /// And functions.
    Branches,
}

/// The module with probes in it, whose numbers are the same whatever has one.
pub(crate) fn added_to(module: &[u8], which: Probed) -> Vec<u8> {
    let mut probes = Probes {
        which,
        imported: imported_functions(module),
        probe_type: 0,
        numbers: Numbers::default(),
    };
    let mut result = Module::new();
    probes
        .parse_core_module(&mut result, Parser::new(0), module)
        .expect("a module");
    result.finish()
}

struct Probes {
    which: Probed,
    imported: u32,
    /// The type of the function that is called.
    probe_type: u32,
    numbers: Numbers,
}

impl Probes {
    /// Asks the host about the number on the stack, and leaves it there.
    fn probe(&self, number: u32, function: &mut Function) {
        function
            .instructions()
            .i32_const(number.cast_signed())
            .call(self.imported);
    }
}

impl Reencode for Probes {
    type Error = Infallible;

    /// The probe is the last function that is imported, so that all others move.
    fn function_index(&mut self, function: u32) -> u32 {
        function + u32::from(function >= self.imported)
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result {
        utils::parse_type_section(self, types, section)?;
        self.probe_type = types.len();
        let number = ValType::I32;
        types.ty().function([number, number], [number]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result {
        utils::parse_import_section(self, imports, section)?;
        imports.import(PROBES, PROBES, EntityType::Function(self.probe_type));
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        function.instructions().i32_const(1);
        let number = self.numbers.next();
        self.probe(number, &mut function);
        function.instructions().drop();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if is_branch(&operator) {
                let number = self.numbers.next();
                if self.which == Probed::Branches {
                    self.probe(number, &mut function);
                }
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}
