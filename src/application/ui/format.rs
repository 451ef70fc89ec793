//! Numbers and foreign text, as people read them.

pub use crate::base::{count, plural};

/// Bytes with a binary unit and three significant digits: `0 B`, `17 B`, `1.46 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "B";
    for next in UNITS {
        // 1023.5 would be shown as `1024`.
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    format!("{value:.digits$} {unit}")
}

/// Seconds as people say them: `240 ms`, `3.2 s`, `2 min 05 s`, `3 h 07 min`, `2 d 04 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let total = seconds.round() as u64;
    match total {
        0..3_600 => format!("{} min {:02} s", total / 60, total % 60),
        3_600..86_400 => format!("{} h {:02} min", total / 3_600, total % 3_600 / 60),
        _ => format!("{} d {:02} h", total / 86_400, total % 86_400 / 3_600),
    }
}

/// An amount (hours, kWh, money) with two digits, or two that say something where it is small: `12.30`, `0.0041`.
pub fn amount(value: f64) -> String {
    match value.abs() {
        size if size < 1e-9 => "0.00".to_owned(),
        size if size < 0.095 => {
            let digits = (-size.log10()).ceil() as usize + 1;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2}"),
    }
}

/// A share of 1 with two digits: `98.13 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Words in lines of at most `width` columns, each with its end; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = console::measure_text_width(word);
        if column > 0 && column + 1 + length > width {
            wrapped.push('\n');
            column = 0;
        }
        if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped.push('\n');
    wrapped
}

/// A path as one argument of a shell command that is proposed.
pub fn argument(path: &str) -> String {
    let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    shlex::try_quote(&clean(&path)).map_or_else(|_| path.clone(), |quoted| quoted.into_owned())
}

/// Text from outside (a log line, a file name) without control characters, so that it cannot steer the terminal.
/// Line ends and tabs stay.
pub fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(harmless) {
        return text.into();
    }
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) {
            cleaned.push(c);
        } else if c != '\r' {
            cleaned.extend(c.escape_default());
        }
    }
    cleaned.into()
}

/// Letters of one line of a program that a terminal shows while the program runs.
const LONGEST_LINE: usize = 1_000;

/// A line that a program said, as a terminal shows it: what was written over it last, without control characters, and cut where it is
/// long.
pub fn spoken(line: &str) -> String {
    let last = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let Some((cut, _)) = last.char_indices().nth(LONGEST_LINE) else { return clean(last).into_owned() };
    let more = last[cut..].chars().count() as u64;
    format!("{}… and {}", clean(&last[..cut]), plural(more, "more letter"))
}

/// What a program says, piece by piece, as text that cannot steer the terminal; a line that is written over another comes below it.
#[derive(Default)]
pub struct Neutral {
    /// What a piece ended within.
    held: Vec<u8>,
}

impl Neutral {
    /// As much as can be said after these bytes.
    pub fn take(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let begun = |chunk: &[u8]| std::str::from_utf8(chunk).is_err_and(|error| error.error_len().is_none());
        let letter = self.held.utf8_chunks().last().map_or(0, |last| match last.invalid() {
            invalid if begun(invalid) => invalid.len(),
            _ => 0,
        });
        let tail = if self.held.ends_with(b"\r") { 1 } else { letter };
        let rest = self.held.split_off(self.held.len() - tail);
        neutral(&std::mem::replace(&mut self.held, rest))
    }

    /// The rest.
    pub fn finish(&mut self) -> String {
        neutral(&std::mem::take(&mut self.held))
    }
}

fn neutral(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_536, "1.50 KiB"),
            (10_240, "10.0 KiB"),
            (1_048_575, "1.00 MiB"),
            (157_286_400, "150 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (n, text) in cases {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn counts_and_durations_read_well() {
        assert_eq!((count(0), count(999), count(1_000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((plural(1, "file"), plural(2, "file")), ("1 file".into(), "2 files".into()));
        let cases = [
            (0.24, "240 ms"),
            (3.21, "3.2 s"),
            (59.99, "1 min 00 s"),
            (125.0, "2 min 05 s"),
            (11_220.0, "3 h 07 min"),
            (187_200.0, "2 d 04 h"),
            (f64::NAN, "?"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn small_amounts_are_not_nothing() {
        let cases =
            [(12.3, "12.30"), (0.1, "0.10"), (0.0041, "0.0041"), (0.00000123, "0.0000012"), (0.0, "0.00")];
        for (value, text) in cases {
            assert_eq!(amount(value), text);
        }
    }

    #[test]
    fn words_are_wrapped_by_columns() {
        assert_eq!(wrap("one two  three\nfour", 9), "one two\nthree\nfour\n");
        assert_eq!(wrap("数字数字 b", 8), "数字数字\nb\n");
        assert_eq!(wrap("", 9), "\n");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\n\tc"), "a\\u{1b}[2Jb\n\tc");
        assert!(matches!(clean("plain ä"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_is_what_was_written_over_it_last_and_not_too_long() {
        assert_eq!(spoken(" 10 %\r 20 %\r\x1b[31m 30 %\r"), "\\u{1b}[31m 30 %");
        assert_eq!(spoken("plain"), "plain");
        let long = spoken(&"ä".repeat(3_500));
        assert!(long.starts_with("ää") && long.ends_with("ä… and 2,500 more letters"), "{long}");
    }

    #[test]
    fn what_a_program_says_is_neutral_wherever_it_is_cut() {
        let said = "ä\x1b[2J\r\nb\tc\r50 %\rd \u{9b}31mÿ\0end ü".to_owned();
        let mut bytes = said.into_bytes();
        bytes.extend([0xff, b'x', 0xe2, 0x82]);
        let wanted = "ä\\u{1b}[2J\nb\tc\n50 %\nd \\u{9b}31mÿ\\u{0}end ü\u{fffd}x\u{fffd}";
        for at in 0..=bytes.len() {
            let mut neutral = Neutral::default();
            let text = neutral.take(&bytes[..at]) + &neutral.take(&bytes[at..]) + &neutral.finish();
            assert_eq!(text, wanted, "{at}");
        }
    }
}
