//! Writes what is known of the requests into the module.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::convert::Infallible;

use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, Function, FunctionSection, Module, SectionId,
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, FunctionBody, FunctionSectionReader, KnownCustom,
    Parser,
};

use crate::probes::{Numbers, Result};
use crate::profile::Profile;
use crate::wasm::{SHORT_INDICES, bodies, imported_functions, is_branch};

/// The module, and what was done to it.
pub(crate) struct Tuned {
    pub(crate) module: Vec<u8>,
    pub(crate) summary: String,
}

pub(crate) fn tuned(module: &[u8], profile: &Profile) -> Tuned {
    let bodies = bodies(module);
    let known = known(&bodies, profile);
    let imported = imported_functions(module);
    let mut tuning = Tuning::new(imported, order(&known, imported));
    for old in tuning.order.clone() {
        let old = old as usize;
        tuning.add(&bodies[old], &known[old]).expect("a function");
    }
    let needed = known.iter().filter(|known| known.scenarios > 0).count();
    let summary = format!(
        "{needed} of {} functions are needed by requests; {} branches have a hint",
        known.len(),
        tuning.hint_count
    );
    let mut result = Module::new();
    tuning
        .parse_core_module(&mut result, Parser::new(0), module)
        .expect("a module");
    Tuned {
        module: result.finish(),
        summary,
    }
}

/// The functions that are needed at all, by their indices among the module's own.
pub(crate) fn needed(module: &[u8], profile: &Profile) -> BTreeSet<usize> {
    let known = known(&bodies(module), profile);
    let known = known.iter().enumerate();
    known
        .filter(|(_, known)| known.scenarios > 0)
        .map(|(index, _)| index)
        .collect()
}

/// What the profile has to say of a function.
struct Known {
    /// In how many scenarios it is needed.
    scenarios: u32,
    /// For each of its branches, in order, whether it is taken, where that is always the same.
    branches: Vec<Option<bool>>,
}

fn known(bodies: &[FunctionBody<'_>], profile: &Profile) -> Vec<Known> {
    let mut numbers = Numbers::default();
    let known = bodies.iter().map(|body| {
        let scenarios = profile.scenarios(numbers.next());
        let operators = body.get_operators_reader().expect("a function");
        let operators = operators
            .into_iter()
            .map(|operator| operator.expect("an instruction"));
        let branches = operators.filter(is_branch);
        let branches = branches.map(|_| profile.hint(numbers.next())).collect();
        Known {
            scenarios,
            branches,
        }
    });
    known.collect()
}

/// The functions as they come one after the other, by the numbers that they had. They are sorted by
/// how often they are called in the code, so that the shortest numbers are for those that are named
/// most; that stays so for those that no request needs.
fn order(known: &[Known], imported: u32) -> Vec<u32> {
    let all = 0..u32::try_from(known.len()).expect("32 bits");
    let scenarios = |function: &u32| known[*function as usize].scenarios;
    let mut needed: Vec<u32> = all
        .clone()
        .filter(|function| scenarios(function) > 0)
        .collect();
    needed.sort_by_key(|function| Reverse(scenarios(function)));
    let others = all.filter(|function| scenarios(function) == 0);
    let is_short = |function: &u32| *function + imported < SHORT_INDICES;
    let (short, long): (Vec<u32>, Vec<u32>) = others.partition(is_short);
    [short, needed, long].concat()
}

/// Writes the module with its functions in their new order and the hints before them.
struct Tuning {
    imported: u32,
    /// The functions as they come, by their old numbers without those that are imported.
    order: Vec<u32>,
    /// The new numbers of functions, by the same.
    new: Vec<u32>,
    /// Those that were added so far.
    functions: Vec<Function>,
    hints: BranchHints,
    hint_count: usize,
}

impl Tuning {
    fn new(imported: u32, order: Vec<u32>) -> Self {
        let mut new = vec![0; order.len()];
        for (index, old) in (imported..).zip(&order) {
            new[*old as usize] = index;
        }
        Self {
            imported,
            order,
            new,
            functions: Vec::new(),
            hints: BranchHints::new(),
            hint_count: 0,
        }
    }

    /// Adds the next function, with the hints for its branches.
    fn add(&mut self, body: &FunctionBody<'_>, known: &Known) -> Result {
        let mut function = self.new_function_with_parsed_locals(body)?;
        let mut branches = known.branches.iter();
        let mut hints = Vec::new();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if is_branch(&operator)
                && let Some(is_taken) = branches.next().expect("what is known of it")
            {
                hints.push(BranchHint {
                    branch_func_offset: u32::try_from(function.byte_len()).expect("32 bits"),
                    branch_hint_value: u32::from(*is_taken),
                });
            }
            function.instruction(&self.instruction(operator)?);
        }
        if !hints.is_empty() {
            self.hint_count += hints.len();
            let index = u32::try_from(self.functions.len()).expect("32 bits");
            self.hints.function_hints(self.imported + index, hints);
        }
        self.functions.push(function);
        Ok(())
    }
}

impl Reencode for Tuning {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> u32 {
        match function.checked_sub(self.imported) {
            Some(own) => self.new[own as usize],
            None => function,
        }
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result {
        if before == Some(SectionId::Code) {
            module.section(&self.hints);
        }
        Ok(())
    }

    /// Names would have to be sorted anew, and other hints are of other functions.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
    ) -> Result {
        match section.as_known() {
            KnownCustom::Name(_) | KnownCustom::BranchHints(_) => Ok(()),
            _ => utils::parse_custom_section(self, module, section),
        }
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result {
        let types = section
            .into_iter()
            .collect::<std::result::Result<Vec<u32>, _>>()?;
        for old in &self.order {
            functions.function(types[*old as usize]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        _section: CodeSectionReader<'_>,
    ) -> Result {
        for function in &self.functions {
            code.function(function);
        }
        Ok(())
    }
}
