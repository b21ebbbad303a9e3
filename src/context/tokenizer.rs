//! Counting tokens as a language model's provider counts them.

use std::fmt;

use crate::domain::Invalid;

/// A tokenizer that budgets are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokenizer {
    /// GPT-3.5 and GPT-4.
    #[default]
    Cl100kBase,
    /// GPT-4o and later.
    O200kBase,
}

impl Tokenizer {
    /// Every tokenizer.
    pub const ALL: [Self; 2] = [Self::Cl100kBase, Self::O200kBase];

    /// Its name, as its provider writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cl100kBase => "cl100k_base",
            Self::O200kBase => "o200k_base",
        }
    }

    /// How many tokens a text has. What looks like a special token counts as the text it is.
    ///
    /// The first call of each tokenizer reads its vocabulary, which takes some hundred milliseconds.
    pub fn count(self, text: &str) -> usize {
        let encoding = match self {
            Self::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
            Self::O200kBase => tiktoken_rs::o200k_base_singleton(),
        };
        encoding.count_ordinary(text)
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Tokenizer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|tokenizer| tokenizer.as_str() == text)
            .ok_or_else(|| Invalid::new("tokenizer", format!("{text:?} is not known; give cl100k_base or o200k_base")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_openai_does() {
        // Figures of OpenAI's own tokenizer page.
        assert_eq!(Tokenizer::Cl100kBase.count("tiktoken is great!"), 6);
        assert_eq!(Tokenizer::O200kBase.count("tiktoken is great!"), 6);
        assert_eq!(Tokenizer::Cl100kBase.count(""), 0);
        assert!(Tokenizer::Cl100kBase.count("<|endoftext|>") > 1);
    }
}
