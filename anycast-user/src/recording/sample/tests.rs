use super::*;

fn parse(line: &str) -> Result<Sample<'_>, String> {
    Sample::parse(line.as_bytes()).map_err(|error| error.to_string())
}

/// The sample of the manual, with one value exchanged.
fn with(key: &str, value: &str) -> Result<Sample<'static>, String> {
    let line = format!(r#"{{"{key}": {value}, "t_ms": 1.5, "service": "dns", "queries": 10, "answers": 9}}"#);
    let own = if ["t_ms", "service", "queries", "answers"].contains(&key) {
        let values = ["1.5", "\"dns\"", "10", "9"].map(|value| format!(": {value}"));
        let [time, service, queries, answers] = values;
        let kept = [
            ("t_ms", time),
            ("service", service),
            ("queries", queries),
            ("answers", answers),
        ];
        let kept = kept
            .iter()
            .filter(|(of, _)| *of != key)
            .map(|(of, value)| format!(", \"{of}\"{value}"));
        format!("{{\"{key}\": {value}{}}}", kept.collect::<String>())
    } else {
        line
    };
    parse(Box::leak(own.into_boxed_str()))
}

#[test]
fn what_is_left_out_has_its_default() {
    let sample = parse(r#"{"t_ms": 12345.5, "service": "dns", "queries": 1000, "answers": 990}"#).unwrap();
    assert_eq!(sample.at, MonotonicTime(12_345_500_000));
    assert_eq!((&*sample.service, sample.queries, sample.answers), ("dns", 1000, 990));
    assert_eq!((sample.packets, sample.hints, sample.servfails), (1000, 0, 0));
    assert_eq!(sample.local_answers, None);
    assert_eq!((sample.probe_answered, sample.probe_refused), (16, 0));
    assert_eq!(sample.unknown, None);
}

#[test]
fn null_is_as_if_it_were_left_out() {
    for key in [
        "packets",
        "hints",
        "servfails",
        "local_answers",
        "probe_answered",
        "probe_refused",
    ] {
        let sample = with(key, "null").unwrap();
        assert_eq!(
            (sample.packets, sample.local_answers, sample.probe_answered),
            (10, None, 16),
            "{key}"
        );
    }
    assert!(with("queries", "null").unwrap_err().contains("`queries` is missing"));
}

#[test]
fn answers_of_a_burst_count_before_refusals() {
    let sample = parse(r#"{"t_ms":0,"service":"dns","queries":1,"answers":1,"probe_answered":12,"probe_refused":16}"#);
    assert_eq!(sample.unwrap().probe_refused, 4);
    assert_eq!(
        with("probe_refused", "3").unwrap().probe_refused,
        0,
        "all are answered by default"
    );
}

#[test]
fn numbers_that_are_whole_may_have_a_point() {
    assert_eq!(with("queries", "1000.0").unwrap().queries, 1000);
    assert_eq!(with("probe_answered", "1e1").unwrap().probe_answered, 10);
    assert_eq!(with("answers", "18446744073709551615").unwrap().answers, u64::MAX);
    assert_eq!(with("t_ms", "3").unwrap().at, MonotonicTime(3_000_000));
    assert_eq!(
        with("t_ms", "1.7e12").unwrap().at,
        MonotonicTime(1_700_000_000_000_000_000)
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_a_remedy() {
    for (key, value, words) in [
        ("queries", "-1", "`queries` is -1; counters are whole numbers"),
        ("queries", "1.5", "`queries` is 1.5; counters are whole numbers"),
        ("queries", "1e300", "counters are whole numbers"),
        ("queries", "\"1\"", "expected a whole number as `queries`"),
        ("local_answers", "[]", "expected a whole number as `local_answers`"),
        ("t_ms", "-0.5", "`t_ms` is -0.5; times are milliseconds from 0 on"),
        ("t_ms", "1e20", "no more than 584 years"),
        ("t_ms", "null", "expected milliseconds as `t_ms`"),
        ("service", "\"\"", "`service` is \"\"; a name has 1 to 255 bytes"),
        ("service", "\"a\\nb\"", "no control characters"),
        ("service", "7", "expected a text in double quotes"),
        ("probe_answered", "17", "`probe_answered` is 17; a burst has 16 probes"),
        ("probe_refused", "300", "`probe_refused` is 300; a burst has 16 probes"),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(
            error.contains(words) && !error.contains(" at line "),
            "{key} {value}: {error}"
        );
    }
    let long = format!("\"{}\"", "x".repeat(256));
    assert!(with("service", &long).unwrap_err().contains("1 to 255 bytes"));
}

#[test]
fn broken_json_is_told_with_its_column() {
    let error = parse(r#"{"t_ms": 1, "service": "dns", "queries": 1"#).unwrap_err();
    assert!(
        error.starts_with("broken JSON at column 42: EOF while parsing an object"),
        "{error}"
    );
    assert!(parse("{}").unwrap_err().contains("`queries` is missing"));
    assert!(parse("[1]").unwrap_err().contains("expected an object with t_ms"));
    assert!(parse("oops").unwrap_err().starts_with("broken JSON at column 1"));
    let twice = parse(r#"{"t_ms":1,"service":"dns","queries":1,"answers":1,"answers":2}"#);
    assert!(twice.unwrap_err().contains("`answers` is there twice"));
}

#[test]
fn the_first_unknown_key_is_remembered() {
    let sample =
        parse(r#"{"t_ms":1,"service":"d\"s","probe_answred":{"a":[1]},"queries":1,"answers":1,"x":null}"#).unwrap();
    assert_eq!(sample.unknown.as_deref(), Some("probe_answred"));
    assert_eq!(sample.service, "d\"s");
}
