//! The requirements that no store can show by itself, each with who shows it instead.

/// Number of a requirement between S21 and S46, and why it is not in this suite.
pub const SHOWN_ELSEWHERE: &[(u32, &str)] = &[
    (
        24,
        "after a forward step the runner decides which missed ticks to claim: tenure-tasks",
    ),
    (
        25,
        "suspending a machine is noticed by the runner's timers: tenure-tasks",
    ),
    (
        37,
        "slots and eviction are of one kind of server: tenure-redis",
    ),
    (
        42,
        "children and their pipes belong to the program: tenure-cli",
    ),
    (
        43,
        "stopping children before the lease ends is the runner's part: tenure-tasks",
    ),
    (
        45,
        "panics of user code are caught by the runner: tenure-tasks",
    ),
    (
        46,
        "where user code runs is the runner's choice: tenure-tasks",
    ),
];

#[cfg(test)]
mod tests {
    use super::SHOWN_ELSEWHERE;
    use crate::run::cases::NAMES;

    #[test]
    fn every_requirement_is_a_case_or_has_a_reason() {
        for number in 21..=46 {
            let part = format!("s{number}_");
            let is_case = NAMES
                .iter()
                .any(|name| name.starts_with(&part) || name.contains(&format!("_{part}")));
            let is_elsewhere = SHOWN_ELSEWHERE.iter().any(|(other, _)| *other == number);
            assert!(
                is_case != is_elsewhere,
                "S{number} must be a case or stand in the table, and not both"
            );
        }
    }
}
