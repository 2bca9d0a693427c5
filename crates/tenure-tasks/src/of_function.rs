//! Names a task after the function that is its code.
//!
//! The compiler says what a function is called; closures, pointers and boxes have no name, and are
//! told as a fault with all others when the tasks are started. Knows nothing of stores.

use std::any::type_name;
use std::future::Future;

use crate::context::TaskContext;
use crate::outcome::IntoTaskResult;
use crate::task::{ScheduleSource, Task};

impl<S: Send + Sync + 'static> Task<S> {
    /// A task that is due by this schedule, runs this function, and is called by the function's
    /// own name, without the modules around it: `Task::of("@hourly", billing::invoices)` is
    /// `invoices`.
    ///
    /// The name is that of the task's records in the store. Who renames the function renames the
    /// task, and says so with [`Task::aliases`]. Functions of one name in two modules are two tasks
    /// of one name, which is refused; [`Task::new`] names one of them otherwise.
    ///
    /// # Errors
    /// A closure, a pointer to a function or a boxed function has no name:
    /// [`TaskScheduling::start`](crate::TaskScheduling::start) and
    /// [`Task::check`] answer with [`ConfigError::Nameless`](crate::ConfigError::Nameless).
    ///
    /// # Examples
    /// ```
    /// use tenure_tasks::{Task, TaskContext};
    ///
    /// async fn rates(context: TaskContext<()>) {
    ///     println!("rates of {}", context.tick());
    /// }
    ///
    /// let task = Task::of("*/30 * * * * *", rates);
    /// assert_eq!(task.check()?.name().as_str(), "rates");
    ///
    /// let nameless = Task::<()>::of("@hourly", |_| async {});
    /// assert!(nameless.check().is_err());
    /// # Ok::<(), tenure_tasks::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn of<F, Fut>(schedule: impl Into<ScheduleSource>, function: F) -> Self
    where
        F: Fn(TaskContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoTaskResult> + Send + 'static,
    {
        let written = type_name::<F>();
        // Of all that can be called only functions and closures take no room at all.
        let name = Some(written).filter(|_| size_of::<F>() == 0);
        let name = name.and_then(name_in);
        let mut task = Self::new(name.unwrap_or(written));
        task.draft.is_nameless = name.is_none();
        task.schedule(schedule).run(function)
    }
}

/// The last part of the name of a function as the compiler writes it, without the types it was
/// made for; `None` if that is no name.
fn name_in(written: &str) -> Option<&str> {
    let mut end = written.len();
    if written.ends_with('>') {
        // From the last bracket to the one that opens it. An arrow closes nothing.
        let mut depth = 0_usize;
        let mut chars = written.char_indices().rev().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '>' if chars.peek().is_none_or(|(_, before)| *before != '-') => depth += 1,
                '<' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                end = at;
                break;
            }
        }
    }
    let last = written.get(..end)?.rsplit("::").next()?;
    let name = last.strip_prefix("r#").unwrap_or(last);
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::pin::Pin;
    use std::sync::Arc;

    use tenure_memory::MemoryStore;

    use super::*;
    use crate::{ConfigErrors, StoreLockManager, TaskScheduling};

    #[test]
    fn the_last_part_of_what_the_compiler_writes_is_the_name() {
        for (written, name) in [
            ("rates", Some("rates")),
            ("app::billing::rates", Some("rates")),
            ("app::main::{{closure}}::rates", Some("rates")),
            ("app::rates<alloc::string::String>", Some("rates")),
            ("app::rates<fn(u8) -> app::Rate<u8>>", Some("rates")),
            ("<app::Bank as app::Source<u8>>::rates", Some("rates")),
            ("app::r#async", Some("async")),
            ("app::größe", Some("größe")),
            ("app::main::{{closure}}", None),
            ("app::{closure#0}", None),
            ("&app::rates<", None),
            (">", None),
            ("->", None),
            ("", None),
        ] {
            assert_eq!(name_in(written), name, "{written}");
        }
    }

    fn rates(_: TaskContext<()>) -> Ready<()> {
        ready(())
    }

    fn of_type<T: Default + 'static>(_: TaskContext<()>) -> Ready<()> {
        let _ = T::default();
        ready(())
    }

    struct Bank;

    impl Bank {
        fn balance(_: TaskContext<()>) -> Ready<()> {
            ready(())
        }
    }

    fn name_of(task: &Task<()>) -> Result<String, ConfigErrors> {
        task.check().map(|spec| spec.name().as_str().to_owned())
    }

    #[test]
    fn a_task_is_called_as_its_function_is() {
        for (task, name) in [
            (Task::of("@hourly", rates), "rates"),
            (Task::of("@hourly", of_type::<Vec<fn() -> u8>>), "of_type"),
            (Task::of("@hourly", Bank::balance), "balance"),
        ] {
            assert_eq!(name_of(&task).unwrap(), name);
        }
    }

    #[test]
    fn code_without_a_name_is_refused() {
        type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
        let number = "7".to_owned();
        let boxed: Box<dyn Fn(TaskContext<()>) -> Boxed + Send + Sync> =
            Box::new(|context| Box::pin(rates(context)));
        let pointer: fn(TaskContext<()>) -> Boxed = |context| Box::pin(rates(context));
        for (task, code) in [
            (Task::of("@hourly", |_| async {}), "{{closure}}"),
            (
                Task::of("@hourly", move |_| {
                    assert!(!number.is_empty());
                    ready(())
                }),
                "{{closure}}",
            ),
            (Task::of("@hourly", boxed), "Box<"),
            (Task::of("@hourly", pointer), "fn("),
        ] {
            let refused = name_of(&task).unwrap_err().to_string();
            assert!(refused.contains(code), "{refused}");
            assert!(
                refused.contains("has no name; write `Task::new("),
                "{refused}"
            );
        }
    }

    async fn refused(tasks: [Task<()>; 2]) -> String {
        let manager = StoreLockManager::new(Arc::new(MemoryStore::new()));
        let scheduling = TaskScheduling::builder(()).manager(manager).tasks(tasks);
        scheduling.start().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn s35_two_functions_of_one_name_are_refused_and_closures_are_not_told_to_be_alike() {
        mod other {
            pub(super) fn rates(_: super::TaskContext<()>) -> super::Ready<()> {
                super::ready(())
            }
        }
        let told = refused([Task::of("@hourly", rates), Task::of("@daily", other::rates)]).await;
        assert!(told.contains("2 tasks are named `rates`"), "{told}");
        let told = refused([
            Task::of("@hourly", |_| async {}),
            Task::of("@daily", |_| async {}),
        ])
        .await;
        assert_eq!(told.matches("has no name").count(), 2, "{told}");
        assert!(!told.contains("are named"), "{told}");
    }
}
