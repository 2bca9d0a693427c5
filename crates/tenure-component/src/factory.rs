//! Makes components by descriptor.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use crate::{
    Code, ComponentError, CredentialStore, Descriptor, Discovery, EnvironmentCredentialStore,
    EnvironmentDiscovery, Lock, MemoryLock, NullLock, RedisLock,
};

type Make = Box<dyn Fn() -> Box<dyn Any + Send + Sync> + Send + Sync>;

/// Makes components by descriptor.
///
/// ```
/// use tenure_component::{Factory, Lock};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let factory = Factory::default();
/// let lock = factory.create::<dyn Lock>(&"billing:lock:redis:main:1.0".parse()?)?;
/// assert!(!lock.is_open());
/// # Ok(())
/// # }
/// ```
pub struct Factory {
    makers: Vec<Maker>,
}

struct Maker {
    descriptor: Descriptor,
    make: Make,
    type_name: &'static str,
}

impl Factory {
    /// A factory that makes nothing yet.
    #[must_use]
    pub fn empty() -> Self {
        Self { makers: Vec::new() }
    }

    /// Teaches the factory to make what matches `descriptor`, as a `T`.
    ///
    /// Say what it is made as: `register::<dyn Lock>(…)`.
    pub fn register<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        descriptor: Descriptor,
        make: impl Fn() -> Arc<T> + Send + Sync + 'static,
    ) {
        self.makers.push(Maker {
            descriptor,
            make: Box::new(move || Box::new(make())),
            type_name: type_name::<T>(),
        });
    }

    /// What would be made for `locator`: the first that was registered and matches.
    #[must_use]
    pub fn can_create(&self, locator: &Descriptor) -> Option<&Descriptor> {
        self.maker(locator).map(|maker| &maker.descriptor)
    }

    /// Makes a new component for `locator`. It is not configured and, if it needs a connection, not
    /// open.
    ///
    /// # Errors
    /// [`Code::CannotCreate`] if nothing that was registered matches, or what matches is not made
    /// as a `T`.
    pub fn create<T: ?Sized + Send + Sync + 'static>(
        &self,
        locator: &Descriptor,
    ) -> Result<Arc<T>, ComponentError> {
        let fail = |message: String| {
            let error = ComponentError::new(Code::CannotCreate, None, message);
            error.with_detail("locator", locator)
        };
        let maker = self.maker(locator).ok_or_else(|| {
            let known: Vec<_> = self
                .makers
                .iter()
                .map(|it| it.descriptor.to_string())
                .collect();
            fail(format!(
                "this factory does not make `{locator}`; it makes {}",
                known.join(", ")
            ))
        })?;
        let made = (maker.make)();
        made.downcast_ref::<Arc<T>>().cloned().ok_or_else(|| {
            fail(format!(
                "this factory makes `{}` as `{}`, not as `{}`",
                maker.descriptor,
                maker.type_name,
                type_name::<T>()
            ))
        })
    }

    fn maker(&self, locator: &Descriptor) -> Option<&Maker> {
        let mut makers = self.makers.iter();
        makers.find(|maker| maker.descriptor.matches(locator))
    }
}

/// Makes the locks `*:lock:redis:*:1.0`, `*:lock:memory:*:1.0` and `*:lock:null:*:1.0`, and from
/// the environment `*:discovery:environment:*:1.0` and `*:credential-store:environment:*:1.0`.
///
/// Discoveries and credential stores that need more than that to be made are made by the program.
impl Default for Factory {
    fn default() -> Self {
        let any = |kind_of, kind| Descriptor::new("*", kind_of, kind, "*", "1.0");
        let mut factory = Self::empty();
        factory.register::<dyn Lock>(any("lock", "redis"), || Arc::new(RedisLock::new()));
        factory.register::<dyn Lock>(any("lock", "memory"), || Arc::new(MemoryLock::new()));
        factory.register::<dyn Lock>(any("lock", "null"), || Arc::new(NullLock::new()));
        factory.register::<dyn Discovery>(any("discovery", "environment"), || {
            Arc::new(EnvironmentDiscovery::new())
        });
        factory.register::<dyn CredentialStore>(any("credential-store", "environment"), || {
            Arc::new(EnvironmentCredentialStore::new())
        });
        factory
    }
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let descriptors = self.makers.iter().map(|maker| &maker.descriptor);
        f.debug_list().entries(descriptors).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(text: &str) -> Descriptor {
        text.parse().unwrap()
    }

    #[test]
    fn b_factory_the_default_one_makes_the_three_locks_by_descriptor() {
        let factory = Factory::default();
        for (locator, name) in [
            ("billing:lock:redis:main:1.0", "RedisLock"),
            ("*:lock:redis:*:1.0", "RedisLock"),
            ("*:lock:memory:*:1.0", "MemoryLock"),
            ("*:lock:null:*:1.0", "NullLock"),
        ] {
            let lock = factory.create::<dyn Lock>(&descriptor(locator)).unwrap();
            assert!(format!("{lock:?}").starts_with(name), "{lock:?}");
        }
        let one = factory
            .create::<dyn Lock>(&descriptor("*:lock:memory:*:1.0"))
            .unwrap();
        let two = factory
            .create::<dyn Lock>(&descriptor("*:lock:memory:*:1.0"))
            .unwrap();
        assert!(!Arc::ptr_eq(&one, &two), "each call makes a new one");
        assert!(one.is_open());
    }

    #[test]
    fn b_factory_what_it_does_not_make_is_an_error_that_lists_what_it_does() {
        let factory = Factory::default();
        for locator in [
            "*:lock:etcd:*:1.0",
            "*:lock:redis:*:2.0",
            "*:cache:redis:*:1.0",
        ] {
            let locator = descriptor(locator);
            assert_eq!(factory.can_create(&locator), None);
            let error = factory.create::<dyn Lock>(&locator).unwrap_err();
            assert_eq!(error.code(), Code::CannotCreate);
            assert!(error.to_string().contains("*:lock:memory:*:1.0"), "{error}");
        }
        let error = factory.create::<dyn Discovery>(&descriptor("*:lock:null:*:1.0"));
        assert!(error.unwrap_err().to_string().contains("not as `dyn "));
    }

    #[test]
    fn b_factory_a_program_registers_its_own_components() {
        let mut factory = Factory::empty();
        factory.register::<dyn Lock>(descriptor("my:lock:null:*:1.0"), || {
            Arc::new(NullLock::new())
        });
        let locator = descriptor("my:lock:null:main:1.0");
        assert_eq!(
            factory.can_create(&locator).unwrap().to_string(),
            "my:lock:null:*:1.0"
        );
        assert!(factory.create::<dyn Lock>(&locator).is_ok());
    }
}
