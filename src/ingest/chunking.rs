//! From a draft's texts to chunks that the model reads whole.

use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};
use whatlang::Lang;

use crate::domain::{ChunkDraft, Draft, Invalid, LongText, MAX_CHUNKS};
use crate::embed::Embedder;

/// The most tokens a chunk may have, whatever its model reads.
const MAX_CHUNK_TOKENS: usize = 8_192;

/// A piece of text with what is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// The text, whole or a part.
    pub(super) text: String,
    /// Tokens as the model counts them.
    pub(super) token_count: i32,
    /// ISO 639-1 code, or empty where it is not known.
    pub(super) language: String,
}

struct Tokens<'a>(&'a dyn Embedder);

impl ChunkSizer for Tokens<'_> {
    fn size(&self, chunk: &str) -> usize {
        self.0.count_tokens(chunk)
    }
}

/// Cuts a draft's texts for an embedder. CPU-bound: a long text takes milliseconds.
///
/// # Errors
/// Where a text is too long and the draft asks to refuse it, or where there would be too many pieces.
pub(super) fn cut(draft: &Draft, embedder: &dyn Embedder) -> Result<Vec<Piece>, Invalid> {
    let limit = embedder.model().max_input_tokens.clamp(1, MAX_CHUNK_TOKENS);
    let mut pieces = Vec::with_capacity(draft.chunks.len());
    for (at, ChunkDraft { text, .. }) in draft.chunks.iter().enumerate() {
        let tokens = embedder.count_tokens(text);
        if tokens <= limit {
            pieces.push(piece(text.clone(), tokens, draft));
        } else if draft.long_text == LongText::Refuse {
            return Err(Invalid::new(
                format!("chunks[{at}].text"),
                format!(
                    "has {tokens} tokens and {} reads {limit}; shorten it, or ask for LONG_TEXT_SPLIT",
                    embedder.model().id
                ),
            ));
        } else {
            let splitter = TextSplitter::new(ChunkConfig::new(limit).with_sizer(Tokens(embedder)));
            pieces.extend(splitter.chunks(text).map(|part| piece(part.to_owned(), embedder.count_tokens(part), draft)));
        }
        if pieces.len() > MAX_CHUNKS {
            return Err(Invalid::new(
                "chunks",
                format!(
                    "make more than {MAX_CHUNKS} pieces of at most {limit} tokens; split the text over several source fields"
                ),
            ));
        }
    }
    Ok(pieces)
}

/// Pieces of a draft that brings its vectors: never cut; counted where the service has the model.
pub(super) fn keep(draft: &Draft, embedder: Option<&dyn Embedder>) -> Vec<Piece> {
    let count = |text: &str| match embedder {
        Some(embedder) => embedder.count_tokens(text),
        // A rule of thumb for most tokenizers.
        None => text.len().div_ceil(4),
    };
    draft.chunks.iter().map(|chunk| piece(chunk.text.clone(), count(&chunk.text), draft)).collect()
}

fn piece(text: String, tokens: usize, draft: &Draft) -> Piece {
    let language = match &draft.attributes.language {
        Some(told) => told.clone(),
        None => detect(&text).unwrap_or_default().to_owned(),
    };
    Piece { text, token_count: i32::try_from(tokens).unwrap_or(i32::MAX), language }
}

/// The language of a text, where it is one that full text search has a configuration for and the guess is reliable.
fn detect(text: &str) -> Option<&'static str> {
    let guess = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
    Some(match guess.lang() {
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Spa => "es",
        Lang::Ita => "it",
        Lang::Por => "pt",
        Lang::Nld => "nl",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Nob => "no",
        Lang::Fin => "fi",
        Lang::Rus => "ru",
        Lang::Tur => "tr",
        Lang::Hun => "hu",
        Lang::Ron => "ro",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        assert_eq!(detect("Unsere neue Röstung ist da und schmeckt nach dunkler Schokolade und Beeren."), Some("de"));
        assert_eq!(detect("Our new roast has arrived and it tastes of dark chocolate and berries."), Some("en"));
        assert_eq!(detect("ok"), None);
        assert_eq!(detect(""), None);
    }
}
