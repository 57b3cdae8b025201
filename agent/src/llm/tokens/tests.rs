//! Counts are those of `tiktoken-rs`, in whatever parts the text comes.

use std::fmt::Write;
use std::path::Path;
use std::{fs, iter};

use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::merge;
use super::split::{PIECE_LEN_MAX, piece};
use super::tally::Text;
use super::*;

const VOCABULARIES: [Vocabulary; 2] = [Vocabulary::O200kBase, Vocabulary::Cl100kBase];

/// Everyday words, and what the expressions of the vocabularies treat apart.
const TEXTS: &[&str] = &[
    "Hello, world! It's the dog's 2nd birthday; I'LL be 1234567 days old.",
    "don't DON'T we'Ve 'tis rock'n'roll they're'S 'ſ x'ſ '' 'll'LL 'r",
    "  two spaces\t\ttabs \n\n \r\n  \n trailing   ",
    "fn main() {\n    println!(\"{}\", a[0] != b / 2); // ok\n}\n\n\n",
    "{\"type\":\"object\",\"n\":[1,2.5e-3,null],\"https://x.y/z?a=b\"://\r\n/}",
    "camelCase HTTPServer XMLHttpRequest ABCdef ÀÉÎõü ǅungla ǲ İstanbul",
    "Grüße, naïve façade — ‘quotes’ “double” … 5€ ½ Ⅷ ² ٣٤٥٦ १२३४",
    "Всеобщая декларация ПРАВ человека. Οικουμενική Διακήρυξη.",
    "世界人权宣言,一九四八年。すべての人間は、生まれながらにして自由である。",
    "모든 인간은 태어날 때부터 자유로우며 ประกาศสากลว่าด้วยสิทธิมนุษยชน",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में הכרזה لِكُلِّ إنسان",
    "e\u{301}a\u{300} \u{301}\u{301}! \u{300}A \u{300}AB 𝒜𝒷 👩‍👩‍👧‍👦🇩🇪 ʰʰA ªA Aª",
    "\u{a0}\u{2003}nbsp\u{3000}全角\u{85}\u{2028}line\u{0}\u{1}\u{7f}",
    "a/b //c /\n/\n! !\n/ ?!\r\n//\n   /",
];

fn published(vocabulary: Vocabulary) -> &'static CoreBPE {
    match vocabulary {
        Vocabulary::O200kBase => o200k_base_singleton(),
        Vocabulary::Cl100kBase => cl100k_base_singleton(),
    }
}

fn tokens(vocabulary: Vocabulary, text: &str) -> u64 {
    published(vocabulary).encode_ordinary(text).len() as u64
}

fn tally<T: Text>(parts: &[&[u8]]) -> Tally<T> {
    let mut tally = Tally::default();
    for part in parts {
        tally.push(part);
    }
    tally
}

fn count(vocabulary: Vocabulary, parts: &[&[u8]]) -> u64 {
    let estimate = tally::<Answer>(parts).estimate(Some(vocabulary));
    estimate.map_or(0, |estimate| estimate.tokens)
}

/// The sources of this package, with all their tests and tables.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .expect("the sources are there")
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(source) = fs::read_to_string(path) {
                text.push_str(&source);
            }
        }
    }
    text
}

#[test]
fn texts_are_counted_as_the_vendor_does_however_they_are_split() {
    for vocabulary in VOCABULARIES {
        for text in TEXTS {
            let expected = tokens(vocabulary, text);
            let bytes = text.as_bytes();
            assert_eq!(
                count(vocabulary, &[bytes]),
                expected,
                "{vocabulary:?} {text}"
            );
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(count(vocabulary, &[head, tail]), expected, "{text} at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(count(vocabulary, &single), expected, "{text} byte by byte");
        }
    }
}

#[test]
fn source_code_is_counted_as_the_vendor_does() {
    let text = sources();
    let text = text
        .get(..text.floor_char_boundary(65_000))
        .unwrap_or(&text);
    for vocabulary in VOCABULARIES {
        let expected = tokens(vocabulary, text);
        let parts: Vec<&[u8]> = text.as_bytes().chunks(1_461).collect();
        assert_eq!(count(vocabulary, &parts), expected, "{vocabulary:?}");
    }
}

#[test]
fn every_character_is_what_the_vendor_takes_it_for() {
    // Beside a letter of either case and a digit each kind of character leads
    // to other pieces. Several lines at once: the vendor's code is slow to start.
    let around = |first: char| format!("a{first}b {first}{first}A1{first}'s\n");
    // Of the large scripts, and of the planes above, one of so many.
    let all: Vec<char> = ('\0'..'\u{2200}')
        .chain(('\u{2200}'..'\u{e0200}').step_by(211))
        .collect();
    for some in all.chunks(512) {
        let text: String = some.iter().copied().map(around).collect();
        for vocabulary in VOCABULARIES {
            let counted = count(vocabulary, &[text.as_bytes()]);
            if counted != tokens(vocabulary, &text) {
                let differs = some.iter().find(|one| {
                    let text = around(**one);
                    count(vocabulary, &[text.as_bytes()]) != tokens(vocabulary, &text)
                });
                panic!("{vocabulary:?} differs at {differs:?}");
            }
        }
    }
}

#[test]
fn letters_thrown_together_are_counted_as_the_vendor_does() {
    const LETTERS: &[char] = &[
        'a', 'B', 'z', 'Q', '1', ' ', ' ', '\n', '\r', '\t', '/', '\'', 's', 'L', 'l', '.', 'é',
        'É', 'ª', '字', '\u{301}', '\u{a0}', '٣', 'ǅ', '😀', 'ſ',
    ];
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        LETTERS[usize::try_from(seed >> 33).expect("31 bits") % LETTERS.len()]
    };
    for _ in 0..2_000 {
        let text: String = iter::repeat_with(&mut next).take(12).collect();
        for vocabulary in VOCABULARIES {
            let expected = tokens(vocabulary, &text);
            assert_eq!(
                count(vocabulary, &[text.as_bytes()]),
                expected,
                "{vocabulary:?} {text:?}"
            );
        }
    }
}

#[test]
fn the_work_on_text_without_a_break_is_bounded() {
    for unit in [
        "a", " ", "!", "字", "xqzjvk", "\u{301}", "\n", " \u{a0}", "\u{fffd}",
    ] {
        let text = unit.repeat((64 << 10) / unit.len());
        for vocabulary in VOCABULARIES {
            let (mut rest, mut looked_up, mut longest) = (text.as_bytes(), 0_u64, 0);
            while let Some(length) = piece(vocabulary, rest, true) {
                let (head, tail) = rest.split_at(length);
                longest = longest.max(length);
                merge::count(head, |part| {
                    looked_up += 1;
                    vocabulary.rank(part)
                });
                rest = tail;
            }
            assert!(longest <= PIECE_LEN_MAX, "{unit:?}: {longest}");
            let bound = 3 * text.len() as u64;
            assert!(looked_up <= bound, "{unit:?}: {looked_up} of {bound}");
        }
    }
}

#[test]
fn a_cut_in_a_run_without_a_break_costs_little() {
    // A word of 60 letters is one piece; base64 and chains of characters that
    // are longer than a piece are not, and err by the border of each.
    let mut digits = String::new();
    for number in 0..4_000_u32 {
        let _ = write!(digits, "{:x}", number.wrapping_mul(2_654_435_761));
    }
    let letters: String = digits.chars().filter(char::is_ascii_lowercase).collect();
    let thai = "ทุกคนมีสิทธิในการดำรงชีวิตเสรีภาพและความมั่นคงแห่งตัวตน".repeat(40);
    for text in [&letters, &thai, &"ab".repeat(2_000), &"-".repeat(2_000)] {
        for vocabulary in VOCABULARIES {
            let (ours, theirs) = (
                count(vocabulary, &[text.as_bytes()]),
                tokens(vocabulary, text),
            );
            let pieces = text.len().div_ceil(PIECE_LEN_MAX / 2) as u64;
            assert!(ours.abs_diff(theirs) <= pieces, "{ours} for {theirs}");
        }
    }
}

#[test]
fn what_is_held_and_its_memory_are_bounded() {
    let mut tally = Tally::<Prompt>::default();
    let text = sources();
    for _ in 0..2 {
        tally.push(text.as_bytes());
    }
    assert!(tally.held_capacity() <= 4 * Prompt::HELD_LEN_MAX);
}

#[test]
fn long_prompts_are_counted_in_samples_which_come_near() {
    // The beginning is not like the rest.
    let mut text = TEXTS.concat().repeat(50);
    let code = sources();
    text.push_str(
        code.get(..code.floor_char_boundary(400_000))
            .unwrap_or(&code),
    );
    for vocabulary in VOCABULARIES {
        let parts: Vec<&[u8]> = text.as_bytes().chunks(16_384).collect();
        let estimate = tally::<Prompt>(&parts).estimate(Some(vocabulary));
        let estimate = estimate.expect("there is text");
        let expected = tokens(vocabulary, &text);
        assert_eq!(estimate.method, Some(Method::Approximate));
        let off = estimate.tokens.abs_diff(expected);
        assert!(off * 10 <= expected, "{} for {expected}", estimate.tokens);
        let single: Vec<&[u8]> = text.as_bytes().chunks(700).collect();
        let again = tally::<Prompt>(&single).estimate(Some(vocabulary));
        assert_eq!(again, Some(estimate));
    }
}

#[test]
fn deltas_of_one_text_are_joined_and_texts_apart_are_not() {
    let vocabulary = Vocabulary::O200kBase;
    let deltas = |places: &[(usize, &str)]| {
        let mut all = Tally::<Answer>::default();
        for (place, text) in places {
            let mut one = Tally::default();
            one.begin(*place);
            one.push(text.as_bytes());
            all.append(one, vocabulary);
        }
        all.estimate(Some(vocabulary))
            .map(|estimate| estimate.tokens)
    };
    assert_eq!(tokens(vocabulary, "Hello"), 1);
    assert_eq!(deltas(&[(1, "Hel"), (1, "lo")]), Some(1));
    assert_eq!(deltas(&[(1, "Hel"), (2, "lo")]), Some(2));
    // As long as what is not held.
    let text = TEXTS.concat();
    let long = text.repeat(Answer::HELD_LEN_MAX / text.len() + 1);
    assert_eq!(
        deltas(&[(1, "So: "), (1, &long)]),
        deltas(&[(1, "So: "), (2, &long)])
    );
    assert_eq!(deltas(&[]), None);
}

#[test]
fn the_method_says_whose_vocabulary_it_was() {
    use Vocabulary::{Cl100kBase, O200kBase};
    for (own, expected) in [
        (Some(O200kBase), Method::O200kBase),
        (Some(Cl100kBase), Method::Cl100kBase),
        (None, Method::Approximate),
    ] {
        let estimate = tally::<Answer>(&[b"text"]).estimate(own);
        assert_eq!(estimate.and_then(|it| it.method), Some(expected));
    }
    // A model that a stream names late: in time, and when some of its text has
    // been counted.
    for (events, expected) in [(1, Method::Cl100kBase), (100, Method::Approximate)] {
        let mut late = Tally::<Answer>::default();
        for _ in 0..events {
            let mut event = Tally::default();
            event.push(&[b' '; 100]);
            late.append(event, O200kBase);
        }
        let estimate = late.estimate(Some(Cl100kBase));
        assert_eq!(estimate.and_then(|it| it.method), Some(expected));
    }
    let mut unseen = Tally::<Answer>::default();
    unseen.push_unseen(5);
    let estimate = Estimate {
        tokens: 2,
        method: Some(Method::Approximate),
    };
    assert_eq!(unseen.estimate(Some(O200kBase)), Some(estimate));
}
