//! TypeScript under construction.

use serde_json::Value;

use super::Column;

/// Text under construction, and how deep the next line stands.
pub(super) struct Page {
    text: String,
    depth: usize,
}

impl Page {
    /// Letters up to which a union stays on one line.
    const WIDTH: usize = 80;

    /// A page that begins with `head`.
    pub(super) fn new(head: &str) -> Self {
        Self { text: head.to_owned(), depth: 0 }
    }

    /// The whole text, which ends with `tail`.
    pub(super) fn finish(mut self, tail: &str) -> String {
        self.text.push_str(tail);
        self.text
    }

    /// A line at the present depth.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Lines one step deeper, between two others.
    pub(super) fn block(&mut self, open: &str, close: &str, inside: impl FnOnce(&mut Self)) {
        self.line(open);
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line(close);
    }

    /// A block with an entry for each item, or the type of an object without keys.
    pub(super) fn entries<T>(&mut self, name: &str, items: &[T], mut entry: impl FnMut(&mut Self, &T)) {
        self.block(&format!("{name}: {{"), "}", |page| {
            if items.is_empty() {
                page.line("[_ in never]: never");
            }
            for item in items {
                entry(page, item);
            }
        });
    }

    /// A field for each column, by whether it may be left out and what it may hold.
    pub(super) fn fields(&mut self, columns: &[Column], form: impl Fn(&Column) -> (bool, Vec<String>)) {
        for column in columns {
            let (optional, types) = form(column);
            self.field(&column.name, optional, &types);
        }
    }

    /// A field, by whether it may be left out and its alternatives.
    pub(super) fn field(&mut self, name: &str, optional: bool, types: &[String]) {
        let start = format!("{}{}:", key(name), if optional { "?" } else { "" });
        let line = format!("{start} {}", types.join(" | "));
        if 2 * self.depth + line.len() <= Self::WIDTH {
            self.line(&line);
            return;
        }
        self.line(&start);
        self.depth += 1;
        for alternative in types {
            self.line(&format!("| {alternative}"));
        }
        self.depth -= 1;
    }
}

/// A text as a string literal.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A name as the key of an object: in quotes only where it must be.
pub(super) fn key(name: &str) -> String {
    let plain = |(place, letter): (usize, char)| {
        letter.is_ascii_alphabetic() || letter == '_' || (place > 0 && letter.is_ascii_digit())
    };
    if !name.is_empty() && name.chars().enumerate().all(plain) { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_unions_take_a_line_for_each_alternative_and_odd_names_quotes() {
        let mut page = Page::new("");
        page.field("a-b", false, &["\"x\"".to_owned(), "null".to_owned()]);
        page.field("long", true, &[quoted(&"x".repeat(40)), quoted(&"y".repeat(40))]);
        let (x, y) = ("x".repeat(40), "y".repeat(40));
        assert_eq!(page.text, format!("\"a-b\": \"x\" | null\nlong?:\n  | \"{x}\"\n  | \"{y}\"\n"));
    }
}
