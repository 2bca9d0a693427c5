//! Task managers by the names of their stores.

#[cfg(any(feature = "memory", feature = "sqlite"))]
mod over_store;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "memory")]
pub use self::over_store::MemoryLockManager;
#[cfg(feature = "sqlite")]
pub use self::over_store::SqliteLockManager;
#[cfg(feature = "redis")]
pub use self::redis::{InvalidTaskLock, RedisLockConfig, RedisLockManager, RedisTaskLock, Secret};
