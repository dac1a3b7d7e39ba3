//! The module's memory, with every byte that crosses counted.

use wasmi::{Caller, Extern, Memory};

use crate::process::Process;

/// The caller of a host call.
pub(crate) struct Guest<'c, 'p>(pub(crate) &'c mut Caller<'p, Process>);

impl Guest<'_, '_> {
    pub(crate) fn process(&mut self) -> &mut Process {
        self.0.data_mut()
    }

    /// What the module shows the host.
    pub(crate) fn read(&mut self, pointer: u32, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        let memory = self.memory();
        memory
            .read(&self.0, pointer as usize, &mut bytes)
            .expect("a slice in the module's memory");
        self.process().cost.bytes_to_host += u64::from(length);
        bytes
    }

    pub(crate) fn write(&mut self, pointer: u32, bytes: &[u8]) {
        let memory = self.memory();
        memory
            .write(&mut self.0, pointer as usize, bytes)
            .expect("a location in the module's memory");
        self.process().cost.bytes_from_host += bytes.len() as u64;
    }

    pub(crate) fn write_number(&mut self, pointer: u32, number: u32) {
        self.write(pointer, &number.to_le_bytes());
    }

    /// Hands bytes over in a buffer that the module allocates.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer: u32, length: u32) {
        let size = u32::try_from(bytes.len()).expect("a length of 32 bits");
        let buffer = if size == 0 {
            0
        } else {
            let buffer = self.allocate(size);
            self.write(buffer, bytes);
            buffer
        };
        self.write_number(pointer, buffer);
        self.write_number(length, size);
    }

    fn allocate(&mut self, size: u32) -> u32 {
        self.process().cost.buffers += 1;
        let allocate = self.0.get_export("proxy_on_memory_allocate");
        let allocate = allocate.and_then(Extern::into_func).expect("its export");
        let allocate = allocate.typed::<u32, u32>(&self.0).expect("its type");
        allocate.call(&mut self.0, size).expect("a buffer")
    }

    fn memory(&self) -> Memory {
        let memory = self.0.get_export("memory").and_then(Extern::into_memory);
        memory.expect("the module's memory")
    }
}
