//! The README and the guide's pages, so that the documentation's tests compile every example in
//! them.
//!
//! Exists in those tests only; readers find the pages in `docs/guide` of the repository.

macro_rules! pages {
    ($($page:ident $path:literal)*) => {
        $(
            #[doc = include_str!(concat!("../../../docs/guide/", $path))]
            mod $page {}
        )*
    };
}

pages! {
    contents "README.md"
    dashboard "dashboard.md"
    guarantees "guarantees.md"
    locks "locks.md"
    migration "migration.md"
    observability "observability.md"
    operations "operations.md"
    readme "../../README.md"
    security "security.md"
    stores "stores.md"
    tasks "tasks.md"
    troubleshooting "troubleshooting.md"
    why "why.md"
}
