//! Tidy refuses what it is there to refuse, on small trees made for the purpose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

const MANIFEST: &str = "[package]\nname = \"NAME\"\nversion.workspace = true\n\
    edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
    authors.workspace = true\n[lints]\nworkspace = true\n[dependencies]\n";

/// A tree with nothing to find.
fn tree() -> BTreeMap<String, String> {
    let store = "tenure_conformance::lease_suite!(H);\ntenure_conformance::run_suite!(H);\n";
    let mut files = BTreeMap::new();
    for (folder, name) in [
        ("crates/tenure-core", "tenure-core"),
        ("stores/memory", "tenure-memory"),
    ] {
        files.insert(
            format!("{folder}/Cargo.toml"),
            MANIFEST.replace("NAME", name),
        );
        files.insert(
            format!("{folder}/src/lib.rs"),
            "//! Says what it knows.\n".to_owned(),
        );
    }
    for room in [
        "README.md",
        "src/options.rs",
        "src/error.rs",
        "src/lease.rs",
        "src/run.rs",
    ] {
        files.insert(format!("stores/memory/{room}"), "//! A room.\n".to_owned());
    }
    files.insert(
        "stores/memory/tests/conformance.rs".to_owned(),
        store.to_owned(),
    );
    files.insert(
        "README.md".to_owned(),
        "# A\n## B c\n[x](#b-c) [y](crates)\n".to_owned(),
    );
    files
}

fn findings(files: BTreeMap<String, String>) -> Vec<Finding> {
    check(&Workspace::of_files(files).unwrap()).unwrap()
}

/// What tidy says once `text` is put at the end of the file `path`.
fn after(path: &str, text: &str) -> Vec<String> {
    let mut files = tree();
    files
        .entry(path.to_owned())
        .or_insert_with(|| "//! New.\n".to_owned())
        .push_str(text);
    findings(files).iter().map(ToString::to_string).collect()
}

#[test]
fn a_tree_in_order_has_no_findings() {
    assert_eq!(findings(tree()), []);
}

#[test]
fn a_dependency_against_the_direction_is_refused() {
    let said = after("crates/tenure-core/Cargo.toml", "tenure-memory = \"1\"\n");
    assert_eq!(
        said,
        [
            "crates/tenure-core/Cargo.toml:11: `tenure-core` may not need `tenure-memory`; \
          it may need: nothing of ours [direction]"
        ]
    );
    assert_eq!(
        after("stores/memory/Cargo.toml", "tenure-core = \"1\"\n"),
        [""; 0]
    );
    let said = after("crates/tenure-core/Cargo.toml", "rusqlite = \"1\"\n");
    assert!(
        said[0].contains("only `tenure-sqlite` may need"),
        "{said:?}"
    );
}

#[test]
fn a_file_a_function_or_a_line_over_budget_is_refused() {
    let mut long = String::new();
    for number in 0..401 {
        writeln!(long, "const A{number}: u8 = 0;").unwrap();
    }
    let said = after("crates/tenure-core/src/lib.rs", &long);
    assert!(
        said[0].contains("401 lines of code, of 400 at most"),
        "{said:?}"
    );
    let function = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(69));
    let said = after("crates/tenure-core/src/lib.rs", &function);
    assert!(said[0].contains(":2: a function of 71 lines"), "{said:?}");
    let said = after(
        "crates/tenure-core/src/lib.rs",
        &format!("// {}\n", "x".repeat(98)),
    );
    assert!(said[0].contains("101 columns"), "{said:?}");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(after("crates/tenure-core/src/lib.rs", &tests), [""; 0]);
}

#[test]
fn a_store_missing_from_a_suite_or_without_its_rooms_is_refused() {
    let mut files = tree();
    let suite = "stores/memory/tests/conformance.rs".to_owned();
    files.insert(suite, "tenure_conformance::lease_suite!(H);\n".to_owned());
    files.remove("stores/memory/src/error.rs");
    let said: Vec<String> = findings(files).iter().map(ToString::to_string).collect();
    assert!(
        said.iter()
            .any(|line| line.contains("does not call `run_suite!`")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|line| line.contains("src/error.rs:1: every store")),
        "{said:?}"
    );
}

#[test]
fn a_file_without_a_header_or_with_an_empty_name_is_refused() {
    let mut files = tree();
    files.insert(
        "crates/tenure-core/src/util.rs".to_owned(),
        "fn a() {}\n".to_owned(),
    );
    let said: Vec<String> = findings(files).iter().map(ToString::to_string).collect();
    assert!(
        said.iter()
            .any(|line| line.contains("begin with a `//!` header")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|line| line.contains("a module named `util`")),
        "{said:?}"
    );
}

#[test]
fn banned_calls_are_refused_in_code_and_not_in_strings() {
    let call = concat!("fn a() { Instant::", "now(); }\n");
    let said = after("crates/tenure-core/src/lib.rs", call);
    assert!(said[0].contains("ask a `tenure_core::Clock`"), "{said:?}");
    let allowed = format!("// tidy: allow(clock) it measures\n{call}");
    assert_eq!(after("crates/tenure-core/src/lib.rs", &allowed), [""; 0]);
    assert_eq!(
        after("stores/memory/tests/x.rs", "fn a() { \"sleep(\"; }\n"),
        [""; 0]
    );
    let said = after("stores/memory/tests/x.rs", "fn a() { sleep(); }\n");
    assert!(said[0].contains("await an event"), "{said:?}");
}

#[test]
fn a_link_that_leads_nowhere_is_refused() {
    let said = after(
        "README.md",
        "[a](docs/none.md) [b](#none) [c](https://example.org)\n",
    );
    assert!(said[0].contains("no heading `#none`"), "{said:?}");
    assert!(said[1].contains("docs/none.md"), "{said:?}");
    assert_eq!(said.len(), 2);
}

#[test]
fn a_package_of_its_own_ways_is_refused() {
    let mut files = tree();
    let manifest = "[package]\nname = \"tenure-core\"\nversion = \"1\"\n";
    files.insert(
        "crates/tenure-core/Cargo.toml".to_owned(),
        manifest.to_owned(),
    );
    let said: Vec<String> = findings(files).iter().map(ToString::to_string).collect();
    assert!(
        said.iter()
            .any(|line| line.contains("version.workspace = true")),
        "{said:?}"
    );
    assert!(said.iter().any(|line| line.contains("[lints]")), "{said:?}");
}

#[test]
fn an_exception_takes_a_finding_out_and_one_without_use_is_a_finding() {
    let long = format!("// {}\n", "x".repeat(98));
    let exception = "[[exception]]\npath = \"crates/tenure-core/src/lib.rs\"\nrule = \"columns\"\n\
        reason = \"a test\"\n";
    let mut files = tree();
    files.insert("xtask/tidy.toml".to_owned(), exception.to_owned());
    assert!(
        findings(files.clone())[0]
            .to_string()
            .contains("is not needed")
    );
    files
        .get_mut("crates/tenure-core/src/lib.rs")
        .unwrap()
        .push_str(&long);
    assert_eq!(findings(files), []);
}

#[test]
fn this_repository_is_read_with_all_its_packages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let workspace = Workspace::read(root).unwrap();
    let names: Vec<_> = workspace
        .packages()
        .map(|package| package.name.as_str())
        .collect();
    assert!(
        names.contains(&"tenure-core") && names.contains(&"xtask"),
        "{names:?}"
    );
}
