//! Pure time: cron expressions, intervals and zones turned into ticks.
