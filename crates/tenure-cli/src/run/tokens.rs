//! The file of tokens that open the dashboard: read again when it changes, so that a token can be
//! given and taken back while tasks run.
//!
//! A file that cannot be read keeps what was there and says so; one that is gone opens nothing.
//! What a line means, the dashboard knows.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tenure::dashboard::{ApiToken, TokenList};

use super::dashboard::secret_in;
use crate::exit::{Code, Failure};
use crate::notice::notice;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file of tokens, and the list that the dashboard asks.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    pub(super) list: TokenList,
    seen: Option<Seen>,
}

/// By what a change of the file is noticed.
type Seen = (SystemTime, u64);

impl TokenFile {
    /// Reads the file, which must be there at the start.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let seen = seen(path);
        Ok(Self {
            path: path.to_owned(),
            list: TokenList::new(read(path)?),
            seen,
        })
    }

    /// Follows the file for as long as the program runs.
    pub(super) async fn follow(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = seen(&self.path);
            if now == self.seen {
                continue;
            }
            self.seen = now;
            let is_gone = std::fs::metadata(&self.path)
                .is_err_and(|error| error.kind() == ErrorKind::NotFound);
            let read = if is_gone {
                Ok(Vec::new())
            } else {
                read(&self.path)
            };
            match read {
                Ok(tokens) => {
                    notice(format_args!(
                        "the dashboard's tokens were read again: {}",
                        tokens.len()
                    ));
                    self.list.replace(tokens);
                }
                Err(failure) => notice(format_args!(
                    "the dashboard's tokens stay as they were: {failure}"
                )),
            }
        }
    }
}

fn seen(path: &Path) -> Option<Seen> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn read(path: &Path) -> Result<Vec<ApiToken>, Failure> {
    let text = secret_in(path)?;
    ApiToken::read_all(&text).map_err(|error| {
        let shown = crate::text::shown_os(path.as_os_str());
        Failure::new(Code::CONFIG, format!("[dashboard]: `{shown}`: {error}"))
            .help("`tenure token NAME --into FILE` writes a line")
    })
}
