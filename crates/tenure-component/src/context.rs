//! In whose name a call is made: the trace id that its errors and log lines carry.

use std::fmt;

use tracing::Span;

use crate::error::shown;

/// The context of a call. Every call takes an `Option<&Context>`; `None` means that nobody traces
/// it.
///
/// ```
/// use tenure_component::Context;
///
/// let context = Context::from_trace_id("4bf92f35");
/// assert_eq!(context.trace_id(), "4bf92f35");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Context {
    trace_id: String,
}

impl Context {
    /// A context with the id under which the whole call chain is traced.
    #[must_use]
    pub fn from_trace_id(trace_id: impl Into<String>) -> Self {
        let trace_id = trace_id.into();
        Self { trace_id }
    }

    /// The id under which the call chain is traced.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The span in which a call does its work, so that every line logged below it, also by the
    /// store, carries the trace id.
    ///
    /// It is an error's span, so that no filter that lets any line through leaves the id out.
    pub(crate) fn span(context: Option<&Self>, call: &'static str) -> Span {
        let trace_id = context.map(tracing::field::display);
        tracing::error_span!("lock_component", call, trace_id)
    }
}

/// The trace id, shortened and with control characters escaped.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.trace_id))
    }
}
