use super::*;
use crate::recording::LINE_BYTES_MAX;

const LINE: &str = r#"{"t_ms": 1, "service": "dns", "queries": 10, "answers": 9}"#;

fn read(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let mut recording = Recording::new(Path::new("test.jsonl"), text.as_bytes());
    let mut found = Vec::new();
    loop {
        match recording.next_sample() {
            Ok(Some(sample)) => found.push((sample.at.0 / 1_000_000, sample.queries)),
            Ok(None) => return Ok(found),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn ends_of_lines_and_lines_without_text_are_as_one_likes() {
    let later = LINE.replace("1,", "2,");
    assert_eq!(
        read(&format!("\n  \n{LINE}\r\n\r\n{later}")),
        Ok(vec![(1, 10), (2, 10)])
    );
    assert_eq!(read(""), Ok(vec![]));
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let error = read(&format!("{LINE}\n\n{{\"t_ms\": 2\n{LINE}\n")).unwrap_err();
    assert!(error.starts_with("test.jsonl:3: broken JSON at column"), "{error}");
    let error = read(&format!("{LINE}\n{{\"t_ms\": 2}}\n")).unwrap_err();
    assert!(error.starts_with("test.jsonl:2: `queries` is missing"), "{error}");
    let long = format!("{LINE}\n{}\n", "x".repeat(LINE_BYTES_MAX + 1));
    let error = read(&long).unwrap_err();
    assert!(
        error.starts_with("test.jsonl:2: it is longer than 65536 bytes"),
        "{error}"
    );
    let error = read("{\"t_ms\": 1, \"service\": \"\u{1f}\"}").unwrap_err();
    assert!(error.starts_with("test.jsonl:1: "), "{error}");
}

#[test]
fn bytes_that_are_no_text_are_an_error_and_not_a_panic() {
    let mut recording = Recording::new(Path::new("test.jsonl"), &[b'{', b'"', 0xff, b'"', b':', b'1', b'}'][..]);
    let error = recording.next_sample().unwrap_err().to_string();
    assert!(error.starts_with("test.jsonl:1: "), "{error}");
}
