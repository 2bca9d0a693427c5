//! Renders the guide as HTML pages, for reading without a website: `target/guide/README.html`.
//!
//! Whether links lead somewhere and examples work is checked elsewhere (tidy, the tests).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

use crate::say;

const STYLE: &str = "body{max-width:48rem;margin:2rem auto;padding:0 1rem;line-height:1.5;\
font-family:system-ui,sans-serif;color-scheme:light dark}\
table{border-collapse:collapse;display:block;overflow-x:auto}\
td,th{border:1px solid;padding:.3rem .6rem;text-align:left;vertical-align:top}\
pre{overflow-x:auto;padding:.8rem;border:1px solid}";

/// Renders every page of the guide, and tells where the first is.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let from = root.join("docs/guide");
    let to = root.join("target/guide");
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    let pages = pages(&from)?;
    for (name, text) in &pages {
        let path = to.join(format!("{name}.html"));
        fs::write(&path, page(text)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(format_args!(
        "{} pages, from {}",
        pages.len(),
        to.join("README.html").display()
    ));
    Ok(true)
}

/// The pages by name, without `.md`.
fn pages(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut pages = BTreeMap::new();
    for entry in entries {
        let path: PathBuf = entry?.path();
        if let (Some("md"), Some(name)) = (
            path.extension().and_then(|kind| kind.to_str()),
            path.file_stem().and_then(|name| name.to_str()),
        ) {
            pages.insert(name.to_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(pages)
}

/// One page; headings get the names by which links know them.
fn page(text: &str) -> String {
    let title = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches(['#', ' ']);
    let options = Options::ENABLE_TABLES | Options::ENABLE_GFM;
    let mut heading = None;
    let mut events: Vec<Event<'_>> = Vec::new();
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some((events.len(), String::new())),
            Event::Text(ref words) | Event::Code(ref words) => {
                if let Some((_, name)) = &mut heading {
                    name.push_str(words);
                }
            }
            _ => {}
        }
        events.push(here(event));
        if let Some(Event::End(pulldown_cmark::TagEnd::Heading(_))) = events.last()
            && let Some((at, name)) = heading.take()
            && let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(at)
        {
            *id = Some(crate::tidy::slug(&name).into());
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} – tenure</title>\
         <style>{STYLE}</style>\n<nav><a href=\"README.html\">The guide</a></nav>\n{body}</html>\n"
    )
}

/// Links to other pages lead to their HTML; those to other files stay with the repository's.
fn here(event: Event<'_>) -> Event<'_> {
    let Event::Start(Tag::Link {
        link_type,
        dest_url,
        title,
        id,
    }) = event
    else {
        return event;
    };
    let dest_url = target(&dest_url).map_or(dest_url, CowStr::from);
    Event::Start(Tag::Link {
        link_type,
        dest_url,
        title,
        id,
    })
}

/// Where a link leads from a rendered page, if that is another place than it says.
fn target(link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with('#') {
        return None;
    }
    let (file, anchor) = link
        .split_once('#')
        .map_or((link, String::new()), |(file, anchor)| {
            (file, format!("#{anchor}"))
        });
    Some(match file.strip_suffix(".md") {
        Some(page) if !page.contains('/') => format!("{page}.html{anchor}"),
        _ => format!("../../docs/guide/{file}{anchor}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_and_to_files_of_the_repository() {
        for (link, expected) in [
            ("locks.md", Some("locks.html")),
            ("stores.md#redis", Some("stores.html#redis")),
            (
                "../performance.md",
                Some("../../docs/guide/../performance.md"),
            ),
            ("#here", None),
            ("https://example.org/a.md", None),
        ] {
            assert_eq!(target(link).as_deref(), expected, "{link}");
        }
    }

    #[test]
    fn a_page_has_tables_and_named_headings() {
        let page = page("# Two words\n\n| a | b |\n| --- | --- |\n| `c` | [d](e.md) |\n");
        for part in [
            "<title>Two words – tenure</title>",
            "<h1 id=\"two-words\">Two words</h1>",
            "<td><code>c</code></td>",
            "<a href=\"e.html\">d</a>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
}
