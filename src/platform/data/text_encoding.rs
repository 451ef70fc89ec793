//! How a text becomes token ids: chosen with the dataset, kept in the model, used again when serving.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use crate::base::{caught, plural};

/// Largest `tokenizer.json`: written into `model.json`, where some of its bytes are two, it must be readable again.
pub(super) const LARGEST_TOKENIZER: usize = 30 << 20;
/// Most tokens of one text.
pub(super) const LONGEST: usize = 65_536;
/// Ids up to here are whole numbers in 32-bit floats.
const MOST_TOKENS: usize = 1 << 24;
/// Names that padding has where a tokenizer does not say.
const PADDINGS: [&str; 2] = ["[PAD]", "<pad>"];

/// How texts become inputs: `length` token ids each.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TextEncoding {
    /// Token ids of one text: a longer one is cut, a shorter one is filled with `padding`.
    pub length: usize,
    /// The id that stands for no token.
    pub padding: u32,
    /// Ids are below this.
    pub vocabulary: usize,
    /// The column of a table that holds the text.
    pub column: String,
    tokens: Tokens,
}

/// What makes tokens of a text.
#[derive(Clone)]
enum Tokens {
    /// Each byte is one: its value and 1, as 0 is the padding.
    Bytes,
    /// A HuggingFace tokenizer, and the text of its file.
    File { json: Arc<str>, tokenizer: Arc<Tokenizer> },
}

/// As it stands in `model.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    length: usize,
    column: String,
    /// The text of `tokenizer.json`; none where bytes are the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokenizer: Option<Arc<str>>,
}

impl TextEncoding {
    /// With each byte as a token.
    pub fn bytes(column: &str, length: usize) -> Result<Self, String> {
        Self::new(Stored { length, column: column.to_owned(), tokenizer: None })
    }

    /// With a HuggingFace tokenizer; `json` is the text of its `tokenizer.json`.
    ///
    /// What the file says of cutting and filling does not count: `length` decides.
    pub fn of_file(json: &str, column: &str, length: usize) -> Result<Self, String> {
        Self::new(Stored { length, column: column.to_owned(), tokenizer: Some(json.into()) })
    }

    fn new(stored: Stored) -> Result<Self, String> {
        let Stored { length, column, tokenizer } = stored;
        if !(1..=LONGEST).contains(&length) {
            return Err(format!("a length of {length} tokens is not from 1 to {LONGEST}"));
        }
        let Some(json) = tokenizer else {
            return Ok(Self { length, padding: 0, vocabulary: 257, column, tokens: Tokens::Bytes });
        };
        if json.len() > LARGEST_TOKENIZER {
            return Err(format!("it has {} bytes, more than {LARGEST_TOKENIZER}", json.len()));
        }
        let mut tokenizer: Tokenizer =
            caught(|| json.parse())?.map_err(|error: tokenizers::Error| error.to_string())?;
        let stated = tokenizer.get_padding().map(|padding| padding.pad_id);
        let named = || PADDINGS.iter().find_map(|name| tokenizer.token_to_id(name));
        let padding = stated.or_else(named).unwrap_or(0);
        let ids = tokenizer.get_vocab(true);
        let highest = ids.values().copied().chain([padding]).max().unwrap_or(0) as usize;
        if ids.is_empty() || highest >= MOST_TOKENS {
            return Err(format!("its ids are not from 0 to below {MOST_TOKENS}"));
        }
        let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if added >= length {
            return Err(format!(
                "it adds {} to every text, and a length of {length} leaves no room",
                plural(added as u64, "token")
            ));
        }
        let cut = TruncationParams { max_length: length, ..TruncationParams::default() };
        tokenizer.with_padding(None);
        caught(|| tokenizer.with_truncation(Some(cut)).map(|_| ()))?.map_err(|error| error.to_string())?;
        let tokens = Tokens::File { json, tokenizer: Arc::new(tokenizer) };
        Ok(Self { length, padding, vocabulary: highest + 1, column, tokens })
    }

    /// The ids of `text`: always `length` whole numbers.
    pub fn encode(&self, text: &str) -> Result<Vec<f32>, String> {
        let mut out = Vec::with_capacity(self.length);
        match &self.tokens {
            Tokens::Bytes => out.extend(text.bytes().take(self.length).map(|byte| f32::from(byte) + 1.0)),
            Tokens::File { tokenizer, .. } => {
                let encoded = caught(|| tokenizer.encode_fast(text, true))?;
                let encoded = encoded.map_err(|error| format!("it cannot be tokenised: {error}"))?;
                for id in encoded.get_ids().iter().take(self.length) {
                    if *id as usize >= self.vocabulary {
                        return Err(format!("it has the token {id}, the vocabulary {}", self.vocabulary));
                    }
                    out.push(*id as f32);
                }
            }
        }
        out.resize(self.length, self.padding as f32);
        Ok(out)
    }
}

impl TryFrom<Stored> for TextEncoding {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        Self::new(stored).map_err(|detail| format!("the tokenizer cannot be used: {detail}"))
    }
}

impl From<TextEncoding> for Stored {
    fn from(encoding: TextEncoding) -> Self {
        let tokenizer = match encoding.tokens {
            Tokens::Bytes => None,
            Tokens::File { json, .. } => Some(json),
        };
        Self { length: encoding.length, column: encoding.column, tokenizer }
    }
}

impl PartialEq for TextEncoding {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.tokens, &other.tokens) {
            (Tokens::Bytes, Tokens::Bytes) => true,
            (Tokens::File { json, .. }, Tokens::File { json: others, .. }) => json == others,
            _ => false,
        };
        same && self.length == other.length && self.column == other.column
    }
}

impl fmt::Debug for TextEncoding {
    // A vocabulary is nothing to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextEncoding")
            .field("length", &self.length)
            .field("vocabulary", &self.vocabulary)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tokenizer of whole words.
    pub(in crate::platform::data) const WORDS: &str = r###"{
        "version": "1.0", "truncation": null,
        "padding": {"strategy": {"Fixed": 1000000}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 3,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [], "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1, "bad": 2, "[PAD]": 3}, "unk_token": "[UNK]"}
    }"###;

    /// Whether each of `values` is the id of a token.
    fn are_ids(encoding: &TextEncoding, values: &[f32]) -> bool {
        values.iter().all(|id| id.fract() == 0.0 && (0.0..encoding.vocabulary as f32).contains(id))
    }

    fn ids(encoding: &TextEncoding, text: &str) -> Vec<f32> {
        encoding.encode(text).expect("encodes")
    }

    #[test]
    fn bytes_are_tokens_where_no_tokenizer_is_named() {
        let encoding = TextEncoding::bytes("text", 4).expect("makes");
        assert_eq!(ids(&encoding, "ab"), [98.0, 99.0, 0.0, 0.0]);
        assert_eq!(ids(&encoding, "äxyz"), [196.0, 165.0, 121.0, 122.0]);
        assert_eq!(ids(&encoding, "\u{10ffff}"), [245.0, 144.0, 192.0, 192.0]);
        assert_eq!(encoding.vocabulary, 257);
    }

    #[test]
    fn a_tokenizer_file_decides_on_ids_and_the_length_on_cutting_and_filling() {
        let encoding = TextEncoding::of_file(WORDS, "text", 3).expect("reads");
        assert_eq!((encoding.vocabulary, encoding.padding), (4, 3));
        assert_eq!(ids(&encoding, "Good film"), [1.0, 0.0, 3.0]);
        assert_eq!(ids(&encoding, "bad bad good good"), [2.0, 2.0, 1.0]);
        assert_eq!(ids(&encoding, ""), [3.0; 3]);
    }

    #[test]
    fn a_text_that_is_cut_keeps_the_tokens_that_begin_and_end_it() {
        let json = WORDS.replace("\"[PAD]\": 3", "\"[PAD]\": 3, \"[SEP]\": 4, \"[CLS]\": 5").replace(
            "\"post_processor\": null",
            r#""post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 5]}"#,
        );
        let encoding = TextEncoding::of_file(&json, "text", 4).expect("reads");
        assert_eq!(ids(&encoding, "bad bad good good"), [5.0, 2.0, 2.0, 4.0]);
        assert_eq!(ids(&encoding, "bad"), [5.0, 2.0, 4.0, 3.0]);
        // No room for any word.
        for length in 1..3 {
            let error = TextEncoding::of_file(&json, "text", length).expect_err("no room");
            assert!(error.contains("adds 2 tokens"), "{error}");
        }
    }

    #[test]
    fn a_tokenizer_survives_its_form_in_the_model() {
        for encoding in [TextEncoding::of_file(WORDS, "text", 3), TextEncoding::bytes("review", 7)] {
            let encoding = encoding.expect("makes");
            let json = serde_json::to_string(&encoding).expect("writes");
            let again: TextEncoding = serde_json::from_str(&json).expect("reads");
            assert_eq!(again, encoding);
            assert_eq!(ids(&again, "bad"), ids(&encoding, "bad"));
        }
        assert!(serde_json::from_str::<TextEncoding>(r#"{"length": 0, "column": "x"}"#).is_err());
        assert!(
            serde_json::from_str::<TextEncoding>(r#"{"length": 1, "column": "x", "tokenizer": "{}"}"#)
                .is_err()
        );
    }

    #[test]
    fn a_file_that_is_no_tokenizer_says_so() {
        for json in ["", "{}", "[1]", r#"{"model": {"type": "WordLevel"}}"#] {
            assert!(TextEncoding::of_file(json, "text", 3).is_err(), "{json}");
        }
        let ids = WORDS.replace("\"bad\": 2", "\"bad\": 4000000000");
        assert!(TextEncoding::of_file(&ids, "text", 3).expect_err("too many").contains("16777216"));
        let huge = " ".repeat(LARGEST_TOKENIZER + 1);
        assert!(TextEncoding::of_file(&huge, "text", 3).expect_err("huge").contains("more than"));
        assert!(TextEncoding::bytes("text", 0).is_err() && TextEncoding::bytes("text", LONGEST + 1).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_tokenizer_file_never_panics(at in any::<prop::sample::Index>(), value in "[ -~]{0,3}", text: String) {
            let at = at.index(WORDS.len());
            let json = format!("{}{value}{}", &WORDS[..at], &WORDS[at + 1..]);
            if let Ok(encoding) = TextEncoding::of_file(&json, "text", 5)
                && let Ok(out) = encoding.encode(&text)
            {
                prop_assert!(out.len() == 5 && are_ids(&encoding, &out));
            }
        }

        #[test]
        fn every_text_is_encoded_to_its_length(text: String, length in 1usize..40) {
            let encoding = TextEncoding::bytes("text", length).expect("makes");
            let out = ids(&encoding, &text);
            prop_assert!(out.len() == length && are_ids(&encoding, &out));
        }
    }
}
