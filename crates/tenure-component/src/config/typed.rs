//! Values as numbers, switches and durations. What is not one is an error, never the default.

use std::ops::RangeInclusive;
use std::time::Duration;

use tenure_core::parse_duration;

use super::{ConfigError, ConfigParams};

impl ConfigParams {
    /// A whole number. `None` if the key is not set.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is something else.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        self.parsed(key, "a whole number", |text| text.parse().ok())
    }

    /// A whole number, or `default` if the key is not set.
    ///
    /// # Errors
    /// As [`ConfigParams::integer`].
    pub fn integer_or(&self, key: &str, default: i64) -> Result<i64, ConfigError> {
        Ok(self.integer(key)?.unwrap_or(default))
    }

    /// A number that may have a fraction. `None` if the key is not set.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is something else, infinite or not a number.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        let parse = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        self.parsed(key, "a number", parse)
    }

    /// A number that may have a fraction, or `default` if the key is not set.
    ///
    /// # Errors
    /// As [`ConfigParams::float`].
    pub fn float_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        Ok(self.float(key)?.unwrap_or(default))
    }

    /// A switch: `true`, `yes`, `on`, `1` or their opposites, in any case. `None` if the key is
    /// not set.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is something else.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.parsed(key, "true or false", |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
                "false" | "no" | "off" | "0" | "f" | "n" => Some(false),
                _ => None,
            }
        })
    }

    /// A switch, or `default` if the key is not set.
    ///
    /// # Errors
    /// As [`ConfigParams::boolean`].
    pub fn boolean_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        Ok(self.boolean(key)?.unwrap_or(default))
    }

    /// A duration: a bare number of milliseconds, as the origin writes them, or one with units such
    /// as `1.5s`. `None` if the key is not set.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is something else.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let expected = "a number of milliseconds, or a duration such as 500ms, 30s or 2h30m";
        self.parsed(key, expected, |text| match text.parse() {
            Ok(ms) => Some(Duration::from_millis(ms)),
            Err(_) => parse_duration(text).ok(),
        })
    }

    /// A duration, or `default` if the key is not set.
    ///
    /// # Errors
    /// As [`ConfigParams::duration`].
    pub fn duration_or(&self, key: &str, default: Duration) -> Result<Duration, ConfigError> {
        Ok(self.duration(key)?.unwrap_or(default))
    }

    /// A whole number within bounds. `None` if the key is not set.
    pub(crate) fn number_within<N>(
        &self,
        key: &str,
        bounds: &RangeInclusive<N>,
    ) -> Result<Option<N>, ConfigError>
    where
        N: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        let expected = format!("a whole number, {} to {}", bounds.start(), bounds.end());
        self.parsed(key, &expected, |text| {
            let number = text.parse::<i64>().ok()?;
            N::try_from(number).ok().filter(|it| bounds.contains(it))
        })
    }

    /// The value, if it is more than blanks.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.trim().is_empty())
    }

    pub(crate) fn value_error(&self, key: &str, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: self.full_key(key),
            value: match self.get(key) {
                None | Some("") => "empty".to_owned(),
                Some(value) => format!("`{value}`"),
            },
            expected: expected.into(),
        }
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        match parse(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.value_error(key, expected)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_config_params_typed_getters_read_values_and_fall_back_to_defaults() {
        let config = ConfigParams::from_tuples([
            ("i", " -7 "),
            ("f", "1.5"),
            ("b", "Yes"),
            ("ms", "250"),
            ("d", "1m30s"),
        ]);
        assert_eq!(config.integer("i").unwrap(), Some(-7));
        assert_eq!(config.integer_or("none", 3).unwrap(), 3);
        assert_eq!(config.float_or("f", 0.0).unwrap().to_string(), "1.5");
        assert_eq!(config.float("none").unwrap(), None);
        assert!(config.boolean_or("b", false).unwrap());
        assert!(!config.boolean_or("none", false).unwrap());
        let ms = Duration::from_millis;
        assert_eq!(config.duration_or("ms", ms(1)).unwrap(), ms(250));
        assert_eq!(config.duration_or("d", ms(1)).unwrap(), ms(90_000));
        assert_eq!(config.duration_or("none", ms(1)).unwrap(), ms(1));
        assert_eq!(
            config.number_within("ms", &(0_u16..=300)).unwrap(),
            Some(250)
        );
    }

    #[test]
    fn e56_b_config_params_a_value_of_another_type_is_refused_with_its_whole_key() {
        let long = "9".repeat(1000);
        let config = ConfigParams::from_tuples([
            ("options.retries", "many"),
            ("options.timeout", "5 m"),
            ("options.empty", ""),
            ("options.nan", "NaN"),
            ("options.long", long.as_str()),
        ]);
        let options = config.section("options");
        for (error, part) in [
            (
                options.integer("retries").unwrap_err(),
                "`options.retries` is `many`, which is not a whole number",
            ),
            (
                options.duration("timeout").unwrap_err(),
                "`options.timeout` is `5 m`, which is not a number of milliseconds",
            ),
            (
                options.boolean("empty").unwrap_err(),
                "`options.empty` is empty, which is not true or false",
            ),
            (options.float("nan").unwrap_err(), "which is not a number"),
            (
                options
                    .number_within("long", &(1_u16..=65_535))
                    .unwrap_err(),
                "which is not a whole number, 1 to 65535",
            ),
        ] {
            let error = error.to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.len() < 300, "{error}");
        }
    }
}
