//! What of a module can be reached from what the host calls.
//!
//! A module says of itself only which functions call which. References to a function by its table
//! index, and to data, are known to the linker, which writes them into the module when it is asked
//! to (`--emit-relocs`): every location in code and data of an address.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use wasmparser::{
    DefinedDataSymbol, ExternalKind, KnownCustom, Linking, LinkingSectionReader, Operator, Parser,
    Payload, RelocationEntry, RelocationType, SectionLimited, SymbolInfo,
};

use crate::wasm::{bodies, imported_functions};

/// What can be reached.
pub(crate) struct Reached {
    /// Indices among the module's own functions.
    pub(crate) functions: BTreeSet<usize>,
    /// Those of them that other code refers to, and not only data, in which tables of methods stand.
    pub(crate) called: BTreeSet<usize>,
    /// The data that the linker placed and nothing reachable refers to, by where it stands in the
    /// module. What lies between the things that it placed is not in here.
    pub(crate) lost: Vec<Range<usize>>,
    /// What refers to the names of source files without their beginnings, which are lost, by where it
    /// stands in the module.
    pub(crate) shorter: BTreeMap<usize, Reference>,
}

/// A text as Rust refers to it: its address and its length.
pub(crate) type Reference = [u8; 8];

/// What can be reached from these exports, while these functions, by their indices, reach nothing.
pub(crate) fn reached(module: &[u8], exports: &[String], ends: &BTreeSet<usize>) -> Reached {
    let links = Links::of(module);
    let (mut seen, mut called) = (BTreeSet::new(), BTreeSet::new());
    let mut next: Vec<Thing> = exports.iter().map(|name| links.exported(name)).collect();
    while let Some(thing) = next.pop() {
        let is_end = matches!(thing, Thing::Function(index) if ends.contains(&index));
        if seen.insert(thing) && !is_end {
            for link in links.to_others.get(&thing).into_iter().flatten() {
                if let (Thing::Function(index), None) = (link.to, link.offset) {
                    called.insert(index);
                }
                next.push(link.to);
            }
        }
    }
    let mut shorter = BTreeMap::new();
    let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for (symbol, range) in &links.data {
        if seen.contains(&Thing::Data(*symbol)) {
            let references = links.shorter_references(module, *symbol);
            let cut = references.as_ref().map_or(0, |(cut, _)| *cut);
            lost.extend(range.start..range.start + cut);
            kept.extend(range.start + cut..range.end);
            shorter.extend(
                references
                    .into_iter()
                    .flat_map(|(_, references)| references),
            );
        } else {
            lost.extend(range.clone());
        }
    }
    // The same bytes may have several names.
    lost.retain(|offset| !kept.contains(offset));
    let functions = seen.into_iter().filter_map(|thing| match thing {
        Thing::Function(index) => Some(index),
        Thing::Data(_) => None,
    });
    Reached {
        functions: functions.collect(),
        called,
        lost: ranges(lost),
        shorter,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// By its index among the module's own functions.
    Function(usize),
    /// By the number of its symbol.
    Data(u32),
}

/// A reference to something.
#[derive(Clone, Copy)]
struct Link {
    to: Thing,
    /// Where it stands in the module, in data.
    offset: Option<usize>,
}

/// What refers to what.
#[derive(Default)]
struct Links {
    to_others: BTreeMap<Thing, Vec<Link>>,
    exports: BTreeMap<String, usize>,
    /// Where the data of a symbol stands in the module.
    data: BTreeMap<u32, Range<usize>>,
}

impl Links {
    fn of(module: &[u8]) -> Self {
        let file = File::read(module);
        let imported = imported_functions(module) as usize;
        let own = |function: u32| (function as usize).checked_sub(imported);
        let mut links = Self::default();
        for (name, function) in &file.exports {
            links
                .exports
                .extend(own(*function).map(|index| (name.clone(), index)));
        }
        let mut things = BTreeMap::new();
        for (number, symbol) in (0..).zip(&file.symbols) {
            match symbol {
                Symbol::Function(function) => {
                    things.extend(own(*function).map(|index| (number, Thing::Function(index))));
                }
                Symbol::Data(symbol) => {
                    let range = file.range(symbol).map(|range| (number, range));
                    links.data.extend(range);
                    things.insert(number, Thing::Data(number));
                }
                Symbol::Other => {}
            }
        }
        let bodies = bodies(module);
        let code = bodies.iter().enumerate();
        let code = code.map(|(index, body)| (Thing::Function(index), body.range()));
        links.relocated(code, &file.of_code, &things);
        let data = links.data.clone().into_iter();
        let data = data.map(|(symbol, range)| (Thing::Data(symbol), range));
        links.relocated(data, &file.of_data, &things);
        // What the linker wrote itself calls without that it says so elsewhere.
        for (index, body) in bodies.iter().enumerate() {
            for operator in body.get_operators_reader().expect("a function") {
                if let Operator::Call { function_index } | Operator::RefFunc { function_index } =
                    operator.expect("an instruction")
                {
                    let called = own(function_index).map(Thing::Function);
                    let others = links.to_others.entry(Thing::Function(index)).or_default();
                    others.extend(called.map(|to| Link { to, offset: None }));
                }
            }
        }
        links
    }

    /// Adds what the things refer to, which have these ranges in the module.
    fn relocated(
        &mut self,
        ranges: impl Iterator<Item = (Thing, Range<usize>)>,
        relocations: &BTreeMap<usize, u32>,
        things: &BTreeMap<u32, Thing>,
    ) {
        for (thing, range) in ranges {
            let is_data = matches!(thing, Thing::Data(_));
            let others = relocations.range(range);
            let others = others.filter_map(|(offset, symbol)| {
                let offset = is_data.then_some(*offset);
                things.get(symbol).map(|to| Link { to: *to, offset })
            });
            self.to_others.entry(thing).or_default().extend(others);
        }
    }

    /// If it is the name of a source file: the length of its beginning that says nothing, and what
    /// refers to the rest. Nothing, if something refers to it that is no text.
    fn shorter_references(
        &self,
        module: &[u8],
        symbol: u32,
    ) -> Option<(usize, Vec<(usize, Reference)>)> {
        let name = &module[self.data[&symbol].clone()];
        let cut = beginning(name)?;
        let links = self.to_others.values().flatten();
        let links = links.filter(|link| link.to == Thing::Data(symbol));
        let references = links.map(|link| {
            let offset = link.offset?;
            let number = |at: usize| {
                let bytes = module.get(at..at + size_of::<u32>())?.try_into().ok()?;
                Some(u32::from_le_bytes(bytes))
            };
            let (address, length) = (number(offset)?, number(offset + size_of::<u32>())?);
            let cut = u32::try_from(cut).ok()?;
            (name.get(length as usize..)? == [0]).then(|| {
                let mut reference = Reference::default();
                reference[..4].copy_from_slice(&(address + cut).to_le_bytes());
                reference[4..].copy_from_slice(&(length - cut).to_le_bytes());
                (offset, reference)
            })
        });
        Some((cut, references.collect::<Option<_>>()?))
    }

    fn exported(&self, name: &str) -> Thing {
        let index = self.exports.get(name);
        Thing::Function(*index.unwrap_or_else(|| panic!("the module exports no function `{name}`")))
    }
}

enum Symbol {
    Function(u32),
    Data(DefinedDataSymbol),
    Other,
}

/// What the sections say.
#[derive(Default)]
struct File {
    exports: BTreeMap<String, u32>,
    symbols: Vec<Symbol>,
    /// Where the data of each segment stands in the module.
    segments: Vec<Range<usize>>,
    /// The symbols that are referred to, by where in the module that is done.
    of_code: BTreeMap<usize, u32>,
    of_data: BTreeMap<usize, u32>,
}

impl File {
    fn read(module: &[u8]) -> Self {
        let (mut file, mut code, mut data) = (Self::default(), 0, 0);
        for payload in Parser::new(0).parse_all(module) {
            match payload.expect("a module") {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export.expect("an export");
                        if export.kind == ExternalKind::Func {
                            file.exports.insert(export.name.to_owned(), export.index);
                        }
                    }
                }
                Payload::CodeSectionStart { range, .. } => code = range.start,
                Payload::DataSection(section) => {
                    data = section.range().start;
                    let segments = section.into_iter().map(|segment| segment.expect("data"));
                    let ranges = segments
                        .map(|segment| segment.range.end - segment.data.len()..segment.range.end);
                    file.segments = ranges.collect();
                }
                Payload::CustomSection(section) => match (section.as_known(), section.name()) {
                    (KnownCustom::Linking(section), _) => file.symbols = symbols(&section),
                    (KnownCustom::Reloc(section), "reloc.CODE") => {
                        file.of_code = offsets(code, section.entries());
                    }
                    (KnownCustom::Reloc(section), "reloc.DATA") => {
                        file.of_data = offsets(data, section.entries());
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        assert!(
            !file.of_code.is_empty() && !file.of_data.is_empty(),
            "the module does not say where it refers to data: it was not linked with `--emit-relocs`"
        );
        file
    }

    /// Where the module says what a symbol is at first. It says nothing of what is zero, and of
    /// what only marks a position in memory.
    fn range(&self, symbol: &DefinedDataSymbol) -> Option<Range<usize>> {
        let segment = self.segments.get(symbol.index as usize)?;
        let start = segment.start + symbol.offset as usize;
        let range = start..start + symbol.size as usize;
        (range.end <= segment.end).then_some(range)
    }
}

fn symbols(section: &LinkingSectionReader<'_>) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    for part in section.subsections() {
        if let Linking::SymbolTable(table) = part.expect("what the linker says") {
            let table = table.into_iter().map(|symbol| symbol.expect("a symbol"));
            symbols.extend(table.map(|symbol| match symbol {
                SymbolInfo::Func { index, .. } => Symbol::Function(index),
                SymbolInfo::Data {
                    symbol: Some(symbol),
                    ..
                } => Symbol::Data(symbol),
                _ => Symbol::Other,
            }));
        }
    }
    symbols
}

/// Offsets in a section count from its beginning. Types are referred to by their numbers and not by
/// symbols.
fn offsets(section: usize, entries: SectionLimited<'_, RelocationEntry>) -> BTreeMap<usize, u32> {
    let entries = entries
        .into_iter()
        .map(|entry| entry.expect("a relocation"));
    let entries = entries.filter(|entry| entry.ty != RelocationType::TypeIndexLeb);
    entries
        .map(|entry| (section + entry.offset as usize, entry.index))
        .collect()
}

/// How long the beginning of a source file's name is that only says where the machine that built it
/// keeps sources.
fn beginning(name: &[u8]) -> Option<usize> {
    // There is a NUL after it, which does not count as part of it.
    let name = str::from_utf8(name).ok()?.strip_suffix('\0')?;
    let is_path = name.starts_with('/') && Path::new(name).extension()? == "rs";
    let (_, rest) = (name.split_once("/registry/src/"))
        .or_else(|| name.split_once("/rustc/"))
        .filter(|_| is_path)?;
    let (_, rest) = rest.split_once('/')?;
    Some(name.len() - rest.len())
}

/// Numbers in order, those that follow each other together.
fn ranges(numbers: BTreeSet<usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}
