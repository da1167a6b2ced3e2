use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::Sandbox;

on_every_transport! {
    every_measurement_is_a_json_object,
    the_table_has_a_row_for_every_measurement,
    the_reference_can_be_left_out,
    odd_sizes_and_shapes_are_measured,
    a_report_is_drawn_and_needs_nothing_else,
    a_report_that_cannot_be_written_is_said_before_anything_is_measured,
    doctor_says_what_this_system_allows,
    doctor_examines_a_directory_whose_name_is_no_text,
    doctor_says_where_no_queue_can_be_made,
}

/// Runs a small benchmark and returns what it measured.
fn bench(sandbox: &Sandbox, arguments: &str) -> Vec<Value> {
    let transport = sandbox.transport();
    let command = format!("bench --transport {transport} --format json --repetitions 1 {arguments}");
    let done = sandbox.ipcq(&command).done().succeeds();
    assert_eq!(done.stderr(), "");
    done.stdout().lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// What queues of this transport are measured beside, where messages are short.
fn reference(sandbox: &Sandbox) -> &'static str {
    if sandbox.transport() == "pipe" { "raw pipe" } else { "crossbeam-channel" }
}

fn every_measurement_is_a_json_object(sandbox: &Sandbox) {
    // Round trips by way of a relay have three that wait busily, and where there are two processors each of them may have to
    // wait for a slice of time: more messages take minutes.
    let rows = bench(sandbox, "--messages 200 --size 64,4KiB");
    let has_broker = sandbox.transport() == "zmq";
    let throughput: Vec<_> = rows.iter().filter(|row| row["measured"] == "throughput").collect();
    // Two sizes, two shapes, one by one and in batches; and where a broker answers, by several threads.
    assert_eq!(throughput.len(), if has_broker { 10 } else { 8 }, "{rows:#?}");
    for row in throughput {
        assert_eq!(row["transport"], sandbox.transport());
        assert!(row["messages_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{row}");
        if row["threads"] != 1 {
            assert_eq!((&row["threads"], &row["reference"]), (&8.into(), &Value::Null), "{row}");
            continue;
        }
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
        assert_eq!(row["reference"], reference(sandbox));
    }
    let round_trips: Vec<_> = rows.iter().filter(|row| row["measured"] == "round_trip").collect();
    // Two sizes, busy and blocking.
    assert_eq!(round_trips.len(), 4, "{rows:#?}");
    let calls: Vec<_> = rows.iter().filter(|row| row["measured"] == "call").collect();
    assert_eq!(calls.len(), if has_broker { 4 } else { 0 }, "{rows:#?}");
    calls.iter().for_each(|row| assert_eq!(row["reference"], "Unix socket"));
    round_trips.iter().for_each(|row| {
        let beside = if has_broker { "relayed Unix socket" } else { reference(sandbox) };
        assert_eq!(row["reference"], beside);
    });
    for row in round_trips.into_iter().chain(calls) {
        assert!(row["p50_us"].as_f64() <= row["p99_us"].as_f64(), "{row}");
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
    }
}

/// Beyond a page several processes cannot share a raw pipe.
#[test]
fn long_messages_over_pipes_are_measured_beside_a_raw_pipe_where_two_processes_use_it() {
    let rows = bench(&Sandbox::new("pipe"), "--messages 300 --size 5000");
    assert_eq!(rows.len(), 6, "{rows:#?}");
    for row in rows {
        let shared = row["producers"] == 4;
        assert_eq!(row["reference"], if shared { "crossbeam-channel" } else { "raw pipe" }, "{row}");
    }
}

fn the_table_has_a_row_for_every_measurement(sandbox: &Sandbox) {
    let command = "bench --messages 2000 --size 64 --producers 2 --repetitions 1 --transport";
    let stdout = sandbox.ipcq(&format!("{command} {}", sandbox.transport())).done().succeeds().stdout();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 7, "{stdout}");
    assert!(lines[1].contains("2x1") && lines[1].contains("one"), "{stdout}");
    assert!(lines[1].contains(reference(sandbox)), "{stdout}");
    assert!(lines[2].contains("2x1") && lines[2].contains("batches of 64"), "{stdout}");
    assert!(lines[4].contains("round trip"), "{stdout}");
    assert!(lines[5].contains("busy") && lines[6].contains("blocking"), "{stdout}");
}

fn the_reference_can_be_left_out(sandbox: &Sandbox) {
    for row in bench(sandbox, "--messages 1000 --size 8 --producers 1 --no-reference") {
        assert_eq!((&row["ratio"], &row["reference"]), (&Value::Null, &Value::Null), "{row}");
    }
}

fn odd_sizes_and_shapes_are_measured(sandbox: &Sandbox) {
    let rows = bench(sandbox, "--seconds 0.01 --size 0,1,9,1000 --producers 3 --consumers 2");
    assert_eq!(rows.len(), 16, "{rows:#?}");
    let throughput = rows.iter().filter(|row| row["measured"] == "throughput");
    throughput.for_each(|row| assert_eq!((&row["producers"], &row["consumers"]), (&3.into(), &2.into())));
    // A pipe has no messages of no bytes.
    let empty = rows.iter().filter(|row| row["size"] == 0);
    empty.for_each(|row| assert_eq!(row["reference"], "crossbeam-channel"));
}

fn a_report_is_drawn_and_needs_nothing_else(sandbox: &Sandbox) {
    let file = |ending: &str| sandbox.directory().join(format!("report.{ending}"));
    let report = |ending: &str| {
        let bench = "bench --messages 300 --size 64,4KiB --producers 1 --repetitions 1 --no-reference";
        let bench = format!("{bench} -t {} --report {}", sandbox.transport(), file(ending).display());
        let table = sandbox.ipcq(&bench).done().succeeds().stdout();
        (std::fs::read_to_string(file(ending)).expect("the report"), table)
    };
    let (html, table) = report("html");
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{html}");
    let transport = sandbox.transport();
    for text in [
        "Throughput by size, 1 to 1 processes",
        "Throughput by processes, messages of 64 B",
        "Round trips, messages of 64 B",
        &format!("{transport}, one by one"),
        &format!("{transport}, batches"),
        &format!("{transport}, busy"),
        "99.9 %",
        &table,
        concat!("ipcq ", env!("CARGO_PKG_VERSION"), " on "),
        // It can be read on a narrow screen, and on a dark one.
        "width=device-width",
        "prefers-color-scheme: dark",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
    // One by one and in batches at two sizes and one shape, and two times eight shares of round trips.
    assert_eq!(html.matches("<circle").count(), 4 + 2 + 16, "{html}");
    for outside in ["src=", "href=", "@import", "url(", "<script", "NaN", "inf"] {
        assert!(!html.contains(outside), "{outside}\n{html}");
    }
    let (svg, _) = report("svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"), "{svg}");
    let (json, _) = report("json");
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(rows.len(), 8, "{json}");
    let spread = rows[4]["spread_us"].as_array().expect("a list");
    assert!(spread.len() == 8 && spread.is_sorted_by_key(|us| us.as_f64().map(f64::to_bits)), "{json}");
}

fn a_report_that_cannot_be_written_is_said_before_anything_is_measured(sandbox: &Sandbox) {
    // A measurement of so many messages would take hours.
    let bench = format!("bench -t {} --messages 999999999 --report", sandbox.transport());
    sandbox.ipcq(&format!("{bench} report.pdf")).done().fails(2, &["report.pdf", ".html, .svg or .json"]);
    let missing = sandbox.directory().join("no/such/report.svg");
    let bench = format!("{bench} {}", missing.display());
    sandbox.ipcq(&bench).done().fails(2, &["report.svg", "No such file", "elsewhere"]);
}

fn doctor_says_what_this_system_allows(sandbox: &Sandbox) {
    let report = || {
        let json = sandbox.ipcq("doctor --format json").done().succeeds().stdout();
        let mut reports = json.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
        let of_this = |report: &Value| report["transport"] == sandbox.transport();
        reports.find(of_this).expect("a report on this transport")
    };
    for (mode, private) in [(0o755, false), (0o700, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.directory(), permissions).expect("its mode can be set");
        assert_eq!(report()["directory_is_private"], private);
    }
    let report = report();
    assert_eq!(report["directory"].as_str(), sandbox.directory().to_str());
    assert_eq!(report["kernel_is_new_enough"], true);
    // What is said of pipes is what the kernel says.
    let names = ["pipe-max-size", "pipe-user-pages-soft", "pipe-user-pages-hard"];
    for name in names.into_iter().filter(|_| sandbox.transport() == "pipe") {
        let limits = report["limits"].as_array().expect("a list");
        let limit = limits.iter().find(|limit| limit["name"] == name).expect("the limit");
        let setting = std::fs::read_to_string(format!("/proc/sys/fs/{name}")).expect("the setting");
        assert_eq!(limit["value"].as_u64().unwrap_or(0), setting.trim().parse::<u64>().expect("a number"));
        let text = sandbox.ipcq("doctor -t pipe").done().succeeds().stdout();
        assert!(text.contains(name) && text.contains("largest capacity"), "{text}");
    }
    assert!(report["free"].as_u64() <= report["size"].as_u64(), "{report}");
    let text = sandbox.ipcq("doctor").done().succeeds().stdout();
    for word in ["directory", "free", "largest capacity", "kernel", "5.16", "open files", "pid namespace"] {
        assert!(text.contains(word), "{word}\n{text}");
    }
    // A directory that is not there yet is judged by where it will be.
    let later = sandbox.directory().join("not/yet");
    let chosen = format!("-t {} doctor --format json", sandbox.transport());
    let json = sandbox.ipcq(&chosen).env("IPCQ_DIR", later.to_str().expect("a plain path"));
    let report: Value = serde_json::from_str(&json.done().succeeds().stdout()).expect("one object");
    assert_eq!((&report["directory_exists"], &report["directory_is_private"]), (&false.into(), &Value::Null));
}

fn doctor_examines_a_directory_whose_name_is_no_text(sandbox: &Sandbox) {
    let json = sandbox
        .shell(&format!("IPCQ_DIR=$IPCQ_DIR/$'\\xff' ipcq -t {} doctor --format json", sandbox.transport()));
    let json = json.done().succeeds().stdout();
    let report: Value = serde_json::from_str(&json).expect("one object");
    assert!(report["directory"].as_str().is_some_and(|path| path.ends_with('\u{fffd}')), "{report}");
}

fn doctor_says_where_no_queue_can_be_made(sandbox: &Sandbox) {
    let report = |directory: &str| -> Value {
        let chosen = format!("-t {} doctor --format json", sandbox.transport());
        let json = sandbox.ipcq(&chosen).env("IPCQ_DIR", directory).done().succeeds().stdout();
        serde_json::from_str(&json).expect("one object")
    };
    // Not even root can make a queue in a file.
    let file = sandbox.directory().join("file");
    std::fs::write(&file, "").expect("the file can be written");
    let there = report(file.to_str().expect("a plain path"));
    let own = report(sandbox.directory().to_str().expect("a plain path"));
    assert_eq!(
        (&there["directory_is_writable"], &own["directory_is_writable"]),
        (&false.into(), &true.into())
    );
    assert!(there["advice"].to_string().contains("no queues can be made in"), "{there}");
    assert!(!own["advice"].to_string().contains("no queues can be made"), "{own}");
}
