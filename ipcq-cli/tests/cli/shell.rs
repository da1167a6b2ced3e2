use crate::support::Sandbox;

#[test]
fn completions_are_printed_for_each_shell() {
    let sandbox = Sandbox::new("shm");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = sandbox.ipcq(&format!("completions {shell}")).done().succeeds();
        assert!(done.stdout().contains("ipcq") && done.stdout().contains("doctor"), "{done}");
        assert_eq!(done.stderr(), "");
    }
    sandbox.ipcq("completions tcsh").done().fails(2, &["tcsh", "bash"]);
    // A shell understands them, and knows the commands.
    let script = "source <(ipcq completions bash) && COMP_WORDS=(ipcq doc) COMP_CWORD=1 && _ipcq ipcq doc ipcq; \
                  echo ${COMPREPLY[0]}";
    sandbox.shell(script).done().prints("doctor\n");
    sandbox.shell("ipcq completions bash | head -1 > /dev/null").done().says_nothing();
}

#[test]
fn the_manual_has_all_commands() {
    let sandbox = Sandbox::new("shm");
    let page = sandbox.ipcq("man").done().succeeds().stdout();
    assert!(page.contains(".TH ipcq 1"), "{page}");
    let help = sandbox.ipcq("--help").done().succeeds().stdout();
    let commands =
        help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("a list");
    let starts = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = starts.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 14, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(page.contains(&format!(".SH \"ipcq {name}\"")), "{name}\n{page}");
    }
    for hidden in ["worker", "keeper", "guard"] {
        assert!(!page.contains(&format!("\"ipcq {hidden}\"")), "{hidden}");
    }
    sandbox.shell("ipcq man > /dev/full").done().fails(2, &["stdout could not be written"]);
}
