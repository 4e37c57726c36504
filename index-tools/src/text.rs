//! What verbs print on standard output: headings, fields, tables. Plain into a pipe, with weight
//! and colour on a terminal that has them (anstream decides, and heeds NO_COLOR).

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::exit::{Exit, Failure};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();

/// A column narrower than this is not cut to make a table fit.
const NARROWEST: usize = 12;

/// Writes `text` to standard output at once. A reader that has gone away is no error: it has seen
/// what it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `value` to standard output as JSON, indented.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print(&text)
}

/// The width of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A heading with an empty line before it.
pub(crate) fn heading(text: &mut String, title: &str) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(text, "\n{BOLD}{title}{BOLD:#}");
}

/// Names and values, one a line, the values aligned. A value may have several lines.
pub(crate) fn fields(text: &mut String, fields: &[(&str, String)]) {
    let width = fields.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    for (name, value) in fields {
        let pad = " ".repeat(width - name.width());
        let value = value.replace('\n', &format!("\n{}", " ".repeat(width + 4)));
        let _ = writeln!(text, "  {DIM}{name}{DIM:#}{pad}  {value}");
    }
}

/// Which side of a column the values stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows in aligned columns. Cells hold plain text.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Names ending in `<` make a left-aligned column, others a right-aligned one.
    pub(crate) fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let columns = names.into_iter().map(|name| match name.as_ref().strip_suffix('<') {
            Some(name) => (name.to_owned(), Align::Left),
            None => (name.as_ref().to_owned(), Align::Right),
        });
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Appends the table to `text`; on a terminal it is cut to the width of that.
    pub(crate) fn write(&self, text: &mut String) {
        self.write_within(text, terminal_width().unwrap_or(usize::MAX));
    }

    fn write_within(&self, text: &mut String, most: usize) {
        let widths = self.widths(most);
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(text, "{DIM}{}{DIM:#}", self.line(&names, &widths));
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            let _ = writeln!(text, "{}", self.line(&cells, &widths));
        }
    }

    /// Each column as wide as its widest cell; then the widest left-aligned ones shrink until the
    /// table is no wider than `most`.
    fn widths(&self, most: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| row[at].width());
                cells.chain([self.columns[at].0.width()]).max().unwrap_or(0)
            })
            .collect();
        while widths.iter().sum::<usize>() + 2 * widths.len() > most {
            let widest = (0..widths.len())
                .filter(|&at| self.columns[at].1 == Align::Left && widths[at] > NARROWEST)
                .max_by_key(|&at| widths[at]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        widths
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let cell = cut(cell, width);
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str("  ");
            match align {
                Align::Left => line.extend([cell.as_str(), &pad]),
                Align::Right => line.extend([pad.as_str(), &cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// `text` without what would move the cursor or start an escape sequence: attributes come from
/// files that anyone may have written.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` in at most `width` columns, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// `text` broken between words to the width of the terminal, `first` before its first line and as
/// many spaces before the others. In one line into a pipe.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let most = terminal_width().unwrap_or(usize::MAX);
    let text = printable(text);
    let (mut lines, mut used) = (first.to_owned(), first.width());
    for (at, word) in text.split_whitespace().enumerate() {
        if at > 0 && used + 1 + word.width() > most {
            lines += &format!("\n{}", " ".repeat(first.width()));
            used = first.width();
        } else if at > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += word.width();
    }
    lines.push('\n');
    lines
}

/// A bar of at most `width` characters for `value` out of `most`, in eighths.
pub(crate) fn bar(value: u64, most: u64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (value as f64 / most.max(1) as f64 * width as f64 * 8.0).round() as usize;
    // What is there shows.
    let eighths = if value > 0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_fit() {
        let mut table = Table::new(["rank", "title<", "n"]);
        table.row(["1".into(), "Zoë 鳥 keeper of the royal aviary".into(), "5".into()]);
        table.row(["10".into(), "Clerk\u{1b}[31m".into(), "1,234".into()]);
        for most in [usize::MAX, 40, 30] {
            let mut text = String::new();
            table.write_within(&mut text, most);
            let plain = anstream::adapter::strip_str(&text).to_string();
            let widths: Vec<usize> = plain.lines().map(UnicodeWidthStr::width).collect();
            assert!(widths.iter().all(|&width| width == widths[0] && width <= most), "{plain}");
            assert!(!plain.contains('\u{1b}'));
        }
    }

    #[test]
    fn bars_are_never_longer_than_asked() {
        for value in 0..=100 {
            let bar = bar(value, 100, 20);
            assert!(bar.width() <= 20);
            assert_eq!(bar.is_empty(), value == 0);
        }
        assert_eq!(bar(100, 100, 20).width(), 20);
    }
}
