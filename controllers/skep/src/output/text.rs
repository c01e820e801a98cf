//! Text from objects, safe to print: names and messages come from many hands.

/// `text` on one line, without characters that a terminal would obey or that turn its direction.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter_map(keep).collect()
}

fn keep(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        other if other.is_control() => None,
        other => Some(other),
    }
}

/// The first `count` characters of an id.
pub(crate) fn short(id: &str, count: usize) -> &str {
    id.char_indices().nth(count).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}

/// The candidate that is nearest to `given`, if one is near.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.6;
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(given, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert_eq!(printable("a\u{1b}[31mred\u{9b}2J\u{7}\u{202e}b"), "a[31mred2Jb");
        assert_eq!(printable("two\nlines\tand ümläuts"), "two lines and ümläuts");
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("wbe", ["db", "web", "cache"]), Some("web"));
        assert_eq!(nearest("queue", ["db", "web"]), None);
    }

    #[test]
    fn a_short_id_is_cut_between_characters() {
        assert_eq!(short("abcdef", 3), "abc");
        assert_eq!(short("äb", 1), "ä");
        assert_eq!(short("ab", 5), "ab");
    }
}
