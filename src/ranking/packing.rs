//! Which candidates go into a language model's context: greedy by rank, under quotas and a token budget.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::domain::EntityType;

/// A candidate, in the order of its rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// Where it comes from.
    pub source: &'a EntityType,
    /// Its text; `None` where it is gone.
    pub text: Option<&'a str>,
}

/// Why a candidate was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// It would not fit into the budget any more.
    Budget,
    /// Its source's quota was used up.
    Quota,
    /// The same text is packed already.
    Duplicate,
    /// It has no text.
    NoText,
    /// It was deleted meanwhile.
    Deleted,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Packed, as the citation of this number, from 1.
    Packed {
        /// Its number.
        citation: usize,
        /// Its tokens, fence included.
        tokens: usize,
    },
    /// Left out.
    Dropped(DropReason),
}

/// The packed text and the verdict on every candidate, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// The items between their fences, best first; empty where none was packed.
    pub text: String,
    /// Its tokens: never more than the budget.
    pub tokens: usize,
    /// One a candidate.
    pub verdicts: Vec<Verdict>,
}

/// Packs candidates in their order. A candidate that does not fit is dropped and smaller ones behind it may still come.
///
/// `render` writes a candidate (by its place) as the citation of a number, fences and line ends included; `count`
/// counts tokens. Tokenizers cut at line ends, so the counts of the parts add up; should one not, the whole text is
/// counted in the end and its last parts are taken out again: the budget holds in any case.
pub fn pack(
    candidates: &[Candidate<'_>],
    quotas: &HashMap<EntityType, usize>,
    default_quota: usize,
    budget: usize,
    render: impl Fn(usize, usize) -> String,
    count: impl Fn(&str) -> usize,
) -> Packed {
    let mut packed = Packed { text: String::new(), tokens: 0, verdicts: Vec::with_capacity(candidates.len()) };
    let mut used: HashMap<&EntityType, usize> = HashMap::new();
    let mut texts = HashSet::new();
    let mut ends = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let quota = quotas.get(candidate.source).copied().unwrap_or(default_quota);
        let of_source = used.entry(candidate.source).or_default();
        let drop = match candidate.text.map(str::trim) {
            None => Some(DropReason::Deleted),
            Some("") => Some(DropReason::NoText),
            Some(text) if texts.contains(text) => Some(DropReason::Duplicate),
            Some(_) if *of_source >= quota => Some(DropReason::Quota),
            Some(_) => None,
        };
        if let Some(drop) = drop {
            packed.verdicts.push(Verdict::Dropped(drop));
            continue;
        }
        let part = render(at, ends.len() + 1);
        let tokens = count(&part);
        if packed.tokens + tokens > budget {
            packed.verdicts.push(Verdict::Dropped(DropReason::Budget));
            continue;
        }
        ends.push((at, packed.text.len()));
        packed.verdicts.push(Verdict::Packed { citation: ends.len(), tokens });
        packed.text.push_str(&part);
        packed.tokens += tokens;
        *of_source += 1;
        texts.extend(candidate.text.map(str::trim));
    }
    packed.tokens = count(&packed.text);
    while packed.tokens > budget
        && let Some((at, end)) = ends.pop()
    {
        packed.text.truncate(end);
        packed.verdicts[at] = Verdict::Dropped(DropReason::Budget);
        packed.tokens = count(&packed.text);
    }
    packed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn run(texts: &[Option<&str>], quota: usize, budget: usize) -> Packed {
        let post = "post".parse().expect("a name");
        let candidates: Vec<Candidate<'_>> =
            texts.iter().map(|text| Candidate { source: &post, text: *text }).collect();
        let render = |at: usize, citation: usize| format!("[{citation}] {}\n", texts[at].unwrap_or_default());
        pack(&candidates, &HashMap::new(), quota, budget, render, words)
    }

    #[test]
    fn every_candidate_gets_its_verdict() {
        let packed = run(
            &[
                Some("one two"),
                None,
                Some(" "),
                Some("one two"),
                Some("a long one that does not fit"),
                Some("three"),
                Some("four"),
            ],
            2,
            6,
        );
        assert_eq!(packed.text, "[1] one two\n[2] three\n");
        assert_eq!(packed.tokens, 5);
        assert_eq!(
            packed.verdicts,
            [
                Verdict::Packed { citation: 1, tokens: 3 },
                Verdict::Dropped(DropReason::Deleted),
                Verdict::Dropped(DropReason::NoText),
                Verdict::Dropped(DropReason::Duplicate),
                Verdict::Dropped(DropReason::Budget),
                Verdict::Packed { citation: 2, tokens: 2 },
                Verdict::Dropped(DropReason::Quota),
            ]
        );
    }

    proptest! {
        #[test]
        fn the_budget_holds(texts in proptest::collection::vec("[a-d ]{0,12}", 0..20), quota in 0..10usize, budget in 0..30usize) {
            let texts: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
            let packed = run(&texts, quota, budget);
            prop_assert!(words(&packed.text) <= budget);
            prop_assert_eq!(packed.tokens, words(&packed.text));
            prop_assert_eq!(packed.verdicts.len(), texts.len());
            let kept = packed.verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Packed { .. })).count();
            prop_assert!(kept <= quota);
        }
    }
}
