//! What a user of the server must be allowed: the line that an operator adds.
//!
//! The same words stand in the README; tests run locks and tasks with exactly these rights.

/// What every user needs: to say who it is, and to hear what is pushed.
const ALL: &str = "resetchannels &tenure:* -@all +hello +auth +select +ping +client|tracking";
/// The commands of locks and of tasks, most of which only their scripts use.
const COMMANDS: &str = "+client|caching +eval +evalsha +time +exists +get +getrange +mget +set \
    +mset +msetnx +del +type +ttl +pttl +persist +pexpire +pexpireat +pexpiretime +scan +hget \
    +hset +hsetnx +hdel +hmget +hgetall +hscan +hkeys +hvals +hlen +zadd +zrem +zpopmin +zcard \
    +zscore +zrank +zrange +zrevrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +xadd \
    +xrange +xtrim +rpush +lrange +publish +subscribe";

/// The line that gives `user` what locks and tasks need on one server, apart from its password.
pub(crate) fn acl_line(user: &str) -> String {
    format!("ACL SETUSER {user} on ~* {ALL} {COMMANDS}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words of the blocks of the README that begin with such a line.
    fn in_readme() -> BTreeSet<&'static str> {
        let mut blocks = include_str!("../README.md").split("```");
        let mut words = BTreeSet::new();
        while let Some(block) = blocks.find(|block| block.starts_with("text\nACL SETUSER app")) {
            words.extend(
                block
                    .split_whitespace()
                    .filter(|word| word.starts_with('+')),
            );
        }
        words
    }

    #[test]
    fn e69_the_line_allows_what_the_readme_lists_for_locks_and_for_tasks() {
        let line = acl_line("app");
        let words = line.split_whitespace().filter(|word| word.starts_with('+'));
        assert_eq!(words.collect::<BTreeSet<_>>(), in_readme());
        assert!(line.starts_with("ACL SETUSER app on ~* resetchannels &tenure:* -@all "));
    }
}
