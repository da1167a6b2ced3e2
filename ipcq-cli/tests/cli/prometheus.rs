use crate::support::Sandbox;

on_every_transport! {
    a_queue_is_shown_as_prometheus_reads_it,
    other_commands_do_not_speak_it,
}

fn a_queue_is_shown_as_prometheus_reads_it(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 9").done().succeeds();
    sandbox.ipcq("put jobs a b c").done().succeeds();
    sandbox.ipcq("get jobs").done().succeeds();
    let label = |metric: &str| format!("{metric}{{queue=\"jobs\",transport=\"{}\"}}", sandbox.transport());
    let text = sandbox.ipcq("stat jobs --format prometheus").done().succeeds().stdout();
    for (metric, kind, value) in [
        ("ipcq_len", "gauge", 2),
        ("ipcq_capacity", "gauge", 9),
        ("ipcq_closed", "gauge", 0),
        ("ipcq_puts_total", "counter", 3),
        ("ipcq_gets_total", "counter", 1),
        ("ipcq_in_flight", "gauge", 0),
        ("ipcq_put_bytes_total", "counter", 3),
        ("ipcq_redeliveries_total", "counter", 0),
        ("ipcq_put_waits_total", "counter", 0),
        ("ipcq_get_waits_total", "counter", 0),
        ("ipcq_recoveries_total", "counter", 0),
    ] {
        let wanted = format!("# TYPE {metric} {kind}\n{} {value}\n", label(metric));
        assert!(text.contains(&wanted), "{wanted}\n{text}");
    }
    sandbox.ipcq("put other x --create --close").done().succeeds();
    let text = sandbox.ipcq("ls --format prometheus").done().succeeds().stdout();
    // All of one kind stand together, under one head.
    assert_eq!(text.matches("# TYPE ipcq_closed gauge\n").count(), 1, "{text}");
    let other = label("ipcq_closed").replace("jobs", "other");
    assert!(text.contains(&format!("{} 0\n{other} 1\n", label("ipcq_closed"))), "{text}");
}

fn other_commands_do_not_speak_it(sandbox: &Sandbox) {
    for command in ["top --once", "doctor", "gc", "bench"] {
        let command = format!("{command} --format prometheus");
        sandbox.ipcq(&command).done().fails(2, &["stat and ls", "json"]);
    }
}
