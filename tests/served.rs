//! `likewise serve` as a process: broken and slow connections, the log, the options, and writes while other commands
//! run.

use crate::support::{Server, data, ingest, likewise};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    folder
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes, and returns everything that the server sends until it closes the connection.
fn send_raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    read_to_end(stream)
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    // If the server resets the connection, the response ends there.
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// Returns a search request with a body and extra header lines. Each extra header line must end in CRLF.
fn search_request(body: &str, headers: &str) -> String {
    format!(
        "POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[test]
fn slow_and_malformed_requests_get_an_error_status() {
    let folder = folder();
    let timeouts = ["--header-timeout", "0.5", "--body-timeout", "0.5"];
    let server = Server::start_with(folder.path(), &timeouts, &[]);
    server.wait_until_ready();
    let started = Instant::now();
    for head in ["", "P", "POST /v1/search HTTP/1.1\r\nHost: x\r\n"] {
        let response = send_raw(&server, head.as_bytes());
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 408"), "{head:?}: {response}");
    }
    let response =
        send_raw(&server, b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"text\"");
    assert!(response.starts_with("HTTP/1.1 408") && response.contains("--body-timeout"), "{response}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let upload =
        "POST /v1/papers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n";
    let response = send_raw(&server, upload.as_bytes());
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");

    // The client sends a part of the body and then closes its side of the connection.
    let mut stream = connect(&server);
    stream.write_all(b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let response = read_to_end(stream);
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 400"), "{response}");
    for (bytes, status) in [
        ("GARBAGE\r\n\r\n".to_string(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".into(), "400"),
        ("POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), "400"),
        (
            "POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".into(),
            "400",
        ),
        (search_request("{}", &"x-many: 1\r\n".repeat(100)), "431"),
        (search_request("{}", &format!("x-long: {}\r\n", "x".repeat(1 << 20))), "431"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "404"),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "404"),
        ("GET http://evil.example/v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "200"),
        ("TRACE /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "405"),
        (search_request(r#"{"text":"bees"}"#, ""), "200"),
    ] {
        let response = send_raw(&server, bytes.as_bytes());
        let shown: String = bytes.chars().take(60).collect();
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {response}");
    }
}

#[test]
fn connections_over_the_limit_are_closed_immediately() {
    let folder = folder();
    let server = Server::start_with(folder.path(), &["--max-connections", "2"], &[]);
    server.wait_until_ready();
    // The connection on which `wait_until_ready` requested /ready might still be open.
    std::thread::sleep(Duration::from_millis(300));
    let open: Vec<TcpStream> = (0..2).map(|_| connect(&server)).collect();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(send_raw(&server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "");
    drop(open);
    std::thread::sleep(Duration::from_millis(300));
    let response = send_raw(&server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[test]
fn a_request_over_the_timeout_gets_status_503() {
    let folder = folder();
    let server = Server::start_with(folder.path(), &["--request-timeout", "0.001"], &[]);
    server.wait_until_ready();
    let text = json!({ "input": vec!["a long text that takes its time ".repeat(40); 200] }).to_string();
    let request = search_request(&text, "").replace("/v1/search", "/v1/embeddings");
    let response = send_raw(&server, request.as_bytes());
    assert!(response.starts_with("HTTP/1.1 503") && response.contains("--request-timeout"), "{response}");
    assert!(response.contains("retry-after: 1"), "{response}");
}

#[test]
fn keys_and_query_texts_are_not_logged() {
    let folder = folder();
    let environment = [("LIKEWISE_READ_KEY", "a-secret-read-key"), ("LIKEWISE_LOG", "trace")];
    let server = Server::start_with(folder.path(), &["--log-format", "json"], &environment);
    server.wait_until_ready();
    let key = "Authorization: Bearer a-secret-read-key\r\nx-request-id: my-own-id\r\n";
    let response = send_raw(&server, search_request(r#"{"text":"my unpublished abstract"}"#, key).as_bytes());
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(
        response.contains("x-request-id: my-own-id") && response.contains("server-timing: tokenize;dur="),
        "{response}"
    );
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"find_similar_papers","arguments":{"text":"unpublished"}}}"#;
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json, text/event-stream\r\n";
    let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n", call.len());
    let response = send_raw(&server, format!("{head}{key}\r\n{call}").as_bytes());
    let expected = if cfg!(feature = "mcp") { "structuredContent" } else { "without_mcp" };
    assert!(response.contains(expected), "{response}");
    let hidden = "GET /api/papers/search?q=unpublished HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    send_raw(&server, format!("{hidden}{key}\r\n").as_bytes());
    let response = send_raw(
        &server,
        search_request(r#"{"text":"unpublished"}"#, "x-api-key: a-secret-wrong-key\r\n").as_bytes(),
    );
    assert!(response.starts_with("HTTP/1.1 401") && !response.contains("a-secret"), "{response}");
    std::thread::sleep(Duration::from_millis(300));
    let log = server.log();
    assert!(log.contains("my-own-id") && log.contains("/api/papers/search"), "{log}");
    assert!(!log.contains("unpublished") && !log.contains("a-secret"), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[cfg(feature = "otlp")]
#[test]
fn traces_are_sent_to_a_collector() {
    let folder = folder();
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", collector.local_addr().unwrap());
    let received = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
        while !String::from_utf8_lossy(&bytes).contains("/v1/stats") {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")
            .unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let server = Server::start_with(folder.path(), &["--otlp", &url], &[]);
    server.wait_until_ready();
    send_raw(&server, b"GET /v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let received = received.join().unwrap();
    assert!(received.contains("resourceSpans") && received.contains("likewise"), "{received}");
}

#[test]
fn options_come_from_flags_then_the_environment_then_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("likewise.toml");
    let options = "listen = \"127.0.0.1:9\"\nmax-k = 50\nmax-batch = 7\nhost = \"007\"\nbody-timeout = 2.5\ncors-origin = [\"https://a.example\", \"https://b.example\"]\n";
    std::fs::write(&file, options).unwrap();
    let path = file.to_str().unwrap();
    let config = |arguments: &[&str]| {
        let output = likewise(&[&["config", "--config", path], arguments].concat())
            .env("LIKEWISE_MAX_K", "40")
            .env("LIKEWISE_WRITE_KEY", "a-key-that-is-not-shown")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (_, shown) = config(&["--max-batch", "8"]);
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        &*format!("listen = \"127.0.0.1:9\" # {path}"),
        "max-k = 40 # LIKEWISE_MAX_K",
        "max-batch = 8 # --max-batch",
        &format!("body-timeout = 2.5 # {path}"),
        &format!("cors-origin = [\"https://a.example\", \"https://b.example\"] # {path}"),
        "header-timeout = 30 # default",
        &format!("host = [\"007\"] # {path}"),
        "# 1 keys in LIKEWISE_WRITE_KEY",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line} is not in\n{}", lines.join("\n"));
    }
    assert!(!shown.contains("a-key-that"), "{shown}");
    // The output is a valid configuration file.
    std::fs::write(&file, &shown).unwrap();
    assert!(config(&[]).1.contains(&format!("# {path}")), "{shown}");
    for (text, part) in [
        ("max-kk = 5", "unknown option max-kk; the options are"),
        ("max-k = 0", "must be between 1 and 1000"),
        ("max-k = {}", "(got a table or a date)"),
        ("max-k 5", "the config file must be TOML"),
        ("cors-origin = \"example.org\"", "must be * or an origin"),
        ("config = \"x\"", "unknown option config; the options are"),
        ("queue-tokens-flooded = 5", "queue-tokens-flooded is now called queue-tokens-overloaded"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (succeeds, message) = config(&[]);
        assert!(text == "max-k = 0" || !succeeds, "{text}");
        assert!(text == "max-k = 0" || message.contains(part), "{text}: {message}");
    }
    for name in ["LIKEWISE_READ_KEY", "LIKEWISE_WRITE_KEY"] {
        let output = likewise(&["serve"]).env(name, " ,").output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains("contains no key"), "{message}");
    }
    let output = likewise(&["serve", "--max-connections", "0"]).output().unwrap();
    assert!(!output.status.success(), "--max-connections 0 must be refused");
    std::fs::write(&file, "max-k = 0").unwrap();
    let output = likewise(&["serve", "--config", path]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("must be between 1 and 1000"), "{message}");
}

fn add(server: &Server, papers: &str) -> Result<u16, u16> {
    let sent = ureq::post(format!("{}/v1/papers", server.address)).send(papers);
    match sent {
        Ok(response) => Ok(response.status().as_u16()),
        Err(ureq::Error::StatusCode(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

fn paper(number: usize) -> String {
    format!(
        r#"{{"id":"w/{number}","title":"Whale number {number}","abstract":"It sings in {number} voices."}}"#
    )
}

/// Returns the number of papers in the catalog's main file, without the papers in the write-ahead log.
fn papers_in_file(folder: &std::path::Path) -> usize {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("catalog.sqlite"), copy.path().join("catalog.sqlite")).unwrap();
    likewise::store::catalog::Catalog::open(&copy.path().join("catalog.sqlite")).unwrap().count().unwrap()
}

#[test]
fn the_write_ahead_log_is_emptied_when_the_writer_closes_and_when_the_server_stops() {
    let folder = folder();
    let mut server = Server::start(folder.path());
    server.wait_until_ready();
    assert_eq!(add(&server, &paper(1)), Ok(200));
    // Soon after the request, the server closes its writer, but keeps the data folder open for reading.
    let started = Instant::now();
    while papers_in_file(folder.path()) < 6 {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the paper is still only in the write-ahead log"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(add(&server, &paper(2)), Ok(200));
    Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(server.child.wait().unwrap().success());
    assert_eq!(papers_in_file(folder.path()), 7);
}

#[test]
fn commands_get_the_write_lock_while_clients_write_continuously() {
    let folder = folder();
    let server = Server::start(folder.path());
    server.wait_until_ready();
    let is_done = AtomicBool::new(false);
    let path = folder.path().to_str().unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let (mut number, mut statuses) = (0, Vec::new());
            while !is_done.load(Ordering::Relaxed) {
                number += 1;
                statuses.push(add(&server, &paper(number)));
                std::thread::sleep(Duration::from_millis(20));
            }
            statuses
        });
        std::thread::sleep(Duration::from_millis(500));
        for command in [
            &["delete", "2101.00001"][..],
            &["compact"],
            &["ingest", data("five/plain.jsonl").to_str().unwrap()],
        ] {
            let output = likewise(&[command, &["--data", path]].concat()).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        is_done.store(true, Ordering::Relaxed);
        let statuses = writing.join().unwrap();
        assert!(statuses.iter().all(|status| [Ok(200), Err(409), Err(429)].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&Ok(200)), "{statuses:?}");
    });
    // After the commands, the server can write again.
    assert_eq!(add(&server, &paper(9999)), Ok(200));
}

#[test]
fn a_backup_during_writes_has_every_paper_acknowledged_before_it() {
    let (folder, out) = (folder(), tempfile::tempdir().unwrap());
    let server = Server::start(folder.path());
    server.wait_until_ready();
    let is_done = AtomicBool::new(false);
    let path = folder.path().to_str().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let numbers = (1000..).take_while(|_| !is_done.load(Ordering::Relaxed));
            numbers.for_each(|number| assert_eq!(add(&server, &paper(number)), Ok(200)));
        });
        for copy in 0..3 {
            assert_eq!(add(&server, &paper(copy)), Ok(200));
            let to = out.path().join(format!("copy.{copy}"));
            let backup = |to: &std::path::Path| {
                likewise(&["backup", "--data", path, "--out", to.to_str().unwrap()]).output().unwrap()
            };
            let output = backup(&to);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let again = backup(&to);
            assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"), "{again:?}");
            let library = likewise::search::Library::open(&to, crate::support::encoder()).unwrap();
            let stats = library.stats();
            assert!(stats.papers > 5 + copy && stats.without_vector == 0, "{stats:?}");
            assert_eq!(library.paper(&format!("w/{copy}")).unwrap().title, format!("Whale number {copy}"));
            drop(library);
            let verified = likewise(&["verify", "--data", to.to_str().unwrap()]).output().unwrap();
            assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

/// Copies a data folder to a 1 MB file system and serves the copy. The script runs in a mount namespace, which needs no
/// root.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=1m none "$DISK" || exit 99
    cp -r "$DATA" "$DISK/data"
    exec "$LIKEWISE" serve --listen 127.0.0.1:0 --data "$DISK/data"
"#;

#[test]
fn writing_to_a_full_disk_gets_status_507_and_reading_continues() {
    let (folder, disk) = (folder(), tempfile::tempdir().unwrap());
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK])
        .env("LIKEWISE", env!("CARGO_BIN_EXE_likewise"))
        .env("DATA", folder.path())
        .env("DISK", disk.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let server = Server::from_command(command);
    server.wait_until_ready();
    let mut refused = None;
    for round in 0..100 {
        let papers: String = (0..20).map(|number| paper(100 * round + number) + "\n").collect();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.post(format!("{}/v1/papers", server.address)).send(&papers).unwrap();
        if response.status() != 200 {
            refused = Some((response.status().as_u16(), response.body_mut().read_to_string().unwrap()));
            break;
        }
    }
    let (status, body) = refused.expect("a write must fail on a full disk");
    // A long upload is refused before the server has read all of it.
    let started = Instant::now();
    let many: String = (0..3000).map(|number| paper(100_000 + number) + "\n").collect();
    let sent = ureq::post(format!("{}/v1/papers", server.address)).send(&many);
    assert!(matches!(sent, Err(ureq::Error::StatusCode(507))), "{sent:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(
        status == 507 && body.contains("disk is full") && body.contains("free disk space"),
        "{status}: {body}"
    );
    let found = ureq::get(format!("{}/v1/papers/2101.00001", server.address)).call().unwrap();
    assert_eq!(found.status(), 200);
}
