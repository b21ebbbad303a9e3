//! Which texts a CHECK constraint admits.

/// The texts that `expression` admits for `column`: it is `column IN ('a', 'b')` as Postgres writes it back, with or
/// without `OR column IS NULL`. Empty for every other expression.
pub(super) fn literals(column: &str, expression: &str) -> Vec<String> {
    let Some(tokens) = tokens(expression) else { return Vec::new() };
    let word = |word: &str| Token::Word(word.to_owned());
    let null = [word(column), word("IS"), word("NULL")];
    let or = [word("OR")];
    let tokens = tokens.strip_prefix(&null[..]).and_then(|rest| rest.strip_prefix(&or[..])).unwrap_or(&tokens);
    let tokens = tokens.strip_suffix(&null[..]).and_then(|rest| rest.strip_suffix(&or[..])).unwrap_or(tokens);
    let Some(admitted) = tokens.strip_prefix(&[word(column), word("=")][..]) else { return Vec::new() };
    // A list of one is written back as an equality.
    let admitted = admitted.strip_prefix(&[word("ANY"), word("ARRAY")][..]).unwrap_or(admitted);
    let texts = admitted.iter().map(|token| match token {
        Token::Text(text) => Some(text.clone()),
        Token::Word(_) => None,
    });
    texts.collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A name, a key word, a number or an operator.
    Word(String),
    /// A text literal.
    Text(String),
}

/// What an expression says, without casts and brackets; `None` where it holds what no list of texts does.
fn tokens(expression: &str) -> Option<Vec<Token>> {
    const OPERATORS: &str = "=<>~!@#%^&|+-*/";
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut tokens = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if "()[], ".contains(first) {
            rest = &rest[1..];
        } else if let Some(cast) = rest.strip_prefix("::") {
            rest = cast.trim_start_matches(|letter| is_name(letter) || " .\"".contains(letter));
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, after) = text(quoted)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else {
            let same = if is_name(first) { rest.find(|letter| !is_name(letter)) } else { None };
            let operator = rest.find(|letter| !OPERATORS.contains(letter)).filter(|length| *length > 0);
            let length = if is_name(first) { same.unwrap_or(rest.len()) } else { operator? };
            tokens.push(Token::Word(rest[..length].to_owned()));
            rest = &rest[length..];
        }
    }
    Some(tokens)
}

/// A literal's text and what follows it; `quoted` begins after the opening quote.
fn text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('\'')?;
        text.push_str(before);
        let Some(doubled) = after.strip_prefix('\'') else { return Some((text, after)) };
        text.push('\'');
        rest = doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_texts_are_read_and_nothing_else() {
        for (expression, expected) in [
            ("(status = ANY (ARRAY['draft'::text, 'in progress'::text]))", vec!["draft", "in progress"]),
            (
                "((status)::text = ANY ((ARRAY['x'::character varying, 'y''s'::character varying])::text[]))",
                vec!["x", "y's"],
            ),
            ("(status = ANY (ARRAY['abc'::bpchar, ''::bpchar]))", vec!["abc", ""]),
            ("(status = 'cosine'::text)", vec!["cosine"]),
            ("((status IS NULL) OR ((status)::text = 'only'::text))", vec!["only"]),
            ("((status = 'q'::text) OR (status IS NULL))", vec!["q"]),
            ("(status = ANY (ARRAY[1, 2]))", vec![]),
            ("(status <> ALL (ARRAY['a'::text, 'b'::text]))", vec![]),
            ("((status = 'x'::text) OR (status = 'y'::text))", vec![]),
            ("((status = 'x'::text) AND (other = 'y'::text))", vec![]),
            ("(NOT (status = 'x'::text))", vec![]),
            ("(other = ANY (ARRAY['a'::text]))", vec![]),
            ("(lower(status) = 'a'::text)", vec![]),
            ("(status = lower('A'::text))", vec![]),
            ("(status <@ ARRAY['a'::text, 'b'::text])", vec![]),
            ("(status ~ '^[a-z]{1,40}$'::text)", vec![]),
            ("(status ? 'key'::text)", vec![]),
            ("(status = 'unfinished", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(literals("status", expression), expected, "{expression}");
        }
    }
}
