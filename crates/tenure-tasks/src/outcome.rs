//! What a task's code hands back: a report, or a failure.
//!
//! Knows nothing of stores or retries. Most code returns `()` or `Result<(), E>` with an error of
//! its own; whoever runs commands returns a report with an exit status and captured output.

use std::error::Error;
use std::fmt;

/// What a run that ended well leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskReport {
    /// The exit status of its command, if it was one.
    pub exit_code: Option<i32>,
    /// What it printed. Stands in place of what was written through
    /// [`TaskContext::print`](crate::TaskContext::print).
    pub output: Option<String>,
}

impl TaskReport {
    /// A report with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the exit status of a command.
    #[must_use]
    pub fn exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// With what was printed; the store keeps the first and the last 64 KiB.
    #[must_use]
    pub fn output(mut self, output: impl Into<String>) -> Self {
        self.output = Some(output.into());
        self
    }
}

impl From<()> for TaskReport {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// Why a run ended badly.
///
/// Made from any error by `?`. It is no error itself, so that the conversion can be general.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFailure {
    /// What went wrong, for people.
    pub message: String,
    /// The exit status of its command, if it was one.
    pub exit_code: Option<i32>,
    /// What it printed.
    pub output: Option<String>,
    /// Whether another attempt would be useless.
    pub is_permanent: bool,
}

impl TaskFailure {
    /// A failure that may be tried again.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: None,
            output: None,
            is_permanent: false,
        }
    }

    /// With the exit status of a command.
    #[must_use]
    pub fn exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// With what was printed; the store keeps the first and the last 64 KiB.
    #[must_use]
    pub fn output(mut self, output: impl Into<String>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Another attempt would be useless, so none is made.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.is_permanent = true;
        self
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for TaskFailure {
    fn from(error: E) -> Self {
        let error: Box<dyn Error + Send + Sync> = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        // A chain is short in practice; the bound keeps a cycle from hanging the run.
        for _ in 0..16 {
            let Some(cause) = source else { break };
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}

/// What a task's code may return: nothing, a [`TaskReport`], or a `Result` of these with any error.
pub trait IntoTaskResult {
    /// The report or the failure.
    ///
    /// # Errors
    /// The failure, if the code ended badly.
    fn into_task_result(self) -> Result<TaskReport, TaskFailure>;
}

impl IntoTaskResult for () {
    fn into_task_result(self) -> Result<TaskReport, TaskFailure> {
        Ok(TaskReport::default())
    }
}

impl IntoTaskResult for TaskReport {
    fn into_task_result(self) -> Result<TaskReport, TaskFailure> {
        Ok(self)
    }
}

impl<T: Into<TaskReport>, E: Into<TaskFailure>> IntoTaskResult for Result<T, E> {
    fn into_task_result(self) -> Result<TaskReport, TaskFailure> {
        self.map(Into::into).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send invoice 7")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn any_error_becomes_a_failure_that_tells_its_causes() {
        let failed: Result<(), Outer> = Err(Outer(std::io::Error::other("connection refused")));
        let failure = failed.into_task_result().unwrap_err();
        assert_eq!(failure.message, "cannot send invoice 7: connection refused");
        let own: Result<(), TaskFailure> = Err(TaskFailure::new("no").permanent());
        assert!(own.into_task_result().unwrap_err().is_permanent);
        let text: Result<(), &str> = Err("in words");
        assert_eq!(text.into_task_result().unwrap_err().message, "in words");
    }
}
