//! Aligned columns.

/// What a cell's colour says again; the text says it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal has it.
    Plain,
    /// It is well.
    Good,
    /// It is on its way.
    Busy,
    /// It needs somebody.
    Bad,
}

/// A cell.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Spaces between two columns.
const GAP: usize = 3;

/// Rows under a heading, every column as wide as its widest cell; the last one is not padded.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: Vec<[Cell; N]>,
    color: bool,
) -> String {
    let mut widths = heading.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(&cell.text));
        }
    }
    let mut out = String::new();
    let heading = heading.map(|text| (text.to_owned(), Some("1")));
    push_row(&mut out, heading.into_iter(), &widths, color);
    for row in rows {
        let cells = row
            .into_iter()
            .map(|cell| (shown(&cell.text), code(cell.tone)));
        push_row(&mut out, cells, &widths, color);
    }
    out
}

/// A text in a tone.
pub(crate) fn paint(text: &str, tone: Tone, color: bool) -> String {
    match code(tone) {
        Some(code) if color => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

fn push_row(
    out: &mut String,
    cells: impl ExactSizeIterator<Item = (String, Option<&'static str>)>,
    widths: &[usize],
    color: bool,
) {
    let last = cells.len().saturating_sub(1);
    for (at, ((text, code), widest)) in cells.zip(widths).enumerate() {
        match code {
            Some(code) if color => out.extend(["\x1b[", code, "m", &text, "\x1b[0m"]),
            _ => out.push_str(&text),
        }
        if at != last {
            out.push_str(&" ".repeat(widest.saturating_sub(width(&text)) + GAP));
        }
    }
    out.push('\n');
}

fn code(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some("32"),
        Tone::Busy => Some("33"),
        Tone::Bad => Some("31"),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Control characters would move the cursor of whoever reads the table.
fn shown(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
