//! What the filter finds outside of its virtual machine, and what it has cost so far.

use std::collections::BTreeMap;

use crate::feed::Authority;

/// The instant at which everything happens, in seconds since the epoch: 2026-11-24 00:00:00 UTC.
pub(crate) const NOW: u64 = 1_795_478_400;

/// Header lines.
pub(crate) type Lines = Vec<(String, Vec<u8>)>;

/// What work has cost: exact, and the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Calls of the host by name.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Bytes that the host read from the module.
    pub(crate) bytes_to_host: u64,
    /// Bytes that the host wrote into the module.
    pub(crate) bytes_from_host: u64,
    /// Buffers that the host had the module allocate. What the module allocates for itself cannot
    /// be seen from outside; it is part of the instructions.
    pub(crate) buffers: u64,
    /// Instructions of WebAssembly, with one more for every few bytes that are copied in bulk.
    pub(crate) instructions: u64,
    /// Pages of 64 KiB that the module's memory had at the end. It never shrinks.
    pub(crate) memory_pages: u64,
}

impl Cost {
    pub(crate) fn host_calls(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// A call to a server, not answered yet.
pub(crate) struct OpenCall {
    pub(crate) id: u32,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// The process around the virtual machine.
pub(crate) struct Process {
    pub(crate) configuration: Vec<u8>,
    pub(crate) request_headers: Lines,
    pub(crate) answer_headers: Lines,
    pub(crate) answer_body: Vec<u8>,
    /// Status of the answer that the filter gave itself.
    pub(crate) local_response: Option<u32>,
    /// Whether a request that was held has been let go on.
    pub(crate) is_resumed: bool,
    /// The host call that fails, however often it is made.
    pub(crate) fails_at: Option<String>,
    /// Variables as the bootstrap sets them for the module: `NAME=value`.
    pub(crate) environment: Vec<&'static str>,
    /// Whether the host knows the function `verify_signature`.
    pub(crate) verifies: bool,
    pub(crate) shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Names and sums. The number of a metric is its position, counted from 1.
    pub(crate) metrics: Vec<(String, u32)>,
    pub(crate) open_calls: Vec<OpenCall>,
    pub(crate) authority: Option<Authority>,
    pub(crate) log: Vec<String>,
    pub(crate) milliseconds: u64,
    pub(crate) cost: Cost,
    /// How often each probe of the module, if it has any, has said no and yes.
    pub(crate) answers: Vec<[u64; 2]>,
    last_call: u32,
    random: u64,
}

impl Process {
    pub(crate) fn new(configuration: Vec<u8>, verifies: bool) -> Self {
        Self {
            configuration,
            verifies,
            milliseconds: NOW * 1_000,
            fails_at: None,
            environment: Vec::new(),
            request_headers: Vec::new(),
            answer_headers: Vec::new(),
            answer_body: Vec::new(),
            local_response: None,
            is_resumed: false,
            shared: BTreeMap::new(),
            metrics: Vec::new(),
            open_calls: Vec::new(),
            authority: None,
            log: Vec::new(),
            cost: Cost::default(),
            answers: Vec::new(),
            last_call: 0,
            random: 0,
        }
    }

    pub(crate) fn next_call(&mut self) -> u32 {
        self.last_call += 1;
        self.last_call
    }

    /// What a metric has been increased to.
    pub(crate) fn sum(&self, name: &str) -> u32 {
        let mut metrics = self.metrics.iter();
        let found = metrics.find(|(known, _)| known == name);
        found.expect("a metric of the filter").1
    }

    /// Bytes that are the same on every run.
    pub(crate) fn random_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bytes.push((mixed >> 56) as u8);
        }
        bytes
    }

    /// Replaces the value, if it is the expected one.
    pub(crate) fn set_shared(&mut self, key: Vec<u8>, value: Vec<u8>, expected: u32) -> bool {
        let present = self.shared.get(&key).map(|(_, version)| *version);
        // As Envoy has it: 0 expects anything, and where nothing is nothing is compared.
        if present.is_some_and(|version| expected != 0 && expected != version) {
            return false;
        }
        self.shared
            .insert(key, (value, present.unwrap_or_default() + 1));
        true
    }
}
