//! The calls of proxy-wasm 0.2.1 and of WASI that the filter makes, as Envoy answers them.

use wasmi::{Caller, Val};

use crate::guest::Guest;
use crate::process::{Lines, OpenCall, Process};
use crate::signature;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;
const UNIMPLEMENTED: u32 = 12;

const REQUEST_HEADERS: u32 = 0;
const ANSWER_HEADERS: u32 = 6;
const ANSWER_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

/// The level `info`, which is Envoy's.
const LOG_LEVEL: u32 = 2;

/// Answers one call, and counts it.
pub(crate) fn answer(name: &str, caller: &mut Caller<'_, Process>, arguments: &[Val]) -> u32 {
    let mut guest = Guest(caller);
    let cost = &mut guest.process().cost;
    *cost.calls.entry(name.to_owned()).or_default() += 1;
    if guest.process().fails_at.as_deref() == Some(name) {
        return INTERNAL_FAILURE;
    }
    let number = |index: usize| match arguments[index] {
        Val::I32(number) => number.cast_unsigned(),
        // Metrics are counted in 64 bits, of which the lower ones are enough here.
        Val::I64(number) => number as u32,
        ref other => panic!("`{name}` with {other:?}"),
    };
    let numbers: Vec<u32> = (0..arguments.len()).map(number).collect();
    match (name, &numbers[..]) {
        ("proxy_log", &[_, text, length]) => {
            let text = guest.read(text, length);
            let text = String::from_utf8_lossy(&text).into_owned();
            guest.process().log.push(text);
            OK
        }
        ("proxy_get_log_level", &[level]) => {
            guest.write_number(level, LOG_LEVEL);
            OK
        }
        ("proxy_get_current_time_nanoseconds", &[time]) => {
            let now = guest.process().milliseconds * 1_000_000;
            guest.write(time, &now.to_le_bytes());
            OK
        }
        (
            "proxy_set_tick_period_milliseconds"
            | "proxy_set_effective_context"
            | "proxy_close_stream",
            &[_],
        ) => OK,
        ("proxy_continue_stream", &[_]) => {
            guest.process().is_resumed = true;
            OK
        }
        ("proxy_get_property", &[path, length, pointer, size]) => {
            if guest.read(path, length) == b"source\0address" {
                guest.give(b"203.0.113.7:54321", pointer, size);
                return OK;
            }
            NOT_FOUND
        }
        ("proxy_set_property", &[path, path_length, value, value_length]) => {
            guest.read(path, path_length);
            guest.read(value, value_length);
            OK
        }
        ("proxy_send_local_response", fields) => local_response(&mut guest, fields),
        ("proxy_get_buffer_bytes", fields) => buffer(&mut guest, fields),
        ("proxy_call_foreign_function", fields) => foreign_function(&mut guest, fields),
        ("proxy_http_call", fields) => http_call(&mut guest, fields),
        _ if name.contains("header_map") => header_map(name, &mut guest, &numbers),
        _ if name.contains("shared_data") => shared_data(name, &mut guest, &numbers),
        _ if name.contains("metric") => metric(name, &mut guest, &numbers),
        _ => wasi(name, &mut guest, &numbers),
    }
}

fn header_map(name: &str, guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    match (name, arguments) {
        ("proxy_get_header_map_pairs", &[map, pointer, length]) => {
            let bytes = serialized(lines(guest.process(), map));
            guest.give(&bytes, pointer, length);
            OK
        }
        ("proxy_get_header_map_value", &[map, key, key_length, pointer, length]) => {
            let key = text(guest, key, key_length);
            let lines = lines(guest.process(), map);
            let value = lines.iter().find(|(name, _)| *name == key);
            match value.map(|(_, value)| value.clone()) {
                Some(value) => {
                    guest.give(&value, pointer, length);
                    OK
                }
                None => NOT_FOUND,
            }
        }
        ("proxy_remove_header_map_value", &[map, key, key_length]) => {
            let key = text(guest, key, key_length);
            lines(guest.process(), map).retain(|(name, _)| *name != key);
            OK
        }
        ("proxy_replace_header_map_value", &[map, key, key_length, value, value_length]) => {
            let key = text(guest, key, key_length);
            let value = guest.read(value, value_length);
            let lines = lines(guest.process(), map);
            lines.retain(|(name, _)| *name != key);
            lines.push((key, value));
            OK
        }
        ("proxy_add_header_map_value", &[map, key, key_length, value, value_length]) => {
            let key = text(guest, key, key_length);
            let value = guest.read(value, value_length);
            lines(guest.process(), map).push((key, value));
            OK
        }
        ("proxy_set_header_map_pairs", &[map, pointer, length]) => {
            let bytes = guest.read(pointer, length);
            *lines(guest.process(), map) = deserialized(&bytes);
            OK
        }
        _ => panic!("`{name}` is not known here"),
    }
}

fn shared_data(name: &str, guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    match (name, arguments) {
        ("proxy_get_shared_data", &[key, key_length, pointer, length, version]) => {
            let key = guest.read(key, key_length);
            let found = guest.process().shared.get(&key).cloned();
            let Some((bytes, found)) = found else {
                return NOT_FOUND;
            };
            guest.give(&bytes, pointer, length);
            guest.write_number(version, found);
            OK
        }
        ("proxy_set_shared_data", &[key, key_length, value, value_length, version]) => {
            let key = guest.read(key, key_length);
            let value = guest.read(value, value_length);
            if guest.process().set_shared(key, value, version) {
                OK
            } else {
                CAS_MISMATCH
            }
        }
        _ => panic!("`{name}` is not known here"),
    }
}

fn metric(name: &str, guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    match (name, arguments) {
        ("proxy_define_metric", &[_, text_, length, id]) => {
            let defined = text(guest, text_, length);
            let metrics = &mut guest.process().metrics;
            metrics.push((defined, 0));
            let number = u32::try_from(metrics.len()).expect("a few metrics");
            guest.write_number(id, number);
            OK
        }
        ("proxy_increment_metric", &[id, more]) => {
            let (_, value) = &mut guest.process().metrics[id as usize - 1];
            *value = value.wrapping_add(more);
            OK
        }
        ("proxy_record_metric", &[_, _]) => OK,
        _ => panic!("`{name}` is not known here"),
    }
}

fn local_response(guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    let &[
        status,
        details,
        details_length,
        body,
        body_length,
        lines,
        lines_length,
        _,
    ] = arguments
    else {
        panic!("a local response with {arguments:?}");
    };
    for (pointer, length) in [
        (details, details_length),
        (body, body_length),
        (lines, lines_length),
    ] {
        guest.read(pointer, length);
    }
    guest.process().local_response = Some(status);
    OK
}

fn buffer(guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    let &[kind, start, size, pointer, length] = arguments else {
        panic!("a buffer with {arguments:?}");
    };
    let process = guest.process();
    let bytes = match kind {
        PLUGIN_CONFIGURATION => &process.configuration,
        ANSWER_BODY => &process.answer_body,
        _ => return NOT_FOUND,
    };
    let end = bytes.len().min(start as usize + size as usize);
    let bytes = bytes[start as usize..end].to_vec();
    guest.give(&bytes, pointer, length);
    OK
}

fn foreign_function(guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    let &[
        name,
        name_length,
        argument,
        argument_length,
        pointer,
        length,
    ] = arguments
    else {
        panic!("a foreign function with {arguments:?}");
    };
    let name = text(guest, name, name_length);
    let argument = guest.read(argument, argument_length);
    if name != "verify_signature" || !guest.process().verifies {
        return NOT_FOUND;
    }
    // VerifySignatureResult: `result` is field 1, a boolean, and not written when it is false.
    let answer: &[u8] = if signature::is_genuine(&argument) {
        &[0x08, 0x01]
    } else {
        b"\x12\x1averify_failed: bad signature"
    };
    guest.give(answer, pointer, length);
    OK
}

fn http_call(guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    let &[
        cluster,
        cluster_length,
        lines,
        lines_length,
        body,
        body_length,
        trailers,
        trailers_length,
        _,
        id,
    ] = arguments
    else {
        panic!("a call with {arguments:?}");
    };
    guest.read(cluster, cluster_length);
    let lines = guest.read(lines, lines_length);
    let body = guest.read(body, body_length);
    guest.read(trailers, trailers_length);
    let lines = deserialized(&lines);
    let path = lines.iter().find(|(name, _)| name == ":path");
    let path = String::from_utf8_lossy(&path.expect("a path").1).into_owned();
    let number = guest.process().next_call();
    guest.process().open_calls.push(OpenCall {
        id: number,
        path,
        body,
    });
    guest.write_number(id, number);
    OK
}

fn wasi(name: &str, guest: &mut Guest<'_, '_>, arguments: &[u32]) -> u32 {
    match (name, arguments) {
        ("random_get", &[pointer, length]) => {
            let bytes = guest.process().random_bytes(length as usize);
            guest.write(pointer, &bytes);
            OK
        }
        ("environ_sizes_get", &[count, size]) => {
            let environment = &guest.process().environment;
            let variables = u32::try_from(environment.len()).expect("a few variables");
            let bytes = environment.iter().map(|variable| variable.len() + 1);
            let bytes = u32::try_from(bytes.sum::<usize>()).expect("short ones");
            guest.write_number(count, variables);
            guest.write_number(size, bytes);
            OK
        }
        ("environ_get", &[mut pointer, mut text]) => {
            for variable in guest.process().environment.clone() {
                guest.write_number(pointer, text);
                guest.write(text, format!("{variable}\0").as_bytes());
                pointer += 4;
                text += u32::try_from(variable.len()).expect("a short one") + 1;
            }
            OK
        }
        ("proc_exit" | "fd_write", _) => panic!("the module gave up: {:?}", guest.process().log),
        _ => UNIMPLEMENTED,
    }
}

fn text(guest: &mut Guest<'_, '_>, pointer: u32, length: u32) -> String {
    String::from_utf8_lossy(&guest.read(pointer, length)).into_owned()
}

fn lines(process: &mut Process, map: u32) -> &mut Lines {
    match map {
        REQUEST_HEADERS => &mut process.request_headers,
        ANSWER_HEADERS => &mut process.answer_headers,
        _ => panic!("header map {map} is not known here"),
    }
}

/// Their number, the lengths of all names and values, and then all of them, with a NUL after each.
fn serialized(lines: &Lines) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).expect("32 bits").to_le_bytes();
    let mut bytes = number(lines.len()).to_vec();
    for (name, value) in lines {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for (name, value) in lines {
        bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
    }
    bytes
}

fn deserialized(bytes: &[u8]) -> Lines {
    let number = |index: usize| {
        let bytes = bytes[index * 4..index * 4 + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes")) as usize
    };
    let count = number(0);
    let mut start = 4 + count * 8;
    let mut next = |length: usize| {
        let text = bytes[start..start + length].to_vec();
        start += length + 1;
        text
    };
    let line = |index: usize| {
        let name = next(number(1 + index * 2));
        let value = next(number(2 + index * 2));
        (String::from_utf8_lossy(&name).into_owned(), value)
    };
    (0..count).map(line).collect()
}
