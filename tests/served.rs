//! The server from outside: what sockets may do to it, what it says of itself, and where its options come from.

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

/// Sends bytes, and gives all that comes back until the server closes the connection.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    rest(stream)
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(body: &str, more: &str) -> String {
    format!(
        "POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{body}",
        body.len()
    )
}

#[test]
fn slow_and_broken_senders_are_told_and_others_are_served() {
    let folder = folder();
    let times = ["--header-timeout", "0.5", "--body-timeout", "0.5"];
    let server = Server::start_with(folder.path(), &times, &[]);
    server.wait_until_ready();
    let started = Instant::now();
    for head in ["", "P", "POST /v1/search HTTP/1.1\r\nHost: x\r\n"] {
        let answer = raw(&server, head.as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{head:?}: {answer}");
    }
    let answer = raw(&server, b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"text\"");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("--body-timeout"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let upload =
        "POST /v1/papers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n";
    let answer = raw(&server, upload.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    // Half a request, and nothing more will come.
    let mut stream = connect(&server);
    stream.write_all(b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    for (bytes, status) in [
        ("GARBAGE\r\n\r\n".to_string(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".into(), "400"),
        ("POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), "400"),
        (
            "POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".into(),
            "400",
        ),
        (post("{}", &"x-many: 1\r\n".repeat(100)), "431"),
        (post("{}", &format!("x-long: {}\r\n", "x".repeat(1 << 20))), "431"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "404"),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "404"),
        ("GET http://evil.example/v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "200"),
        ("TRACE /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "405"),
        (post(r#"{"text":"bees"}"#, ""), "200"),
    ] {
        let answer = raw(&server, bytes.as_bytes());
        let shown: String = bytes.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
    }
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let folder = folder();
    let server = Server::start_with(folder.path(), &["--max-connections", "2"], &[]);
    server.wait_until_ready();
    // What asked whether it is ready may not be quite gone.
    std::thread::sleep(Duration::from_millis(300));
    let open: Vec<TcpStream> = (0..2).map(|_| connect(&server)).collect();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(raw(&server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "");
    drop(open);
    std::thread::sleep(Duration::from_millis(300));
    let answer = raw(&server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let folder = folder();
    let server = Server::start_with(folder.path(), &["--request-timeout", "0.001"], &[]);
    server.wait_until_ready();
    let text = json!({ "input": vec!["a long text that takes its time ".repeat(40); 200] }).to_string();
    let request = post(&text, "").replace("/v1/search", "/v1/embeddings");
    let answer = raw(&server, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("--request-timeout"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
}

#[test]
fn neither_keys_nor_questions_are_logged() {
    let folder = folder();
    let environment = [("LIKEWISE_READ_KEY", "a-secret-key-of-somebody"), ("LIKEWISE_LOG", "trace")];
    let server = Server::start_with(folder.path(), &["--log-format", "json"], &environment);
    server.wait_until_ready();
    let key = "Authorization: Bearer a-secret-key-of-somebody\r\nx-request-id: my-own-id\r\n";
    let answer = raw(&server, post(r#"{"text":"my unpublished abstract"}"#, key).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("x-request-id: my-own-id") && answer.contains("server-timing: tokenize;dur="),
        "{answer}"
    );
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"find_similar_papers","arguments":{"text":"unpublished"}}}"#;
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json, text/event-stream\r\n";
    let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n", call.len());
    let answer = raw(&server, format!("{head}{key}\r\n{call}").as_bytes());
    let expected = if cfg!(feature = "mcp") { "structuredContent" } else { "without_mcp" };
    assert!(answer.contains(expected), "{answer}");
    let hidden = "GET /api/papers/search?q=unpublished HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    raw(&server, format!("{hidden}{key}\r\n").as_bytes());
    let answer = raw(
        &server,
        post(r#"{"text":"unpublished"}"#, "x-api-key: a-secret-guess-of-another\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("a-secret"), "{answer}");
    std::thread::sleep(Duration::from_millis(300));
    let said = server.said();
    assert!(said.contains("my-own-id") && said.contains("/api/papers/search"), "{said}");
    assert!(!said.contains("unpublished") && !said.contains("a-secret"), "{said}");
    for line in said.lines() {
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
        let (mut bytes, mut piece) = (Vec::new(), [0; 65536]);
        while !String::from_utf8_lossy(&bytes).contains("/v1/stats") {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
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
    raw(&server, b"GET /v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let received = received.join().unwrap();
    assert!(received.contains("resourceSpans") && received.contains("likewise"), "{received}");
}

#[test]
fn options_come_from_flags_the_environment_and_a_file_in_this_order() {
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
    let words: Vec<String> =
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
        assert!(words.iter().any(|word| word == line), "{line} is not in\n{}", words.join("\n"));
    }
    assert!(!shown.contains("a-key-that"), "{shown}");
    // What it prints is such a file.
    std::fs::write(&file, &shown).unwrap();
    assert!(config(&[]).1.contains(&format!("# {path}")), "{shown}");
    for (text, part) in [
        ("max-kk = 5", "got max-kk, wanted one of"),
        ("max-k = 0", "wanted 1 to 1000"),
        ("max-k = {}", "got a table"),
        ("max-k 5", "wanted TOML"),
        ("cors-origin = \"example.org\"", "wanted * or an origin"),
        ("config = \"x\"", "got config, wanted one of"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (is_fine, said) = config(&[]);
        assert!(text == "max-k = 0" || !is_fine, "{text}");
        assert!(text == "max-k = 0" || said.contains(part), "{text}: {said}");
    }
    for name in ["LIKEWISE_READ_KEY", "LIKEWISE_WRITE_KEY"] {
        let output = likewise(&["serve"]).env(name, " ,").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("no key in it"), "{said}");
    }
    let output = likewise(&["serve", "--max-connections", "0"]).output().unwrap();
    assert!(!output.status.success(), "it would serve nobody");
    std::fs::write(&file, "max-k = 0").unwrap();
    let output = likewise(&["serve", "--config", path]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("wanted 1 to 1000"), "{said}");
}

fn add(server: &Server, papers: &str) -> Result<u16, u16> {
    let sent = ureq::post(format!("{}/v1/papers", server.address)).send(papers);
    match sent {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(ureq::Error::StatusCode(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

fn paper(number: usize) -> String {
    format!(
        r#"{{"id":"w/{number}","title":"Whale number {number}","abstract":"It sings in {number} voices."}}"#
    )
}

/// The papers in a catalog's file alone, without its write-ahead log.
fn papers_in_file(folder: &std::path::Path) -> usize {
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("catalog.sqlite"), alone.path().join("catalog.sqlite")).unwrap();
    likewise::store::catalog::Catalog::open(&alone.path().join("catalog.sqlite")).unwrap().count().unwrap()
}

#[test]
fn what_was_acknowledged_is_in_the_catalogs_file_when_the_writer_closes_and_after_a_clean_stop() {
    let folder = folder();
    let mut server = Server::start(folder.path());
    server.wait_until_ready();
    assert_eq!(add(&server, &paper(1)), Ok(200));
    // Soon the folder is closed again, while the server goes on reading it.
    let started = Instant::now();
    while papers_in_file(folder.path()) < 6 {
        assert!(started.elapsed() < Duration::from_secs(10), "it stands in the log");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(add(&server, &paper(2)), Ok(200));
    Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(server.child.wait().unwrap().success());
    assert_eq!(papers_in_file(folder.path()), 7);
}

#[test]
fn a_command_gets_its_turn_while_others_write_all_the_time() {
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
    // And the server writes again.
    assert_eq!(add(&server, &paper(9999)), Ok(200));
}

#[test]
fn a_backup_that_is_made_while_others_write_opens_with_all_that_was_acknowledged_before() {
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
            assert!(String::from_utf8_lossy(&again.stderr).contains("it is there already"), "{again:?}");
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

/// Serves a data folder on a disk of its own with little room: in a namespace where anybody may mount one.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=1m none "$DISK" || exit 99
    cp -r "$DATA" "$DISK/data"
    exec "$LIKEWISE" serve --listen 127.0.0.1:0 --data "$DISK/data"
"#;

#[test]
fn a_full_disk_is_told_with_what_to_do_and_reading_goes_on() {
    let (folder, disk) = (folder(), tempfile::tempdir().unwrap());
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK])
        .env("LIKEWISE", env!("CARGO_BIN_EXE_likewise"))
        .env("DATA", folder.path())
        .env("DISK", disk.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let server = Server::of(command);
    server.wait_until_ready();
    let mut refused = None;
    for round in 0..100 {
        let papers: String = (0..20).map(|number| paper(100 * round + number) + "\n").collect();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}/v1/papers", server.address)).send(&papers).unwrap();
        if answer.status() != 200 {
            refused = Some((answer.status().as_u16(), answer.body_mut().read_to_string().unwrap()));
            break;
        }
    }
    let (status, said) = refused.expect("the disk is full");
    // And in the middle of an upload, at once.
    let started = Instant::now();
    let many: String = (0..3000).map(|number| paper(100_000 + number) + "\n").collect();
    let sent = ureq::post(format!("{}/v1/papers", server.address)).send(&many);
    assert!(matches!(sent, Err(ureq::Error::StatusCode(507))), "{sent:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(status == 507 && said.contains("disk is full") && said.contains("make room"), "{status}: {said}");
    let found = ureq::get(format!("{}/v1/papers/2101.00001", server.address)).call().unwrap();
    assert_eq!(found.status(), 200);
}
