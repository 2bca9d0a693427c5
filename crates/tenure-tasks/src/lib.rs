//! Scheduled tasks that run exactly where and as often as they should across all replicas.
