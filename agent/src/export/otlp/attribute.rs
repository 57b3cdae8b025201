//! Attributes, as spans, metrics and the resource have them.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};

use crate::export::semconv::plain;

/// A text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(plain(value)))
}

/// A whole number; beyond 2⁶³ the largest there is.
pub(super) fn number(key: &str, value: u64) -> KeyValue {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    pair(key, Value::IntValue(value))
}

/// A number with a fraction.
pub(super) fn fraction(key: &str, value: f64) -> KeyValue {
    pair(key, Value::DoubleValue(value))
}

/// A yes or no.
pub(super) fn flag(key: &str, value: bool) -> KeyValue {
    pair(key, Value::BoolValue(value))
}

/// A list of texts.
pub(super) fn list<'a>(key: &str, values: impl IntoIterator<Item = &'a str>) -> KeyValue {
    let values = values.into_iter().map(|value| AnyValue {
        value: Some(Value::StringValue(plain(value))),
    });
    pair(
        key,
        Value::ArrayValue(ArrayValue {
            values: values.collect(),
        }),
    )
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Who measured.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "weir".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
