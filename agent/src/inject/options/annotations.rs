//! The annotations of a pod, and how their values are read.

use std::str::FromStr;

use super::{Image, Options};

/// An annotation of a pod, and what it changes.
pub(super) struct Annotation {
    pub(super) name: &'static str,
    pub(super) apply: fn(&mut Options, &str) -> Result<(), String>,
}

/// Every annotation that a pod may have, without [`PREFIX`].
pub(super) const ANNOTATIONS: [Annotation; 15] = [
    Annotation {
        name: "image",
        apply: |options, value| match &options.image {
            Image::Default(_) => {
                options.image = Image::Default(word(value)?);
                Ok(())
            }
            Image::Fixed(fixed) => Err(format!(
                "this cluster's webhook runs {fixed} and no other image: leave the annotation out"
            )),
        },
    },
    Annotation {
        name: "config",
        apply: |options, value| set(&mut options.config, object_name(value)),
    },
    Annotation {
        name: "roots",
        apply: |options, value| set(&mut options.roots, object_name(value)),
    },
    Annotation {
        name: "on-proxy-down",
        apply: |options, value| set(&mut options.on_proxy_down, one_of(value)),
    },
    Annotation {
        name: "sidecar",
        apply: |options, value| {
            options.sidecar = one_of(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "init-privileges",
        apply: |options, value| {
            options.init_privileges = one_of(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "port",
        apply: |options, value| {
            options.port = number(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "admin-port",
        apply: |options, value| {
            options.admin_port = number(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "proxy-uid",
        apply: |options, value| {
            options.proxy_uid = number(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "log-level",
        apply: |options, value| set(&mut options.log_level, log_level(value)),
    },
    Annotation {
        name: "untouched-containers",
        apply: |options, value| {
            options.untouched = value
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            Ok(())
        },
    },
    Annotation {
        name: "cpu-request",
        apply: |options, value| {
            options.resources.cpu_request = quantity(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "memory-request",
        apply: |options, value| {
            options.resources.memory_request = quantity(value)?;
            Ok(())
        },
    },
    Annotation {
        name: "cpu-limit",
        apply: |options, value| set(&mut options.resources.cpu_limit, quantity(value)),
    },
    Annotation {
        name: "memory-limit",
        apply: |options, value| set(&mut options.resources.memory_limit, quantity(value)),
    },
];

fn set<T>(field: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *field = Some(value?);
    Ok(())
}

fn word(value: &str) -> Result<String, String> {
    if value.is_empty() || value.contains(char::is_whitespace) {
        return Err(format!("`{value}` is not the name of an image"));
    }
    Ok(value.to_owned())
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_unsaid| format!("`{value}` is not possible, expected a number above 0"))
}

fn one_of<T: clap::ValueEnum>(value: &str) -> Result<T, String> {
    T::from_str(value, false).map_err(|_unsaid| {
        let possible: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!(
            "`{value}` is not possible, expected {}",
            possible.join(" or ")
        )
    })
}

/// A DNS subdomain, as names of objects are.
pub(crate) fn object_name(value: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = !value.is_empty()
        && value.len() <= 253
        && value.split('.').all(|label| {
            label.bytes().all(|byte| plain(byte) || byte == b'-')
                && label.bytes().next().is_some_and(plain)
                && label.bytes().last().is_some_and(plain)
        });
    if good {
        Ok(value.to_owned())
    } else {
        Err(format!("`{value}` is not the name of an object"))
    }
}

/// The levels of `WEIR_LOG`.
pub(crate) fn log_level(value: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if LEVELS.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is not possible, expected {}",
            LEVELS.join(", ")
        ))
    }
}

/// A quantity of Kubernetes: a decimal number and a suffix.
pub(crate) fn quantity(value: &str) -> Result<String, String> {
    const SUFFIXES: [&str; 12] = [
        "", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi",
    ];
    let digits = value
        .find(|one: char| !one.is_ascii_digit() && one != '.')
        .unwrap_or(value.len());
    let (amount, suffix) = value.split_at(digits);
    if amount.parse::<f64>().is_ok() && SUFFIXES.contains(&suffix) {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is no quantity: write it as 100m or 64Mi"
        ))
    }
}
