//! How a model is searched: whole, or until something it must not do is found.
//!
//! The search is breadth first, so a counterexample is a shortest one. It relies on `stateright`
//! for remembering states; what a model means is the model's own matter.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "what is here is called by tests, which fail by it and show what it prints"
)]

use std::fmt::{self, Debug};
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// How many threads search a model that is to be searched whole.
const THREADS: usize = 2;

/// Searches all states of a model and prints how many there are. At least `least_states` of them:
/// fewer mean that the model does not do any more what it did when it was written.
///
/// # Panics
/// With the shortest counterexample, if a property is broken; if what should happen sometimes never
/// does; if there are too few states.
#[track_caller]
pub fn assert_holds<M>(model: M, least_states: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + Send + Sync + PartialEq,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    search(model, least_states, None);
}

/// The same for a model of which it is known that it does not keep `broken`, and asserted.
///
/// # Panics
/// Also if nothing breaks `broken`: then the promise can be made.
#[track_caller]
pub fn assert_holds_but<M>(model: M, least_states: usize, broken: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + Send + Sync + PartialEq,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    search(model, least_states, Some(broken));
}

#[track_caller]
fn search<M>(model: M, least_states: usize, broken: Option<&'static str>)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + Send + Sync + PartialEq,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        if broken == Some(property.name) {
            assert!(found.is_some(), "`{}` holds after all", property.name);
            continue;
        }
        match (property.expectation, found) {
            (Expectation::Sometimes, None) => panic!("`{}` never happens", property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                panic!(
                    "`{}` is broken:\n{}",
                    property.name,
                    Trace::new(path.into_vec())
                );
            }
        }
    }
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("all {states} states, {depth} steps deep");
    // A search that ends early says nothing about the rest.
    assert!(checker.is_done(), "the search was not finished");
    assert!(
        states >= least_states,
        "only {states} states, of {least_states} at least"
    );
}

/// Prints the shortest way to break `property` and says how many steps it has.
///
/// # Panics
/// If no state within the model's bounds breaks it.
#[track_caller]
pub fn assert_finds<M>(model: M, property: &'static str) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + Send + Sync + PartialEq,
    M::Action: Debug + Clone + Send + Sync + PartialEq,
{
    let wanted = HasDiscoveries::AnyOf([property].into());
    // One thread: with more, the first one found need not be a shortest one.
    let checker = model.checker().threads(1).finish_when(wanted);
    let checker = checker.spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        panic!(
            "`{property}` holds in all {} states",
            checker.unique_state_count()
        );
    };
    let trace = Trace::new(path.into_vec());
    println!(
        "`{property}` is broken in {} steps:\n{trace}",
        trace.actions.len()
    );
    trace.actions.len()
}

/// The actions of a counterexample, and the state that breaks the property.
struct Trace {
    actions: Vec<String>,
    end: String,
}

impl Trace {
    fn new<S: Debug, A: Debug>(path: Vec<(S, Option<A>)>) -> Self {
        let mut actions = Vec::new();
        let mut end = String::new();
        for (state, action) in path {
            end = format!("{state:?}");
            actions.extend(action.map(|action| format!("{action:?}")));
        }
        Self { actions, end }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, action) in self.actions.iter().enumerate() {
            writeln!(f, "  {}. {action}", number + 1)?;
        }
        write!(f, "  → {}", self.end)
    }
}
