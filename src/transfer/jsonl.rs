//! JSON lines, from any line on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::json_line::parse;
use super::progress::Place;
use super::read_ahead::{ReadAhead, Row};
use crate::domain::{Invalid, ModelId};

/// The longest line, without its end. 512 chunks of 4,000 numbers take about a third of it.
const MAX_LINE_BYTES: usize = 64 << 20;
const BUFFER_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines after `from` until the file ends or nobody wants more; gives the names that no field has. Blank lines count
/// as lines and are nothing else.
pub(super) fn read(file: File, from: Place, model: &ModelId, ahead: &mut ReadAhead) -> io::Result<BTreeSet<String>> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    reader.seek(SeekFrom::Start(from.offset))?;
    let Place { rows: mut number, mut offset } = from;
    let mut unknown = BTreeSet::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        number += 1;
        offset += read as u64;
        let line = if bytes.len() > MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
            bytes = Vec::new();
            offset += skip_line(&mut reader)?;
            let reason = format!("has more than {MAX_LINE_BYTES} bytes; split it over several source fields");
            Err(Invalid::new("line", reason))
        } else {
            let mut text = bytes.as_slice();
            if number == 1 {
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            parse(text)
        };
        let line = line.map(|mut line| {
            unknown.append(&mut line.unknown);
            line
        });
        if !ahead.push(Row::new(number, offset, line, model)) {
            return Ok(unknown);
        }
    }
    ahead.flush();
    Ok(unknown)
}

/// Leaves what is left of a line; tells how many bytes that was.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let (count, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(count);
        skipped += count as u64;
        if ended {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn rows(content: &[u8], from: Place) -> Vec<(u64, u64, Result<String, String>)> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        let (mut ahead, mut portions) = ReadAhead::channel();
        let model = "words-64".parse().expect("an id");
        read(file, from, &model, &mut ahead).expect("read");
        drop(ahead);
        let mut rows = Vec::new();
        while let Some(portion) = portions.blocking_recv() {
            let told = |row: Row| {
                let draft = row.draft.map(|draft| draft.chunks[0].text.clone()).map_err(|error| error.field);
                (row.number, row.end, draft)
            };
            rows.extend(portion.into_iter().map(told));
        }
        rows
    }

    #[test]
    fn lines_are_numbered_and_found_again() {
        let line = |text: &str| {
            format!(r#"{{"entity_type":"post","entity_id":"018f2c1e-7c53-7cc0-8a4e-2f1c1f6f0d11","text":"{text}"}}"#)
        };
        let (one, two, three) = (line("one"), line("two"), line("three"));
        let content = format!("\u{feff}{one}\r\n\n  \n{two}\n{{bad\n{three}");
        let all = rows(content.as_bytes(), Place::default());
        let expected = [(1, Ok("one")), (4, Ok("two")), (5, Err("line")), (6, Ok("three"))];
        let told: Vec<(u64, Result<&str, &str>)> =
            all.iter().map(|(number, _, text)| (*number, text.as_deref().map_err(String::as_str))).collect();
        assert_eq!(told, expected);
        assert_eq!(all[3].1, content.len() as u64);
        // From the end of each row on come the ones after it.
        for (at, (number, end, _)) in all.iter().enumerate() {
            assert_eq!(rows(content.as_bytes(), Place { rows: *number, offset: *end }), all[at + 1..]);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_and_the_next_one_read() {
        let mut content = vec![b'x'; MAX_LINE_BYTES + 10];
        content.extend_from_slice(b"\n{}\n");
        let all = rows(&content, Place::default());
        assert_eq!(all[0].2, Err("line".to_owned()));
        assert_eq!((all[1].0, all[1].1, all[1].2.clone()), (2, content.len() as u64, Err("entity_type".to_owned())));
    }
}
