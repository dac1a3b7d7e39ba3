//! The real `portcullis.wasm` in a small host: an interpreter that counts instructions.

use std::env;
use std::path::{Path, PathBuf};

use wasmi::{
    Caller, CompilationMode, Config, Engine, Extern, Func, Instance, Linker, Module, Store,
};
use wasmi::{WasmParams, WasmResults};

use crate::feed::Authority;
use crate::host_calls;
use crate::process::{Cost, Lines, OpenCall, Process};

const ROOT: u32 = 1;

/// More than anything here needs.
const FUEL: u64 = u64::MAX / 2;

/// What the filter says about a request: it goes on.
const CONTINUE: u32 = 0;

/// A virtual machine with the filter in it, configured.
pub(crate) struct Vm {
    store: Store<Process>,
    instance: Instance,
    last_context: u32,
}

/// What the filter has done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on to the upstream.
    GoesOn,
    /// It was answered with this status.
    Refused(u32),
    /// It goes nowhere.
    Held,
}

/// The filter, compiled for the interpreter.
pub(crate) struct Compiled {
    engine: Engine,
    module: Module,
}

/// What a module with probes calls: the condition of a branch, and the number of the probe; the
/// answer is the condition.
pub(crate) const PROBES: &str = "probes";

impl Compiled {
    pub(crate) fn new() -> Self {
        Self::from(&built())
    }

    pub(crate) fn from(bytes: &[u8]) -> Self {
        let mut config = Config::default();
        config
            .consume_fuel(true)
            // Compiling on first use would consume fuel too.
            .compilation_mode(CompilationMode::Eager);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, bytes).expect("a module");
        Self { engine, module }
    }
}

impl Vm {
    /// Starts and configures the filter.
    pub(crate) fn start(compiled: &Compiled, process: Process) -> Self {
        let mut vm = Self::load(compiled, process);
        assert!(vm.configure(), "{:?}", vm.process().log);
        vm
    }

    /// A virtual machine with the filter in it, which knows no configuration yet.
    pub(crate) fn load(compiled: &Compiled, process: Process) -> Self {
        let mut store = Store::new(&compiled.engine, process);
        store.set_fuel(FUEL).expect("fuel is on");
        let mut linker = Linker::new(&compiled.engine);
        let probe = |mut caller: Caller<'_, Process>, condition: u32, probe: u32| {
            let answers = &mut caller.data_mut().answers;
            let index = usize::try_from(probe).expect("32 bits");
            if answers.len() <= index {
                answers.resize(index + 1, [0; 2]);
            }
            answers[index][usize::from(condition != 0)] += 1;
            condition
        };
        let probe = linker.func_wrap(PROBES, PROBES, probe);
        probe.expect("the only function of this name");
        for import in compiled.module.imports() {
            if import.module() == PROBES {
                continue;
            }
            let name = import.name().to_owned();
            let ty = import.ty().func().expect("only functions are imported");
            let call = Func::new(&mut store, ty.clone(), {
                let name = name.clone();
                move |mut caller, arguments, results| {
                    let code = host_calls::answer(&name, &mut caller, arguments);
                    if let Some(result) = results.first_mut() {
                        *result = wasmi::Val::I32(code.cast_signed());
                    }
                    Ok(())
                }
            });
            linker
                .define(import.module(), &name, call)
                .expect("one import of a name");
        }
        let instance = linker.instantiate_and_start(&mut store, &compiled.module);
        let mut vm = Self {
            instance: instance.expect("an instance"),
            store,
            last_context: ROOT,
        };
        vm.call::<(), ()>("_initialize", ());
        vm.call::<_, ()>("proxy_on_context_create", (ROOT, 0_u32));
        assert_eq!(vm.call::<_, u32>("proxy_on_vm_start", (ROOT, 0_u32)), 1);
        vm
    }

    /// Whether the filter takes its configuration. If it does not, the log says why.
    pub(crate) fn configure(&mut self) -> bool {
        let size = u32::try_from(self.process().configuration.len()).expect("a length");
        self.call::<_, u32>("proxy_on_configure", (ROOT, size)) == 1
    }

    /// The same, with a feed that has been loaded.
    pub(crate) fn start_with_feed(
        compiled: &Compiled,
        process: Process,
        authority: Authority,
    ) -> Self {
        let mut vm = Self::start(compiled, process);
        vm.process().authority = Some(authority);
        for _ in 0..20 {
            vm.tick();
        }
        assert_eq!(vm.process().open_calls.len(), 1, "one long poll is open");
        vm
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.store.data_mut()
    }

    /// A tenth of a second, and the answers to what was asked in it.
    pub(crate) fn tick(&mut self) {
        self.process().milliseconds += 100;
        self.call::<_, ()>("proxy_on_tick", ROOT);
        self.answer_calls();
    }

    /// Hands over what the authority answers, until it has answered everything but a long poll.
    /// Envoy names the plugin's context with every answer.
    pub(crate) fn answer_calls(&mut self) {
        loop {
            let process = self.process();
            let Some(authority) = &process.authority else {
                return;
            };
            let answer = |call: &OpenCall| Some((call.id, authority.answer(call)?));
            let Some((id, body)) = process.open_calls.iter().find_map(answer) else {
                return;
            };
            process.open_calls.retain(|call| call.id != id);
            let size = u32::try_from(body.len()).expect("a length");
            process.answer_headers = vec![(":status".to_owned(), b"200".to_vec())];
            process.answer_body = body;
            let arguments = (ROOT, id, 1_u32, size, 0_u32);
            self.call::<_, ()>("proxy_on_http_call_response", arguments);
        }
    }

    /// A request, from its beginning to its end; the status with which the filter refused it.
    pub(crate) fn request(&mut self, headers: &Lines) -> Option<u32> {
        let outcome = self.outcome(headers);
        let refused = self.process().local_response;
        assert_eq!(outcome == Outcome::GoesOn, refused.is_none(), "{refused:?}");
        refused
    }

    /// A request, from its beginning to its end, and what became of it.
    pub(crate) fn outcome(&mut self, headers: &Lines) -> Outcome {
        let (context, action) = self.begin(headers);
        if action != CONTINUE && self.process().local_response.is_none() {
            self.answer_calls();
        }
        let refused = self.process().local_response;
        let goes_on = action == CONTINUE || self.process().is_resumed;
        // Envoy tells the filter of every answer, its own ones included.
        self.tell::<_, u32>("proxy_on_response_headers", (context, 4_u32, 0_u32));
        self.tell::<_, u32>("proxy_on_response_body", (context, 2_u32, 1_u32));
        self.end(context);
        match refused {
            _ if goes_on => Outcome::GoesOn,
            Some(status) => Outcome::Refused(status),
            None => Outcome::Held,
        }
    }

    /// A request that is held, and whose client then goes away.
    pub(crate) fn hold_and_leave(&mut self, headers: &Lines) {
        let (context, action) = self.begin(headers);
        assert_ne!(action, CONTINUE);
        assert_eq!(self.process().local_response, None);
        self.end(context);
    }

    fn begin(&mut self, headers: &Lines) -> (u32, u32) {
        self.last_context += 1;
        let context = self.last_context;
        let process = self.process();
        process.request_headers.clone_from(headers);
        process.local_response = None;
        process.is_resumed = false;
        let count = u32::try_from(headers.len()).expect("a few headers");
        self.call::<_, ()>("proxy_on_context_create", (context, ROOT));
        let action = self.call("proxy_on_request_headers", (context, count, 1_u32));
        (context, action)
    }

    fn end(&mut self, context: u32) {
        self.tell::<_, u32>("proxy_on_done", context);
        self.tell::<_, ()>("proxy_on_log", context);
        self.tell::<_, ()>("proxy_on_delete", context);
    }

    /// What everything so far has cost.
    pub(crate) fn cost_so_far(&mut self) -> Cost {
        let instructions = FUEL - self.store.get_fuel().expect("fuel is on");
        Cost {
            instructions,
            memory_pages: self.memory_pages(),
            ..self.process().cost.clone()
        }
    }

    /// What `work` costs.
    pub(crate) fn cost_of(&mut self, work: impl FnOnce(&mut Self)) -> Cost {
        self.process().cost = Cost::default();
        let before = self.store.get_fuel().expect("fuel is on");
        work(self);
        let after = self.store.get_fuel().expect("fuel is on");
        let mut cost = std::mem::take(&mut self.process().cost);
        cost.instructions = before - after;
        cost.memory_pages = self.memory_pages();
        cost
    }

    fn memory_pages(&self) -> u64 {
        let memory = self.instance.get_export(&self.store, "memory");
        let memory = memory.and_then(Extern::into_memory);
        memory.expect("the module's memory").size(&self.store)
    }

    /// Calls what need not be there, which Envoy leaves out then.
    fn tell<P: WasmParams, R: WasmResults>(&mut self, name: &str, arguments: P) {
        if self.instance.get_export(&self.store, name).is_some() {
            self.call::<P, R>(name, arguments);
        }
    }

    /// Has the filter panic: no host calls a context that it has not told of. What it has logged.
    pub(crate) fn panic(mut self) -> Vec<String> {
        const UNKNOWN: u32 = 4_711;
        let outcome = self.try_call::<_, ()>("proxy_on_tick", UNKNOWN);
        assert!(outcome.is_err(), "the filter lives on");
        std::mem::take(&mut self.process().log)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, arguments: P) -> R {
        self.try_call(name, arguments)
            .unwrap_or_else(|error| panic!("{name}: {error}; {:?}", self.store.data().log))
    }

    fn try_call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<R, wasmi::Error> {
        let export = self.instance.get_export(&self.store, name);
        let function = export.and_then(Extern::into_func).expect("an export");
        let function = function.typed::<P, R>(&self.store).expect("its type");
        function.call(&mut self.store, arguments)
    }
}

/// The filter as it was built.
pub(crate) fn built() -> Vec<u8> {
    let path = env::var_os("PORTCULLIS_WASM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portcullis.wasm"),
        PathBuf::from,
    );
    std::fs::read(&path)
        .unwrap_or_else(|_| panic!("no filter at {}; run: ./build.sh", path.display()))
}
