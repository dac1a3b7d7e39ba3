//! The access logs that operators copy: JSON, and records of OpenTelemetry.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::body::Bytes;
use axum::http;
use h2::server;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    Bootstrap, Envoy, Listener, Plugin, Request, Token, configuration, read_yaml, until,
};

const ACCESS_LOG: &str = include_str!("../../../envoy/observability/access-log.yaml");

/// What the file's comment has providers do.
fn claims() -> Value {
    let lines = ACCESS_LOG
        .lines()
        .skip_while(|line| !line.contains("claims_to_filter_state:"));
    let lines = lines.take_while(|line| *line != "#");
    let text: String = lines
        .flat_map(|line| [line.trim_start_matches("# "), "\n"])
        .collect();
    read_yaml(&text)["claims_to_filter_state"].clone()
}

/// A gate with the loggers of the file, and the bytes of what its collector is sent.
fn gate() -> (Envoy, Arc<Mutex<Vec<u8>>>) {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["providers"]["demo"]["claims_to_filter_state"] = claims();
    // Where the test reads it.
    let text = ACCESS_LOG.replace("access_loggers.stdout", "access_loggers.stderr");
    let loggers = read_yaml(&text.replace("StdoutAccessLog", "StderrAccessLog"));
    let mut listener = Listener::portcullis(Plugin::new(&configuration));
    for logger in loggers["access_log"].as_array().unwrap() {
        listener = listener.with_access_logger(logger.clone());
    }
    let (address, received) = collect();
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let bootstrap = Bootstrap::new([listener]).with_cluster("otel_collector", address);
    let protocol = json!({options: {
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    let bootstrap = bootstrap.with_cluster_member(
        "otel_collector",
        "typed_extension_protocol_options",
        protocol,
    );
    (Envoy::start(&bootstrap), received)
}

/// A collector over gRPC that keeps all that it is sent.
fn collect() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&received);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Ends with the process.
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let sink = Arc::clone(&sink);
                tokio::spawn(async move {
                    let mut connection = server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(export(request, respond, Arc::clone(&sink)));
                    }
                });
            }
        });
    });
    (address, received)
}

/// `opentelemetry.proto.collector.logs.v1.LogsService.Export`, with an empty answer.
async fn export(
    request: http::Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    sink: Arc<Mutex<Vec<u8>>>,
) {
    let path = request.uri().path().to_owned();
    assert_eq!(
        path,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    );
    let mut body = request.into_body();
    while let Some(Ok(part)) = body.data().await {
        body.flow_control().release_capacity(part.len()).unwrap();
        sink.lock().unwrap().extend(part);
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    stream
        .send_data(Bytes::from_static(&[0; 5]), false)
        .unwrap();
    let trailers = [(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )];
    stream
        .send_trailers(trailers.into_iter().collect())
        .unwrap();
}

#[test]
fn access_logs_say_whose_session_it_was_and_why_a_request_was_refused() {
    let (envoy, received) = gate();
    let token = Token::signed_by("es256")
        .claim("sid", "a-session")
        .claim("jti", "a-token")
        .claim("client_id", "a-client");
    let forged = Token::signed_by("es256-other")
        .header("kid", "test-es256")
        .claim("sub", "mallory");
    let genuine = token.to_string();
    let request = |path: &str, token: String| {
        Request::get(path)
            .bearer(token)
            .header("x-request-id", "7f3a-1")
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            // What only the gate may set.
            .header("x-session-subject", "mallory")
    };
    let mut client = envoy.client();
    let ask = format!("/api/orders?access=1&secret={}", "x".repeat(20));
    assert_eq!(client.send(&request(&ask, genuine.clone())).status, 200);
    assert_eq!(
        client.send(&request("/api", forged.to_string())).status,
        401
    );

    let lines = || {
        let log = envoy.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    until(|| envoy.log(), || lines().len() == 2);
    let [admitted, refused] = <[Value; 2]>::try_from(lines()).unwrap();
    for (name, value) in [
        ("request_id", "7f3a-1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("method", "GET"),
        ("path", "/api/orders"),
        ("details", "via_upstream"),
        ("client_address", "127.0.0.1"),
        ("subject", "alice"),
        ("session", "a-session"),
        ("token", "a-token"),
        ("client", "a-client"),
    ] {
        assert_eq!(admitted[name], value, "{admitted}");
    }
    assert_eq!(admitted["status"], 200, "{admitted}");
    assert_eq!(refused["status"], 401, "{refused}");
    assert_eq!(refused["details"], "portcullis_denied{signature_invalid}");
    for name in ["subject", "session", "token", "client"] {
        assert_eq!(refused.get(name), None, "{refused}");
    }

    // Texts stand in the messages as they are.
    let has = |text: &str| {
        let received = received.lock().unwrap();
        received
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    let expected = [
        "portcullis-edge",
        "GET /api/orders 200 via_upstream",
        "GET /api 401 portcullis_denied{signature_invalid}",
        "enduser.id",
        "alice",
        "session.id",
        "a-session",
        "portcullis.token",
        "a-token",
        "portcullis.client",
        "a-client",
        "7f3a-1",
    ];
    for text in expected {
        until(
            || format!("{text} in what the collector was sent"),
            || has(text),
        );
    }
    let log = envoy.log();
    for secret in [
        "mallory",
        "secret=",
        &genuine[..genuine.find('.').unwrap() + 20],
    ] {
        assert!(!has(secret) && !log.contains(secret), "{secret}");
    }
}
