use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Name,
    Number,
    Inner,
    Size,
}

const TABLE: &[Interest<Slot>] = &[
    Interest {
        path: &[1],
        want: Want::Bytes,
        slot: Slot::Name,
    },
    Interest {
        path: &[2],
        want: Want::Number,
        slot: Slot::Number,
    },
    Interest {
        path: &[9, 16, 3],
        want: Want::Number,
        slot: Slot::Inner,
    },
    Interest {
        path: &[9, 17],
        want: Want::Length,
        slot: Slot::Size,
    },
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [
        &varint(field << 3 | 2)[..],
        &varint(value.len() as u64),
        value,
    ]
    .concat()
}

type Seen = (Vec<String>, Result<(), ProtobufError>);

fn read(pieces: &[&[u8]]) -> Seen {
    let (mut scanner, mut seen) = (Scanner::new(TABLE), Vec::new());
    for piece in pieces {
        scanner.push(piece, |found| {
            seen.push(match found {
                Found::Number { slot, value } => format!("{slot:?} {value}"),
                Found::Bytes { slot, raw } => {
                    format!("{slot:?} {}", String::from_utf8_lossy(raw))
                }
                Found::Length { slot, bytes } => format!("{slot:?} {bytes}"),
            });
        });
    }
    (seen, scanner.end())
}

fn check(message: &[u8], seen: &[&str], end: Result<(), ProtobufError>) {
    let expected = (seen.iter().map(ToString::to_string).collect(), end);
    for at in 0..=message.len() {
        let (head, tail) = message.split_at(at);
        assert_eq!(read(&[head, tail]), expected, "split at {at}");
    }
    assert_eq!(read(&message.chunks(1).collect::<Vec<_>>()), expected);
}

/// A message with fields of every type, wanted and not.
fn message() -> Vec<u8> {
    let inner = [number(3, 7), number(4, 1), number(3, u64::MAX)].concat();
    let middle = [bytes(16, &inner), bytes(17, b"text"), bytes(16, b"")].concat();
    [
        bytes(1, "n\u{e4}me".as_bytes()),
        number(2, 300),
        [&varint(3 << 3 | 1)[..], &[9; 8]].concat(),
        [&varint(4 << 3 | 5)[..], &[9; 4]].concat(),
        bytes(5, &[0xff; 200]),
        number(6, 1),
        bytes(9, &middle),
        bytes(2, b"\x01\x02"),
        bytes(1, b""),
    ]
    .concat()
}

#[test]
fn fields_are_found_at_every_split() {
    check(
        &message(),
        &[
            "Name n\u{e4}me",
            "Number 300",
            "Inner 7",
            "Inner 18446744073709551615",
            "Size 4",
            "Name ",
        ],
        Ok(()),
    );
    check(b"", &[], Ok(()));
}

#[test]
fn a_cut_reports_nothing_that_is_not_there() {
    let message = message();
    let (all, _) = read(&[&message]);
    for at in 0..message.len() {
        let (seen, end) = read(&[&message[..at]]);
        assert!(all.starts_with(&seen), "cut at {at}");
        assert!(end != Err(ProtobufError::Malformed), "cut at {at}");
    }
    let (_, end) = read(&[&message[..2]]);
    assert_eq!(end, Err(ProtobufError::Truncated));
}

#[test]
fn what_is_no_message_is_malformed() {
    let malformed = Err(ProtobufError::Malformed);
    // Field 0, a group, an unknown type.
    check(&[0, 0], &[], malformed);
    check(&[0x0b], &[], malformed);
    check(&[0x0f], &[], malformed);
    // A number of eleven bytes, and a field number past 32 bits.
    check(&[0xff; 11], &[], malformed);
    check(&number(1 << 40, 0), &[], malformed);
    // Fields that go beyond the message they are in.
    check(&bytes(9, b"\x8a\x01\x05"), &[], malformed);
    check(&bytes(9, &varint(17 << 3 | 1)), &[], malformed);
    check(&bytes(9, b"\x82"), &[], malformed);
    check(b"<html>", &[], malformed);
}

#[test]
fn an_oversized_value_is_passed_over() {
    let message = [bytes(1, &[b'x'; VALUE_LEN_MAX + 1]), number(2, 1)].concat();
    let mut scanner = Scanner::new(TABLE);
    let mut seen = 0;
    scanner.push(&message, |_| seen += 1);
    assert_eq!((seen, scanner.end()), (1, Ok(())));
    assert!(scanner.has_met_oversized());
}

#[test]
fn a_scanner_begins_again() {
    let mut scanner = Scanner::new(TABLE);
    scanner.push(&[0], |_| {});
    assert_eq!(scanner.end(), Err(ProtobufError::Malformed));
    scanner.reset();
    scanner.push(&number(2, 1), |_| {});
    assert_eq!(scanner.end(), Ok(()));
}
