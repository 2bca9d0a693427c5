//! Tidy refuses what it is there to refuse, on small trees made for the purpose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

type Tree = BTreeMap<String, String>;

const CORE: &str = "crates/tenure-core/src/lib.rs";
const CORE_MANIFEST: &str = "crates/tenure-core/Cargo.toml";
const STORE_TEST: &str = "stores/memory/tests/memory.rs";

/// A tree with nothing to find: two crates, a store and a document.
fn tree() -> Tree {
    let shared = "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\n\
        disguised = { package = \"tenure-memory\", version = \"1\" }\n";
    let mut files = Tree::new();
    let mut put = |path: &str, text: &str| files.insert(path.to_owned(), text.to_owned());
    put("Cargo.toml", shared);
    put(
        "README.md",
        "# A\n## B c\n[x](#b-c) [y](crates) `[z](none)`\n",
    );
    for (folder, name) in [
        ("crates/tenure-core", "tenure-core"),
        ("crates/tenure-lock", "tenure-lock"),
        ("crates/tenure-conformance", "tenure-conformance"),
        ("stores/memory", "tenure-memory"),
    ] {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition.workspace = true\n[lints]\nworkspace = true\n"
        );
        put(&format!("{folder}/Cargo.toml"), &manifest);
        put(&format!("{folder}/src/lib.rs"), "//! Says what it knows.\n");
    }
    for room in [
        "README.md",
        "src/options.rs",
        "src/error.rs",
        "src/lease.rs",
    ] {
        put(&format!("stores/memory/{room}"), "//! A room.\n");
    }
    put(
        "stores/memory/src/run/mod.rs",
        "//! A room of several files.\n",
    );
    let suites = "tenure_conformance::lease_suite!(H);\ntenure_conformance::run_suite!(H);\n";
    put("stores/memory/tests/conformance.rs", suites);
    files
}

fn findings(files: Tree) -> Vec<String> {
    let findings = check(&Workspace::of_files(files).unwrap()).unwrap();
    findings.iter().map(ToString::to_string).collect()
}

/// What tidy says once `text` is put at the end of the file `path`.
fn after(path: &str, text: &str) -> Vec<String> {
    let mut files = tree();
    files
        .entry(path.to_owned())
        .or_insert_with(|| "//! New.\n".to_owned())
        .push_str(text);
    findings(files)
}

#[track_caller]
fn assert_said(said: &[String], expected: &str) {
    assert!(
        said.iter().any(|line| line.contains(expected)),
        "no `{expected}` in {said:#?}"
    );
}

#[test]
fn a_tree_in_order_has_no_findings() {
    assert_eq!(findings(tree()), [""; 0]);
}

#[test]
fn a_dependency_against_the_direction_is_refused() {
    let said = after(
        CORE_MANIFEST,
        "[dependencies]\ntenure-memory = { workspace = true }\n",
    );
    let expected = "crates/tenure-core/Cargo.toml:7: `tenure-core` may not need `tenure-memory`; \
        of ours it may need nothing: move the code to where its dependencies point down \
        [direction]";
    assert_eq!(said, [expected]);
    for (path, table, expected) in [
        (
            CORE_MANIFEST,
            "[build-dependencies]\ntenure-lock",
            "core` may not need `tenure-lock`",
        ),
        (
            CORE_MANIFEST,
            "[target.'cfg(unix)'.dependencies]\ntenure-lock",
            "Cargo.toml:7: ",
        ),
        (
            CORE_MANIFEST,
            "[dependencies]\ndisguised",
            "may not need `tenure-memory`",
        ),
        (
            CORE_MANIFEST,
            "[dev-dependencies]\ntenure-lock",
            "may not need `tenure-lock`",
        ),
        (
            CORE_MANIFEST,
            "[dependencies]\nrusqlite",
            "only tenure-sqlite may need",
        ),
        (
            "crates/tenure-lock/Cargo.toml",
            "[dependencies]\ntenure-memory",
            "need `tenure-memory`",
        ),
        (
            "stores/memory/Cargo.toml",
            "[dependencies]\ntenure-lock",
            "may need tenure-core:",
        ),
        (
            "stores/memory/Cargo.toml",
            "[dependencies]\ntenure-conformance",
            "may need tenure-core:",
        ),
    ] {
        let said = after(path, &format!("{table} = {{ workspace = true }}\n"));
        assert_said(&said, expected);
        assert_eq!(said.len(), 1, "{said:#?}");
    }
}

#[test]
fn a_dependency_that_points_down_is_accepted_and_tests_may_use_stores() {
    for (path, table) in [
        ("stores/memory/Cargo.toml", "[dependencies]\ntenure-core"),
        (
            "stores/memory/Cargo.toml",
            "[dev-dependencies]\ntenure-conformance",
        ),
        (
            "crates/tenure-lock/Cargo.toml",
            "[dependencies]\ntenure-core",
        ),
        (
            "crates/tenure-lock/Cargo.toml",
            "[dev-dependencies]\ntenure-memory",
        ),
        (CORE_MANIFEST, "[dev-dependencies]\nrusqlite"),
    ] {
        let said = after(path, &format!("{table} = {{ workspace = true }}\n"));
        assert_eq!(said, [""; 0], "{table}");
    }
}

#[test]
fn a_package_without_a_place_in_the_layout_is_refused() {
    let mut files = tree();
    let manifest = files[CORE_MANIFEST].replace("tenure-core", "tenure-new");
    files.insert("crates/tenure-new/Cargo.toml".to_owned(), manifest);
    assert_said(&findings(files), "`tenure-new` has no place in the layout");
}

#[test]
fn a_file_over_budget_is_refused() {
    let mut long = String::new();
    for number in 0..401 {
        writeln!(long, "const A{number}: u8 = 0;\n\n// why").unwrap();
    }
    let said = after(CORE, &long);
    assert_eq!(
        said,
        [format!(
            "{CORE}:1: 401 lines of code, of 400 at most; split the file [file-length]"
        )]
    );
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(after(CORE, &tests), [""; 0]);
    // A module for tests that is declared first leaves the rest of the file to be counted.
    let said = after(CORE, &format!("#[cfg(test)]\nmod tests;\n{long}"));
    assert_said(&said, "401 lines of code");
    let mut files = tree();
    files.insert(
        "crates/tenure-core/src/plan.rs".to_owned(),
        format!("//! Tests.\n{long}"),
    );
    assert_said(&findings(files.clone()), "src/plan.rs:1: 401 lines");
    let declared = "//! Says.\n#[cfg(test)]\nmod plan;\n";
    files.insert(CORE.to_owned(), declared.to_owned());
    assert_eq!(findings(files), [""; 0]);
}

#[test]
fn a_function_or_a_line_over_budget_is_refused() {
    let function = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(69));
    let said = after(CORE, &function);
    assert_said(&said, ":2: a function of 71 lines, of 70 at most");
    let fits = format!("fn a() {{\n{}}}\n", "    b();\n\n".repeat(68));
    assert_eq!(after(CORE, &fits), [""; 0]);
    for path in [CORE, STORE_TEST] {
        let said = after(path, &format!("// {}\n", "é".repeat(98)));
        assert_said(&said, ":2: 101 columns, of 100 at most");
    }
}

#[test]
fn a_store_missing_from_a_suite_is_refused() {
    for (suites, missing) in [
        ("tenure_conformance::lease_suite!(H);", "run_suite"),
        ("tenure_conformance::run_suite!(H);", "lease_suite"),
        (
            "tenure_conformance::lease_suite!(H); // tenure_conformance::run_suite!(H);",
            "run_suite",
        ),
    ] {
        let mut files = tree();
        let path = "stores/memory/tests/conformance.rs";
        files.insert(path.to_owned(), suites.to_owned());
        let expected = format!(
            "{path}:1: the store is missing from a suite; call `tenure_conformance::{missing}!(…)` \
             here [suite]"
        );
        assert_eq!(findings(files), [expected]);
    }
    let mut files = tree();
    files.remove("stores/memory/tests/conformance.rs");
    assert_eq!(findings(files).len(), 2);
}

#[test]
fn a_store_without_its_rooms_is_refused() {
    for room in [
        "README.md",
        "src/error.rs",
        "src/lease.rs",
        "src/run/mod.rs",
    ] {
        let mut files = tree();
        files.remove(&format!("stores/memory/{room}"));
        let said = findings(files);
        assert_said(&said, "every store has the same rooms");
        assert_eq!(said.len(), 1, "{said:#?}");
    }
    assert_said(
        &after("stores/redis/README.md", ""),
        "is a package, here `tenure-redis`",
    );
}

#[test]
fn a_file_without_a_header_is_refused() {
    let mut files = tree();
    files.insert(CORE.to_owned(), "fn a() {}\n".to_owned());
    assert_said(&findings(files), "begin with a `//!` header");
}

#[test]
fn a_module_name_that_says_nothing_is_refused() {
    for path in ["src/util.rs", "src/lease/types.rs", "tests/common/mod.rs"] {
        let said = after(&format!("crates/tenure-core/{path}"), "");
        assert_said(&said, "name it for what it knows");
        assert_eq!(said.len(), 1, "{said:#?}");
    }
}

#[test]
fn banned_words_are_refused_with_their_replacement() {
    let fix = concat!("// FIX", "ME\n");
    let mark = concat!("// XX", "X what\n");
    let yaml = concat!("// serde_", "yml\n");
    let rebase = concat!(">>>>", ">>> 0123abc (what it now does)\n");
    let (home, other) = (concat!("// /ro", "ot/x\n"), concat!("// /wo", "rk/x\n"));
    for (path, line, expected) in [
        (
            CORE,
            "fn a() { Instant::now(); }\n",
            "ask a `tenure_core::Clock`",
        ),
        (
            CORE,
            "fn a() { jiff::Zoned::now(); }\n",
            "ask a `tenure_core::Clock`",
        ),
        (
            STORE_TEST,
            "fn a() { SystemTime::now(); }\n",
            "ask a `tenure_core::Clock`",
        ),
        (STORE_TEST, "fn a() { sleep(b); }\n", "await an event"),
        (
            STORE_TEST,
            "fn a() { std::thread::sleep(b); }\n",
            "await an event",
        ),
        (
            CORE,
            "#[cfg(test)]\nmod tests { fn a() { sleep(b); } }\n",
            "await an event",
        ),
        (
            "crates/tenure-conformance/src/a.rs",
            "fn a() { sleep(b); }\n",
            "await an event",
        ),
        (CORE, "fn a() { todo!(); }\n", "write it, or leave it out"),
        (
            CORE,
            "fn a() { unimplemented!(\"b\"); }\n",
            "write it, or leave it out",
        ),
        (
            STORE_TEST,
            "#[ignore = \"slow\"]\n",
            "a test runs, or is not there",
        ),
        (CORE, fix, "mend it"),
        ("README.md", mark, "mend it"),
        ("README.md", rebase, "a rebase stopped here"),
        (CORE, yaml, "configuration is TOML"),
        ("README.md", home, "no path of one machine"),
        (CORE, other, "no path of one machine"),
    ] {
        let said = after(path, line);
        assert_said(&said, expected);
        assert_eq!(said.len(), 1, "{said:#?}");
    }
}

#[test]
fn what_only_looks_like_a_banned_word_is_accepted() {
    for (path, line) in [
        (STORE_TEST, "fn a() { \"sleep(\"; asleep(); } // sleep()\n"),
        (
            STORE_TEST,
            "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(b).await; }\n",
        ),
        (STORE_TEST, "fn a() { Instant::now(); }\n"),
        (CORE, "fn a() { sleep(b); }\n"),
        (CORE, "fn a() { MyInstant::now(); Instant::nowhere(); }\n"),
        (CORE, concat!("// mktemp /tmp/XX", "XXXX\n")),
        (
            "crates/tenure-core/src/clock.rs",
            "fn a() { SystemTime::now(); Instant::now(); }\n",
        ),
        (
            "crates/tenure-core/benches/a.rs",
            "fn a() { SystemTime::now(); Instant::now(); }\n",
        ),
    ] {
        assert_eq!(after(path, line), [""; 0], "{line}");
    }
}

#[test]
fn a_sleep_in_real_time_is_refused_beside_tests_on_paused_time() {
    let tests = "#[tokio::test(start_paused = true)]\nasync fn a() {\n    sleep(b).await;\n}\n\
        #[tokio::test]\nasync fn c() {\n    sleep(b).await;\n}\n";
    let said = after(STORE_TEST, tests);
    assert_said(&said, "memory.rs:8: ");
    assert_eq!(said.len(), 1, "{said:#?}");
    // Paused time is the runtime's: a thread still sleeps.
    let tests = "#[tokio::test(start_paused = true)]\nasync fn a() { thread::sleep(b); }\n";
    assert_eq!(after(STORE_TEST, tests).len(), 1);
}

#[test]
fn an_excuse_needs_a_reason_and_something_to_excuse() {
    let call = "fn a() { Instant::now(); }";
    for excused in [
        format!("{call} // tidy: allow(clock) it measures\n"),
        format!("// tidy: allow(clock) it measures\n{call}\n"),
    ] {
        assert_eq!(after(CORE, &excused), [""; 0], "{excused}");
    }
    let without_reason = after(CORE, &format!("{call} // tidy: allow(clock)\n"));
    assert_said(&without_reason, "reason is missing");
    assert_said(&without_reason, "[clock]");
    let of_another = after(CORE, &format!("{call} // tidy: allow(sleep) it measures\n"));
    assert_eq!(of_another.len(), 2, "{of_another:#?}");
    let too_far = format!("fn b() {{}} // tidy: allow(clock) no\n{call}\n");
    assert_eq!(after(CORE, &too_far).len(), 2);
}

#[test]
fn a_link_that_leads_nowhere_is_refused() {
    for (link, expected) in [
        ("[a](docs/none.md)", "`docs/none.md`, which does not exist"),
        ("[a](#none)", "`README.md` has no heading `#none`"),
        ("[a](../elsewhere.md)", "leads out of the repository"),
        ("[a]: none.md", "`none.md`, which does not exist"),
    ] {
        let said = after("README.md", link);
        assert_said(&said, expected);
        assert_eq!(said.len(), 1, "{said:#?}");
    }
    let said = after("README.md", "[a](https://example.org) [b](crate::Lock)\n");
    assert_eq!(said, [""; 0]);
}

#[test]
fn a_package_with_ways_of_its_own_is_refused() {
    let mut files = tree();
    let manifest = "[package]\nname = \"tenure-core\"\nedition = \"2021\"\n[dependencies]\n\
        serde = \"1\"\n";
    files.insert(CORE_MANIFEST.to_owned(), manifest.to_owned());
    let said = findings(files);
    assert_said(&said, "write `edition.workspace = true`");
    assert_said(&said, "write `[lints]` with `workspace = true`");
    assert_said(&said, "write `serde = { workspace = true }`");
}

#[test]
fn an_exception_takes_a_finding_out_and_one_without_use_is_a_finding() {
    let long = format!("// {}\n", "x".repeat(98));
    let exception = format!(
        "# Why.\n[[exception]]\npath = \"{CORE}\"\nrule = \"columns\"\nreason = \"a test\"\n"
    );
    let mut files = tree();
    files.insert("xtask/tidy.toml".to_owned(), exception.clone());
    assert_said(&findings(files.clone()), "xtask/tidy.toml:2: nothing in");
    files.get_mut(CORE).unwrap().push_str(&long);
    assert_eq!(findings(files.clone()), [""; 0]);
    let without_reason = exception.replace("a test", " ");
    files.insert("xtask/tidy.toml".to_owned(), without_reason);
    let said = check(&Workspace::of_files(files).unwrap()).unwrap_err();
    assert!(
        said.to_string()
            .contains("needs `path`, `rule` and `reason`")
    );
}

#[test]
fn this_repository_has_its_shape() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let workspace = Workspace::read(root).unwrap();
    let names: Vec<_> = workspace.packages().map(|it| it.name.as_str()).collect();
    assert!(
        names.contains(&"tenure-core") && names.contains(&"xtask"),
        "{names:?}"
    );
    for rule in [direction::check, manifest::check, suites::check] {
        assert_eq!(rule(&workspace), []);
    }
}
