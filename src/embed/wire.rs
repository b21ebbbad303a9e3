//! OpenAI's embeddings protocol: what is sent, and what of the answer is believed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::Vector;

/// The body of `POST {url}/embeddings`.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub model: &'a str,
    pub input: &'a [String],
    pub encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// Reads an answer to `count` texts: their vectors in the order of the texts, whatever the order of the answer.
///
/// An answer without indexes is taken to be in order. `dimensions` is `None` where the width is what is asked for.
///
/// # Errors
/// Says what is wrong with the answer.
pub(super) fn read_answer(body: &[u8], count: usize, dimensions: Option<usize>) -> Result<Vec<Vector>, String> {
    let Answer { data } = serde_json::from_slice(body).map_err(|error| format!("no embeddings answer: {error}"))?;
    if data.len() != count {
        return Err(format!("{} vectors for {count} texts", data.len()));
    }
    let indexed = data.iter().any(|item| item.index.is_some());
    let mut vectors: Vec<Option<Vector>> = vec![None; count];
    for (at, item) in data.into_iter().enumerate() {
        let index = match item.index {
            None if indexed => return Err(format!("item {at} has no index, others have one")),
            None => at,
            Some(index) => index,
        };
        let vector = match dimensions {
            Some(dimensions) => Vector::for_dimensions(item.embedding, dimensions),
            None => Vector::new(item.embedding),
        };
        let vector = vector.map_err(|invalid| format!("vector {index} {}", invalid.reason))?;
        match vectors.get_mut(index) {
            Some(slot @ None) => *slot = Some(vector),
            Some(Some(_)) => return Err(format!("index {index} twice")),
            None => return Err(format!("index {index} of {count} texts")),
        }
    }
    vectors.into_iter().enumerate().map(|(at, vector)| vector.ok_or_else(|| format!("no vector {at}"))).collect()
}

/// Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(header).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

/// What the provider says in an error's body, on one line of at most 200 letters, with `secret` struck out.
pub(super) fn error_message(body: &[u8], secret: Option<&str>) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let said = ["/error/message", "/error", "/message", "/detail"].iter().find_map(|path| json.pointer(path)?.as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let text = match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, "[key]"),
        _ => text,
    };
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_put_in_order() {
        let body =
            br#"{"object":"list","data":[{"index":1,"embedding":[2,0]},{"index":0,"embedding":[1,0]}],"usage":{}}"#;
        let vectors = read_answer(body, 2, Some(2)).expect("good");
        assert_eq!(vectors.iter().map(|vector| vector.as_slice()[0]).collect::<Vec<_>>(), [1.0, 2.0]);
        let body = br#"{"data":[{"embedding":[3]},{"embedding":[4]}]}"#;
        assert_eq!(read_answer(body, 2, None).expect("good")[1].as_slice(), [4.0]);
    }

    #[test]
    fn answers_that_cannot_be_used_are_refused() {
        for (body, reason) in [
            (r#"{"data":[{"index":0,"embedding":[1]}]}"#, "1 vectors for 2 texts"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, "index 0 twice"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#, "index 2 of 2"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"embedding":[1]}]}"#, "no index"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#, "2 dimensions"),
            (r#"{"data":[{"index":0,"embedding":[0]},{"index":1,"embedding":[1]}]}"#, "no usable length"),
            (r#"{"data":[{"index":0,"embedding":[1e39]},{"index":1,"embedding":[1]}]}"#, "finite"),
            (r#"{"data":[{"index":0,"embedding":[null]},{"index":1,"embedding":[1]}]}"#, "no embeddings answer"),
            (r#"{"data":[{"index":0,"embedding":[NaN]},{"index":1,"embedding":[1]}]}"#, "no embeddings answer"),
            ("<html>", "no embeddings answer"),
        ] {
            let error = read_answer(body.as_bytes(), 2, Some(1)).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:50Z").expect("a time").to_utc();
        for (header, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(10)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-3", None),
        ] {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn error_messages_are_short_and_hold_no_key() {
        let body = br#"{"error":{"message":"Incorrect API key\n provided: sk-secret."}}"#;
        assert_eq!(error_message(body, Some("sk-secret")), "Incorrect API key provided: [key].");
        assert_eq!(error_message(b"plain  text", Some("")), "plain text");
        assert_eq!(error_message(&[b'x'; 1000], None).len(), 200);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read_answer(&body, 1, Some(1));
            let _ = error_message(&body, Some("key"));
            let _ = retry_after(&String::from_utf8_lossy(&body), Utc::now());
        }
    }
}
