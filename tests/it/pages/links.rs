//! Checks that each link of a page to a file of the repository leads to it, and to the heading that it names.

use super::fences::{pages, root};

/// The targets of the links of a text, outside of blocks and code.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        is_block ^= line.starts_with("```");
        // Every other part between backticks is code.
        let prose = line.split('`').step_by(2).filter(|_| !is_block);
        found.extend(prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next()));
    }
    found
}

/// The anchor that a heading gets: its words in lower case, without punctuation, joined by hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn has_heading(text: &str, wanted: &str) -> bool {
    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut checked = 0;
    for page in pages().into_iter().chain(["CONTRIBUTING.md".to_owned()]) {
        let path = root().join(&page);
        let text = std::fs::read_to_string(&path).expect("a page");
        for target in targets(&text).into_iter().filter(|target| !target.contains("://")) {
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
            let to = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(to.exists(), "{page}: there is no {target}");
            if let Some(heading) = heading {
                let there = std::fs::read_to_string(&to).expect("a page");
                assert!(has_heading(&there, heading), "{page}: no heading is {target}");
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} links");
}
