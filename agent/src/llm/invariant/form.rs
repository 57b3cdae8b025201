//! Of forms.

use crate::invariant::check_splits;
use crate::llm::multipart::Reader;

/// Of [`Reader`], if the boundary is `b`: however a form is split, the same
/// fields are found, and they have no more in them than the form.
///
/// # Panics
/// If that does not hold.
pub fn of_multipart(bytes: &[u8]) {
    let (fields, _) = check_splits(bytes, |pieces| {
        let mut reader = Reader::new("multipart/form-data; boundary=b").expect("it has a boundary");
        let mut fields = Vec::new();
        for piece in pieces {
            reader.push(piece, |field| {
                if let Some(value) = field.value {
                    assert_eq!(value.len() as u64, field.len);
                }
                fields.push((
                    field.name.to_owned(),
                    field.value.map(<[u8]>::to_vec),
                    field.len,
                ));
            });
        }
        (fields, reader.is_complete())
    });
    let inside: u64 = fields.iter().map(|(_, _, length)| length).sum();
    assert!(inside <= bytes.len() as u64, "more came out than went in");
    // Of any text as a type; what it makes of that is for the tests.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Reader::new(text);
    }
}
