//! Completion text: varied sentences of exactly the length asked for.
//!
//! Text is put together from pieces whose token counts add up: the tokenizer
//! splits before every piece, so counting the whole gives the sum of the
//! parts (a test holds that true). This makes a text of *exactly* `n` tokens,
//! says how many tokens each delta carries, and costs no tokenizer run.

use std::sync::LazyLock;

use crate::seed::Draws;
use crate::tokens;

/// A run of text that the tokenizer never joins with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: &'static str,
    pub(crate) tokens: u32,
}

/// Completion text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prose(Vec<Piece>);

impl Prose {
    /// A text of exactly `length` tokens.
    pub(crate) fn of_tokens(length: u32, draws: &mut Draws) -> Self {
        let lexicon = &*LEXICON;
        let mut pieces = Vec::new();
        let mut left = length;
        let mut first = true;
        while left > 0 {
            for slot in SENTENCE {
                let mut piece = match slot {
                    Slot::Opener if first => *draws.pick(&lexicon.bare_openers),
                    Slot::Opener => *draws.pick(&lexicon.openers),
                    Slot::Quality => *draws.pick(&lexicon.qualities),
                    Slot::Thing => *draws.pick(&lexicon.things),
                    Slot::Action => *draws.pick(&lexicon.actions),
                    Slot::Place => *draws.pick(&lexicon.places),
                    Slot::End => *draws.pick(&lexicon.ends),
                    // One sentence in three is followed by a picture.
                    Slot::Picture if draws.between(0, 2) > 0 => continue,
                    Slot::Picture => *draws.pick(&lexicon.pictures),
                };
                if piece.tokens > left {
                    piece = if first {
                        lexicon.bare_filler
                    } else {
                        lexicon.filler
                    };
                }
                first = false;
                left -= piece.tokens;
                pieces.push(piece);
                if left == 0 {
                    break;
                }
            }
        }
        Self(pieces)
    }

    /// The pieces in order; each is a delta of a stream.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|piece| piece.text).collect()
    }

    /// Its length in tokens.
    pub(crate) fn tokens(&self) -> u32 {
        self.0.iter().map(|piece| piece.tokens).sum()
    }
}

/// A place in a sentence.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Opener,
    Quality,
    Thing,
    Action,
    Place,
    End,
    Picture,
}

const SENTENCE: [Slot; 7] = [
    Slot::Opener,
    Slot::Quality,
    Slot::Thing,
    Slot::Action,
    Slot::Place,
    Slot::End,
    Slot::Picture,
];

/// The pieces by place, counted once.
struct Lexicon {
    bare_openers: Vec<Piece>,
    openers: Vec<Piece>,
    qualities: Vec<Piece>,
    things: Vec<Piece>,
    actions: Vec<Piece>,
    places: Vec<Piece>,
    ends: Vec<Piece>,
    pictures: Vec<Piece>,
    /// One token, for the last of a text where nothing else fits.
    filler: Piece,
    bare_filler: Piece,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon {
    bare_openers: counted(&["The", "A", "Every", "Überall", "One"]),
    openers: counted(&[" The", " A", " Every", " Überall", " One", " Ça et là,"]),
    qualities: counted(&[
        " quiet",
        " naïve",
        " low",
        " \"measured\"",
        " öffentliche",
        " быстрая",
        " 静かな",
    ]),
    things: counted(&[
        " river",
        " weir",
        " café",
        " 水門",
        " поток",
        " नदी",
        " Brücke",
        " up\\down",
        " 👩\u{200d}🔬",
    ]),
    actions: counted(&[
        " carries",
        " turns past",
        " keeps",
        " remembers",
        " überquert",
        " 流れて",
        " <b>lifts</b>",
    ]),
    places: counted(&[
        " the stones",
        " its banks",
        " 12 boats",
        " jalapeños",
        " the sea\tslowly",
        " fjörður",
    ]),
    ends: counted(&[".", "!", " …", ".\n\n", "。"]),
    pictures: counted(&[" 🌊", " 🐟🐟", " 🇳🇴", " ✨"]),
    filler: count(" and"),
    bare_filler: count("And"),
});

fn counted(texts: &[&'static str]) -> Vec<Piece> {
    texts.iter().map(|text| count(text)).collect()
}

fn count(text: &'static str) -> Piece {
    Piece {
        text,
        tokens: tokens::count(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_text_has_exactly_the_tokens_asked_for_when_counted_as_a_whole() {
        for length in (0..120).chain([500, 5000]) {
            for seed in ["a", "b", "c", "d"] {
                let mut draws = Seed::of_text(seed).draws("prose");
                let prose = Prose::of_tokens(length, &mut draws);
                assert_eq!(prose.tokens(), length);
                assert_eq!(tokens::count(&prose.text()), length, "{}", prose.text());
            }
        }
    }

    #[test]
    fn every_beginning_of_a_text_has_the_tokens_of_its_pieces() {
        let prose = Prose::of_tokens(300, &mut Seed::of_text("x").draws("prose"));
        let mut text = String::new();
        let mut sum = 0;
        for piece in prose.pieces() {
            text.push_str(piece.text);
            sum += piece.tokens;
            assert_eq!(tokens::count(&text), sum, "{text}");
        }
    }

    #[test]
    fn texts_differ_between_seeds() {
        let texts = ["a", "b"]
            .map(|seed| Prose::of_tokens(40, &mut Seed::of_text(seed).draws("prose")).text());
        assert_ne!(texts[0], texts[1]);
    }
}
