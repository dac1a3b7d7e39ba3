//! Another Wasm plugin of the proxy, which writes over what it finds in shared data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};

/// A filter in a machine with this `vm_id` that writes these values under these keys as soon as it
/// is configured, and then lets every request through.
pub(crate) fn intruder(vm: &str, records: &[(String, Vec<u8>)]) -> Value {
    json!({
        "name": "intruder",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "intruder",
                "root_id": "intruder",
                "vm_config": {
                    "vm_id": vm,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"inline_bytes": STANDARD.encode(module(records))}},
                },
            },
        },
    })
}

/// Functions of the module: the one that is imported, and those that Envoy calls (proxy-wasm ABI
/// 0.2.1).
const SET_SHARED_DATA: u32 = 0;
const ABI_VERSION: u32 = 1;
const ON_MEMORY_ALLOCATE: u32 = 2;
const ON_CONTEXT_CREATE: u32 = 3;
const ON_VM_START: u32 = 4;
const ON_CONFIGURE: u32 = 5;

fn module(records: &[(String, Vec<u8>)]) -> Vec<u8> {
    const INT: ValType = ValType::I32;
    let mut types = TypeSection::new();
    types.ty().function([INT; 5], [INT]);
    types.ty().function([], []);
    types.ty().function([INT], [INT]);
    types.ty().function([INT; 2], []);
    types.ty().function([INT; 2], [INT]);
    let mut imports = ImportSection::new();
    imports.import("env", "proxy_set_shared_data", EntityType::Function(0));
    let mut functions = FunctionSection::new();
    for ty in [1, 2, 3, 4, 4] {
        functions.function(ty);
    }
    let mut data = Vec::new();
    let mut code = CodeSection::new();
    code.function(&body(&[]));
    // No memory is needed: this module reads nothing.
    code.function(&body(&[Instruction::I32Const(0)]));
    code.function(&body(&[]));
    code.function(&body(&[Instruction::I32Const(1)]));
    let mut writing = Vec::new();
    for (key, value) in records {
        for part in [key.as_bytes(), value.as_slice()] {
            let offset = i32::try_from(data.len()).expect("a small module");
            let length = i32::try_from(part.len()).expect("a small module");
            data.extend(part);
            writing.extend([offset, length].map(Instruction::I32Const));
        }
        // Whatever is there.
        writing.push(Instruction::I32Const(0));
        writing.push(Instruction::Call(SET_SHARED_DATA));
        writing.push(Instruction::Drop);
    }
    writing.push(Instruction::I32Const(1));
    code.function(&body(&writing));
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 16,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    for (name, function) in [
        ("proxy_abi_version_0_2_1", ABI_VERSION),
        ("proxy_on_memory_allocate", ON_MEMORY_ALLOCATE),
        ("proxy_on_context_create", ON_CONTEXT_CREATE),
        ("proxy_on_vm_start", ON_VM_START),
        ("proxy_on_configure", ON_CONFIGURE),
    ] {
        exports.export(name, ExportKind::Func, function);
    }
    let mut contents = DataSection::new();
    contents.active(0, &ConstExpr::i32_const(0), data);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code)
        .section(&contents);
    module.finish()
}

fn body(instructions: &[Instruction<'_>]) -> Function {
    let mut function = Function::new([]);
    for instruction in instructions {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    function
}
