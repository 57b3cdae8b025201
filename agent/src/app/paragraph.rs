//! Text for a terminal, no wider than its reader expects.

/// Columns of what weir prints for people.
pub(super) const COLUMNS: usize = 100;

/// Keeps two words on one line; written as a blank.
pub(super) const NO_BREAK: char = '\u{a0}';

/// `text` in lines of at most [`COLUMNS`], the first after `head` and the others
/// below its end. A word that is longer has a line of its own.
pub(super) fn paragraph(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let mut lines = vec![head.to_owned()];
    let mut column = indent;
    // Only at blanks: a no-break space keeps two words together.
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column > indent && column + 1 + width > COLUMNS {
            lines.push(" ".repeat(indent));
            column = indent;
        }
        let line = lines.last_mut().expect("there is a first line");
        if column > indent {
            line.push(' ');
            column += 1;
        }
        line.extend(
            word.chars()
                .map(|one| if one == NO_BREAK { ' ' } else { one }),
        );
        column += width;
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_continues_below_itself() {
        let text = "word ".repeat(30);
        let out = paragraph("  name  ", &text);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  name  word"));
        assert!(lines[1].starts_with("        word"));
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        assert_eq!(out.split_whitespace().count(), 31);
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let long = "/x".repeat(80);
        assert_eq!(paragraph("  a  ", &long), format!("  a  {long}\n"));
        assert_eq!(
            paragraph("  a  ", &format!("b {long}")),
            format!("  a  b\n     {long}\n")
        );
        assert_eq!(paragraph("  a  ", ""), "  a\n");
        let together = format!("{}{NO_BREAK}b", "a".repeat(COLUMNS - 1));
        assert_eq!(paragraph("", &format!("x {together}")).lines().count(), 2);
    }
}
