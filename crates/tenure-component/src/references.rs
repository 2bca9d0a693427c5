//! The components of a program, found by descriptor.
//!
//! A component is put in as what others will look for: a `dyn Discovery`, a `dyn Lock`, or any type
//! of the program's own.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use crate::{Code, ComponentError, Descriptor};

/// Components and their descriptors.
///
/// ```
/// use std::sync::Arc;
/// use tenure_component::{Lock, MemoryLock, References};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut references = References::new();
/// let descriptor = "billing:lock:memory:main:1.0".parse()?;
/// references.put::<dyn Lock>(descriptor, Arc::new(MemoryLock::new()));
/// let lock = references.one_required::<dyn Lock>(&"*:lock:*:*:1.0".parse()?)?;
/// # assert!(lock.is_open());
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct References {
    /// The one put in last comes last.
    entries: Vec<Entry>,
}

struct Entry {
    descriptor: Descriptor,
    /// An `Arc<T>` for the `T` under which it was put in.
    component: Box<dyn Any + Send + Sync>,
    type_name: &'static str,
}

impl References {
    /// No components.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a component in, to be found as a `T`.
    ///
    /// Say what it is to be found as: `put::<dyn Discovery>(…)`.
    pub fn put<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        descriptor: Descriptor,
        component: Arc<T>,
    ) {
        self.entries.push(Entry {
            descriptor,
            component: Box::new(component),
            type_name: type_name::<T>(),
        });
    }

    /// Takes every component out that matches. How many they were is the answer.
    pub fn remove(&mut self, locator: &Descriptor) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|entry| !entry.descriptor.matches(locator));
        before - self.entries.len()
    }

    /// Every component that matches, the one put in last first; perhaps none.
    ///
    /// # Errors
    /// [`Code::NoReference`] if a component matches by its descriptor but was put in as something
    /// else than a `T`, unless the locator leaves the type open.
    pub fn all_optional<T: ?Sized + Send + Sync + 'static>(
        &self,
        locator: &Descriptor,
    ) -> Result<Vec<Arc<T>>, ComponentError> {
        let mut found = Vec::new();
        for entry in self.entries.iter().rev() {
            if !entry.descriptor.matches(locator) {
                continue;
            }
            match entry.component.downcast_ref::<Arc<T>>() {
                Some(component) => found.push(component.clone()),
                None if locator.component_type().is_none() => {}
                None => return Err(put_otherwise::<T>(locator, entry)),
            }
        }
        Ok(found)
    }

    /// Every component that matches, at least one.
    ///
    /// # Errors
    /// [`Code::NoReference`] if there is none, and as [`References::all_optional`].
    pub fn all_required<T: ?Sized + Send + Sync + 'static>(
        &self,
        locator: &Descriptor,
    ) -> Result<Vec<Arc<T>>, ComponentError> {
        let found = self.all_optional(locator)?;
        if found.is_empty() {
            return Err(missing(locator));
        }
        Ok(found)
    }

    /// The component that matches and was put in last, if there is one.
    ///
    /// # Errors
    /// As [`References::all_optional`].
    pub fn one_optional<T: ?Sized + Send + Sync + 'static>(
        &self,
        locator: &Descriptor,
    ) -> Result<Option<Arc<T>>, ComponentError> {
        Ok(self.all_optional(locator)?.into_iter().next())
    }

    /// The component that matches and was put in last.
    ///
    /// # Errors
    /// As [`References::all_required`].
    pub fn one_required<T: ?Sized + Send + Sync + 'static>(
        &self,
        locator: &Descriptor,
    ) -> Result<Arc<T>, ComponentError> {
        self.one_optional(locator)?.ok_or_else(|| missing(locator))
    }

    /// The descriptors of all components, in the order in which they were put in.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries.iter().map(|entry| &entry.descriptor)
    }
}

fn missing(locator: &Descriptor) -> ComponentError {
    let message = format!("no component `{locator}` is among the references; put one in");
    ComponentError::new(Code::NoReference, None, message).with_detail("locator", locator)
}

fn put_otherwise<T: ?Sized>(locator: &Descriptor, entry: &Entry) -> ComponentError {
    let wanted = type_name::<T>();
    let message = format!(
        "the component `{}` was put into the references as `{}` and is needed as `{wanted}`; put \
         it in with `put::<{wanted}>`",
        entry.descriptor, entry.type_name
    );
    ComponentError::new(Code::NoReference, None, message).with_detail("locator", locator)
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descriptors()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Speaks: Send + Sync {
        fn word(&self) -> &'static str;
    }

    struct Says(&'static str);

    impl Speaks for Says {
        fn word(&self) -> &'static str {
            self.0
        }
    }

    fn descriptor(text: &str) -> Descriptor {
        text.parse().unwrap()
    }

    fn two() -> References {
        let mut references = References::new();
        references.put::<dyn Speaks>(descriptor("a:speaker:x:one:1.0"), Arc::new(Says("one")));
        references.put::<dyn Speaks>(descriptor("a:speaker:x:two:1.0"), Arc::new(Says("two")));
        references.put(descriptor("a:number:x:three:1.0"), Arc::new(3_u8));
        references
    }

    #[test]
    fn b_references_find_what_was_put_in_the_last_one_first() {
        let mut references = two();
        let speakers = descriptor("*:speaker:*:*:1.0");
        let found = references.all_required::<dyn Speaks>(&speakers).unwrap();
        let words: Vec<_> = found.iter().map(|speaker| speaker.word()).collect();
        assert_eq!(words, ["two", "one"]);
        let one = references.one_required::<dyn Speaks>(&speakers).unwrap();
        assert_eq!(one.word(), "two");
        assert_eq!(
            *references
                .one_required::<u8>(&descriptor("*:*:*:*:*"))
                .unwrap(),
            3
        );
        assert_eq!(references.remove(&speakers), 2);
        assert!(
            references
                .one_optional::<dyn Speaks>(&speakers)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn b_references_a_required_one_that_is_missing_is_an_error() {
        let references = two();
        let locator = descriptor("*:singer:*:*:1.0");
        let error = references.one_required::<u8>(&locator).unwrap_err();
        assert_eq!(error.code(), Code::NoReference);
        assert_eq!(error.detail("locator"), Some("*:singer:*:*:1.0"));
        assert!(references.all_required::<u8>(&locator).is_err());
        assert!(references.all_optional::<u8>(&locator).unwrap().is_empty());
    }

    #[test]
    fn b_references_a_component_put_in_as_something_else_is_not_overlooked() {
        let references = two();
        let locator = descriptor("*:number:*:*:1.0");
        let found = references.one_optional::<dyn Speaks>(&locator);
        let text = found.err().unwrap().to_string();
        assert!(
            text.contains("was put into the references as `u8`"),
            "{text}"
        );
        assert!(text.contains("put::<dyn "), "{text}");
    }
}
