//! `anycast-probe replay` and `explain` of recorded samples, on the command line: no privilege, no interface, no BPF.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anycast_tests::{
    binaries::{Binaries, prerequisites},
    prerequisite,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ERROR: i32 = 1;
const USAGE: i32 = 2;
const BAD_CONFIG: i32 = 78;

/// A node armed after a second, so that traces are short.
const QUICK: &str = "arming = { answers = 1000, time = \"1s\" }\n";

/// Lines of one service, of a sample a millisecond, and where they are.
struct Trace {
    text: String,
    at_ms: u32,
    queries: u64,
    answers: u64,
}

impl Trace {
    fn new() -> Self {
        Self {
            text: String::new(),
            at_ms: 0,
            queries: 0,
            answers: 0,
        }
    }

    /// `more` goes on with the object: `, "packets": 7`.
    fn run(mut self, milliseconds: u32, queries: u64, answers: u64, more: &str) -> Self {
        for _ in 0..milliseconds {
            self.at_ms += 1;
            self.queries += queries;
            self.answers += answers;
            let Self {
                text,
                at_ms,
                queries,
                answers,
            } = &mut self;
            writeln!(
                text,
                r#"{{"t_ms": {at_ms}.0, "service": "dns", "queries": {queries}, "answers": {answers}{more}}}"#
            )
            .unwrap();
        }
        self
    }

    fn healthy() -> Self {
        Self::new().run(5000, 10, 10, "")
    }
}

const DEAD: &str = ", \"probe_answered\": 0";

/// A directory with a trace and a configuration, and the binary.
struct Bench {
    binaries: Binaries,
    directory: TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        let binaries = prerequisite("recordings", prerequisites(&[]))?;
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("quick.toml"), QUICK).unwrap();
        Some(Self { binaries, directory })
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.directory.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn output(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.binaries.daemon);
        command
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The lines of a replay that must succeed.
    fn replay(&self, trace: &str, config: &str) -> Vec<Value> {
        let file = self.file("trace.jsonl", trace);
        let config = self.file("probe.toml", config);
        let words = ["replay", path(&file), "--config", path(&config), "--json"];
        let Output { status, stdout, stderr } = self.output(&words);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success() && stderr.is_empty(), "{status} {stderr}");
        let text = String::from_utf8(stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one line of a replay that must end with an error.
    fn refused(&self, words: &[&str], code: i32) -> String {
        let Output { status, stderr, .. } = self.output(words);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn a_black_hole_is_withdrawn_and_announced_again() {
    let Some(bench) = Bench::new() else { return };
    let trace = Trace::healthy().run(1000, 10, 0, DEAD).run(15_000, 10, 10, "");
    let lines = bench.replay(&trace.text, QUICK);
    let [withdrawn] = of(&lines, "withdraw")[..] else {
        panic!("{lines:#?}")
    };
    let at = withdrawn["t_ms"].as_f64().unwrap();
    assert!((5030.0..5060.0).contains(&at), "{withdrawn}");
    assert_eq!(
        (&withdrawn["service"], &withdrawn["state"]),
        (&json!("dns"), &json!("blackholed"))
    );
    assert_eq!(of(&lines, "announce").len(), 1);
    let times: Vec<f64> = lines.iter().filter_map(|line| line["t_ms"].as_f64()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let summary = lines.last().unwrap();
    assert_eq!(summary["event"], "summary");
    for (key, expected) in [
        ("samples", json!(21_000)),
        ("from_ms", json!(1.0)),
        ("to_ms", json!(21_000.0)),
        ("withdrawals", json!(1)),
        ("would_withdraw", json!(0)),
        ("announcements", json!(1)),
        ("refusals", json!(0)),
    ] {
        assert_eq!(summary[key], expected, "{key}");
    }
    let service = &summary["services"][0];
    assert_eq!(
        (&service["service"], &service["queries"]),
        (&json!("dns"), &json!(209_990))
    );
    assert_eq!(
        (&service["withdrawals"], &service["answers"]),
        (&json!(1), &json!(199_990))
    );
    assert!(service["closest_approach_percent"].as_f64().unwrap() >= 100.0);
}

#[test]
fn a_configuration_that_observes_is_told_what_it_would_have_done() {
    let Some(bench) = Bench::new() else { return };
    let trace = Trace::healthy().run(1000, 10, 0, DEAD);
    let lines = bench.replay(&trace.text, &format!("armed = false\n{QUICK}"));
    assert_eq!(
        (of(&lines, "withdraw").len(), of(&lines, "would_withdraw").len()),
        (0, 1)
    );
    assert_eq!(lines.last().unwrap()["would_withdraw"], 1);
}

#[test]
fn what_is_no_death_withdraws_nothing() {
    let Some(bench) = Bench::new() else { return };
    let pause = Trace::healthy().run(20, 10, 0, DEAD).run(2000, 10, 10, "");
    let flood = Trace::healthy().run(2000, 1000, 10, "");
    let probed = Trace::healthy().run(1000, 10, 0, "");
    let idle = Trace::healthy().run(5000, 0, 0, "");
    for (name, trace) in [
        ("pause", pause),
        ("flood", flood),
        ("probes answered", probed),
        ("idle", idle),
    ] {
        let lines = bench.replay(&trace.text, QUICK);
        assert_eq!(of(&lines, "withdraw").len(), 0, "{name}: {lines:#?}");
    }
}

#[test]
fn counters_that_were_set_back_are_watched_from_zero() {
    let Some(bench) = Bench::new() else { return };
    let mut trace = Trace::healthy();
    (trace.queries, trace.answers) = (0, 0);
    let lines = bench.replay(&trace.run(500, 10, 10, "").run(400, 10, 0, DEAD).text, QUICK);
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["resets"], &summary["withdrawals"]),
        (&json!(1), &json!(0)),
        "{lines:#?}"
    );
    assert_eq!(summary["services"][0]["state"], "unarmed");
}

#[test]
fn broken_recordings_are_refused_with_file_and_line() {
    let Some(bench) = Bench::new() else { return };
    let good = Trace::new().run(3, 1, 1, "").text;
    for (line, words) in [
        ("{\"t_ms\": 4, ", "trace.jsonl:4: broken JSON at column"),
        ("{\"t_ms\": 4}", "trace.jsonl:4: `queries` is missing"),
        (
            r#"{"t_ms": 2.5, "service": "dns", "queries": 4, "answers": 4}"#,
            "trace.jsonl:4: t_ms 2.5 of service \"dns\" is before 3",
        ),
        (
            r#"{"t_ms": 4, "service": "dns", "queries": -4, "answers": 4}"#,
            "trace.jsonl:4: `queries` is -4",
        ),
        (
            r#"{"t_ms": 4, "service": "dns", "queries": 4, "answers": 4, "probe_answered": 17}"#,
            "trace.jsonl:4: `probe_answered` is 17",
        ),
        (&"x".repeat(70_000), "trace.jsonl:4: it is longer than 65536 bytes"),
    ] {
        bench.file("trace.jsonl", format!("{good}{line}\n{good}"));
        let error = bench.refused(&["replay", "trace.jsonl", "--json"], ERROR);
        assert!(error.starts_with("anycast-probe: ") && error.contains(words), "{error}");
    }
    let error = bench.refused(&["replay", "nowhere.jsonl"], ERROR);
    assert!(error.contains("nowhere.jsonl: No such file"), "{error}");
    bench.file("bad.toml", "flor = \"30ms\"\n");
    let error = bench.refused(&["replay", "trace.jsonl", "--config", "bad.toml"], BAD_CONFIG);
    assert!(error.contains("bad.toml:1:1: unknown key `flor`"), "{error}");
}

#[test]
fn a_capture_needs_a_configuration() {
    let Some(bench) = Bench::new() else { return };
    bench.file("test.pcap", [0xd4, 0xc3, 0xb2, 0xa1]);
    let output = bench.output(&["replay", "test.pcap"]);
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config"));
}

#[test]
fn nothing_is_needed_but_the_file() {
    let Some(bench) = Bench::new() else { return };
    let file = bench.file("trace.jsonl", Trace::healthy().text);
    // By a pipe, as nobody; through a descriptor, as nobody may not walk to the build directory.
    let script = "exec setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --regid=65534 --clear-groups \
                  /bin/sh -c 'exec /proc/self/fd/3 replay /dev/stdin --json' 3<\"$0\"";
    let mut command = Command::new("/bin/sh");
    if nix::unistd::geteuid().is_root() {
        command.args(["-c", script]).arg(&bench.binaries.daemon).env_clear();
    } else {
        command = Command::new(&bench.binaries.daemon);
        command.args(["replay", "/dev/stdin", "--json"]);
    }
    let mut cat = Command::new("cat");
    let mut cat = cat
        .stdin(File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
    // It holds the other end of the pipe.
    drop(command);
    cat.wait().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["samples"], 5000);
}

#[test]
fn an_empty_recording_is_one_in_which_nothing_happens() {
    let Some(bench) = Bench::new() else { return };
    let lines = bench.replay("", "");
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["samples"], &lines[0]["from_ms"]), (&json!(0), &Value::Null));
}

#[test]
fn words_tell_the_same() {
    let Some(bench) = Bench::new() else { return };
    let trace = Trace::healthy().run(100, 10, 0, DEAD);
    bench.file("trace.jsonl", trace.text);
    let output = bench.output(&["replay", "trace.jsonl", "--config", "quick.toml"]);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && words.contains(" s  dns: WITHDRAWING: "),
        "{words}"
    );
    assert!(words.contains("\n5100 samples over 5.099 s"), "{words}");
    let row = |line: &str| {
        line.split_whitespace()
            .take(6)
            .eq(["dns", "dns", "50990", "49990", "withdrawn", "1"])
    };
    assert!(words.lines().any(row), "{words}");
}

#[test]
fn an_unknown_key_is_told_once_and_passed_over() {
    let Some(bench) = Bench::new() else { return };
    bench.file("trace.jsonl", Trace::new().run(3, 1, 1, ", \"probe_answred\": 0").text);
    let output = bench.output(&["replay", "trace.jsonl", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.lines().count() == 1, "{stderr}");
    assert!(stderr.contains("trace.jsonl:1: the key \"probe_answred\""), "{stderr}");
}

#[test]
fn a_moment_is_explained() {
    let Some(bench) = Bench::new() else { return };
    let trace = Trace::healthy().run(100, 10, 0, DEAD);
    bench.file("trace.jsonl", trace.text);
    let explained = |at: &str| {
        let output = bench.output(&["explain", "trace.jsonl", "--at", at, "--config", "quick.toml", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let mut value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["services"][0].take()
    };
    let healthy = explained("4999.5");
    assert_eq!(
        (&healthy["t_ms"], &healthy["state"]),
        (&json!(4999.0), &json!("healthy"))
    );
    assert!(
        (healthy["baseline_per_s"].as_f64().unwrap() - 10_000.0).abs() < 100.0,
        "{healthy}"
    );
    assert!(
        healthy["missing"][0].as_str().unwrap().starts_with("a suspicion"),
        "{healthy}"
    );
    let suspect = explained("5015");
    assert_eq!(
        (&suspect["state"], &suspect["dead"]),
        (&json!("suspect"), &json!(false)),
        "{suspect}"
    );
    assert!(suspect["evidence"].as_f64() > suspect["threshold"].as_f64());
    assert!(suspect["missing"].to_string().contains("until the floor"), "{suspect}");
    let dead = explained("99999");
    assert_eq!(
        (&dead["state"], &dead["missing"]),
        (&json!("withdrawn"), &json!([])),
        "{dead}"
    );
    let output = bench.output(&["explain", "trace.jsonl", "--at", "5015", "--config", "quick.toml"]);
    let words = String::from_utf8(output.stdout).unwrap();
    for row in [
        "dns on dns at 5.015 s: suspect, armed",
        "  baseline ",
        "  seen ",
        "  evidence ",
        "  guards ",
        "  missing ",
    ] {
        assert!(words.contains(row), "{row}: {words}");
    }
    let error = bench.refused(&["explain", "trace.jsonl", "--at", "0"], ERROR);
    assert!(error.contains("has no sample until 0 ms"), "{error}");
    let error = bench.refused(&["explain", "trace.jsonl", "--at", "9", "--service", "ntp"], ERROR);
    assert!(error.contains("has no sample of \"ntp\""), "{error}");
}
