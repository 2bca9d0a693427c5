//! From a path to text: what kind of file it is, how large, and in which encoding.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::exit::{Code, Failure};
use crate::text::shown_os;

/// The largest task file, in bytes.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A task file's text.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
    is_open_to_readers: bool,
}

impl Source {
    /// Reads a file that may be a task file, with warnings about its permissions.
    ///
    /// # Errors
    /// Status 66 if there is no such file or it cannot be read, 78 if it cannot be a task file.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<Problem>), Failure> {
        let shown = shown_os(path.as_os_str());
        let unreadable = |error: &io::Error| {
            let failure = Failure::new(Code::NO_INPUT, format!("cannot read `{shown}`: {error}"));
            match error.kind() {
                io::ErrorKind::NotFound => failure.help(
                    "check the path; it is relative to here. `tenure run --help` shows a task file",
                ),
                io::ErrorKind::PermissionDenied => failure.help("make it readable for this user"),
                _ => failure,
            }
        };
        // Asked before opening, because opening a named pipe waits for a writer.
        let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() {
                "a folder"
            } else {
                "not a regular file"
            };
            return Err(Failure::new(
                Code::NO_INPUT,
                format!("cannot read `{shown}`: it is {what}"),
            )
            .help("give the path of a task file, such as tasks.toml, or of a folder of them"));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Failure::new(
                Code::CONFIG,
                format!("`{shown}` is too large: a task file may have 4 MB"),
            )
            .help("split it; `tenure run` takes several files"));
        }
        let text = decoded(bytes).map_err(|reason| {
            Failure::new(
                Code::CONFIG,
                format!("`{shown}` is not a task file: {reason}"),
            )
            .help("save it as UTF-8 text")
        })?;
        let mode = metadata.permissions().mode();
        let mut warnings = Vec::new();
        if mode & 0o002 != 0 {
            warnings.push(
                Problem::warning(format!(
                    "anybody on this machine can change `{shown}`, and with it what runs here"
                ))
                .help(format!("chmod o-w {shown}")),
            );
        }
        let source = Self {
            path: path.to_path_buf(),
            text,
            is_open_to_readers: mode & 0o004 != 0,
        };
        Ok((source, warnings))
    }

    #[cfg(test)]
    pub(crate) fn of_text(path: &Path, text: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            text: decoded(text.as_bytes().to_vec()).unwrap(),
            is_open_to_readers: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether anybody on the machine can read it.
    pub(crate) fn is_open_to_readers(&self) -> bool {
        self.is_open_to_readers
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before
            .get(line_start..)
            .map_or(0, |line| line.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }
}

/// The files that paths stand for: a folder for all its files with the ending `.toml`, by name.
/// Names that begin with a dot are left out, as editors write them.
///
/// # Errors
/// A folder that cannot be read, or has no such file.
pub(crate) fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let shown = shown_os(path.as_os_str());
        let mut found = task_files_in(path).map_err(|error| {
            Failure::new(
                Code::NO_INPUT,
                format!("cannot read the folder `{shown}`: {error}"),
            )
        })?;
        if found.is_empty() {
            return Err(
                Failure::new(Code::NO_INPUT, format!("no task file is in `{shown}`"))
                    .help("of a folder, the files that end in .toml are read"),
            );
        }
        found.sort();
        all.append(&mut found);
    }
    // A file beside its own folder, or named by two paths, is one file all the same.
    let mut seen = HashSet::new();
    all.retain(|path| fs::canonicalize(path).map_or(true, |path| seen.insert(path)));
    Ok(all)
}

fn task_files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden =
            (path.file_name()).is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|it| it == "toml") && !path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

fn decoded(mut bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is encoded as UTF-16".to_owned());
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.drain(..3);
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let halves: Vec<_> = bytes.iter().take(64).collect();
        let zeros = halves
            .iter()
            .map(|byte| usize::from(**byte == 0))
            .sum::<usize>();
        return Err(if zeros * 3 >= halves.len() && zeros > 1 {
            "it is encoded as UTF-16, without a mark that says so".to_owned()
        } else {
            format!("it is binary, with a NUL at byte {at}")
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        format!("line {line}, byte {column}: not UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e54_encodings_are_named_and_a_byte_order_mark_is_accepted() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbfa = 1"[..], Ok("a = 1")),
            (b"a = 1\r\n", Ok("a = 1\r\n")),
            (b"\xff\xfea\0", Err("it is encoded as UTF-16")),
            (b"a\0=\x001\0", Err("UTF-16, without a mark")),
            (b"abcdefgh\0ijkl", Err("binary, with a NUL at byte 8")),
            (b"a = 1\nb\xff", Err("line 2, byte 2: not UTF-8")),
        ] {
            match (decoded(bytes.to_vec()), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
